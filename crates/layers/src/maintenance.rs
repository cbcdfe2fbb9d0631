//! What serve asks a worker to do with the store, because only the store's range may: one order on stdin, one answer.

use crate::{
    scrub::Checked,
    store::{Store, StoreError},
};
use model::{DiffId, Digest};
use serde::{Deserialize, Serialize};

/// One piece of work on the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// Renames layers into the trash; those that are not there are passed over.
    Trash { layers: Vec<DiffId> },
    /// Removes what lies in the trash, and these directories that were replaced.
    Empty { replaced: Vec<String> },
    /// Looks at a layer and its blob, and repairs; at most so many bytes a second, 0: no limit.
    Mend { diff_id: DiffId, blob: Digest, bytes_per_second: u64 },
    /// Looks at blobs that are no layer's.
    CheckBlobs { blobs: Vec<Digest>, bytes_per_second: u64 },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Those that have no name now, and why others still have theirs.
    Trashed {
        gone: Vec<DiffId>,
        failed: Vec<String>,
    },
    Emptied {
        trees: u64,
    },
    Checked {
        checked: Vec<Checked>,
    },
}

impl Store {
    /// Does one piece of work. Every order may be given again after a crash.
    pub fn maintain(&self, order: &Order) -> Result<Answer, StoreError> {
        match order {
            Order::Trash { layers } => {
                let (mut gone, mut failed) = (Vec::new(), Vec::new());
                for diff_id in layers {
                    // One that somebody else put there does not keep the others.
                    match self.trash(diff_id) {
                        Ok(_) => gone.push(*diff_id),
                        Err(error) => failed.push(model::sentence::of(&error)),
                    }
                }
                Ok(Answer::Trashed { gone, failed })
            }
            Order::Empty { replaced } => {
                for name in replaced {
                    self.remove_replaced(name)?;
                }
                Ok(Answer::Emptied { trees: self.empty_trash()? + replaced.len() as u64 })
            }
            Order::Mend { diff_id, blob, bytes_per_second } => {
                Ok(Answer::Checked { checked: vec![self.mend_layer(diff_id, blob, *bytes_per_second)?] })
            }
            Order::CheckBlobs { blobs, bytes_per_second } => {
                let check = |blob| self.check_blob(blob, *bytes_per_second);
                Ok(Answer::Checked { checked: blobs.iter().map(check).collect::<Result<_, _>>()? })
            }
        }
    }
}
