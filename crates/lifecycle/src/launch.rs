//! The launcher: inside the image, it makes the environment that the buildpacks' layers ask for and becomes the
//! process (platform specification, "Launcher").
//!
//! [`process`] chooses what to start, [`variables`] makes the environment, [`exec_d`] lets programs of the layers
//! change it, [`start`] replaces this process; [`shell`] is for processes that want profile scripts.

mod error;
mod exec_d;
#[doc(hidden)]
pub mod fuzzing;
mod process;
mod shell;
mod start;
mod variables;

pub use error::LaunchError;

use crate::environment::Variables;
use cnb::{Api, id, metadata::Metadata};
use process::Chosen;
use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What the image says of itself.
struct Image {
    platform_api: Api,
    app: PathBuf,
    /// For people: where the metadata came from.
    metadata_path: PathBuf,
    metadata: Metadata,
    /// The layers of each buildpack that is in the image, in the order in which they apply.
    layers: Vec<Vec<PathBuf>>,
}

/// Becomes the process. Comes back only when that cannot be, with the specification's exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Err(error) = launch(&arguments, std::env::vars_os().collect());
    eprintln!("ERROR: failed to launch: {}", model::sentence::of(&error));
    ExitCode::from(error.exit_code())
}

fn launch(arguments: &[OsString], mut variables: Variables) -> Result<Infallible, LaunchError> {
    let image = Image::read(&variables)?;
    let chosen = process::choose(&image, arguments, &variables)?;
    if variables.contains_key(OsStr::new("CNB_PROCESS_TYPE")) {
        eprintln!("Warning: CNB_PROCESS_TYPE is not read; start /cnb/process/<type> instead");
    }
    std::env::set_current_dir(&image.app)
        .map_err(|source| LaunchError::App { path: image.app.clone(), source })?;
    prepare(&image, &chosen, &mut variables)?;
    start::become_process(&image, &chosen, &variables)
}

fn prepare(image: &Image, chosen: &Chosen, variables: &mut Variables) -> Result<(), LaunchError> {
    variables::strip(variables);
    for layers in &image.layers {
        variables::add_layers(variables, layers, chosen.kind.as_deref())?;
    }
    for layer in image.layers.iter().flatten() {
        exec_d::run_all(layer, chosen.kind.as_deref(), variables)?;
    }
    Ok(())
}

impl Image {
    fn read(variables: &Variables) -> Result<Self, LaunchError> {
        let platform_api = platform_api(variables)?;
        let directory = |name: &str, default: &str| {
            variables.get(OsStr::new(name)).map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        let layers_directory = directory("CNB_LAYERS_DIR", "/layers");
        let metadata_path = layers_directory.join("config/metadata.toml");
        let bytes = fs::read(&metadata_path)
            .map_err(|source| LaunchError::Read { path: metadata_path.clone(), source })?;
        let metadata: Metadata = cnb::file::read(&metadata_path.display().to_string(), &bytes)?;
        if let Some(member) = metadata.buildpacks.iter().find(|member| !member.api.is_buildpack()) {
            return Err(LaunchError::BuildpackApi { id: member.id.clone(), api: member.api });
        }
        let directories =
            |member: &cnb::group::Member| directories_in(&layers_directory.join(id::escape(&member.id)));
        Ok(Self {
            platform_api,
            app: directory("CNB_APP_DIR", "/workspace"),
            layers: metadata.buildpacks.iter().map(directories).collect::<Result<_, _>>()?,
            metadata_path,
            metadata,
        })
    }
}

fn platform_api(variables: &Variables) -> Result<Api, LaunchError> {
    let text = variables.get(OsStr::new("CNB_PLATFORM_API")).filter(|text| !text.is_empty());
    let text = text.ok_or(LaunchError::NoPlatformApi)?.to_string_lossy();
    let known = text.parse::<Api>().ok().filter(|api| api.is_platform());
    known.ok_or_else(|| LaunchError::PlatformApi { text: text.into_owned() })
}

/// The directories in a directory, by name; none when it is not there.
fn directories_in(directory: &Path) -> Result<Vec<PathBuf>, LaunchError> {
    Ok(entries(directory)?.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(path, _)| path).collect())
}

/// The files in a directory, by name, links to files among them.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, LaunchError> {
    let files = entries(directory)?.into_iter().map(|(path, _)| path);
    Ok(files.filter(|path| path.is_file()).collect())
}

fn entries(directory: &Path) -> Result<Vec<(PathBuf, fs::FileType)>, LaunchError> {
    let failed = |source| LaunchError::Read { path: directory.to_owned(), source };
    let list = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in list {
        let entry = entry.map_err(failed)?;
        found.push((entry.path(), entry.file_type().map_err(failed)?));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}
