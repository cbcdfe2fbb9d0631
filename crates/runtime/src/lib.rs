//! Where builds and releases run: the trait [`Runtime`], its machine backend, and the health check of what runs.
//!
//! A job is asked for by a name of the caller's choosing, and asking twice gives the same job: a station that runs
//! again after a crash finds its job and goes on waiting for it.

pub mod health;
pub mod machine;

use async_trait::async_trait;
use lifecycle::export;
use sandbox::request::{Ended, SandboxId, SandboxRow, SandboxSpec, Usage};
use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};
use thiserror::Error;

pub use machine::Machine;

/// Why the runtime did not do what it was asked.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// It said no, with a sentence and a stable id; asking again changes nothing.
    #[error("{text}")]
    Refused { id: String, text: String },
    /// It cannot be reached or broke off; asking again may help.
    #[error("the runtime is not there: {0}")]
    Away(String),
    /// A worker ended badly; what it said.
    #[error("{what} failed: {text}")]
    Worker { what: &'static str, status: i32, text: String },
    #[error("cannot prepare {what}")]
    Io {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// How large a scratch tree may get.
#[derive(Clone, Copy, Debug)]
pub struct ScratchLimits {
    pub max_bytes: u64,
    pub max_entries: u64,
}

/// One place where sandboxes run.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes and starts a sandbox; one of that name that is there already stays as it is. Gives the address at which
    /// it can be reached, when its network has one. Rows of its output go to `log`.
    async fn run(&self, spec: &SandboxSpec, log: OwnedFd) -> Result<Option<Ipv4Addr>, RuntimeError>;
    /// Waits for its end, however long that takes and however often the helper is restarted meanwhile.
    async fn ended(&self, id: &SandboxId) -> Result<Ended, RuntimeError>;
    /// Ends it: SIGTERM, the grace, then SIGKILL to the whole tree.
    async fn end(&self, id: &SandboxId, grace: Duration) -> Result<Ended, RuntimeError>;
    /// Removes what an ended sandbox left. Removing nothing is no error.
    async fn remove(&self, id: &SandboxId) -> Result<(), RuntimeError>;
    /// Everything that is there, also after a restart.
    async fn list(&self) -> Result<Vec<SandboxRow>, RuntimeError>;
    async fn usage(&self, id: &SandboxId) -> Result<Usage, RuntimeError>;
    /// What its processes listen on, for telling a person why nothing answers.
    async fn listeners(&self, id: &SandboxId) -> Result<Vec<SocketAddr>, RuntimeError>;

    /// Unpacks a tar into a tree that a sandbox may have as a layer.
    async fn fill_scratch(
        &self,
        id: &SandboxId,
        owner: u32,
        limits: ScratchLimits,
        tar: OwnedFd,
    ) -> Result<(), RuntimeError>;
    async fn remove_scratch(&self, id: &SandboxId) -> Result<(), RuntimeError>;
    /// Publishes a layer tar, plain or gzip.
    async fn publish_layer(&self, tar: OwnedFd) -> Result<layers::Published, RuntimeError>;
    /// Publishes the base images that lie beside the store; those that are there already are not read again.
    async fn import_base(&self) -> Result<layers::base::BaseImages, RuntimeError>;
    /// Removes, checks or repairs layers and blobs.
    async fn maintain(&self, order: &layers::Order) -> Result<layers::Answer, RuntimeError>;
    /// Publishes what the next build for tests can use of what one left; makes no image.
    async fn keep_layers(
        &self,
        id: &SandboxId,
        request: &export::Request,
    ) -> Result<export::KeptLayers, RuntimeError>;
    /// Turns what an ended build left into an image in the layer store.
    async fn export(&self, id: &SandboxId, request: &export::Request)
    -> Result<export::Report, RuntimeError>;
}
