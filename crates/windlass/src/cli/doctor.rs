//! `doctor`: what the platform needs of this machine, what is missing, and how to get it.
//!
//! Looking ([`host`], [`programs`]) and judging are apart, so that every verdict has a test without a machine of its
//! kind. Nothing here changes anything, and nothing needs root.

mod host;
mod programs;
mod version;

use super::{
    failure::Failure,
    output::{Printer, Tone},
};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// What one look says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// The platform runs, with the lack that is told.
    Warning,
    /// The platform does not run.
    Missing,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What is there.
    found: String,
    /// How to get what is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Missing, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Exit status 1 when something is missing.
pub(super) fn doctor(json: bool) -> Result<ExitCode, Failure> {
    let printer = Printer::new(json);
    let checks: Vec<Check> = host::checks().into_iter().chain(programs::checks()).collect();
    let missing = checks.iter().filter(|check| check.verdict == Verdict::Missing).count();
    if json {
        printer.document(&json!({ "ready": missing == 0, "checks": checks }))?;
    } else {
        print(&printer, &checks, missing)?;
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(printer: &Printer, checks: &[Check], missing: usize) -> std::io::Result<()> {
    for check in checks {
        let sign = match check.verdict {
            Verdict::Ok => printer.paint(Tone::Good, "ok     "),
            Verdict::Warning => printer.paint(Tone::Busy, "warning"),
            Verdict::Missing => printer.paint(Tone::Bad, "MISSING"),
        };
        printer.line(format!("{sign}  {:<16} {}", check.name, check.found))?;
        for line in check.advice.iter().flat_map(|advice| advice.lines()) {
            printer.line(format!("{:26} {line}", ""))?;
        }
    }
    let warnings = checks.iter().filter(|check| check.verdict == Verdict::Warning).count();
    printer.line("")?;
    printer.line(match (missing, warnings) {
        (0, 0) => "This machine can run the platform.".to_owned(),
        (0, n) => format!("This machine can run the platform; {n} thing{} could be better.", plural(n)),
        (n, _) => format!("This machine cannot run the platform yet: {n} thing{} missing.", plural(n)),
    })
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_judged_and_every_lack_comes_with_advice() {
        let checks: Vec<Check> = host::checks().into_iter().chain(programs::checks()).collect();
        assert!(checks.len() > 10);
        for check in checks {
            assert_eq!(check.verdict != Verdict::Ok, check.advice.is_some(), "{check:?}");
            assert!(!check.found.is_empty(), "{check:?}");
        }
    }
}
