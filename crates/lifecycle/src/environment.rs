//! How a layer changes the environment: its directories that become search paths, and its files under `env`
//! (buildpack specification, "Environment"). The order in which layers come is the caller's: build and launch differ.

use rustix::io::Errno;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Variables by name.
pub type Variables = BTreeMap<OsString, OsString>;

/// For whom an environment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Later buildpacks of the same build.
    Build,
    /// The image's processes.
    Launch,
}

/// A layer's environment could not be read.
#[derive(Debug, Error)]
#[error("cannot read {path}, which sets the environment")]
pub struct EnvironmentError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The directories of a layer that go to the front of a search path, with the variables they go to.
const ROOT_DIRECTORIES: [(&str, &str, bool); 5] = [
    ("bin", "PATH", true),
    ("lib", "LD_LIBRARY_PATH", true),
    ("lib", "LIBRARY_PATH", false),
    ("include", "CPATH", false),
    ("pkgconfig", "PKG_CONFIG_PATH", false),
];

/// Puts a layer's `bin`, `lib` and, for a build, `include` and `pkgconfig` in front of their search paths
/// (buildpack specification, "Layer Paths").
pub fn add_search_paths(variables: &mut Variables, layer: &Path, purpose: Purpose) {
    for (directory, name, at_launch) in ROOT_DIRECTORIES {
        let path = layer.join(directory);
        if (at_launch || purpose == Purpose::Build) && path.is_dir() {
            prepend(variables, OsStr::new(name), path.as_os_str(), OsStr::new(":"));
        }
    }
}

/// Applies the files of one directory, `<layer>/env` for example, in the order of their names. A directory that is
/// not there changes nothing (buildpack specification, "Environment Variable Modification Rules").
pub fn add_directory(variables: &mut Variables, directory: &Path) -> Result<(), EnvironmentError> {
    apply(variables, directory, b"override")
}

/// Applies the operator's variables, `<build config>/env`: without a suffix they are defaults (platform specification,
/// "Operator-Defined Variables").
pub fn add_operator_directory(variables: &mut Variables, directory: &Path) -> Result<(), EnvironmentError> {
    apply(variables, directory, b"default")
}

fn apply(variables: &mut Variables, directory: &Path, unsuffixed: &[u8]) -> Result<(), EnvironmentError> {
    let files = read_files(directory)?;
    for (file, content) in &files {
        let (name, suffix) = split(file);
        let delimiter = || {
            let mut key = name.to_owned();
            key.push(".delim");
            files.get(&key).map_or(OsStr::new(""), OsString::as_os_str)
        };
        match suffix.unwrap_or(unsuffixed) {
            b"override" => {
                variables.insert(name.to_owned(), content.clone());
            }
            b"default" => add_default(variables, name, content),
            b"prepend" => prepend(variables, name, content, delimiter()),
            b"append" => append(variables, name, content, delimiter()),
            // `.delim` says nothing by itself, and what no specification names is nobody's.
            _ => {}
        }
    }
    Ok(())
}

/// Whether a variable is a search path: a user's value goes in front of it instead of replacing it.
pub fn is_search_path(name: &OsStr) -> bool {
    ROOT_DIRECTORIES.iter().any(|(_, path, _)| OsStr::new(path) == name)
}

/// The regular files of a directory by name, links followed, contents byte for byte.
pub fn read_files(directory: &Path) -> Result<Variables, EnvironmentError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EnvironmentError { path, source }
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NOTDIR)) => {
            return Ok(Variables::new());
        }
        entries => entries.map_err(failed(directory))?,
    };
    let mut files = Variables::new();
    for entry in entries {
        let entry = entry.map_err(failed(directory))?;
        let path = entry.path();
        if fs::metadata(&path).map_err(failed(&path))?.is_file() {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            files.insert(entry.file_name(), OsString::from_vec(bytes));
        }
    }
    Ok(files)
}

/// Sets a variable unless it has a value.
pub fn add_default(variables: &mut Variables, name: &OsStr, value: &OsStr) {
    if variables.get(name).is_none_or(|old| old.is_empty()) {
        variables.insert(name.to_owned(), value.to_owned());
    }
}

/// Puts `value` in front of a variable's old value.
pub fn prepend(variables: &mut Variables, name: &OsStr, value: &OsStr, delimiter: &OsStr) {
    let new = match variables.get(name).filter(|old| !old.is_empty()) {
        Some(old) => [value, delimiter, old].into_iter().collect(),
        None => value.to_owned(),
    };
    variables.insert(name.to_owned(), new);
}

/// Puts `value` behind a variable's old value.
pub fn append(variables: &mut Variables, name: &OsStr, value: &OsStr, delimiter: &OsStr) {
    let new = match variables.get(name).filter(|old| !old.is_empty()) {
        Some(old) => [old.as_os_str(), delimiter, value].into_iter().collect(),
        None => value.to_owned(),
    };
    variables.insert(name.to_owned(), new);
}

/// A file's variable and what to do with it: what stands before and after its first dot.
fn split(file: &OsStr) -> (&OsStr, Option<&[u8]>) {
    let bytes = file.as_bytes();
    match bytes.iter().position(|byte| *byte == b'.') {
        Some(dot) => (OsStr::from_bytes(&bytes[..dot]), Some(&bytes[dot + 1..])),
        None => (file, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn each_suffix_changes_the_old_value_in_its_own_way() {
        for (files, old, expected) in [
            (&[("A", "new")][..], Some("old"), Some("new")),
            (&[("A.override", "new")], Some("old"), Some("new")),
            (&[("A.default", "new")], Some("old"), Some("old")),
            (&[("A.default", "new")], Some(""), Some("new")),
            (&[("A.default", "new")], None, Some("new")),
            (&[("A.prepend", "new")], Some("old"), Some("newold")),
            (&[("A.prepend", "new"), ("A.delim", ":")], Some("old"), Some("new:old")),
            (&[("A.prepend", "new"), ("A.delim", ":")], None, Some("new")),
            (&[("A.append", "new"), ("A.delim", "; ")], Some("old"), Some("old; new")),
            (&[("A.append", "new"), ("A.delim", ":")], Some(""), Some("new")),
            (&[("A", "text\n")], None, Some("text\n")),
            (&[("A.unknown", "new")], Some("old"), Some("old")),
            (&[("A.delim", ":")], None, None),
            (&[("A.append", "1"), ("A.prepend", "2"), ("A.delim", "-")], Some("x"), Some("2-x-1")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for (name, content) in files {
                fs::write(directory.path().join(name), content).unwrap();
            }
            let mut got = old.map(|old| variables(&[("A", old)])).unwrap_or_default();
            add_directory(&mut got, directory.path()).unwrap();
            assert_eq!(got.get(OsStr::new("A")).and_then(|v| v.to_str()), expected, "{files:?} over {old:?}");
        }
    }

    #[test]
    fn directories_inside_are_no_variables_and_links_to_files_are() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("web")).unwrap();
        fs::write(directory.path().join("web/INNER"), "no").unwrap();
        fs::write(directory.path().join("A"), "yes").unwrap();
        std::os::unix::fs::symlink("A", directory.path().join("B")).unwrap();
        let mut got = Variables::new();
        add_directory(&mut got, directory.path()).unwrap();
        assert_eq!(got, variables(&[("A", "yes"), ("B", "yes")]));
        add_directory(&mut got, &directory.path().join("missing")).unwrap();
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("LOST")).unwrap();
        let error = add_directory(&mut Variables::new(), directory.path()).unwrap_err();
        assert!(error.to_string().contains("/LOST"), "{error}");
    }

    #[test]
    fn a_layers_directories_become_search_paths() {
        let layer = tempfile::tempdir().unwrap();
        for name in ["bin", "lib", "include", "pkgconfig", "share"] {
            fs::create_dir(layer.path().join(name)).unwrap();
        }
        let in_layer = |name: &str| layer.path().join(name).display().to_string();
        let mut build = variables(&[("PATH", "/usr/bin"), ("CPATH", "")]);
        add_search_paths(&mut build, layer.path(), Purpose::Build);
        let expected = [
            ("CPATH", in_layer("include")),
            ("LD_LIBRARY_PATH", in_layer("lib")),
            ("LIBRARY_PATH", in_layer("lib")),
            ("PATH", format!("{}:/usr/bin", in_layer("bin"))),
            ("PKG_CONFIG_PATH", in_layer("pkgconfig")),
        ];
        assert_eq!(build, expected.iter().map(|(n, v)| (OsString::from(*n), OsString::from(v))).collect());
        let mut launch = Variables::new();
        add_search_paths(&mut launch, layer.path(), Purpose::Launch);
        assert_eq!(launch.keys().collect::<Vec<_>>(), ["LD_LIBRARY_PATH", "PATH"]);
        let mut nothing = Variables::new();
        fs::write(layer.path().join("file"), "").unwrap();
        add_search_paths(&mut nothing, &layer.path().join("file"), Purpose::Build);
        assert!(nothing.is_empty());
    }
}
