//! What the operator set, as far as the line needs it.

use crate::{layers::StorageSettings, repositories::RepositorySettings};
use model::Limits;
use std::time::Duration;

/// Limits, addresses and the allow-list of builds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub build_limits: Limits,
    pub service_limits: Limits,
    pub task_limits: Limits,
    /// What builds may reach.
    pub egress: egress::Policy,
    /// Whether builds see the operator's CA bundle.
    pub ca_bundle: bool,
    /// A tool answers on `<tool>.<domain>`.
    pub domain: String,
    /// Of the public listener; 80 is left out of URLs.
    pub port: u16,
    /// Largest checked-out source tree.
    pub max_source_bytes: u64,
    /// How long requests that are under way to a copy may go on once it is replaced or stopped.
    pub drain: Duration,
    /// Steps that run at the same time, on the machine and for one tool.
    pub parallel: u32,
    pub per_tool: u32,
    /// Whether `[skip tests]` in a commit's message means something.
    pub skip_tests: bool,
    /// How long a run may wait for its turn in all.
    pub wait: Duration,
    pub storage: StorageSettings,
    pub repositories: RepositorySettings,
}

impl Settings {
    /// `http://wordcount.localhost:8080/`
    pub fn tool_url(&self, tool: &model::ToolName) -> String {
        match self.port {
            80 => format!("http://{tool}.{}/", self.domain),
            port => format!("http://{tool}.{}:{port}/", self.domain),
        }
    }
}
