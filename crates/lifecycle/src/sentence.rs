//! Errors as one sentence for people.

use std::error::Error;

/// The error and what caused it.
pub(crate) fn of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
