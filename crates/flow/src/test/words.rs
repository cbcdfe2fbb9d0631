//! What the buildpacks, the tests and the lifecycle wrote into the step's log, read once from where the attempt began.

use super::said::Said;
use crate::line::StationError;
use lifecycle::testing::{REPORT_PREFIX, Report};
use logs::{Reader, Stream};
use pipeline::{PROBLEM_PREFIX, SUMMARY_PREFIX};
use std::{collections::VecDeque, path::PathBuf, time::Duration};

/// Rows of a report that are kept: whatever runs in the sandbox can write them.
const MAX_REPORT_ROWS: usize = 200;
/// Last rows that are kept.
const LAST_ROWS: usize = 12;
/// Longest row that is taken over, in characters.
const MAX_CHARACTERS: usize = 300;

/// An attempt's own words.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) report: Report,
    /// What runners print that write no report.
    pub(super) said: Said,
    /// Why the build for the tests failed.
    pub(super) problem: Vec<String>,
    /// The last rows of the tests that are not empty.
    pub(super) last: Vec<String>,
    /// From the last row of the tests to the end of the log.
    pub(super) silence: Duration,
    /// The log's limit was reached and rows were dropped.
    pub(super) cut: bool,
}

pub(super) async fn since(path: PathBuf, from: u64) -> Result<Words, StationError> {
    let read = tokio::task::spawn_blocking(move || read(&path, from)).await;
    let words = read.map_err(|error| StationError::Inconsistent(error.to_string()))?;
    words.map_err(|error| StationError::Inconsistent(format!("the tests' log cannot be read: {error}")))
}

fn read(path: &std::path::Path, from: u64) -> Result<Words, logs::ReadError> {
    let mut words = Words::default();
    let (mut report, mut last) = (VecDeque::new(), VecDeque::new());
    let (mut spoke_at, mut ended_at) = (0, 0);
    let mut reader = Reader::open(path, from)?;
    while let Some(entry) = reader.next_row()? {
        ended_at = entry.row.microseconds;
        if entry.row.stream == Stream::Marker {
            words.cut = true;
        }
        if !matches!(entry.row.stream, Stream::Out | Stream::Err) {
            continue;
        }
        let text = plain(&logs::clean(&entry.row.bytes));
        if let Some(row) = text.strip_prefix(REPORT_PREFIX) {
            push(&mut report, row.to_owned(), MAX_REPORT_ROWS);
            continue;
        }
        if let Some(problem) = text.strip_prefix(PROBLEM_PREFIX) {
            if words.problem.len() < LAST_ROWS {
                words.problem.push(problem.to_owned());
            }
            continue;
        }
        spoke_at = ended_at;
        if text.starts_with(SUMMARY_PREFIX) || text.trim().is_empty() {
            continue;
        }
        words.said.hear(&text);
        push(&mut last, text, LAST_ROWS);
    }
    words.report = Report::read(report.iter().map(String::as_str));
    words.last = last.into();
    words.silence = Duration::from_micros(ended_at.saturating_sub(spoke_at));
    Ok(words)
}

fn push(rows: &mut VecDeque<String>, row: String, most: usize) {
    if rows.len() == most {
        rows.pop_front();
    }
    rows.push_back(row);
}

/// A cleaned row without its colours, not too long.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // What is left of escapes after cleaning is `ESC [ … m`.
            characters.by_ref().find(|character| *character == 'm');
        } else {
            out.push(character);
        }
    }
    match out.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off_and_long_rows_cut() {
        assert_eq!(plain("\u{1b}[31mFAILED\u{1b}[0m tests"), "FAILED tests");
        assert_eq!(plain(&"x".repeat(400)).chars().count(), 301);
        assert_eq!(plain("\u{1b}[3"), "");
    }
}
