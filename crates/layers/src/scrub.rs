//! Compares what is stored with what it should be, and makes good what can be made good.
//!
//! A blob is its digest. A layer's directory is what its blob unpacks to: names, kinds, modes, owners, times, links,
//! attributes and contents ([`expected`], [`compare`]). A damaged directory is made anew from its blob, a damaged blob
//! from its directory or from the base image's tar, where the bytes come out the same. What cannot be made good loses
//! its name, so that nobody runs it or is served it.

mod compare;
mod expected;
mod pace;
mod rewrite;

use crate::{
    gzip::{Hashed, decompress},
    store::{Store, StoreError, system},
};
use expected::Expected;
use model::{DiffId, Digest};
use pace::Pace;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fs::File, io};

/// What happened to something that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Whole,
    /// It was damaged and is as it should be again.
    Repaired,
    /// It was damaged and has lost its name; it must be made or pushed again.
    Refused,
}

/// One layer with its blob, or one other blob, after it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub outcome: Outcome,
    /// What was wrong, one sentence each; the first few.
    pub found: Vec<String>,
    pub read_bytes: u64,
}

/// Sentences about one layer; the rest only repeats them.
const MAX_FOUND: usize = 10;

/// What a blob turned out to be.
enum Blob {
    Whole(Box<Expected>),
    Damaged(String),
}

impl Store {
    /// Looks at a layer and its blob, reading at most so many bytes a second (0: as fast as it goes), and repairs.
    ///
    /// # Errors
    /// When the disk fails or is full: nothing is known of the layer then, and nothing was changed.
    pub fn mend_layer(
        &self,
        diff_id: &DiffId,
        blob: &Digest,
        bytes_per_second: u64,
    ) -> Result<Checked, StoreError> {
        let mut pace = Pace::new(bytes_per_second);
        let mut found = Vec::new();
        let mut read = self.read_layer_blob(diff_id, blob, &mut pace)?;
        if let Blob::Damaged(what) = &read {
            found.push(format!("blob {blob} {what}"));
            self.quarantine(blob)?;
            if self.rewrite_blob(diff_id, blob, &mut pace)? {
                read = self.read_layer_blob(diff_id, blob, &mut pace)?;
            }
        }
        let Blob::Whole(expected) = read else {
            // Nothing tells what its directory should hold.
            found.push("its directory cannot be told right from wrong without the blob".to_owned());
            self.set_aside(diff_id)?;
            return Ok(Checked { outcome: Outcome::Refused, found, read_bytes: pace.total_bytes() });
        };
        let before = found.len();
        found.extend(self.compare_tree(diff_id, blob, &expected, &mut pace)?);
        if found.len() > before {
            self.rebuild_tree(diff_id, blob)?;
        }
        found.truncate(MAX_FOUND);
        let outcome = if found.is_empty() { Outcome::Whole } else { Outcome::Repaired };
        Ok(Checked { outcome, found, read_bytes: pace.total_bytes() })
    }

    /// Looks at a blob that is no layer's; a damaged one loses its name.
    pub fn check_blob(&self, blob: &Digest, bytes_per_second: u64) -> Result<Checked, StoreError> {
        let mut pace = Pace::new(bytes_per_second);
        let path = self.paths.blob(blob);
        let whole = |read_bytes| Checked { outcome: Outcome::Whole, found: Vec::new(), read_bytes };
        let mut file = match File::open(&path) {
            // Removed meanwhile: whoever names it still will be told by whoever looks for it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(whole(0)),
            file => file.map_err(|e| system("open", &path, e))?,
        };
        let digest = pace.hash(&mut file).map_err(|e| system("read", &path, e))?;
        if digest == *blob {
            return Ok(whole(pace.total_bytes()));
        }
        self.quarantine(blob)?;
        let found = vec![format!("blob {blob} has the content of {digest}")];
        Ok(Checked { outcome: Outcome::Refused, found, read_bytes: pace.total_bytes() })
    }

    fn read_layer_blob(&self, diff_id: &DiffId, blob: &Digest, pace: &mut Pace) -> Result<Blob, StoreError> {
        let path = self.paths.blob(blob);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Blob::Damaged("is missing".to_owned()));
            }
            file => file.map_err(|e| system("open", &path, e))?,
        };
        // First what it is, then what it says: a damaged one is not read as a tar.
        let digest = pace.hash(&mut file).map_err(|e| system("read", &path, e))?;
        if digest != *blob {
            return Ok(Blob::Damaged(format!("has the content of {digest}")));
        }
        io::Seek::rewind(&mut file).map_err(|e| system("read", &path, e))?;
        let mut tar = Hashed { input: decompress(file), hash: Sha256::new() };
        let expected = match Expected::read(&mut tar) {
            Ok(expected) => expected,
            Err(error) => return Ok(Blob::Damaged(format!("is no layer: {}", model::sentence::of(&error)))),
        };
        let unpacked = DiffId(Digest::from_bytes(tar.hash.finalize().into()));
        Ok(if unpacked == *diff_id {
            Blob::Whole(Box::new(expected))
        } else {
            Blob::Damaged(format!("unpacks to {unpacked}, not to {diff_id}"))
        })
    }

    /// What is wrong with a directory.
    fn compare_tree(
        &self,
        diff_id: &DiffId,
        blob: &Digest,
        expected: &Expected,
        pace: &mut Pace,
    ) -> Result<Vec<String>, StoreError> {
        let mut found = match self.published(diff_id) {
            Ok(Some(published)) if published.blob_digest == *blob => Vec::new(),
            Ok(Some(published)) => {
                vec![format!("meta.json names the blob {}", published.blob_digest)]
            }
            Ok(None) if self.paths.layer(diff_id).exists() => {
                vec!["meta.json is missing or of an older version".to_owned()]
            }
            Ok(None) => return Ok(vec!["its directory is missing".to_owned()]),
            Err(StoreError::Damaged { what, .. }) => vec![format!("meta.json is damaged: {what}")],
            Err(other) => return Err(other),
        };
        match self.tree(diff_id) {
            Ok(tree) => found.extend(compare::compare(&tree, expected, pace, MAX_FOUND)?),
            Err(_) => found.push("its tree is missing".to_owned()),
        }
        Ok(found)
    }
}
