//! Enums as words in rows.

use model::{
    Role,
    run::{CancelReason, Lane, OnNewPush, RunState, StepKind},
};
use store::{AuditOutcome, DamageOutcome, ReleaseState, ReplicaState, TokenKind, Wanted};

/// An enum that is one word in a column.
pub(crate) trait Word: Copy + PartialEq + Sized + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

/// The `match` is exhaustive, so a new variant cannot be written without a word; the same list makes `ALL`.
macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),* })*) => {$(
        impl Word for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }
    )*};
}

words! {
    Role { Reader = "reader", Maintainer = "maintainer", Owner = "owner" }
    TokenKind { Operator = "operator", Personal = "personal" }
    Wanted { Running = "running", Stopped = "stopped" }
    AuditOutcome { Done = "done", Refused = "refused", Failed = "failed" }
    ReleaseState { Made = "made", Deployed = "deployed", Failed = "failed", Removed = "removed" }
    ReplicaState { Starting = "starting", Healthy = "healthy", Draining = "draining", Ended = "ended" }
    Lane { People = "people", Platform = "platform" }
    OnNewPush { Supersede = "supersede", Queue = "queue" }
    DamageOutcome { Repaired = "repaired", Refused = "refused" }
    CancelReason { Person = "person", Superseded = "superseded" }
}

impl Word for RunState {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for StepKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}
