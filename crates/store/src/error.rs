//! Why a verb did nothing: every failed verb leaves all rows as they were.

use model::{DiffId, Digest, ToolName, run::RunState};
use std::path::PathBuf;
use thiserror::Error;

/// Where an error came from below this crate.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// One enum for every verb: what a caller does next depends on the kind of failure, not on the verb.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The noun that was asked for is not there (any more).
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The rows say otherwise.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The claim is somebody else's by now, or nobody's: stop working on that step and write nothing.
    #[error("the claim on this step was lost")]
    Lost,
    #[error("the state store is locked by another program; end it (an open database shell?) and try again")]
    Locked,
    #[error("the disk that holds the state store is full; free some space and try again")]
    Full,
    #[error(
        "the state store is read-only here; check the owner and mode of its files and how the disk is mounted"
    )]
    ReadOnly,
    #[error("the state store {} cannot be opened; its directory must exist and belong to the platform's user", path.display())]
    CannotOpen {
        path: PathBuf,
        #[source]
        source: Source,
    },
    /// What is on disk cannot be what was written.
    #[error("the state store is damaged ({what}); stop the platform and restore the last backup")]
    Damaged {
        what: String,
        #[source]
        source: Option<Source>,
    },
    #[error(
        "the state store was written by a newer version (schema {found}, this one knows {known}); start that version"
    )]
    Newer { found: i64, known: i64 },
    #[error("the state store cannot be used")]
    Unavailable(#[source] Source),
}

impl StoreError {
    /// Whether the same verb works as soon as a lock, a full disk or a read-only one is no more.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Locked | Self::Full | Self::ReadOnly)
    }
}

/// What stands in the way; each sentence can be shown to a person.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Conflict {
    #[error("the name `{0}` is taken")]
    ToolNameTaken(ToolName),
    #[error("the user name `{0}` is taken")]
    UserNameTaken(String),
    #[error("this platform has handed out all its {0} id ranges for tools; they are never used again")]
    RangesSpent(u32),
    #[error("that user is already a member; remove them first to give another role")]
    AlreadyMember,
    #[error("the last owner of a tool cannot leave or lose that role; make somebody else an owner first")]
    LastOwner,
    #[error("this token exists already")]
    TokenExists,
    #[error("this run has already ended ({0})")]
    RunEnded(RunState),
    #[error("this run has not ended yet ({0})")]
    RunOpen(RunState),
    #[error("the same push id was recorded with other content")]
    PushDiffers,
    #[error("the environment runs {}, not {} as expected", version(*found), version(*expected))]
    CurrentReleaseMoved { expected: Option<u64>, found: Option<u64> },
    #[error("a layer of this is being removed or was never stored: {0}")]
    LayerMissing(DiffId),
    #[error("the tool uses {usage}, and this needs {} more", crate::quotas::size(*more_bytes))]
    QuotaExceeded { usage: crate::Usage, more_bytes: u64 },
    #[error("the tool has {0} repositories, and may not have more")]
    TooManyRepositories(u32),
    #[error("the tool has {0} unfinished uploads, and may not have more")]
    TooManyUploads(u32),
    #[error("the repository does not have {0}, or has it with another length; push it first")]
    BlobUnknown(Digest),
    #[error("the manifest {0} needs it; delete that one first")]
    BlobInUse(Digest),
    #[error("the index {0} lists it; delete that one first")]
    ManifestInUse(Digest),
}

fn version(number: Option<u64>) -> String {
    number.map_or_else(|| "nothing".to_owned(), |n| format!("v{n}"))
}
