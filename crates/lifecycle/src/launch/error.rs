//! Why a process did not start, and the exit code that says so (platform specification, "Launcher", outputs).

use crate::environment::EnvironmentError;
use cnb::Api;
use std::{io, path::PathBuf};
use thiserror::Error;

/// The launcher could not become the process.
#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("CNB_PLATFORM_API is not set; start the image with the environment that its config has")]
    NoPlatformApi,
    #[error("this launcher does not speak Platform API `{text}` (CNB_PLATFORM_API); build the image again")]
    PlatformApi { text: String },
    #[error("this launcher does not speak Buildpack API {api} of buildpack {id}; build the image again")]
    BuildpackApi { id: String, api: Api },
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Format(#[from] cnb::FormatError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("there is no process to start: {0}")]
    NoCommand(String),
    #[error("process {kind} may not start where CNB_EXEC_ENV is `{exec_env}`; it is for {allowed}")]
    ExecEnv { kind: String, exec_env: String, allowed: String },
    #[error("cannot enter the app directory {}", path.display())]
    App {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot enter the working directory {} of process {kind}", path.display())]
    WorkingDirectory {
        kind: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot find the command `{command}` of {process}: no such program in PATH ({path})")]
    NotFound { command: String, process: String, path: String },
    #[error("cannot start {} for {process}", program.display())]
    Start {
        process: String,
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot run {}", program.display())]
    ExecD {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} ended with {status}; it should set the environment of the process", program.display())]
    ExecDFailed { program: PathBuf, status: String },
    #[error("{} wrote more than {max_bytes} bytes to descriptor 3", program.display())]
    ExecDTooLong { program: PathBuf, max_bytes: u64 },
    #[error("descriptor 3 is taken; programs in exec.d answer there, so start the launcher without it")]
    Descriptor,
}

impl LaunchError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::NoPlatformApi | Self::PlatformApi { .. } => 11,
            Self::BuildpackApi { .. } => 12,
            _ => 82,
        }
    }
}
