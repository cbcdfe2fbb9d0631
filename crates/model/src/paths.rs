//! Where everything lies. Directories carry ids, never names (a deleted name comes back with other ids).

use crate::{DiffId, Digest, LogStream, ToolId};
use std::path::PathBuf;

/// The data directory (survives a reboot) and the run directory (does not).
#[derive(Clone, Debug)]
pub struct Paths {
    /// For example /var/lib/windlass.
    pub data: PathBuf,
    /// For example /run/windlass.
    pub run: PathBuf,
}

impl Paths {
    pub fn new(data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), run: run.into() }
    }

    /// Owner: serve.
    pub fn database(&self) -> PathBuf {
        self.data.join("db/windlass.sqlite")
    }
    /// Locked by the serve process that drives runs and collects garbage: while one is replaced there are two, and only
    /// one of them does.
    pub fn engine_lock(&self) -> PathBuf {
        self.data.join("db/engine.lock")
    }
    /// Secrets of the platform, 0600, owner serve.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }
    /// Owner: the store's range. Blobs of layers are written by the export and unpack workers;
    /// the directories `00` to `ff` in here are serve's to write as well, which puts what clients push beside them.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs/sha256")
    }
    /// `blobs/sha256/ab/<hex>`.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs().join(&hex[..2]).join(hex)
    }
    /// Unfinished uploads of the registry, beside the blobs that they become by a rename. Owner: serve.
    pub fn uploads(&self) -> PathBuf {
        self.data.join("blobs/uploads")
    }
    /// Owner: the store's range.
    pub fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }
    /// `layers/sha256-<hex>`, holding `tree/` and `meta.json`; read-only once published.
    pub fn layer(&self, diff_id: &DiffId) -> PathBuf {
        self.layers().join(format!("sha256-{}", diff_id.hex()))
    }
    /// Owner: the git id, readable by serve's group.
    pub fn repository(&self, tool: ToolId) -> PathBuf {
        self.data.join("git").join(format!("{tool}.git"))
    }
    /// Owner: serve; shims, router and workers get descriptors.
    pub fn logs(&self, tool: ToolId) -> PathBuf {
        self.data.join("logs").join(tool.to_string())
    }
    /// One log stream's file of rows.
    pub fn log(&self, tool: ToolId, stream: &LogStream) -> PathBuf {
        self.logs(tool).join(stream.file())
    }
    /// The token of the operator made at the first start: `windlass login`, run as root, reads it.
    pub fn operator_token(&self) -> PathBuf {
        self.keys().join("operator-token")
    }
    /// The address that this platform serves, as people type it, so that root's `windlass login` finds the token above
    /// and shows it to no other address.
    pub fn served_address(&self) -> PathBuf {
        self.keys().join("address")
    }
    /// Leads from the data directory to the run directory, for root's verbs that know only which platforms run.
    pub fn run_link(&self) -> PathBuf {
        self.data.join("run")
    }
    /// Per sandbox: `upper/`, `work/` or `upper.img`. The helper's alone.
    pub fn sandboxes(&self) -> PathBuf {
        self.data.join("sandboxes")
    }
    /// The router's last table, read by it at start.
    pub fn route_table(&self) -> PathBuf {
        self.data.join("router/table.json")
    }
    /// Where root asks the starter; root's alone.
    pub fn starter_socket(&self) -> PathBuf {
        self.run.join("up.sock")
    }
    pub fn helper_socket(&self) -> PathBuf {
        self.run.join("helper.sock")
    }
    /// Holds the control socket of every router that lives: while one is replaced there are two.
    pub fn router_sockets(&self) -> PathBuf {
        self.run.join("router")
    }
    /// Where serve answers HTTP for the router.
    pub fn serve_socket(&self) -> PathBuf {
        self.run.join("serve/http.sock")
    }
    /// Where git's hooks reach the serve process that lets their push in: while one is replaced there are two.
    pub fn hook_socket(&self, serve_process: u32) -> PathBuf {
        self.run.join(format!("serve/hook-{serve_process}.sock"))
    }
    /// Per sandbox: bundle, shim socket, exit status. The helper's alone.
    pub fn sandbox_runs(&self) -> PathBuf {
        self.run.join("sandboxes")
    }
}
