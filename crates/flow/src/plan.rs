//! First station: reads the commit's own words and decides what is built and started. Runs no tenant code.

mod pointers;

use crate::{Line, line::StationError, size, step_log::StepLog};
use git::repository::GitError;
use model::{
    Problem,
    run::{Cause, StepKind},
};
use pipeline::{MAX_FILE_BYTES, Plan, SourceFiles};
use serde_json::{Value, json};
use store::Run;

/// Most entries of a source tree.
const MAX_ENTRIES: usize = 100_000;
/// Longest path of a source tree in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// One entry of `git ls-tree -r -l -z`.
struct Entry {
    mode: String,
    size_bytes: u64,
    path: String,
}

/// Plans a run.
pub(crate) async fn plan(line: &Line, run: &Run) -> Result<Value, StationError> {
    let mut log = StepLog::open(line, run.tool, run.number, StepKind::Plan)?;
    log.say(&format!("reading commit {}", run.commit));
    let listing = match line.repositories.tree(run.tool, &run.commit).await {
        Err(GitError::TooMuch { .. }) => return Err(too_large(line, "more files than can be listed")),
        Err(GitError::Status { stderr, .. }) if stderr.contains("not a tree object") => {
            return Err(StationError::tool(gone(&run.commit)));
        }
        other => other?,
    };
    let entries = parse_listing(&listing)?;
    let total: u64 = entries.iter().map(|entry| entry.size_bytes).sum();
    if total > line.settings.max_source_bytes || entries.len() > MAX_ENTRIES {
        return Err(too_large(line, &format!("{} files of {} in all", entries.len(), size::bytes(total))));
    }
    pointers::refuse(line, run, &entries).await?;
    let mut warnings: Vec<String> = entries
        .iter()
        .filter(|entry| entry.mode == "160000")
        .take(3)
        .map(|entry| {
            format!("`{}` is a submodule: its files are not fetched", logs::clean(entry.path.as_bytes()))
        })
        .collect();

    warnings.extend(
        entries
            .iter()
            .filter(|entry| entry.mode == "120000" && pipeline::is_known(&entry.path))
            .map(|entry| format!("`{}` is a symbolic link and is not read: commit a plain file", entry.path)),
    );
    let files = read_files(line, run, &entries).await?;
    let mut plan = pipeline::plan(&files).map_err(StationError::tool)?;
    plan.warnings.append(&mut warnings);
    let skip_tests = skips_tests(line, run, &mut plan).await?;
    let text = plan.line();
    log.say(&text);
    for warning in &plan.warnings {
        log.say(&format!("note: {warning}"));
    }
    // Of modes, contents and paths: two commits with the same files have the same.
    let source = oci::digest_of(&listing);
    let warnings = &plan.warnings;
    Ok(json!({
        "line": text, "warnings": warnings, "plan": plan, "source": source, "skip_tests": skip_tests
    }))
}

/// In a commit's message: its tests are to be skipped.
pub(crate) const SKIP_TESTS: &str = "[skip tests]";

/// Whether the commit's message skips its tests, which is the operator's to allow.
async fn skips_tests(line: &Line, run: &Run, plan: &mut Plan) -> Result<bool, StationError> {
    if plan.tests.is_none() || !line.repositories.message(run.tool, &run.commit).await?.contains(SKIP_TESTS) {
        return Ok(false);
    }
    if !line.settings.skip_tests {
        let text = format!(
            "`{SKIP_TESTS}` in the commit's message means nothing here: the operator does not allow it"
        );
        plan.warnings.push(text);
    }
    Ok(line.settings.skip_tests)
}

/// Of a run that is started again long after its push.
fn gone(commit: &str) -> Problem {
    let detail = format!("Commit {commit} ended badly, no branch names it, and it was removed since.");
    Problem::new("plan-commit-gone", 410, "this commit is no longer kept", detail).hint("Push it again.")
}

fn too_large(line: &Line, holds: &str) -> StationError {
    let allowed = size::bytes(line.settings.max_source_bytes);
    let detail = format!("This commit holds {holds}; {MAX_ENTRIES} files and {allowed} are allowed.");
    let problem = Problem::new("plan-too-large", 413, "the source tree is too large", detail).hint(
        "Keep data and generated files out of git; large files belong into a database or object storage.",
    );
    StationError::told(Cause::Refused, problem)
}

/// The plan that this run's plan step stored.
pub(crate) fn of(outputs: &Value) -> Result<Plan, StationError> {
    serde_json::from_value(outputs["plan"].clone())
        .map_err(|error| StationError::Inconsistent(format!("a stored plan cannot be read: {error}")))
}

async fn read_files(line: &Line, run: &Run, entries: &[Entry]) -> Result<SourceFiles, StationError> {
    let regular = |entry: &&Entry| entry.mode.starts_with("100");
    let mut files = SourceFiles {
        paths: entries.iter().map(|entry| entry.path.clone()).collect(),
        ..SourceFiles::default()
    };
    let wanted: Vec<&Entry> =
        entries.iter().filter(regular).filter(|e| pipeline::is_known(&e.path)).collect();
    let (small, large): (Vec<&Entry>, Vec<&Entry>) =
        wanted.into_iter().take(100).partition(|entry| entry.size_bytes <= MAX_FILE_BYTES);
    files.too_large = large.iter().map(|entry| entry.path.clone()).collect();
    let names: Vec<&str> = small.iter().map(|entry| entry.path.as_str()).collect();
    if !names.is_empty() {
        // One by one they are small; all together they must still fit into one answer.
        for names in names.chunks(16) {
            files.known.extend(line.repositories.files(run.tool, &run.commit, names, MAX_FILE_BYTES).await?);
        }
    }
    Ok(files)
}

/// Reads `<mode> <type> <object> <size>\t<path>\0…` (git-ls-tree(1)). Paths that no build could want are refused.
fn parse_listing(listing: &[u8]) -> Result<Vec<Entry>, StationError> {
    let strange = || StationError::Inconsistent("git ls-tree wrote a line that is none".to_owned());
    let mut entries = Vec::new();
    for row in listing.split(|byte| *byte == 0).filter(|row| !row.is_empty()) {
        let tab = row.iter().position(|byte| *byte == b'\t').ok_or_else(strange)?;
        let head = std::str::from_utf8(&row[..tab]).map_err(|_| strange())?;
        let path = &row[tab + 1..];
        let bad = path.len() > MAX_PATH_BYTES
            || path.split(|b| *b == b'/').any(|part| part.len() > 255)
            || path.iter().any(u8::is_ascii_control);
        if bad {
            let shown = String::from_utf8_lossy(&path[..path.len().min(100)]).escape_debug().to_string();
            let problem = Problem::new(
                "plan-file-name",
                422,
                "a file name in this commit cannot be built",
                format!("`{shown}` is too long or holds control characters."),
            );
            return Err(StationError::tool(problem.hint("Rename the file, commit, and push again.")));
        }
        let mut words = head.split_ascii_whitespace();
        let mode = words.next().ok_or_else(strange)?.to_owned();
        let size_bytes = words.nth(2).and_then(|size| size.parse().ok()).unwrap_or(0);
        entries.push(Entry { mode, size_bytes, path: String::from_utf8_lossy(path).into_owned() });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_row_by_row_and_bad_names_are_refused() {
        let good = b"100644 blob aa      12\tProcfile\x00160000 commit bb       -\tvendor/x\x00";
        let entries = parse_listing(good).unwrap();
        assert_eq!((entries[0].path.as_str(), entries[0].size_bytes), ("Procfile", 12));
        assert_eq!((entries[1].mode.as_str(), entries[1].size_bytes), ("160000", 0));
        assert!(parse_listing(b"100644 blob aa 1\ta\x1b[2J\x00").is_err());
        assert!(parse_listing(format!("100644 blob aa 1\t{}\0", "x".repeat(256)).as_bytes()).is_err());
    }
}
