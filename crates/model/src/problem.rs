//! An error that a person sees: what happened, where, and what to do next.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// One user-visible error. The same `id` appears in push output, API (as problem+json `type`, RFC 9457) and CLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `area-what`, for example `plan-no-program`; stable for ever.
    pub id: String,
    /// The HTTP status that fits.
    pub status: u16,
    /// One line, no full stop.
    pub title: String,
    /// What happened and where; may be several lines.
    pub detail: String,
    /// What to do next, when there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(id: &str, status: u16, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), status, title: title.into(), detail: detail.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
