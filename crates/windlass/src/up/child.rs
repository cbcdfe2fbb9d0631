//! One part of the platform as a child process, started again whenever it ends by itself.

use anyhow::{Context, Result};
use model::Instance;
use std::{
    env,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::Command;

/// A part that ends sooner than this after its start is in trouble and is started again more slowly.
const SETTLED: Duration = Duration::from_secs(10);
/// How long a part gets to end after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(20);

/// Which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Helper,
    Router,
    Serve,
}

impl Role {
    fn verb(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::Router => "router",
            Self::Serve => "serve",
        }
    }
}

/// A running part and what it takes to start it again.
pub(super) struct Child {
    role: Role,
    file: PathBuf,
    instance: Instance,
    /// Becomes its standard input: the socket that it listens on outlives it here.
    socket: OwnedFd,
    process: tokio::process::Child,
    started: Instant,
    quick_ends: u32,
}

impl Child {
    pub(super) fn start(role: Role, file: &Path, instance: Instance, socket: OwnedFd) -> Result<Self> {
        let process = spawn(role, file, instance, &socket)?;
        let file = file.to_owned();
        Ok(Self { role, file, instance, socket, process, started: Instant::now(), quick_ends: 0 })
    }

    /// Returns when it has ended by itself and was started again.
    pub(super) async fn ended(&mut self) -> Result<()> {
        let status = self.process.wait().await?;
        eprintln!("windlass: {} ended ({status}); starting it again", self.role.verb());
        self.quick_ends = if self.started.elapsed() < SETTLED { self.quick_ends + 1 } else { 0 };
        if self.quick_ends > 0 {
            let wait = Duration::from_millis(100) * 2u32.pow(self.quick_ends.min(7));
            tokio::time::sleep(wait).await;
        }
        self.process = spawn(self.role, &self.file, self.instance, &self.socket)?;
        self.started = Instant::now();
        Ok(())
    }

    /// SIGTERM, and SIGKILL to what does not listen.
    pub(super) async fn stop(mut self) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself a moment ago.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_TIME, self.process.wait()).await.is_err() {
            eprintln!("windlass: {} did not end in time and is killed", self.role.verb());
            if let Err(error) = self.process.kill().await {
                eprintln!("windlass: {} cannot be killed: {error}", self.role.verb());
            }
        }
    }
}

fn spawn(role: Role, file: &Path, instance: Instance, socket: &OwnedFd) -> Result<tokio::process::Child> {
    let program = env::current_exe().context("cannot tell where this program lies")?;
    let mut command = Command::new(program);
    command
        .arg(role.verb())
        .arg(file)
        .arg(instance.0.to_string())
        .stdin(Stdio::from(socket.try_clone()?))
        // A terminal's Ctrl-C is for `up` alone, which stops its parts in order.
        .process_group(0)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/");
    // The group is the platform's for both; setting a user also drops all supplementary groups.
    match role {
        Role::Helper => {}
        Role::Router => {
            command.uid(instance.router_id()).gid(instance.serve_id());
        }
        Role::Serve => {
            command.uid(instance.serve_id()).gid(instance.serve_id());
        }
    }
    command.spawn().with_context(|| format!("cannot start {}", role.verb()))
}
