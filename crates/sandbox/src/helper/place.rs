//! Where one sandbox's things lie, and what is written down about it.

use super::refusal::Refusal;
use crate::mounts::Upper;
use crate::request::{Kind, LayerRef, SandboxId, SandboxSpec};
use model::Paths;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The record of a sandbox that was made completely.
const RECORD_FILE: &str = "record.json";

/// The directories of one sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `<run>/sandboxes/<id>`: bundle, mount point, shim's files.
    pub(crate) run: PathBuf,
    /// `<data>/sandboxes/<id>`: what it writes.
    pub(crate) data: PathBuf,
}

/// What a restarted helper knows of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) spec: SandboxSpec,
    pub(crate) address: Option<Ipv4Addr>,
    /// Host pid of a build's egress worker.
    #[serde(default)]
    pub(crate) egress: Option<i32>,
}

impl Place {
    pub(crate) fn new(paths: &Paths, id: &SandboxId) -> Self {
        Self { run: paths.sandbox_runs().join(id.as_str()), data: paths.sandboxes().join(id.as_str()) }
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.run.join("bundle")
    }

    /// Files that appear in the sandbox's /etc.
    pub(crate) fn etc(&self) -> PathBuf {
        self.run.join("etc")
    }

    /// Covered by a tmpfs in the shim's mount namespace; empty for everybody else.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.run.join("mnt")
    }

    /// Where a sandbox of this kind writes.
    pub(crate) fn upper(&self, kind: Kind) -> Upper {
        match kind {
            Kind::Build => Upper::Directory(self.data.clone()),
            Kind::Service | Kind::Task => Upper::Image(self.data.join("upper.img")),
        }
    }

    /// The record; `None` when the sandbox was never made completely.
    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        match fs::read(self.run.join(RECORD_FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        write_whole(&self.run.join(RECORD_FILE), &serde_json::to_vec(record)?)
    }

    /// Makes the run directory. The mapped root inside looks its way through it and no further.
    pub(crate) fn make(&self) -> io::Result<()> {
        for directory in [&self.run, &self.bundle(), &self.etc(), &self.mount_point()] {
            fs::create_dir(directory)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        }
        fs::create_dir(&self.data)?;
        fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))
    }
}

/// Writes a file so that readers see all of it or nothing.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.write_all(bytes)?;
    fs::rename(beside, path)
}

/// Where a layer's tree lies, beneath the data directory.
pub(crate) fn layer_path(layer: &LayerRef) -> PathBuf {
    match layer {
        LayerRef::Published(diff_id) => PathBuf::from(format!("layers/sha256-{}/tree", diff_id.hex())),
        LayerRef::Scratch(id) => scratch_path(id).join("tree"),
    }
}

/// Where a scratch tree lies, beneath the data directory.
pub(crate) fn scratch_path(id: &SandboxId) -> PathBuf {
    Path::new("scratch").join(id.as_str())
}

/// The trees of all layers, bottom first, each published and of the store's range.
pub(crate) fn layer_paths(data: &Path, store_id: u32, layers: &[LayerRef]) -> Result<Vec<PathBuf>, Refusal> {
    layers
        .iter()
        .map(|layer| {
            let path = layer_path(layer);
            let missing = |why: String| {
                Refusal::new(
                    "layer-missing",
                    format!("{layer:?} is not in the store ({why}); unpack it again before it is used"),
                )
            };
            let tree = crate::mounts::open_beneath(data, &path)
                .map_err(|error| missing(model::sentence::of(&error)))?;
            let stat = rustix::fs::fstat(&tree).map_err(|error| missing(error.to_string()))?;
            let of_store = store_id..store_id + model::instance::RANGE_SIZE;
            if !of_store.contains(&stat.st_uid) || !of_store.contains(&stat.st_gid) {
                return Err(missing(format!("owner {}:{} is not the store's", stat.st_uid, stat.st_gid)));
            }
            if let LayerRef::Published(_) = layer {
                let meta = data.join(&path).with_file_name("meta.json");
                fs::symlink_metadata(meta).map_err(|error| missing(format!("not published: {error}")))?;
            }
            Ok(path)
        })
        .collect()
}
