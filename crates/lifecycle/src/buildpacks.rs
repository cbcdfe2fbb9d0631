//! The buildpacks of a builder: `<buildpacks>/<escaped id>/<version>/buildpack.toml` (platform specification,
//! "Buildpacks Directory Layout").

use cnb::{FormatError, buildpack::Descriptor, id};
use std::{
    io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A buildpack that is not there, or not one this lifecycle can run.
#[derive(Debug, Error)]
pub enum LookupError {
    #[error("cannot read {path}, which describes buildpack {id}@{version}")]
    Read {
        path: PathBuf,
        id: String,
        version: String,
        #[source]
        source: io::Error,
    },
    #[error("buildpack {id}@{version}")]
    Format {
        id: String,
        version: String,
        #[source]
        source: FormatError,
    },
    #[error(
        "buildpack API version '{api}' of {id}@{version} is incompatible with the lifecycle, which speaks {} to {}",
        cnb::Api::OLDEST_BUILDPACK,
        cnb::Api::BUILDPACK
    )]
    Api { id: String, version: String, api: cnb::Api },
}

/// A buildpack and where it lies.
#[derive(Clone, Debug)]
pub struct Buildpack {
    pub descriptor: Descriptor,
    pub root: PathBuf,
}

/// Finds one version of a buildpack.
pub fn look_up(buildpacks: &Path, wanted: &str, version: &str) -> Result<Buildpack, LookupError> {
    let format = |source| LookupError::Format { id: wanted.to_owned(), version: version.to_owned(), source };
    // Both come from files and become parts of a path.
    id::check_buildpack("the order", wanted).map_err(format)?;
    id::check_version("the order", version).map_err(format)?;
    let root = buildpacks.join(id::escape(wanted)).join(version);
    let path = root.join("buildpack.toml");
    let bytes = std::fs::read(&path).map_err(|source| LookupError::Read {
        path: path.clone(),
        id: wanted.to_owned(),
        version: version.to_owned(),
        source,
    })?;
    let descriptor = Descriptor::read("buildpack.toml", &bytes).map_err(format)?;
    if !descriptor.api.is_buildpack() {
        return Err(LookupError::Api { id: wanted.to_owned(), version: version.to_owned(), api: descriptor.api });
    }
    Ok(Buildpack { descriptor, root })
}

impl LookupError {
    /// The exit status that goes with it; `phase` is the phase's own.
    pub fn status(&self, phase: u8) -> u8 {
        match self {
            Self::Api { .. } => crate::phase::status::BUILDPACK_API,
            _ => phase,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildpack_that_cannot_be_used_is_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("example_x/1");
        std::fs::create_dir_all(&root).unwrap();
        let missing = look_up(dir.path(), "example/x", "1").unwrap_err();
        assert!(missing.to_string().contains("example/x@1"), "{missing}");
        let with = |text: &str| {
            std::fs::write(root.join("buildpack.toml"), text).unwrap();
            look_up(dir.path(), "example/x", "1")
        };
        let table = "[buildpack]\nid = 'example/x'\nversion = '1'\n";
        let old = with(&format!("api = '0.2'\n{table}")).unwrap_err();
        assert_eq!(old.status(22), 12);
        assert!(old.to_string().contains("'0.2' of example/x@1"), "{old}");
        assert_eq!(with(&format!("api = '0.10'\n{table}")).unwrap().root, root);
        assert!(look_up(dir.path(), "../x", "1").is_err() && look_up(dir.path(), "example/x", "..").is_err());
    }
}
