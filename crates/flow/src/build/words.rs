//! What the buildpacks said of themselves: rows with a prefix that they and the platform have agreed on.

use crate::{Line, line::StationError};
use logs::{Reader, Stream};
use model::{LogStream, run::StepKind};
use pipeline::{PROBLEM_PREFIX, SUMMARY_PREFIX};
use store::Run;

/// Longest collection of either kind, in rows.
const MAX_ROWS: usize = 20;
/// Longest row that is taken over, in characters: whatever runs in a build can write the prefixes.
const MAX_CHARACTERS: usize = 500;

/// Rows that sum the build up, and rows that say why it failed, without their prefixes.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) summary: Vec<String>,
    pub(super) problem: Vec<String>,
}

/// Reads what was said since the attempt began, which is where `from` points.
pub(super) async fn since(line: &Line, run: &Run, from: u64) -> Result<Words, StationError> {
    let path = line.log_path(run.tool, &LogStream::Step { run: run.number, step: StepKind::Build })?;
    let read = tokio::task::spawn_blocking(move || -> Result<Words, logs::ReadError> {
        let mut words = Words::default();
        let mut reader = Reader::open(&path, from)?;
        while let Some(entry) = reader.next_row()? {
            if !matches!(entry.row.stream, Stream::Out | Stream::Err) {
                continue;
            }
            let text = logs::clean(&entry.row.bytes);
            if let Some(summary) = text.strip_prefix(SUMMARY_PREFIX) {
                words.summary.push(summary.chars().take(MAX_CHARACTERS).collect());
            } else if let Some(problem) = text.strip_prefix(PROBLEM_PREFIX) {
                words.problem.push(problem.chars().take(MAX_CHARACTERS).collect());
            }
        }
        words.summary.truncate(MAX_ROWS);
        words.problem.truncate(MAX_ROWS);
        Ok(words)
    });
    let words = read.await.map_err(|error| StationError::Inconsistent(error.to_string()))?;
    words.map_err(|error| StationError::Inconsistent(format!("the build's log cannot be read: {error}")))
}
