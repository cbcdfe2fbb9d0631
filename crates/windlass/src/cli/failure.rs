//! How a verb fails: one kind of error, said in one way, with an exit status that scripts can trust.

use model::Problem;
use std::{io, process::ExitCode};

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell the person, from the platform or from here.
    Problem(Problem),
    /// Standard output is gone or full.
    Output(io::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// Says it on standard error and gives the exit status.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        match self {
            // `windlass logs | head` is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(error) => {
                eprintln!("windlass: cannot write to standard output: {error}");
                ExitCode::from(8)
            }
            Self::Problem(problem) => {
                if json {
                    eprintln!("{}", serde_json::json!(problem));
                } else {
                    eprintln!("{}", text(problem));
                }
                ExitCode::from(exit_status(problem))
            }
        }
    }
}

/// The problem as people read it: the title, then where, then what to do.
fn text(problem: &Problem) -> String {
    let mut text = format!("windlass: {}", super::output::printable(&problem.title));
    for line in problem.detail.lines().filter(|line| !line.is_empty()) {
        text.push_str("\n  ");
        text.push_str(&super::output::printable(line));
    }
    if let Some(hint) = &problem.hint {
        text.push_str("\n\nhint: ");
        text.push_str(&hint.lines().map(super::output::printable).collect::<Vec<_>>().join("\n      "));
    }
    text
}

/// 2 usage, 3 not signed in, 4 not permitted, 5 not found, 6 conflict, 7 quota, 8 platform or network.
pub(crate) fn exit_status(problem: &Problem) -> u8 {
    match problem.status {
        400 | 422 => 2,
        401 => 3,
        403 => 4,
        404 => 5,
        409 => 6,
        413 | 429 | 507 => 7,
        _ => 8,
    }
}

/// The words on the command line make no sense together.
pub(crate) fn usage(title: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::new("cli-usage", 400, title, detail)
}

/// Something on this machine went wrong: a file, a program.
pub(crate) fn local(title: impl Into<String>, error: &dyn std::fmt::Display) -> Problem {
    Problem::new("cli-local", 500, title, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_says_what_kind_of_failure_it_was() {
        let of = |status| exit_status(&Problem::new("x", status, "", ""));
        assert_eq!([422, 401, 403, 404, 409, 507, 500, 503].map(of), [2, 3, 4, 5, 6, 7, 8, 8]);
    }

    #[test]
    fn a_problem_reads_as_what_where_and_what_next() {
        let problem =
            Problem::new("x", 404, "no such tool", "“shop” is not here\nor not yours").hint("list them");
        assert_eq!(
            text(&problem),
            "windlass: no such tool\n  “shop” is not here\n  or not yours\n\nhint: list them"
        );
    }

    #[test]
    fn what_a_server_says_cannot_drive_the_terminal() {
        let problem = Problem::new("x", 500, "a\x1b[2Jb", "c\x07");
        assert_eq!(text(&problem), "windlass: a\u{fffd}[2Jb\n  c\u{fffd}");
    }
}
