//! Why git did not do what was asked. What git says in words is understood here and nowhere else.

use super::MAX_OUTPUT_BYTES;
use sandbox::client::HelperError;
use std::io;
use thiserror::Error;

/// A ref stands elsewhere than was expected, in the three ways in which git says so. The last one ends there when the
/// ref is not there at all; with a reason behind it, it is a broken file.
const MOVED: [&str; 2] = ["but expected", "reference already exists"];
const ABSENT: &str = "unable to resolve reference '";
/// `main/sub` cannot be made beside `main`, nor the other way round.
const CLASH: &str = "; cannot create";
/// Somebody else holds the ref, or was killed while doing so.
const LOCKED: &str = ".lock': File exists";

/// Why git did not do what was asked.
#[derive(Debug, Error)]
pub enum GitError {
    #[error("the helper did not start git")]
    Helper(#[from] HelperError),
    #[error("git's pipes broke")]
    Pipe(#[from] io::Error),
    /// A ref that was to be moved stands elsewhere: somebody else moved, made or deleted it.
    #[error("the ref stands elsewhere: {0}")]
    Moved(String),
    /// A ref cannot be made beside another: one's name begins with the other's.
    #[error("two names cannot be side by side: {0}")]
    Clash(String),
    /// A ref is being moved by somebody else, or was when git was killed; such a lock is cleared after a minute.
    #[error("the ref is locked: {0}")]
    Locked(String),
    #[error("git {what} ended with status {status}: {stderr}")]
    Status { what: &'static str, status: i32, stderr: String },
    #[error("git {what} wrote more than {MAX_OUTPUT_BYTES} bytes")]
    TooMuch { what: &'static str },
    #[error("git cat-file answered `{0}`")]
    Answer(String),
}

impl GitError {
    /// What `git update-ref` meant by the words in which it failed; what is none of these is a fault.
    pub(super) fn of_update(self) -> Self {
        let Self::Status { what, status, stderr } = self else { return self };
        let absent = |line: &str| {
            line.split_once(ABSENT).is_some_and(|(_, name)| name.find('\'') == name.len().checked_sub(1))
        };
        if MOVED.iter().any(|words| stderr.contains(words)) || stderr.lines().any(absent) {
            Self::Moved(stderr)
        } else if stderr.contains(CLASH) {
            Self::Clash(stderr)
        } else if stderr.contains(LOCKED) {
            Self::Locked(stderr)
        } else {
            Self::Status { what, status, stderr }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]
mod tests {
    use super::*;
    use std::{fs, path::Path, process::Command};

    const NOTHING: &str = "0000000000000000000000000000000000000000";

    /// What the real git says of an update, as the platform understands it.
    fn update(repository: &Path, name: &str, new: &str, old: &str) -> &'static str {
        let output = git(repository, &["update-ref", "--no-deref", "--", name, new, old]);
        if output.status.success() {
            return "done";
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let error = GitError::Status { what: "update-ref", status: 128, stderr };
        match error.of_update() {
            GitError::Moved(_) => "moved",
            GitError::Clash(_) => "clash",
            GitError::Locked(_) => "locked",
            _ => "fault",
        }
    }

    fn git(repository: &Path, words: &[&str]) -> std::process::Output {
        Command::new("git")
            .args(words)
            .current_dir(repository)
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")])
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "M"), ("GIT_AUTHOR_EMAIL", "m@example.org")])
            .envs([("GIT_COMMITTER_NAME", "M"), ("GIT_COMMITTER_EMAIL", "m@example.org")])
            .output()
            .unwrap()
    }

    #[test]
    fn what_git_says_of_a_ref_is_told_apart_and_everything_else_is_a_fault() {
        let place = tempfile::tempdir().unwrap();
        let at = place.path();
        git(at, &["init", "--quiet", "--bare", "."]);
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        git(at, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
        let commit = |message: &str| {
            let output = git(at, &["commit-tree", tree, "-m", message]);
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (one, two) = (commit("one"), commit("two"));
        let main = "refs/heads/main";
        assert_eq!(update(at, main, &one, &two), "moved", "it is not there");
        assert_eq!(update(at, main, NOTHING, &two), "moved", "nor to be deleted");
        assert_eq!(update(at, main, &one, NOTHING), "done");
        assert_eq!(update(at, main, &two, NOTHING), "moved", "it is there");
        assert_eq!(update(at, main, &one, &two), "moved", "it is elsewhere");
        assert_eq!(update(at, "refs/heads/main/sub", &one, NOTHING), "clash");
        assert_eq!(update(at, main, &"1".repeat(40), &one), "fault", "no such object");
        fs::write(at.join("refs/heads/main.lock"), "").unwrap();
        assert_eq!(update(at, main, &two, &one), "locked");
        fs::write(at.join("refs/heads/broken"), "nonsense").unwrap();
        assert_eq!(update(at, "refs/heads/broken", &two, &one), "fault", "a damaged file");
        fs::remove_file(at.join("refs/heads/main.lock")).unwrap();
        git(at, &["pack-refs", "--all"]);
        fs::write(at.join("packed-refs"), "# pack-refs with: nonsense\nx\n").unwrap();
        assert_eq!(update(at, main, &two, &one), "fault", "damaged packed refs");
    }
}
