//! Whose turn it is: what a new push does to the runs before it, and who goes before whom.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What a new push does to runs of the same branch that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnNewPush {
    /// The newer push wins: the runs before it are asked to end. Newer is what was recorded later.
    #[default]
    Supersede,
    /// The newer push waits until the runs before it have ended.
    Queue,
}

impl OnNewPush {
    /// The word in rows, JSON and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supersede => "supersede",
            Self::Queue => "queue",
        }
    }
}

impl fmt::Display for OnNewPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose wish a run is. All that waits in the first lane goes before all that waits in the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Somebody pushed, or asked for it again.
    #[default]
    People,
    /// The platform's own idea, such as a rebuild on a newer base image.
    Platform,
}
