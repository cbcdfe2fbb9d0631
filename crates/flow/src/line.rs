//! What every station needs: the rows, the runtime, the repositories, the router, and where logs lie.

use crate::{Settings, base::Base, layers::Keeping, nudge::Nudge, replicas::Deploying, routes::Routes};
use git::Repositories;
use model::{
    Fault, LogStream, Paths, Problem, ToolId,
    run::{Cause, Outcome},
};
use runtime::{Runtime, RuntimeError};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
};
use store::{Store, StoreError};
use thiserror::Error;

/// One platform's line.
pub struct Line {
    pub store: Arc<dyn Store>,
    pub runtime: Arc<dyn Runtime>,
    pub repositories: Repositories,
    pub routes: Routes,
    pub paths: Paths,
    pub settings: Settings,
    /// The images that builds and releases stand on.
    pub base: Base,
    /// Somebody wrote a row that the engine or the reconciler should look at now.
    pub nudge: Arc<Nudge>,
    /// Tools that a deploy step is working on; the reconciler leaves them alone.
    pub deploying: Deploying,
    /// Of the layer store.
    pub keeping: Keeping,
}

/// Why a station could not finish: ours, theirs, or nobody's.
#[derive(Debug, Error)]
pub enum StationError {
    /// Told to the pusher as it is.
    #[error("{problem}")]
    Told { cause: Cause, problem: Box<Problem>, outputs: Option<Value> },
    #[error("the store")]
    Store(#[from] StoreError),
    #[error("the runtime")]
    Runtime(#[from] RuntimeError),
    #[error("the layer store")]
    Layers(#[from] layers::StoreError),
    #[error("git")]
    Git(#[from] git::repository::GitError),
    #[error("a file of the platform")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Inconsistent(String),
}

impl StationError {
    /// A failure that is the tool's own.
    pub fn tool(problem: Problem) -> Self {
        Self::told(Cause::Tool, problem)
    }

    /// A failure that the pusher reads as it is.
    pub fn told(cause: Cause, problem: Problem) -> Self {
        Self::Told { cause, problem: Box::new(problem), outputs: None }
    }

    /// With more to read than the problem; of another error, nothing.
    #[must_use]
    pub fn with_outputs(mut self, value: Value) -> Self {
        if let Self::Told { outputs, .. } = &mut self {
            *outputs = Some(value);
        }
        self
    }

    /// What the engine writes down. Faults of the platform get a short id that the operator finds in the log; their
    /// causes stay there.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Told { cause, problem, outputs } => Outcome::Failed { cause, problem: *problem, outputs },
            // What the tree itself asks for is too much: its variables are too many or too long, for example.
            Self::Runtime(RuntimeError::Refused { id, text })
                if matches!(id.as_str(), "request-too-long" | "sandbox-refused") =>
            {
                let problem = Problem::new("run-refused", 422, "the sandbox cannot be made like this", text);
                Outcome::failed(Cause::Refused, problem)
            }
            fault => {
                let problem = Fault::of("a step of a run", &fault)
                    .problem("run-platform", 500, "the platform could not do this step")
                    .hint("It was tried several times. Push again; if that fails too, tell the operator the id.");
                Outcome::failed(Cause::Platform, problem)
            }
        }
    }
}

impl Line {
    /// Where a stream's rows lie; its directory is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn log_path(&self, tool: ToolId, stream: &LogStream) -> io::Result<PathBuf> {
        let path = self.paths.logs(tool).join(stream.file());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(path)
    }

    /// A stream opened for append, to be handed to a shim.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn log_file(&self, tool: ToolId, stream: &LogStream) -> io::Result<OwnedFd> {
        let path = self.log_path(tool, stream)?;
        let file: File = OpenOptions::new().append(true).create(true).mode(0o660).open(path)?;
        Ok(file.into())
    }
}
