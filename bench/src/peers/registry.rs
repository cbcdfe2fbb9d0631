//! A registry of somebody else, on loopback and without accounts: Debian's docker-registry or distribution v3.

use super::{Peers, Scratch, end, free_port, listening};
use anyhow::{Context, Result};
use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

/// Which program, as the table calls it, and where it lies.
pub(crate) const DEBIAN: (&str, &str) = ("docker-registry 2.8.2 (Debian)", "debian/usr/bin/docker-registry");
pub(crate) const DISTRIBUTION: (&str, &str) = ("distribution 3.1.1", "bin/registry");

const PATIENCE: Duration = Duration::from_secs(20);

/// A running registry. Dropping it ends it and removes what it stored.
pub(crate) struct Registry {
    pub(crate) port: u16,
    child: Child,
    _scratch: Scratch,
}

impl Registry {
    pub(crate) fn start(peers: &Peers, program: &str) -> Result<Self> {
        let port = free_port()?;
        let scratch = Scratch::new(&format!("registry-{port}"))?;
        let settings = scratch.0.join("config.yml");
        let storage = scratch.0.join("blobs");
        fs::write(
            &settings,
            format!(
                "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n\
                 storage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
                storage.display()
            ),
        )?;
        let log = fs::File::create(scratch.0.join("log"))?;
        let mut child = peers
            .command(program)
            .arg("serve")
            .arg(&settings)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context(program.to_owned())?;
        let answers = listening(&mut child, port, PATIENCE);
        let registry = Self { port, child, _scratch: scratch };
        answers.with_context(|| program.to_owned())?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child, PATIENCE);
    }
}
