//! Calling the OCI runtime, and telling a tool's mistake from the platform's.

use super::Config;
use super::state::PID_FILE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, OFlags, Uid};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long one call of the runtime may take; it needs some 30 ms.
const CALL_WITHIN: Duration = Duration::from_mins(1);
/// Most bytes of the runtime's complaint that are told.
const MAX_COMPLAINT_BYTES: u64 = 2000;

/// A call of the runtime that failed for no fault of the tool.
#[derive(Debug, Error)]
pub(super) enum RuntimeError {
    #[error("cannot run the container runtime {program}")]
    Run { program: String, source: io::Error },
    #[error("the container runtime did not finish `{call}` within {} seconds", CALL_WITHIN.as_secs())]
    Hangs { call: &'static str },
    #[error("the container runtime failed to {call} ({status}): {complaint}")]
    Failed { call: &'static str, status: ExitStatus, complaint: String },
    #[error("the container runtime left no pid in {PID_FILE}")]
    NoPid { source: io::Error },
}

/// What the tool did wrong, for its log, and the status a shell would give.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: i32,
    pub(super) text: String,
}

pub(super) enum Failure {
    Refused(Refusal),
    Runtime(RuntimeError),
}

/// A container that waits to be started, and the reading ends of its output, which do not block.
pub(super) struct Created {
    pub(super) pid: i32,
    pub(super) process: OwnedFd,
    pub(super) out: OwnedFd,
    pub(super) err: OwnedFd,
}

pub(super) struct Runtime<'a> {
    config: &'a Config,
}

impl<'a> Runtime<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config }
    }

    /// `create`: afterwards the container's first process exists and waits; nothing of the tool has run. After a
    /// failure nothing is left.
    pub(super) fn create(&self) -> Result<Created, Failure> {
        self.try_create().inspect_err(|_| self.delete())
    }

    fn try_create(&self) -> Result<Created, Failure> {
        let owner = self.config.mounts.tool_id;
        let pipe = || output_pipe(owner).map_err(|error| Failure::Runtime(self.cannot_run(error)));
        let ((out, out_write), (err, err_write)) = (pipe()?, pipe()?);
        let pid_file = self.config.directory.join(PID_FILE);
        let mut command = self.command("create");
        command.arg("--bundle").arg(self.config.directory.join("bundle")).arg("--pid-file").arg(&pid_file);
        command.arg(&self.config.container).stdout(out_write).stderr(err_write);
        let status = self.call(command, "create").map_err(Failure::Runtime)?;
        if status.success() {
            let no_pid = |source| Failure::Runtime(RuntimeError::NoPid { source });
            let (pid, process) = process_in(&pid_file).map_err(no_pid)?;
            return Ok(Created { pid, process, out, err });
        }
        let complaint = complaint(err);
        Err(refusal(&complaint).map_or_else(
            || Failure::Runtime(RuntimeError::Failed { call: "create", status, complaint }),
            Failure::Refused,
        ))
    }

    /// `start`: lets the created process become the tool's program.
    pub(super) fn start(&self) -> Result<(), RuntimeError> {
        let (read, write) = output_pipe(0).map_err(|error| self.cannot_run(error))?;
        let mut command = self.command("start");
        command.arg(&self.config.container).stdout(Stdio::null()).stderr(write);
        let status = self.call(command, "start")?;
        if status.success() {
            return Ok(());
        }
        Err(RuntimeError::Failed { call: "start", status, complaint: complaint(read) })
    }

    /// `delete --force`, for a container that was not made whole. What it cannot remove, the helper's remove does.
    pub(super) fn delete(&self) {
        let mut command = self.command("delete");
        command.arg("--force").arg(&self.config.container).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = self.call(command, "delete") {
            eprintln!("windlass shim: {error}");
        }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.config.runtime);
        command.arg("--root").arg(&self.config.runtime_root);
        // With a log of its own, all that it writes to stderr is its complaint.
        command.arg("--log").arg(self.config.directory.join("runtime.log"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.arg(verb);
        command
    }

    fn cannot_run(&self, source: io::Error) -> RuntimeError {
        RuntimeError::Run { program: self.config.runtime.display().to_string(), source }
    }

    /// Runs one call to its end. Taking the command closes our copies of the pipes' writing ends.
    fn call(&self, mut command: Command, call: &'static str) -> Result<ExitStatus, RuntimeError> {
        let mut child = command.spawn().map_err(|error| self.cannot_run(error))?;
        drop(command);
        let ended = ends_within(&child, CALL_WITHIN).map_err(|error| self.cannot_run(error))?;
        if !ended {
            let _ = child.kill(); // Ended at this moment: as good.
        }
        let status = child.wait().map_err(|error| self.cannot_run(error))?;
        if ended { Ok(status) } else { Err(RuntimeError::Hangs { call }) }
    }
}

/// A pipe whose reading end does not block; the tool's first id owns it, so that /dev/stdout can be opened inside.
fn output_pipe(owner: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    rustix::fs::fchown(&write, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
    Ok((read, write))
}

/// Waits for a child; false when the time is over.
fn ends_within(child: &Child, time: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The container's first process. It is our own child (its parent, the runtime, has ended), so the pid is still its.
fn process_in(pid_file: &Path) -> io::Result<(i32, OwnedFd)> {
    let text = std::fs::read_to_string(pid_file)?;
    let number: i32 =
        text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let pid = Pid::from_raw(number).ok_or(io::ErrorKind::InvalidData)?;
    Ok((number, pidfd_open(pid, PidfdFlags::empty())?))
}

/// What the runtime wrote, on one line.
fn complaint(pipe: OwnedFd) -> String {
    let mut bytes = Vec::new();
    // The pipe may have other writers that live on: what can be read now is all there is.
    let _ = std::fs::File::from(pipe).take(MAX_COMPLAINT_BYTES).read_to_end(&mut bytes);
    logs::clean(&bytes).trim().to_owned()
}

/// Recognises in the runtime's complaint what the tool can mend; the wording is runc's.
fn refusal(complaint: &str) -> Option<Refusal> {
    if complaint.contains("chdir to cwd") {
        let text =
            "cannot start: the working directory is not in the image; check where the command is to run";
        return Some(Refusal { status: 127, text: text.to_owned() });
    }
    let (_, after) = complaint.split_once("exec: \"")?;
    let (program, _) = after.split_once('"')?;
    let program: String = program.chars().take(200).collect();
    if complaint.contains("executable file not found") || complaint.contains("no such file or directory") {
        let text = format!(
            "cannot start: the program `{program}` is not in the image; check its spelling, or add the package it comes with"
        );
        return Some(Refusal { status: 127, text });
    }
    if complaint.contains("permission denied") || complaint.contains("is a directory") {
        let text =
            format!("cannot start: `{program}` is not an executable file; set its executable bit in git");
        return Some(Refusal { status: 126, text });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_the_tools_mistake() {
        let text = "runc create failed: unable to start container process: exec: \"gunicron\": executable file not found in $PATH";
        let refused = refusal(text).unwrap();
        assert_eq!(refused.status, 127);
        assert!(refused.text.contains("the program `gunicron` is not in the image"), "{}", refused.text);
        let text =
            "runc create failed: unable to start container process: exec: \"./run\": permission denied";
        assert_eq!(refusal(text).unwrap().status, 126);
    }

    #[test]
    fn everything_else_is_the_platforms() {
        assert_eq!(refusal("runc create failed: cannot set memory limit: no such file or directory"), None);
        assert_eq!(refusal(""), None);
    }
}
