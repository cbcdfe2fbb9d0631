//! `windlass.toml`: what the operator sets. Every key has a default that suits one machine; an unknown key is an error.

mod check;

use anyhow::{Context, Result};
pub(crate) use check::check_file;
use model::{Paths, limits::MIB, run::OnNewPush};
use serde::Deserialize;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub server: Server,
    pub paths: Places,
    pub sandbox: Sandbox,
    pub egress: Egress,
    pub network: Network,
    pub runs: Runs,
    pub releases: Releases,
    pub storage: Storage,
    pub git: Git,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Where the router listens for the platform and its tools.
    pub listen: SocketAddr,
    /// The platform answers on this name, a tool on `<tool>.<domain>`.
    pub domain: String,
    /// How long a replaced router or serve may go on with what it has begun.
    pub finish_seconds: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Places {
    pub data: PathBuf,
    pub run: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sandbox {
    /// An OCI runtime with runc's command line; `windlass doctor` judges its version.
    pub runtime: PathBuf,
    /// Memory of a tool's process in MiB.
    pub service_memory_mebibytes: u64,
    /// Memory of a build in MiB.
    pub build_memory_mebibytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Egress {
    /// Named groups of hosts that every build may reach, see docs/egress.md.
    pub groups: Vec<String>,
    /// Further exact host names.
    pub hosts: Vec<String>,
    /// Special-purpose networks in which registries answer here: site mirrors, inspecting hops. `address/prefix`.
    pub allow_networks: Vec<String>,
    /// Asked instead of the machine's own resolver, by builds and by running tools.
    pub resolver: Option<IpAddr>,
    /// The CA bundle that builds see; needed where a hop inspects TLS. Never part of an image.
    pub ca_bundle: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Addresses of running tools, `address/prefix`; each platform on a machine uses its own part of it.
    pub pool: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Runs {
    /// Steps that run at the same time on this machine.
    pub parallel: u32,
    /// Steps of one tool at the same time.
    pub per_tool: u32,
    /// What a new push does to earlier runs of its branch, in tools that do not say: `supersede` or `queue`.
    pub on_new_push: OnNewPush,
    /// How long a run may wait for its turn in all, in hours.
    pub wait_hours: u32,
    /// Whether `[skip tests]` in a commit's message skips the tests.
    pub skip_tests: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Releases {
    /// How many of a tool's releases are kept with their images; the deployed one and the one before it always are.
    pub keep: u32,
    /// How long requests that are under way to a copy may go on once it is replaced or stopped.
    pub drain_seconds: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Storage {
    /// Free space in MiB below which no build begins; by default 2048, or a twentieth of a small disk.
    pub reserve_mebibytes: Option<u64>,
    /// Most that layers and their blobs may take, in MiB; by default what the disk holds.
    pub max_mebibytes: Option<u64>,
    /// What one tool's images, caches and pushed images may take, in MiB; `windlass tools set` gives one more.
    pub per_tool_mebibytes: u64,
    /// Days after which a branch that was not built loses its caches.
    pub keep_builds_days: u64,
    /// Seconds between two rounds that remove what nobody needs.
    pub collect_seconds: u64,
    /// Days between two passes that compare what is stored with what it should be.
    pub scrub_days: u64,
    /// How fast such a pass reads, in MiB a second; 0: as fast as it goes.
    pub scrub_mebibytes_per_second: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Git {
    /// Largest upload of one push, and of a whole repository, in MiB.
    pub max_pack_mebibytes: u64,
    pub max_repository_mebibytes: u64,
    /// Most objects (commits, directories, files) of one push.
    pub max_objects: u32,
    /// For one upload.
    pub max_upload_seconds: u64,
    /// A client that takes nothing of git's answer for so long is given up.
    pub max_stalled_seconds: u64,
    /// What a red push brought is kept so long.
    pub keep_red_pushes_days: u64,
    /// Between two looks at the repositories, and the packs above which they are joined.
    pub maintenance_seconds: u64,
    pub repack_above_packs: usize,
    /// Largest source tree of one commit, checked out, in MiB.
    pub max_source_mebibytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// A filter such as `info` or `windlass_flow=debug`.
    pub level: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            domain: "localhost".to_owned(),
            finish_seconds: 600,
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { data: "/var/lib/windlass".into(), run: "/run/windlass".into() }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { runtime: "/usr/sbin/runc".into(), service_memory_mebibytes: 512, build_memory_mebibytes: 2048 }
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            groups: vec!["python".to_owned()],
            hosts: Vec::new(),
            allow_networks: Vec::new(),
            resolver: None,
            ca_bundle: None,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { pool: "10.128.0.0/10".to_owned() }
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            parallel: 4,
            per_tool: 2,
            on_new_push: OnNewPush::Supersede,
            wait_hours: 24,
            skip_tests: false,
        }
    }
}

impl Default for Releases {
    fn default() -> Self {
        Self { keep: 10, drain_seconds: 60 }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            reserve_mebibytes: None,
            max_mebibytes: None,
            keep_builds_days: 30,
            collect_seconds: 60,
            scrub_days: 7,
            scrub_mebibytes_per_second: 50,
            per_tool_mebibytes: 10 * 1024,
        }
    }
}

impl Default for Git {
    fn default() -> Self {
        Self {
            max_pack_mebibytes: 128,
            max_repository_mebibytes: 512,
            max_objects: 500_000,
            max_upload_seconds: 900,
            max_stalled_seconds: 300,
            keep_red_pushes_days: 14,
            maintenance_seconds: 60,
            repack_above_packs: 20,
            max_source_mebibytes: 512,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

impl Git {
    /// Largest file that git may write: a whole repository with what one more push brings, and as much again for
    /// what a collection cannot keep as small as it came.
    pub(crate) fn max_file_bytes(&self) -> u64 {
        self.max_repository_mebibytes.saturating_add(self.max_pack_mebibytes).saturating_mul(2 * MIB)
    }
}

impl Server {
    /// How long a replaced router or serve may go on.
    pub(crate) fn finish(&self) -> Duration {
        Duration::from_secs(u64::from(self.finish_seconds))
    }
}

impl Storage {
    /// Most bytes of layers and their blobs.
    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.max_mebibytes.map(|mebibytes| mebibytes.saturating_mul(MIB))
    }
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is absent or says something that it cannot say; the message names the line.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a windlass.toml", file.display()))
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::new(&self.paths.data, &self.paths.run)
    }

    /// Free bytes that no build may touch.
    pub(crate) fn reserve_bytes(&self) -> Result<u64> {
        match self.storage.reserve_mebibytes {
            Some(mebibytes) => Ok(mebibytes.saturating_mul(MIB)),
            None => flow::layers::default_reserve_bytes(&self.paths.data)
                .context("cannot ask for the disk's size"),
        }
    }

    /// `http://localhost:8080`, as people type it.
    pub(crate) fn public_url(&self) -> String {
        self.url_of(&self.server.domain)
    }

    /// The URL of a host name on this platform's port.
    pub(crate) fn url_of(&self, host: &str) -> String {
        match self.server.listen.port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_platform_and_a_misspelt_key_is_named() {
        let settings: Settings = toml::from_str("").unwrap();
        assert_eq!(settings.public_url(), "http://localhost:8080");
        let error = toml::from_str::<Settings>("[server]\nlisen = 1").unwrap_err().to_string();
        assert!(error.contains("lisen") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn numbers_that_would_hold_the_line_up_are_refused_by_name() {
        let runs = |text: &str| toml::from_str::<Settings>(&format!("[runs]\n{text}")).unwrap();
        assert!(runs("").check().is_ok());
        for (text, named) in [
            ("parallel = 0", "runs.parallel = 0 cannot be: it takes 1 to 256"),
            ("per_tool = 0", "runs.per_tool = 0"),
            ("wait_hours = 0", "runs.wait_hours = 0 cannot be: it takes 1 to 720"),
            ("parallel = 2\nper_tool = 3", "runs.per_tool = 3 is more than runs.parallel = 2"),
        ] {
            let error = runs(text).check().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let stalled: Settings = toml::from_str("[git]\nmax_stalled_seconds = 4").unwrap();
        let error = stalled.check().unwrap_err().to_string();
        assert!(error.contains("git.max_stalled_seconds = 4 cannot be: it takes 5 to 86400"), "{error}");
        let error = toml::from_str::<Settings>("[runs]\non_new_push = \"wait\"").unwrap_err().to_string();
        assert!(
            error.contains("supersede") && error.contains("queue") && error.contains("line 2"),
            "{error}"
        );
        assert_eq!(runs("on_new_push = \"queue\"").runs.on_new_push, OnNewPush::Queue);
    }
}
