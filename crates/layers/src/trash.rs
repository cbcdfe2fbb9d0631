//! What nobody needs any more: a layer loses its name by one rename into `layers/.trash` and is removed there, so
//! that a kill at any point leaves a whole layer or rubbish, never half a layer.
//!
//! A directory that was made anew while tools ran on it lies in `layers/.replaced` until the last of them has ended.

use crate::{
    step,
    store::{Store, StoreError},
};
use model::DiffId;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::path::PathBuf;

const TRASH: &str = ".trash";
const REPLACED: &str = ".replaced";

impl Store {
    /// Takes a layer's name away. False: it was not there.
    pub fn trash(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        self.rename_away(diff_id, TRASH)
    }

    /// Takes a layer's name away and keeps its directory for those who run on it.
    pub(crate) fn set_aside(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        self.rename_away(diff_id, REPLACED)
    }

    fn rename_away(&self, diff_id: &DiffId, area: &str) -> Result<bool, StoreError> {
        let from = self.paths.layer(diff_id);
        match renameat_with(CWD, &from, CWD, self.place_in(area, diff_id)?, RenameFlags::NOREPLACE) {
            Ok(()) => {
                step::passed("a layer's name is taken away");
                // A name must not come back after a power cut: its row is forgotten next.
                self.sync_layers()?;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(super::store::system("take away", &from, errno.into())),
        }
    }

    /// A free place in `.trash` or `.replaced`; its name begins with the layer's.
    fn place_in(&self, area: &str, diff_id: &DiffId) -> Result<PathBuf, StoreError> {
        let parent = self.paths.layers().join(area);
        super::store::make_parent(&parent)?;
        let name = format!("{}-{}", diff_id.hex(), super::store::random_name(&parent)?);
        Ok(parent.join(name))
    }

    /// A free place for what a repair takes out of a layer's place.
    pub(crate) fn place_to_keep(&self, diff_id: &DiffId) -> Result<PathBuf, StoreError> {
        self.place_in(REPLACED, diff_id)
    }

    /// Removes everything in the trash; gives how many trees that were.
    pub fn empty_trash(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        for entry in super::store::entries(&self.paths.layers().join(TRASH))? {
            std::fs::remove_dir_all(entry.path())
                .map_err(|e| super::store::system("remove", &entry.path(), e))?;
            removed += 1;
            step::passed("a tree of the trash is removed");
        }
        Ok(removed)
    }

    /// How many trees wait in the trash.
    pub fn trashed(&self) -> Result<u64, StoreError> {
        Ok(super::store::entries(&self.paths.layers().join(TRASH))?.len() as u64)
    }

    /// Directories that were replaced while they were in use, each with its layer.
    pub fn replaced(&self) -> Result<Vec<(String, DiffId)>, StoreError> {
        let mut found = Vec::new();
        for entry in super::store::entries(&self.paths.layers().join(REPLACED))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hex = name.split('-').next().unwrap_or_default();
            if let Ok(diff_id) = format!("sha256:{hex}").parse() {
                found.push((name, diff_id));
            }
        }
        Ok(found)
    }

    /// Removes a replaced directory that nobody runs on any more; one that is not there is removed already.
    pub fn remove_replaced(&self, name: &str) -> Result<(), StoreError> {
        if !name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(StoreError::BadId { id: name.chars().take(80).collect() });
        }
        let path = self.paths.layers().join(REPLACED).join(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(super::store::system("remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}
