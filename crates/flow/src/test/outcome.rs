//! How the tests' end is told.

use super::words::Words;
use crate::{Line, build, line::StationError, size};
use lifecycle::testing::{Case, Counts, RED, TOO_LONG, Verdict};
use model::{EnvironmentName, Problem, limits::MIB, run::Cause};
use pipeline::{Plan, Tests, shown};
use sandbox::request::{Ended, KilledBy};
use serde_json::{Value, json};
use std::time::Duration;
use store::Run;

/// Failing cases that a problem lists; a push shows it whole.
const LISTED: usize = 15;
/// Exit status of pytest, and of unittest since Python 3.12, when they found no test.
const FOUND_NONE: i32 = 5;

/// The outputs of tests that passed.
///
/// # Errors
/// Why they did not.
pub(super) async fn judge(
    line: &Line,
    run: &Run,
    plan: &Plan,
    tests: &Tests,
    ended: &Ended,
    words: Words,
) -> Result<Value, StationError> {
    let counts = words.report.counts.or(words.said.counts);
    let took = size::seconds(Duration::from_micros(ended.wall_microseconds));
    let runner = &tests.runner;
    if ended.killed_by.is_none() && ended.status == 0 {
        let passed = match counts {
            Some(Counts { passed, skipped: 0, .. }) => format!("{passed} passed ({runner})"),
            Some(Counts { passed, skipped, .. }) => format!("{passed} passed, {skipped} skipped ({runner})"),
            None => format!("passed ({runner})"),
        };
        let mut outputs = facts(tests, counts, &[]);
        outputs["line"] = json!(format!("{passed}   {took}"));
        return Ok(outputs);
    }
    if found_none(tests, ended, &words) {
        let mut outputs = facts(tests, counts, &[]);
        outputs["line"] = json!(format!("{runner} found no test   {took}"));
        if runner == "unittest" {
            let text = "unittest runs only classes of unittest.TestCase; if these tests are pytest's, name pytest in requirements-dev.txt";
            outputs["warnings"] = json!([text]);
        }
        return Ok(outputs);
    }
    let after = after(line, run).await?;
    let cases = if words.report.cases.is_empty() { &words.said.cases } else { &words.report.cases };
    let told = |cause, problem: Problem| {
        StationError::told(cause, problem).with_outputs(facts(tests, counts, cases))
    };
    let limits = &line.settings.build_limits;
    let killed_for_memory = ended.killed_by == Some(KilledBy::Memory)
        || (ended.memory_kills > 0 && matches!(ended.status, status if status == i32::from(RED)));
    if killed_for_memory {
        let limit = limits.memory_bytes;
        let detail = format!("killed: memory {} MiB", limit / MIB);
        let cause = Cause::Limit { which: "memory".to_owned(), limit, peak: ended.memory_peak_bytes };
        let problem = Problem::new("test-memory", 422, "the tests ran out of memory", detail).hint(after);
        return Err(told(cause, problem));
    }
    match ended.status {
        _ if ended.killed_by.is_some() => {}
        status if status == i32::from(RED) => {
            let problem = Problem::new("test-red", 422, title(tests, counts), detail(cases, &words));
            return Err(told(Cause::Tool, problem.hint(format!("{after} Here: `{}`", in_one_line(tests)))));
        }
        status if status == i32::from(TOO_LONG) => {
            let seconds = u64::from(tests.timeout_seconds);
            let silence = size::seconds(words.silence);
            let mut detail = format!(
                "They were ended after {seconds} s, their limit; the last line came {silence} before."
            );
            for row in &words.last {
                detail = format!("{detail}\n  {row}");
            }
            let hint = format!(
                "{after} `timeout_seconds` in project.toml gives them up to {} s.",
                pipeline::testing::MAX_SECONDS
            );
            let problem = Problem::new("test-time", 422, "the tests took too long", detail).hint(hint);
            return Err(told(Cause::Timeout { seconds }, problem));
        }
        _ => {}
    }
    // Before the tests: the build for them.
    match build::outcome::failure(line, ended, plan, &words.problem) {
        Some(StationError::Told { cause, mut problem, .. }) => {
            problem.title = format!("{}, for the tests", problem.title);
            Err(StationError::told(cause, *problem))
        }
        Some(other) => Err(other),
        None => Err(StationError::Inconsistent("tests ended well and did not pass".to_owned())),
    }
}

fn found_none(tests: &Tests, ended: &Ended, words: &Words) -> bool {
    ended.killed_by.is_none()
        && ended.status == i32::from(RED)
        && words.report.verdict == Verdict::Ended { status: FOUND_NONE }
        && matches!(tests.runner.as_str(), "pytest" | "unittest")
        && tests.command.from != "project.toml"
}

/// What others than people read.
fn facts(tests: &Tests, counts: Option<Counts>, cases: &[Case]) -> Value {
    let mut facts = json!({ "ran": true, "runner": tests.runner, "command": tests.command.text });
    if let Some(Counts { passed, failed, skipped }) = counts {
        facts["passed"] = json!(passed);
        facts["failed"] = json!(failed);
        facts["skipped"] = json!(skipped);
    }
    if !cases.is_empty() {
        facts["cases"] = json!(cases);
    }
    facts
}

/// `2 of 14 tests (pytest)`
fn title(tests: &Tests, counts: Option<Counts>) -> String {
    match counts {
        Some(counts) if counts.failed > 0 => {
            let tests_word = if counts.all() == 1 { "test" } else { "tests" };
            format!("{} of {} {tests_word} ({})", counts.failed, counts.all(), tests.runner)
        }
        _ => format!("the tests did not pass ({})", tests.runner),
    }
}

/// Where it failed; of tests that nobody can read, their last rows.
fn detail(cases: &[Case], words: &Words) -> String {
    let mut rows: Vec<String> = cases.iter().take(LISTED).map(row).collect();
    if cases.len() > LISTED {
        rows.push(format!("and {} more", cases.len() - LISTED));
    }
    if rows.is_empty() {
        rows.extend(words.last.iter().cloned());
        if let Verdict::Ended { status } = words.report.verdict
            && status != 0
        {
            rows.push(format!("It ended with status {status}."));
        }
    }
    if words.cut {
        rows.push("They wrote more than a log may hold; the rest was dropped.".to_owned());
    }
    rows.join("\n")
}

/// `tests/test_count.py:22  test_apostrophes: assert 2 == 3`
fn row(case: &Case) -> String {
    let place = match (&case.file, case.line) {
        (Some(file), Some(line)) => format!("{}:{line}  ", shown(file, 120)),
        (Some(file), None) => format!("{}  ", shown(file, 120)),
        (None, _) => String::new(),
    };
    let text = if case.text.is_empty() { String::new() } else { format!(": {}", shown(&case.text, 200)) };
    format!("{place}{}{text}", shown(&case.name, 100))
}

fn in_one_line(tests: &Tests) -> String {
    let text = tests.command.text.strip_prefix("set -e\n").unwrap_or(&tests.command.text);
    shown(&text.lines().collect::<Vec<_>>().join(" && "), 120)
}

/// What red tests leave as it was.
async fn after(line: &Line, run: &Run) -> Result<String, StationError> {
    if !run.production {
        return Ok("The branch stays where it was.".to_owned());
    }
    let live = line.store.environment(run.tool, &EnvironmentName::production()).await?;
    Ok(match live {
        Some(live) => format!("Nothing was deployed; v{} keeps serving.", live.current),
        None => "Nothing was deployed.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_in_few_lines_that_cannot_move_the_cursor() {
        let case = |name: &str| Case {
            name: name.to_owned(),
            file: Some("tests/test_count.py".into()),
            line: Some(22),
            text: "assert 2 == 3\u{202e}".into(),
        };
        assert_eq!(
            row(&case("test_a\u{1b}[2J")),
            "tests/test_count.py:22  test_a\u{fffd}[2J: assert 2 == 3\u{fffd}"
        );
        assert_eq!(row(&Case { name: "x".into(), ..Case::default() }), "x");
        let many: Vec<Case> = (0..40).map(|number| case(&number.to_string())).collect();
        let detail = detail(&many, &Words::default());
        assert_eq!(detail.lines().count(), LISTED + 1);
        assert!(detail.ends_with("and 25 more"));
    }
}
