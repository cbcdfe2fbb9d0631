//! What a buildpack's programs are run with: what they inherit, the user's variables, the operator's (buildpack
//! specification, "Environment", "Provided by the Platform"; platform specification, "Operator-Provided Variables").

use crate::environment::{EnvironmentError, Variables, add_default, add_directory, prepend, read_files};
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Search paths, which layers and users extend.
const PATHS: [&str; 5] = ["PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH"];
/// What else passes from the lifecycle's own environment.
const PASSED: [&str; 9] = [
    "CNB_STACK_ID",
    "HOSTNAME",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What passes from the lifecycle's own environment to buildpacks.
pub fn inherited(own: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    let passes = |name: &OsStr| PATHS.iter().chain(&PASSED).any(|known| name == *known);
    own.into_iter().filter(|(name, _)| passes(name)).collect()
}

/// `base` with the user's variables of `<platform>/env`, unless the buildpack wants none of them (`clear-env`), and
/// the operator's of `<build config>/env`, which by default only fill what is not set.
pub fn complete(
    base: &Variables,
    platform: Option<&Path>,
    build_config: &Path,
) -> Result<Variables, EnvironmentError> {
    let mut variables = base.clone();
    if let Some(platform) = platform {
        for (name, value) in read_files(&platform.join("env"))? {
            if PATHS.iter().any(|path| name == *path) {
                prepend(&mut variables, &name, &value, OsStr::new(":"));
            } else {
                variables.insert(name, value);
            }
        }
    }
    let operator = build_config.join("env");
    for (name, value) in read_files(&operator)? {
        if !name.as_encoded_bytes().contains(&b'.') {
            add_default(&mut variables, &name, &value);
        }
    }
    let bare = variables.clone();
    add_directory(&mut variables, &operator)?;
    // A name without suffix means "override" in a layer and "default" here.
    for name in read_files(&operator)?.keys().filter(|name| !name.as_encoded_bytes().contains(&b'.')) {
        if let Some(value) = bare.get(name) {
            variables.insert(name.clone(), value.clone());
        }
    }
    Ok(variables)
}
