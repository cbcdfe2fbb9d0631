//! What tests came to, as rows of their step's log: written in the sandbox, read by the platform as a stranger's words.

/// The rows of a report begin with this.
pub const REPORT_PREFIX: &str = "=# ";
/// Most failing cases that are told.
pub(super) const MAX_CASES: usize = 50;
/// Longest parts of a case, in characters.
const MAX_PLACE: usize = 200;
const MAX_NAME: usize = 160;
const MAX_TEXT: usize = 300;
/// Stands for a place that nobody knows.
const NOWHERE: &str = "-";
/// Between the parts of a row.
const BETWEEN: &str = ": ";

/// How the tests ended, and what they said of it where they wrote a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub verdict: Verdict,
    /// Of a `JUnit` report; `None` when there was none.
    pub counts: Option<Counts>,
    /// The first of those that failed.
    pub cases: Vec<Case>,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// The end of the tests' process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exit status, 128 + signal when a signal ended it.
    Ended {
        status: i32,
    },
    TooLong {
        seconds: u64,
    },
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Ended { status: 0 }
    }
}

/// One test that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Case {
    pub name: String,
    /// Relative to the source's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What was wrong, in one line.
    pub text: String,
}

impl Counts {
    pub const fn all(self) -> u32 {
        self.passed.saturating_add(self.failed).saturating_add(self.skipped)
    }
}

impl Report {
    /// `=# status 1: 12 passed, 2 failed, 0 skipped`, then one row for each case.
    pub fn rows(&self) -> Vec<String> {
        let mut head = match self.verdict {
            Verdict::Ended { status } => format!("{REPORT_PREFIX}status {status}"),
            Verdict::TooLong { seconds } => format!("{REPORT_PREFIX}ended after {seconds} s"),
        };
        if let Some(Counts { passed, failed, skipped }) = self.counts {
            head = format!("{head}{BETWEEN}{passed} passed, {failed} failed, {skipped} skipped");
        }
        let cases = self.cases.iter().take(MAX_CASES).map(|case| format!("{REPORT_PREFIX}{}", case.row()));
        std::iter::once(head).chain(cases).collect()
    }

    /// Reads rows without their prefix. What does not look like one is passed over: tests can write the prefix, too.
    pub fn read<'a>(rows: impl IntoIterator<Item = &'a str>) -> Self {
        let mut report = Self::default();
        for row in rows {
            if let Some((verdict, counts)) = head(row) {
                // The last one is the lifecycle's own.
                report = Self { verdict, counts, cases: Vec::new() };
            } else if report.cases.len() < MAX_CASES {
                report.cases.extend(Case::read(row));
            }
        }
        report
    }
}

fn head(row: &str) -> Option<(Verdict, Option<Counts>)> {
    let (end, counts) = match row.split_once(BETWEEN) {
        Some((end, counts)) => (end, Some(counts)),
        None => (row, None),
    };
    let verdict = match end.strip_prefix("status ") {
        Some(status) => Verdict::Ended { status: status.parse().ok()? },
        None => {
            Verdict::TooLong { seconds: end.strip_prefix("ended after ")?.strip_suffix(" s")?.parse().ok()? }
        }
    };
    let counts = match counts {
        None => None,
        Some(text) => {
            let mut words = text.split(", ").map(|part| part.split_once(' '));
            let mut next = |name: &str| {
                let (number, word) = words.next()??;
                (word == name).then(|| number.parse().ok())?
            };
            let (passed, failed) = (next("passed")?, next("failed")?);
            Some(Counts { passed, failed, skipped: next("skipped")? })
        }
    };
    Some((verdict, counts))
}

impl Case {
    /// `tests/test_count.py:22: test_apostrophes: assert 2 == 3`
    fn row(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{}:{line}", plain(file, MAX_PLACE)),
            (Some(file), None) => plain(file, MAX_PLACE),
            (None, _) => NOWHERE.to_owned(),
        };
        let (name, text) = (plain(&self.name, MAX_NAME), plain(&self.text, MAX_TEXT));
        format!("{place}{BETWEEN}{}{BETWEEN}{text}", name.replace(BETWEEN, ":"))
    }

    fn read(row: &str) -> Option<Self> {
        let (place, rest) = row.split_once(BETWEEN)?;
        let (name, text) = rest.split_once(BETWEEN)?;
        let (file, line) = match place.rsplit_once(':').map(|(file, line)| (file, line.parse().ok())) {
            Some((file, Some(line))) => (Some(file), Some(line)),
            _ => (Some(place).filter(|place| *place != NOWHERE), None),
        };
        let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        Some(Self {
            name: short(name, MAX_NAME),
            file: file.map(|file| short(file, MAX_PLACE)),
            line,
            text: short(text, MAX_TEXT),
        })
    }
}

/// In one line and not too long.
fn plain(text: &str, most: usize) -> String {
    let text = text.trim();
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &[String]) -> Report {
        Report::read(rows.iter().map(|row| row.strip_prefix(REPORT_PREFIX).unwrap()))
    }

    #[test]
    fn what_is_written_reads_back() {
        let case = Case {
            name: "test_apostrophes[a:b]".into(),
            file: Some("tests/test_count.py".into()),
            line: Some(22),
            text: "assert 2 == 3: why".into(),
        };
        let nowhere = Case { name: "test_x".into(), ..Case::default() };
        let report = Report {
            verdict: Verdict::Ended { status: 1 },
            counts: Some(Counts { passed: 12, failed: 2, skipped: 1 }),
            cases: vec![case, nowhere],
        };
        let rows = report.rows();
        assert_eq!(rows[0], "=# status 1: 12 passed, 2 failed, 1 skipped");
        assert_eq!(rows[1], "=# tests/test_count.py:22: test_apostrophes[a:b]: assert 2 == 3: why");
        assert_eq!(read(&rows), report);
        let slow = Report { verdict: Verdict::TooLong { seconds: 600 }, ..Report::default() };
        assert_eq!(read(&slow.rows()), slow);
    }

    #[test]
    fn rows_that_tests_made_up_do_not_outlast_the_real_ones() {
        let rows = [
            "status 0: 99 passed, 0 failed, 0 skipped",
            "x",
            "a: b: c",
            "status many",
            "status 1: 1 passed, 1 failed, 0 skipped",
            "t.py:3: t: no",
        ];
        let report = Report::read(rows);
        assert_eq!(report.counts, Some(Counts { passed: 1, failed: 1, skipped: 0 }));
        assert_eq!(report.cases.len(), 1);
        assert_eq!(report.cases[0].line, Some(3));
        let long = Case { name: "n\n".repeat(1000), text: "\u{1b}[2J".repeat(1000), ..Case::default() };
        assert!(long.row().len() < 700 && !long.row().contains(['\n', '\u{1b}']));
    }
}
