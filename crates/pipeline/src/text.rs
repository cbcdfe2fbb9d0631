//! Strangers' text on its way to a person: decoded, shortened, without control characters; and the nearest known word.

use crate::source::SourceFiles;
use model::Problem;

/// The HTTP status of every problem of a plan: the request was understood, its content cannot be used (RFC 9110 §15.5.21).
const STATUS: u16 = 422;

/// A problem of the plan.
pub(crate) fn problem(id: &str, title: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::new(id, STATUS, title, detail)
}

/// A stranger's text as it may stand in one line of a terminal: at most `limit` characters, every control,
/// line-breaking or direction-changing character replaced.
pub fn shown(text: &str, limit: usize) -> String {
    let harmless = |c: char| {
        let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || invisible { '\u{fffd}' } else { c }
    };
    let mut out: String = text.chars().take(limit).map(harmless).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

/// The text of a known file, without a byte order mark. `None`: the commit does not have it.
///
/// # Errors
/// `plan-file-too-large`, or `plan-file-encoding` with the line of the first byte that is not UTF-8.
pub(crate) fn text_of<'a>(source: &'a SourceFiles, path: &str) -> Result<Option<&'a str>, Problem> {
    if source.too_large.iter().any(|large| large == path) {
        let detail = format!("`{path}` is larger than {} KiB", crate::MAX_FILE_BYTES / 1024);
        return Err(problem("plan-file-too-large", "a file that describes the tool is too large", detail)
            .hint(
                "this file is read by the platform before the build; keep only what describes the tool in it",
            ));
    }
    let Some(bytes) = source.known.get(path) else { return Ok(None) };
    decode(path, bytes).map(Some)
}

/// Bytes of `path` as text, without a byte order mark.
pub(crate) fn decode<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&b| b == b'\n').count();
        problem(
            "plan-file-encoding",
            "a file is not UTF-8 text",
            format!("`{path}` line {line} is not UTF-8"),
        )
        .hint(format!("save `{path}` as UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The known word nearest to `word`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(far, candidate)| *far <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean …?)` or nothing.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}

/// How many single-character changes lead from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_move_the_cursor_or_turn_the_line_around() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{202e}d", 20), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(shown("abcdef", 3), "abc…");
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("heath", &["health", "env"]), Some("health"));
        assert_eq!(nearest("database", &["health", "env"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), &["health"]), None);
    }
}
