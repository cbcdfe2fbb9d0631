//! Everything a person can ask for: commands and queries, each authorised, validated, audited.
//!
//! Doors (API, git, pages) hold an [`App`] and never touch the store. A verb takes the [`model::Actor`] who asks,
//! judges it by [`model::policy`], checks what was sent, does one thing in the store, and wakes the engine when there
//! is something to do. Every refusal is a [`model::Problem`]: what happened, where, what to do next. One file per noun.

mod access;
mod addresses;
pub mod identity;
pub mod logs;
pub mod members;
pub mod operator;
mod problems;
mod production_branch;
pub mod pushes;
pub mod quota;
pub mod registry;
pub mod releases;
pub mod retries;
pub mod rollbacks;
pub mod runs;
pub mod storage;
pub mod tools;
pub mod users;

pub use addresses::Addresses;
pub use problems::{bad_request, internal, not_signed_in};

use model::{Paths, run::OnNewPush};
use retries::Commits;
use std::sync::Arc;
use storage::StorageLimits;
use store::Store;
use tokio::sync::Notify;

/// The application layer. Cheap to share: hold it in an `Arc`.
pub struct App {
    store: Arc<dyn Store>,
    commits: Arc<dyn Commits>,
    paths: Paths,
    addresses: Addresses,
    /// Tells the engine that rows have changed.
    nudge: Arc<Notify>,
    /// What a new push does where the tool does not say.
    on_new_push: OnNewPush,
    /// What the operator set about the disk.
    storage_limits: StorageLimits,
}

impl App {
    pub fn new(
        store: Arc<dyn Store>,
        commits: Arc<dyn Commits>,
        paths: Paths,
        addresses: Addresses,
        nudge: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            commits,
            paths,
            addresses,
            nudge,
            on_new_push: OnNewPush::default(),
            storage_limits: StorageLimits::default(),
        }
    }

    /// What a new push does to earlier runs of its branch, in tools that do not say.
    #[must_use]
    pub fn with_on_new_push(self, on_new_push: OnNewPush) -> Self {
        Self { on_new_push, ..self }
    }

    /// Where people find the platform and its tools.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}
