//! A directory that is being filled. It is removed when it is dropped before it has been kept.

use super::{Meta, StoreError, open_directory, system};
use model::Paths;
use rustix::{fd::OwnedFd, rand::GetRandomFlags};
use std::{
    fs::{DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

pub(super) struct Work {
    path: PathBuf,
    kept: bool,
}

/// A blob that is being written, in the directory of blobs: `layers/` may be another mount, and no rename leaves one.
pub(crate) struct NewBlob {
    path: PathBuf,
    name: String,
    kept: bool,
}

impl NewBlob {
    /// `blobs/sha256/.new-<random>`, open for writing.
    pub(crate) fn make(paths: &Paths) -> Result<(Self, File), StoreError> {
        let parent = paths.blobs();
        let name = format!("{NEW_BLOB}{}", random_name(&parent)?);
        let path = parent.join(&name);
        let file = File::create_new(&path).map_err(|e| system("make", &path, e))?;
        Ok((Self { path, name, kept: false }, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the directory of blobs.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// It has its name now.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is swept at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How the names of unfinished blobs begin.
pub(super) const NEW_BLOB: &str = ".new-";

pub(crate) fn random_name(parent: &Path) -> Result<String, StoreError> {
    // The system call itself: a worker's root has no /dev, which is where others look when nothing else is linked in.
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())
        .map_err(|e| system("name something in", parent, e.into()))?;
    Ok(hex::encode(random))
}

impl Work {
    /// `layers/.new/<random>`.
    pub(super) fn layer(paths: &Paths) -> Result<Self, StoreError> {
        let parent = paths.layers().join(".new");
        make_parent(&parent)?;
        let name = random_name(&parent)?;
        Self::make(parent.join(name))
    }

    /// `scratch/<id>`, in place of what is there.
    pub(super) fn scratch(paths: &Paths, id: &str) -> Result<Self, StoreError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            return Err(StoreError::BadId { id: id.chars().take(80).collect() });
        }
        let parent = paths.data.join("scratch");
        make_parent(&parent)?;
        let path = parent.join(id);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("replace", &path, error)),
            _ => Self::make(path),
        }
    }

    fn make(path: PathBuf) -> Result<Self, StoreError> {
        DirBuilder::new().mode(0o755).create(&path).map_err(|e| system("make", &path, e))?;
        Ok(Self { path, kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `tree/`.
    pub(super) fn make_tree(&self) -> Result<OwnedFd, StoreError> {
        let path = self.path.join("tree");
        DirBuilder::new().mode(0o755).create(&path).map_err(|e| system("make", &path, e))?;
        open_directory(rustix::fs::CWD, &path).map_err(|errno| system("open", &path, errno.into()))
    }

    pub(super) fn write_meta(&self, meta: &Meta) -> Result<(), StoreError> {
        let path = self.path.join("meta.json");
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(&serde_json::to_vec(meta)?)?;
            file.sync_all()
        };
        write().map_err(|e| system("write", &path, e))
    }

    /// It has its name now.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is swept at the next start.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The umask of whoever starts us does not decide who may read layers.
pub(crate) fn make_parent(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(system("make", path, error)),
        _ => Ok(()),
    }
}
