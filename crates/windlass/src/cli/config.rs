//! `config check`: whether the operator's file makes a platform, before anything is started with it.

use super::{failure::Failure, output::Printer};
use crate::settings::check_file;
use serde_json::json;
use std::{path::Path, process::ExitCode};

/// Exit status 1 when something is wrong; each mistake is a line that names file and line.
pub(super) fn check(json: bool, file: &Path) -> Result<ExitCode, Failure> {
    let printer = Printer::new(json);
    let mistakes = check_file(file).err().unwrap_or_default();
    if json {
        printer.document(&json!({ "file": file, "mistakes": mistakes }))?;
    } else if mistakes.is_empty() {
        printer.line(format!("{}: no mistakes", file.display()))?;
    }
    if !json {
        for mistake in &mistakes {
            printer.line(mistake)?;
        }
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
