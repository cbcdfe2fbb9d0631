//! The words of runners that write no report: unittest's, and pytest's last lines when its report is missing.

use lifecycle::testing::{Case, Counts};

/// Most failing cases that are told.
const MAX_CASES: usize = 50;
/// How Python names a line of the source that is tested.
const OWN_FILE: &str = "  File \"/workspace/";

/// What was heard so far, row by row.
#[derive(Debug, Default)]
pub(super) struct Said {
    ran: Option<u32>,
    pub(super) counts: Option<Counts>,
    pub(super) cases: Vec<Case>,
    /// The rows are those of the last case.
    in_case: bool,
}

impl Said {
    pub(super) fn hear(&mut self, row: &str) {
        if let Some(case) = unittest_case(row) {
            self.in_case = self.cases.len() < MAX_CASES;
            if self.in_case {
                self.cases.push(case);
            }
        } else if row.starts_with("Ran ") {
            self.in_case = false;
            self.ran = row.split(' ').nth(1).and_then(|count| count.parse().ok());
        } else if let Some(all) =
            self.ran.filter(|_| row == "OK" || row.starts_with("OK (") || row.starts_with("FAILED ("))
        {
            let number = |name: &str| number_of(row, name);
            let failed = number("failures").saturating_add(number("errors"));
            let skipped = number("skipped");
            let passed = all.saturating_sub(failed).saturating_sub(skipped);
            self.counts = Some(Counts { passed, failed, skipped });
        } else if let Some(case) = self.cases.last_mut().filter(|_| self.in_case) {
            in_case(case, row);
        }
    }
}

/// `FAIL: test_words (tests.test_count.TestCount.test_words)`
fn unittest_case(row: &str) -> Option<Case> {
    let rest = row.strip_prefix("FAIL: ").or_else(|| row.strip_prefix("ERROR: "))?;
    let (name, place) = rest.split_once(" (")?;
    let class =
        place.trim_end_matches(')').rsplit('.').find(|part| part.starts_with(|c: char| c.is_uppercase()));
    let name = class.map_or_else(|| name.to_owned(), |class| format!("{class}.{name}"));
    Some(Case { name, ..Case::default() })
}

/// A row of a traceback: the last line of the source's own counts, and the last row that is not set in says why.
fn in_case(case: &mut Case, row: &str) {
    if let Some(rest) = row.strip_prefix(OWN_FILE) {
        let place = rest.split_once("\", line ");
        let line = place.and_then(|(_, line)| line.split(',').next()?.parse().ok());
        if let Some((file, _)) = place {
            (case.file, case.line) = (Some(file.to_owned()), line);
        }
    } else if !row.starts_with([' ', '-', '=']) && !row.starts_with("Traceback") && case.text.is_empty() {
        row.clone_into(&mut case.text);
    }
}

/// `2` of `FAILED (failures=2, errors=1)`.
fn number_of(row: &str, name: &str) -> u32 {
    let words = row.split(['(', ')', ',', ' ']);
    words
        .filter_map(|word| word.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, n)| n.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unittests_words_give_counts_and_where_it_failed() {
        let mut said = Said::default();
        let text = "F.E\n======\nERROR: test_two (test_count.TestCount.test_two)\n------\nTraceback (most recent call last):\n\
                    \x20 File \"/workspace/tests/test_count.py\", line 9, in test_two\n    count(None)\n\
                    \x20 File \"/workspace/count.py\", line 3, in count\n    return len(text.split())\n\
                    AttributeError: 'NoneType' object has no attribute 'split'\n\n======\n\
                    FAIL: test_one (test_count.TestCount.test_one)\n------\nTraceback (most recent call last):\n\
                    \x20 File \"/usr/lib/python3.13/unittest/mock.py\", line 1, in x\nAssertionError: 2 != 3\n\n------\n\
                    Ran 4 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)";
        for row in text.lines().filter(|row| !row.is_empty()) {
            said.hear(row);
        }
        assert_eq!(said.counts, Some(Counts { passed: 1, failed: 2, skipped: 1 }));
        let [two, one] = &said.cases[..] else { panic!("{said:?}") };
        assert_eq!(
            (two.name.as_str(), two.file.as_deref(), two.line),
            ("TestCount.test_two", Some("count.py"), Some(3))
        );
        assert!(two.text.starts_with("AttributeError"));
        assert_eq!((one.file.as_deref(), one.text.as_str()), (None, "AssertionError: 2 != 3"));
    }

    #[test]
    fn other_words_say_nothing() {
        let mut said = Said::default();
        for row in ["OK", "FAIL: x", "Ran many tests", "FAILED (failures=1)", "ERROR: cannot open file (13)"]
        {
            said.hear(row);
        }
        assert_eq!(said.counts, None);
        let mut good = Said::default();
        for row in ["Ran 14 tests in 0.1s", "OK (skipped=2)"] {
            good.hear(row);
        }
        assert_eq!(good.counts, Some(Counts { passed: 12, failed: 0, skipped: 2 }));
    }
}
