//! Debian's dockerd with directories of its own. It touches neither firewall nor bridge: containers share the host's
//! network, which is the cheapest that it has.

use super::{Peers, Scratch, end};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Newest interface that it speaks; programs that do not negotiate are told.
pub(crate) const API_VERSION: &str = "1.41";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running dockerd. Dropping it ends it, its containers, and removes all that it kept.
pub(crate) struct Docker<'a> {
    pub(crate) peers: &'a Peers,
    pub(crate) scratch: Scratch,
    daemon: Child,
    cgroup: String,
}

impl<'a> Docker<'a> {
    pub(crate) fn start(peers: &'a Peers) -> Result<Self> {
        let scratch = Scratch::new("docker")?;
        let cgroup = format!("windlass-bench-{}", std::process::id());
        let log = fs::File::create(scratch.0.join("log"))?;
        let daemon = peers
            .command("debian/usr/sbin/dockerd")
            .arg("--data-root")
            .arg(scratch.0.join("data"))
            .arg("--exec-root")
            .arg(scratch.0.join("exec"))
            .arg("--pidfile")
            .arg(scratch.0.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket(&scratch.0).display()))
            .args(["--cgroup-parent", &cgroup])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("dockerd")?;
        let mut docker = Self { peers, scratch, daemon, cgroup };
        let until = Instant::now() + PATIENCE;
        while docker.run(&["version"]).is_err() {
            let log = || fs::read_to_string(docker.scratch.0.join("log")).unwrap_or_default();
            if let Some(status) = docker.daemon.try_wait()? {
                bail!("dockerd ended ({status}):\n{}", last_lines(&log()));
            }
            ensure!(Instant::now() < until, "dockerd does not answer:\n{}", last_lines(&log()));
            thread::sleep(Duration::from_millis(100));
        }
        Ok(docker)
    }

    /// A program that talks to this daemon.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = self.peers.command(name);
        command
            .env("DOCKER_HOST", format!("unix://{}", socket(&self.scratch.0).display()))
            .env("HOME", &self.scratch.0)
            .stdin(Stdio::null());
        command
    }

    /// `docker …`; gives what it wrote.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command("debian/usr/bin/docker").args(arguments).output().context("docker")?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker {arguments:?}: {}", text.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let containers = self.run(&["ps", "--all", "--quiet"]).unwrap_or_default();
        for container in containers.lines() {
            let _ = self.run(&["rm", "--force", "--volumes", container]);
        }
        end(&mut self.daemon, PATIENCE);
        // What a daemon that was killed left, and the host's network namespace, which it keeps mounted.
        for mount in mounts_beneath(&self.scratch.0) {
            let _ = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH);
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(&self.cgroup));
        }
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(&self.cgroup));
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("docker.sock")
}

/// Deepest first.
fn mounts_beneath(directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(directory)).collect();
    found.reverse();
    found
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
