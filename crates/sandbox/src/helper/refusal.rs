//! How the helper says no.

use std::error::Error;
use std::fmt;

/// A request that was refused or failed, with nothing half-done. Crosses the socket as
/// [`Answer::Refused`](crate::request::Answer::Refused).
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable for programs.
    pub id: &'static str,
    /// What, where, and what to do next.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(id: &'static str, text: impl Into<String>) -> Self {
        Self { id, text: text.into() }
    }

    /// The platform's own failure: `what` could not be done, because of `error` and its causes.
    pub(crate) fn platform(what: impl fmt::Display, error: &dyn Error) -> Self {
        Self::new("platform", format!("{what}: {}", model::sentence::of(error)))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}
