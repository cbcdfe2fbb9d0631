//! Running a source's tests after a build for them (execution environment `test`): the last of three phases in one
//! process tree, our platform's own.
//!
//! Layers are kept for the next build only as buildpacks made them, never as tests left them. So a build that made new
//! layers ends before its tests ([`MADE`]), the platform keeps the layers, and the tests run in another sandbox, whose
//! build then has nothing to do.

mod fresh;
mod junit;
mod report;

pub use junit::MAX_REPORT_BYTES;
pub use report::{Case, Counts, REPORT_PREFIX, Report, Verdict};

pub(crate) use fresh::Kept;

use crate::{environment, inputs::Inputs};
use environment::{EnvironmentError, Variables};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use thiserror::Error;

/// The build made layers that the next one can use; the tests have not run.
pub const MADE: u8 = 90;
/// The tests ran and did not pass.
pub const RED: u8 = 91;
/// The tests took longer than they may and were ended.
pub const TOO_LONG: u8 = 92;

/// The execution environment of tests (platform specification, "Execution Environment").
pub const EXEC_ENV: &str = "test";
/// Where tests leave their `JUnit` XML.
pub const REPORT: &str = "/tmp/windlass-tests.xml";
/// Directory of `<platform>` with the variables of the tests' process.
pub const ENVIRONMENT: &str = "test-env";
/// Variables of the lifecycle's own: what the tests may take in seconds, and whether to end when layers were made.
pub const SECONDS: &str = "WINDLASS_TEST_SECONDS";
pub const STOP_WHEN_MADE: &str = "WINDLASS_TEST_STOP_WHEN_MADE";

/// The tests could not be run.
#[derive(Debug, Error)]
pub enum TestError {
    #[error("no command was given: lifecycle test [flags] -- <command> …")]
    NoCommand,
    #[error("{SECONDS} is not a number of seconds")]
    Seconds,
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("cannot start {program}")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot wait for the tests")]
    Wait(#[source] io::Error),
}

/// What is run and how long it may take.
pub(crate) struct Tests<'a> {
    command: &'a [String],
    within: Duration,
}

impl<'a> Tests<'a> {
    pub(crate) fn of(command: &'a [String], told: &Variables) -> Result<Self, TestError> {
        let seconds = told.get(OsStr::new(SECONDS)).and_then(|value| value.to_str()?.parse().ok());
        let within = Duration::from_secs(seconds.ok_or(TestError::Seconds)?);
        if command.is_empty() { Err(TestError::NoCommand) } else { Ok(Self { command, within }) }
    }

    /// Runs the tests with what the build's layers put into the environment, and tells how they ended.
    pub(crate) fn run(&self, inputs: &Inputs, mut variables: Variables) -> Result<Option<u8>, TestError> {
        environment::add_directory(&mut variables, &inputs.platform_dir.join(ENVIRONMENT))?;
        let Some((program, arguments)) = self.command.split_first() else { return Err(TestError::NoCommand) };
        let ended = self.supervise(
            Command::new(program)
                .args(arguments)
                .current_dir(&inputs.app_dir)
                .stdin(Stdio::null())
                .env_clear()
                .envs(variables)
                .process_group(0),
        )?;
        let verdict = match ended {
            None => Verdict::TooLong { seconds: self.within.as_secs() },
            Some(status) => Verdict::Ended { status: number(status) },
        };
        let report = Report { verdict, ..read_report() };
        for row in report.rows() {
            println!("{row}");
        }
        Ok(match verdict {
            Verdict::Ended { status: 0 } => None,
            Verdict::Ended { .. } => Some(RED),
            Verdict::TooLong { .. } => Some(TOO_LONG),
        })
    }

    /// `None`: it took too long. What it leaves behind ends with this process, the first of its container.
    fn supervise(&self, command: &mut Command) -> Result<Option<ExitStatus>, TestError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|source| TestError::Start { program, source })?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait()));
        if let Ok(status) = end.recv_timeout(self.within) {
            return Ok(Some(status.map_err(TestError::Wait)?));
        }
        // It may have ended by itself just now.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        Ok(None)
    }
}

fn number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What the tests wrote of themselves; a file that is no report says nothing.
fn read_report() -> Report {
    let mut bytes = Vec::new();
    let read = File::open(REPORT).and_then(|file| file.take(MAX_REPORT_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(_) => Report::default(),
        Ok(_) => junit::read(&bytes).unwrap_or_else(|why| {
            println!("the tests' report ({REPORT}) is not read: {why}");
            Report::default()
        }),
    }
}
