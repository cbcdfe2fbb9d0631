//! What the platform itself did wrong: told to a person as such, with a short id, and found by the operator under that
//! id in the platform's log with all its causes. Every door makes its faults here; causes never leave the log.

use crate::{Problem, sentence};
use std::{error::Error, fmt};
use uuid::Uuid;

/// One fault that is written down. Shows as its id: eight hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// Writes the row `fault=<id>` with the error and its causes. `what` is what could not be done, in a few words.
    #[must_use]
    pub fn of(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self::caused_by(what, &sentence::of(error))
    }

    /// The same for a cause that is no error of its own.
    #[must_use]
    pub fn caused_by(what: &str, cause: &str) -> Self {
        // The tail of such an id is random (RFC 9562, section 5.7).
        let id = Uuid::now_v7().simple().to_string();
        let fault = Self(id[id.len() - 8..].to_owned());
        tracing::error!(fault = %fault, what, cause, "the platform's fault");
        fault
    }

    /// The sentence that every door says.
    pub fn sentence(&self) -> String {
        format!("This is the platform's fault, not yours; the operator finds it in the log as {self}.")
    }

    /// The fault as a problem of this id and status; `title` says what could not be done.
    pub fn problem(&self, id: &str, status: u16, title: &str) -> Problem {
        Problem::new(id, status, title, self.sentence())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_the_id_and_never_the_cause() {
        let fault = Fault::of("a look", &std::io::Error::other("/secret/path is gone"));
        let problem = fault.problem("platform-fault", 500, "the platform failed");
        assert_eq!(fault.to_string().len(), 8);
        assert!(problem.detail.contains(&fault.to_string()) && problem.detail.contains("not yours"));
        assert!(!problem.to_string().contains("secret"));
        assert_ne!(fault, Fault::caused_by("a look", "the same"), "two faults never share an id");
    }
}
