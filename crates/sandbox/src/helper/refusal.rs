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
        Self::new("platform", format!("{what}: {}", chain(error)))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}

/// An error and its causes in one line: no type but this crosses the socket.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
