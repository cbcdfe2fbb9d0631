//! What a buildpack made of its layers: those for later buildpacks change the environment, those for nobody are put
//! out of sight (buildpack specification, "Layer Types", "Environment").

use super::BuildError;
use crate::environment::{self, Purpose, Variables};
use cnb::layer::{Layer, RESERVED};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Reads every `<layer>.toml` of one buildpack, in the order of their names.
pub(super) fn add(variables: &mut Variables, layers_dir: &Path) -> Result<(), BuildError> {
    for (name, path) in descriptions(layers_dir)? {
        let bytes = fs::read(&path).map_err(BuildError::file("read", &path))?;
        let layer = Layer::read(&path.display().to_string(), &bytes)?;
        let directory = layers_dir.join(&name);
        if layer.types.build {
            environment::add_search_paths(variables, &directory, Purpose::Build);
            environment::add_directory(variables, &directory.join("env"))?;
            environment::add_directory(variables, &directory.join("env.build"))?;
        } else if !layer.types.launch && !layer.types.cache {
            ignore(&directory, &layers_dir.join(ignored(name)))?;
        }
    }
    Ok(())
}

fn ignored(mut name: OsString) -> OsString {
    name.push(".ignore");
    name
}

/// Names of layers with their `<layer>.toml`.
fn descriptions(layers_dir: &Path) -> Result<Vec<(OsString, PathBuf)>, BuildError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(layers_dir).map_err(BuildError::file("read", layers_dir))? {
        let path = entry.map_err(BuildError::file("read", layers_dir))?.path();
        let Some(name) = path.file_stem().filter(|_| path.extension().is_some_and(|end| end == "toml"))
        else {
            continue;
        };
        if !RESERVED.iter().any(|reserved| name == *reserved) {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Renames a layer that nobody claimed. A layer of an earlier build lies below in the overlay, where a directory may
/// not be renamable: then it goes, which keeps it out of sight as well.
fn ignore(directory: &Path, to: &Path) -> Result<(), BuildError> {
    match fs::rename(directory, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => fs::remove_dir_all(directory).map_err(BuildError::file("put aside", directory)),
    }
}
