//! One part of the platform as a child process, started again whenever it ends by itself.

use super::say;
use anyhow::{Context, Result};
use model::Instance;
use std::{
    convert::Infallible,
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

/// A part and what it takes to start it, once and again.
pub(super) struct Child {
    role: Role,
    /// Named once by the starter: the name of a program that was replaced meanwhile leads nowhere.
    program: PathBuf,
    file: PathBuf,
    instance: Instance,
    /// Becomes its standard input: the socket that it listens on outlives it here.
    socket: OwnedFd,
    process: Option<tokio::process::Child>,
}

impl Child {
    /// A part that [`Self::keep`] starts.
    pub(super) fn new(role: Role, program: &Path, file: &Path, instance: Instance, socket: OwnedFd) -> Self {
        let (program, file) = (program.to_owned(), file.to_owned());
        Self { role, program, file, instance, socket, process: None }
    }

    /// Starts it, and again whenever it ends by itself. Returns only when it cannot be started or waited for; when
    /// this is dropped, the part runs on.
    pub(super) async fn keep(&mut self) -> Result<Infallible> {
        let verb = self.role.verb();
        let mut quick_ends = 0;
        loop {
            let started = Instant::now();
            let process = self.process.insert(self.spawn()?);
            let status = process.wait().await.with_context(|| format!("cannot wait for {verb}"))?;
            say(&format!("{verb} ended ({status}); starting it again"));
            quick_ends = if started.elapsed() < SETTLED { quick_ends + 1 } else { 0 };
            if quick_ends > 0 {
                tokio::time::sleep(Duration::from_millis(100) * 2u32.pow(quick_ends.min(7))).await;
            }
        }
    }

    /// SIGTERM, and SIGKILL to what does not listen.
    pub(super) async fn stop(self) {
        let Some(mut process) = self.process else { return };
        let pid = process.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself a moment ago.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_TIME, process.wait()).await.is_err() {
            say(&format!("{} did not end in time and is killed", self.role.verb()));
            if let Err(error) = process.kill().await {
                say(&format!("{} cannot be killed: {error}", self.role.verb()));
            }
        }
    }

    fn spawn(&self) -> Result<tokio::process::Child> {
        let mut command = Command::new(&self.program);
        command
            .arg(self.role.verb())
            .arg(&self.file)
            .arg(self.instance.0.to_string())
            .stdin(Stdio::from(self.socket.try_clone()?))
            // A terminal's Ctrl-C is for `up` alone, which stops its parts in order.
            .process_group(0)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/");
        // The group is the platform's for both; setting a user also drops all supplementary groups.
        match self.role {
            Role::Helper => {}
            Role::Router => {
                command.uid(self.instance.router_id()).gid(self.instance.serve_id());
            }
            Role::Serve => {
                command.uid(self.instance.serve_id()).gid(self.instance.serve_id());
            }
        }
        command.spawn().with_context(|| format!("cannot start {}", self.role.verb()))
    }
}
