//! What to start: by the name that the launcher was called by, or by its arguments
//! (platform specification, "Launcher").

use super::{Image, LaunchError};
use crate::environment::Variables;
use cnb::process::Process;
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Says in which environment processes run when nobody says it (platform specification, "Launcher", inputs).
const DEFAULT_EXEC_ENV: &str = "production";

/// A command with everything that decides how it starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// `None`: a command that the user gave.
    pub(super) kind: Option<String>,
    pub(super) command: OsString,
    pub(super) arguments: Vec<OsString>,
    /// False: by a shell with profile scripts.
    pub(super) direct: bool,
    /// Absolute, or relative to the app directory.
    pub(super) working_directory: Option<String>,
}

impl Chosen {
    /// For people.
    pub(super) fn name(&self) -> String {
        self.kind.as_ref().map_or("what you asked for".to_owned(), |kind| format!("process {kind}"))
    }
}

/// Chooses by all arguments, the launcher's own name first.
pub(super) fn choose(
    image: &Image,
    arguments: &[OsString],
    variables: &Variables,
) -> Result<Chosen, LaunchError> {
    let (name, rest) = match arguments.split_first() {
        Some((path, rest)) => (Path::new(path).file_name().and_then(OsStr::to_str), rest),
        None => (None, arguments),
    };
    match image.metadata.processes.iter().find(|process| Some(process.kind.as_str()) == name) {
        Some(process) => of_type(image, process, rest, variables),
        None => of_user(image, rest),
    }
}

fn of_type(
    image: &Image,
    process: &Process,
    given: &[OsString],
    variables: &Variables,
) -> Result<Chosen, LaunchError> {
    check_exec_env(image, process, variables)?;
    let own = |texts: &[String]| texts.iter().map(OsString::from).collect::<Vec<_>>();
    let Some((command, fixed)) = process.command.split_first() else {
        let path = image.metadata_path.display();
        return Err(LaunchError::NoCommand(format!("process {} has no command in {path}", process.kind)));
    };
    // Arguments replace the default ones; those that are part of the command stay. A buildpack from before
    // Buildpack API 0.9 knew no such parts and expects its arguments to stay too.
    let member = image.metadata.buildpacks.iter().find(|member| member.id == process.buildpack_id);
    let appends = fixed.is_empty() && member.is_some_and(|member| !member.api.at_least(0, 9));
    let mut arguments = own(fixed);
    if given.is_empty() || appends {
        arguments.extend(own(&process.args));
    }
    arguments.extend_from_slice(given);
    Ok(Chosen {
        kind: Some(process.kind.clone()),
        command: command.into(),
        arguments,
        direct: process.direct,
        working_directory: process.working_dir.clone(),
    })
}

fn of_user(image: &Image, given: &[OsString]) -> Result<Chosen, LaunchError> {
    let (direct, given) = match given.split_first() {
        Some((first, rest)) if first == "--" => (true, rest),
        _ => (false, given),
    };
    let Some((command, arguments)) = given.split_first() else {
        let kinds: Vec<&str> = image.metadata.processes.iter().map(|process| process.kind.as_str()).collect();
        let hint = if kinds.is_empty() {
            "this image defines none; give a command".to_owned()
        } else {
            format!("give a command, or start /cnb/process/<type> with one of: {}", kinds.join(", "))
        };
        return Err(LaunchError::NoCommand(hint));
    };
    Ok(Chosen {
        kind: None,
        command: command.clone(),
        arguments: arguments.to_vec(),
        direct,
        working_directory: None,
    })
}

/// Platform API 0.15: a process may be for some execution environments only.
fn check_exec_env(image: &Image, process: &Process, variables: &Variables) -> Result<(), LaunchError> {
    let exec_env = variables
        .get(OsStr::new("CNB_EXEC_ENV"))
        .filter(|value| !value.is_empty())
        .map_or(DEFAULT_EXEC_ENV.into(), |value| value.to_string_lossy());
    if !image.platform_api.at_least(0, 15) || process.is_for(&exec_env) {
        return Ok(());
    }
    Err(LaunchError::ExecEnv {
        kind: process.kind.clone(),
        exec_env: exec_env.into_owned(),
        allowed: process.exec_env.join(", "),
    })
}
