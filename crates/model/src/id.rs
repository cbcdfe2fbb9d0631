//! Identities that outlive names: UUIDv7 in newtypes. A deleted tool's name may come back, its id never does.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id, ordered by the time of its making.
            #[expect(clippy::new_without_default, reason = "two ids are never equal: there is no default one")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Seconds since 1970 at its making (RFC 9562, section 5.7).
            pub fn made_at_seconds(&self) -> u64 {
                self.0.get_timestamp().map_or(0, |made| made.to_unix().0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(
    /// A tool: the tenant. Directories, id ranges and log streams carry this, never the name.
    ToolId
);
id!(
    /// A person or robot that may sign in.
    UserId
);
id!(
    /// A stored token; not the token's text.
    TokenId
);
id!(
    /// One arrival of a commit on a ref.
    PushId
);
id!(
    /// One run of the line. People see its number per tool.
    RunId
);
id!(
    /// One node of a run.
    StepId
);
id!(
    /// One copy of a process of a release, wanted or running.
    ReplicaId
);
