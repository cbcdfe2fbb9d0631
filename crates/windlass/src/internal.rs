//! Programs that only the platform starts: not in any help text, recognised by their first argument alone.

use std::process::ExitCode;

/// Runs an internal program when the first argument names one.
pub(crate) fn run() -> Option<ExitCode> {
    None
}
