//! Laying out what a verb prints: colours only on terminals, tables, times and durations as people say them.

use std::io::{self, IsTerminal, Write};

/// Standard output and whether it shows colours.
pub(crate) struct Printer {
    out: io::Stdout,
    colour: bool,
    /// Print the platform's JSON instead of words.
    pub(crate) json: bool,
}

/// Colours by meaning, never by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Busy,
    Quiet,
    Strong,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let out = io::stdout();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = wanted && out.is_terminal();
        Self { out, colour, json }
    }

    /// Without colours, whatever standard output is.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { out: io::stdout(), colour: false, json: false }
    }

    pub(crate) fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")
    }

    /// One JSON document.
    pub(crate) fn document(&self, value: &serde_json::Value) -> io::Result<()> {
        self.line(format!("{value:#}"))
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Busy => "33",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A word for a state, in the colour of what it means.
    pub(crate) fn state(&self, word: &str) -> String {
        let tone = match word {
            "live" | "passed" | "done" | "running" | "healthy" => Tone::Good,
            "failed" | "failing" => Tone::Bad,
            "queued" | "starting" | "ready" => Tone::Busy,
            _ => Tone::Quiet,
        };
        self.paint(tone, word)
    }

    /// ` label     text`, as in the output of a push.
    pub(crate) fn field(&self, label: &str, text: &str) -> io::Result<()> {
        self.line(format!("  {}{text}", self.paint(Tone::Quiet, &format!("{label:<10}"))))
    }

    /// Rows under a head, each column as wide as its widest cell.
    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let widths: Vec<usize> = head
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
                cells.chain([title.len()]).max().unwrap_or(0)
            })
            .collect();
        let titles: Vec<String> = head.iter().map(|title| self.paint(Tone::Quiet, title)).collect();
        for row in std::iter::once(&titles).chain(rows) {
            let mut line = String::new();
            for (cell, full) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(full - width(cell).min(*full) + 2));
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// Columns that a cell takes, its colours not counted.
fn width(cell: &str) -> usize {
    let mut columns = 0;
    let mut escape = false;
    for c in cell.chars() {
        match c {
            '\x1b' => escape = true,
            'm' if escape => escape = false,
            _ if !escape => columns += 1,
            _ => {}
        }
    }
    columns
}

/// Text of strangers in one line: what would move the cursor or turn the reading direction is replaced.
pub(crate) fn printable(text: &str) -> String {
    let hostile = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// `0.3 s`, `59.9 s`, `2 min 05 s`, `3 h 07 min`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `just now`, `4 min ago`, `2 days ago`; the text itself when it is no time.
pub(crate) fn ago(rfc3339: &str, now: jiff::Timestamp) -> String {
    let Ok(then) = rfc3339.parse::<jiff::Timestamp>() else { return printable(rfc3339) };
    let seconds = now.as_second().saturating_sub(then.as_second());
    let (number, unit) = match seconds {
        ..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "min"),
        3600..86_400 => (seconds / 3600, "h"),
        86_400..172_800 => return "1 day ago".to_owned(),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit} ago")
}

/// `main` for `refs/heads/main`.
pub(crate) fn branch(reference: &str) -> String {
    printable(reference.strip_prefix("refs/heads/").unwrap_or(reference))
}

/// The first seven digits of a commit.
pub(crate) fn short(commit: &str) -> String {
    printable(&commit.chars().take(7).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let said = [340, 59_990, 125_000, 11_220_000].map(duration);
        assert_eq!(said, ["0.3 s", "59.9 s", "2 min 05 s", "3 h 07 min"]);
    }

    #[test]
    fn a_time_is_told_by_how_long_ago_it_was() {
        let now: jiff::Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
        let said = |text: &str| ago(text, now);
        assert_eq!(said("2026-03-04T11:59:30Z"), "just now");
        assert_eq!(said("2026-03-04T11:56:00Z"), "4 min ago");
        assert_eq!(said("2026-03-03T11:56:00Z"), "1 day ago");
        assert_eq!(said("2026-02-01T12:00:00Z"), "31 days ago");
        assert_eq!(said("2026-03-04T12:00:09Z"), "just now", "clocks differ");
        assert_eq!(said("soon\x1b"), "soon\u{fffd}");
    }

    #[test]
    fn colours_take_no_room_in_a_table() {
        assert_eq!(width("\x1b[31mfailed\x1b[0m"), 6);
    }

    #[test]
    fn text_of_strangers_stays_in_its_line() {
        assert_eq!(printable("a\nb\u{202e}c\x1b]0;x\x07"), "a\u{fffd}b\u{fffd}c\u{fffd}]0;x\u{fffd}");
    }
}
