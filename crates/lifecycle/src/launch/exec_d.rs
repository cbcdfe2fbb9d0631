//! Programs of layers that set variables when the process starts: TOML on descriptor 3
//! (buildpack specification, "exec.d").

use super::{LaunchError, files_in};
use crate::environment::Variables;
use rustix::{
    fd::{AsRawFd, OwnedFd},
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    pipe::{PipeFlags, pipe_with},
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
};

/// Where a program answers.
const ANSWER_FD: i32 = 3;
/// Most that a program may answer.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// Runs a layer's programs in order, those for the process type last; each sees what the one before set.
pub(super) fn run_all(
    layer: &Path,
    kind: Option<&str>,
    variables: &mut Variables,
) -> Result<(), LaunchError> {
    let directory = layer.join("exec.d");
    let mut programs = files_in(&directory)?;
    if let Some(kind) = kind {
        programs.extend(files_in(&directory.join(kind))?);
    }
    for program in programs {
        let answer = run(&program, variables)?;
        let answer = cnb::exec_d::read(&program.display().to_string(), &answer)?;
        variables.extend(answer.into_iter().map(|(name, value)| (name.into(), value.into())));
    }
    Ok(())
}

fn run(program: &Path, variables: &Variables) -> Result<Vec<u8>, LaunchError> {
    let failed = |source: io::Error| LaunchError::ExecD { program: program.to_owned(), source };
    let (read, write) = answer_pipe()?;
    let mut child =
        Command::new(program).env_clear().envs(variables).stdin(Stdio::null()).spawn().map_err(failed)?;
    drop(write);
    let mut answer = Vec::new();
    File::from(read).take(MAX_ANSWER_BYTES + 1).read_to_end(&mut answer).map_err(failed)?;
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err(LaunchError::ExecDTooLong { program: program.to_owned(), max_bytes: MAX_ANSWER_BYTES });
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(LaunchError::ExecDFailed { program: program.to_owned(), status: status.to_string() });
    }
    Ok(answer)
}

/// A pipe whose write end has the number that programs expect and is inherited. The launcher has one thread, so
/// nothing else can take the number between.
fn answer_pipe() -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let failed = |_| LaunchError::Descriptor;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    // Both out of the way, so that the first free number from 3 on is 3.
    let high_read = fcntl_dupfd_cloexec(&read, ANSWER_FD + 1).map_err(failed)?;
    let high_write = fcntl_dupfd_cloexec(&write, ANSWER_FD + 1).map_err(failed)?;
    drop((read, write));
    let answer = fcntl_dupfd_cloexec(&high_write, ANSWER_FD).map_err(failed)?;
    if answer.as_raw_fd() != ANSWER_FD {
        return Err(LaunchError::Descriptor);
    }
    fcntl_setfd(&answer, FdFlags::empty()).map_err(failed)?;
    Ok((high_read, answer))
}
