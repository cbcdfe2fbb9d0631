//! Telling git to ask `windlass git-credential` for the password at one address (gitcredentials(7)).

use crate::cli::{failure::local, server::Server};
use model::Problem;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// Drops inherited helpers for this address, so that no other one keeps our tokens, and adds ours.
pub(super) fn install(server: &Server) -> Result<(), Problem> {
    let program = std::env::current_exe().map_err(|error| local("where is this program?", &error))?;
    let key = key(server);
    forget(&key)?;
    set(&["--add", &key, ""])?;
    set(&["--add", &key, &helper(&program)])
}

pub(super) fn remove(server: &Server) -> Result<(), Problem> {
    forget(&key(server))
}

fn key(server: &Server) -> String {
    format!("credential.{server}.helper")
}

/// git hands this to a shell, so the path is quoted for one.
fn helper(program: &Path) -> String {
    format!("!'{}' git-credential", program.display().to_string().replace('\'', r"'\''"))
}

fn forget(key: &str) -> Result<(), Problem> {
    let output = git(&["--unset-all", key])?;
    match output.status.code() {
        // 5: there was none (git-config(1)).
        Some(0 | 5) => Ok(()),
        _ => Err(refused(&output)),
    }
}

fn set(arguments: &[&str]) -> Result<(), Problem> {
    let output = git(arguments)?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

fn git(arguments: &[&str]) -> Result<Output, Problem> {
    let mut git = Command::new("git");
    git.args(["config", "--global"]).args(arguments).stdin(Stdio::null());
    git.output().map_err(|error| local("git cannot be started", &error).hint("install it: `apt install git`"))
}

fn refused(output: &Output) -> Problem {
    local("git's settings cannot be changed", &String::from_utf8_lossy(&output.stderr).trim())
        .hint("you are signed in all the same; `windlass login --no-git` leaves git's settings alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_is_named_by_its_whole_path_whatever_stands_in_it() {
        let of = |path: &str| helper(Path::new(path));
        assert_eq!(of("/var/lib/wind lass/windlass"), "!'/var/lib/wind lass/windlass' git-credential");
        assert_eq!(of("/a'b"), r"!'/a'\''b' git-credential");
    }
}
