//! Git LFS pointers: small texts in place of files that lie on another server. Building them would give a tool whose
//! models and pictures are three lines of text, so the plan fails and says which they are.

use super::Entry;
use crate::{Line, line::StationError};
use model::Problem;
use store::Run;

/// What `.gitattributes` says of files that are kept elsewhere.
const ATTRIBUTE: &[u8] = b"filter=lfs";
/// How a pointer begins, and its longest (Git LFS specification, "The Pointer").
const POINTER: &[u8] = b"version https://git-lfs";
const MAX_POINTER_BYTES: u64 = 1024;
/// Of the files that say what is kept elsewhere, so many are read, each up to so many bytes.
const MAX_ATTRIBUTES: usize = 100;
const MAX_ATTRIBUTES_BYTES: u64 = 64 * 1024;
/// Small files that are looked into, and how many by one git process.
const MAX_SUSPECTS: usize = 20_000;
const AT_ONCE: usize = 4000;
/// Names in the text.
const SHOWN: usize = 5;

/// Fails when the tree holds pointers. A tree whose `.gitattributes` never speak of LFS is not looked into.
pub(super) async fn refuse(line: &Line, run: &Run, entries: &[Entry]) -> Result<(), StationError> {
    let regular = |entry: &&Entry| entry.mode.starts_with("100");
    let attributes = names(entries.iter().filter(regular).filter(|entry| {
        entry.path.rsplit('/').next() == Some(".gitattributes") && entry.size_bytes <= MAX_ATTRIBUTES_BYTES
    }));
    let attributes = &attributes[..attributes.len().min(MAX_ATTRIBUTES)];
    if attributes.is_empty() {
        return Ok(());
    }
    let read = line.repositories.files(run.tool, &run.commit, attributes, MAX_ATTRIBUTES_BYTES).await?;
    if !read.values().any(|text| text.windows(ATTRIBUTE.len()).any(|words| words == ATTRIBUTE)) {
        return Ok(());
    }
    let suspects = names(
        entries
            .iter()
            .filter(regular)
            .filter(|entry| (POINTER.len() as u64..=MAX_POINTER_BYTES).contains(&entry.size_bytes)),
    );
    let mut found = Vec::new();
    for names in suspects[..suspects.len().min(MAX_SUSPECTS)].chunks(AT_ONCE) {
        let files = line.repositories.files(run.tool, &run.commit, names, MAX_POINTER_BYTES).await?;
        found.extend(files.into_iter().filter(|(_, text)| text.starts_with(POINTER)).map(|(name, _)| name));
    }
    if found.is_empty() { Ok(()) } else { Err(StationError::tool(problem(&found))) }
}

fn names<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a str> {
    entries.map(|entry| entry.path.as_str()).collect()
}

fn problem(found: &[String]) -> Problem {
    let mut shown: Vec<String> = found.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if found.len() > SHOWN {
        shown.push(format!("{} more", found.len() - SHOWN));
    }
    let detail = format!(
        "Git LFS keeps these on another server, and the commit holds only pointers to them: {}.",
        shown.join(", ")
    );
    Problem::new("plan-lfs", 422, "files of this commit are not in it", detail).hint(
        "Commit the files themselves (`git lfs migrate export --include=\"*\"`), or fetch them when the tool starts.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_first_and_counts_the_rest() {
        let found: Vec<String> = (0..7).map(|n| format!("model{n}.bin")).collect();
        let detail = problem(&found).detail;
        assert!(detail.contains("`model4.bin`, 2 more.") && !detail.contains("model5"), "{detail}");
        assert!(problem(&found[..1]).detail.ends_with("to them: `model0.bin`."));
    }
}
