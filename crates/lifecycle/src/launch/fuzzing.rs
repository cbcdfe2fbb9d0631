//! What the fuzz targets reach of the launcher (`fuzz/`); for nobody else.

use super::{Image, LaunchError, process, shell::Script, variables};
use crate::environment::Variables;
use cnb::{Api, metadata::Metadata};
use std::{ffi::OsString, path::PathBuf};

/// How a process would be started.
pub struct Start {
    pub command: OsString,
    pub arguments: Vec<OsString>,
    /// The shell's text, for a process that wants one.
    pub script: Option<Vec<u8>>,
    pub variables: Variables,
}

/// Chooses what an image without any layer starts.
pub fn choose(
    metadata: Metadata,
    arguments: &[OsString],
    mut variables: Variables,
) -> Result<Start, LaunchError> {
    let image = Image {
        platform_api: Api::PLATFORM,
        app: PathBuf::from("/nonexistent"),
        metadata_path: PathBuf::from("metadata.toml"),
        metadata,
        layers: Vec::new(),
    };
    let chosen = process::choose(&image, arguments, &variables)?;
    variables::strip(&mut variables);
    let script = if chosen.direct { None } else { Some(Script::of(&image, &chosen)?.text) };
    Ok(Start { command: chosen.command, arguments: chosen.arguments, script, variables })
}
