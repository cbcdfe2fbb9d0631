//! The process's environment: that of the container, without what is the launcher's, changed by the layers
//! (buildpack specification, "Launch", "Provided by the Lifecycle").

use super::LaunchError;
use crate::environment::{self, Purpose, Variables};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// Spoken between platform and launcher; no business of the process.
const PRIVATE: [&str; 5] =
    ["CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"];
/// Directories of the launcher in PATH.
const PRIVATE_PATHS: [&[u8]; 2] = [b"/cnb/process", b"/cnb/lifecycle"];

/// Takes away what is the launcher's.
pub(super) fn strip(variables: &mut Variables) {
    for name in PRIVATE {
        variables.remove(OsStr::new(name));
    }
    if let Some(path) = variables.get_mut(OsStr::new("PATH")) {
        let kept: Vec<&[u8]> = path
            .as_bytes()
            .split(|byte| *byte == b':')
            .filter(|part| !PRIVATE_PATHS.contains(part))
            .collect();
        *path = OsString::from_vec(kept.join(&b':'));
    }
}

/// Applies the layers of one buildpack: search paths of all, then the files of each.
pub(super) fn add_layers(
    variables: &mut Variables,
    layers: &[PathBuf],
    kind: Option<&str>,
) -> Result<(), LaunchError> {
    for layer in layers {
        environment::add_search_paths(variables, layer, Purpose::Launch);
    }
    for layer in layers {
        environment::add_directory(variables, &layer.join("env"))?;
        let for_launch = layer.join("env.launch");
        environment::add_directory(variables, &for_launch)?;
        if let Some(kind) = kind {
            environment::add_directory(variables, &for_launch.join(kind))?;
        }
    }
    Ok(())
}
