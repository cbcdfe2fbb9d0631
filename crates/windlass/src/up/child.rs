//! One part of the platform as a child process: started again whenever it ends by itself, replaced when asked.

use super::{
    control::{self, Asked},
    say,
    socket::Socket,
};
use anyhow::{Context, Result, bail};
use model::Instance;
use rustix::process::Signal;
use std::{
    convert::Infallible,
    path::PathBuf,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    process::{ChildStdout, Command},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// A part that ends sooner than this after its start is in trouble and, from the second time on, is started again
/// more slowly.
const SETTLED: Duration = Duration::from_secs(10);
/// Quick ends in a row after which nobody is kept waiting for the part.
const IN_TROUBLE: u32 = 3;
/// Between two tries to start a program that is not there.
const SPAWN_AGAIN: Duration = Duration::from_secs(1);
/// How long a part gets to end after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(20);
/// How long a new part may take until it answers; if it does not, the old one stays.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a replaced part may take to finish what it has begun; a little longer than it allows itself.
const LEAVE_WITHIN: Duration = Duration::from_secs(660);

/// Which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Helper,
    Router,
    Serve,
}

impl Role {
    /// In the order in which they are replaced.
    pub(crate) const ALL: [Self; 3] = [Self::Helper, Self::Router, Self::Serve];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::Router => "router",
            Self::Serve => "serve",
        }
    }
}

/// What it takes to start a part, once and again.
pub(super) struct Start {
    /// Named once by the starter: the name of a program that was replaced meanwhile leads nowhere. Whatever program
    /// lies there when a part starts is run.
    pub(super) program: PathBuf,
    pub(super) file: PathBuf,
    pub(super) instance: Instance,
}

/// A part.
pub(super) struct Child {
    role: Role,
    start: Rc<Start>,
    socket: Socket,
    /// Requests to replace it.
    asked: mpsc::Receiver<Asked>,
    process: Option<tokio::process::Child>,
    /// Processes that were replaced and finish what they have begun.
    leaving: JoinSet<()>,
    /// Tells them that the platform stops.
    stopping: watch::Sender<bool>,
}

impl Child {
    /// A part that [`Self::keep`] starts.
    pub(super) fn new(role: Role, start: &Rc<Start>, socket: Socket, asked: mpsc::Receiver<Asked>) -> Self {
        let (start, stopping) = (Rc::clone(start), watch::Sender::new(false));
        Self { role, start, socket, asked, process: None, leaving: JoinSet::new(), stopping }
    }

    /// Starts it, and again whenever it ends by itself. Returns only when it cannot be waited for; when this is dropped,
    /// the part runs on.
    pub(super) async fn keep(&mut self) -> Result<Infallible> {
        let name = self.role.name();
        let mut quick_ends = 0;
        loop {
            let mut started = Instant::now();
            self.process = Some(self.spawn_at_last().await.0);
            let status = loop {
                let Some(process) = &mut self.process else { bail!("{name} was lost sight of") };
                tokio::select! {
                    status = process.wait() => {
                        break status.with_context(|| format!("cannot wait for {name}"))?;
                    }
                    Some(asked) = self.asked.recv() => {
                        let began = Instant::now();
                        let replaced = self.replace().await;
                        if replaced.is_ok() {
                            started = Instant::now();
                        }
                        // Whoever asked may be gone.
                        let _ = asked.send(replaced.map(|()| began.elapsed()));
                    }
                    Some(_) = self.leaving.join_next() => {}
                }
            };
            say(&format!("{name} ended ({status}); starting it again"));
            quick_ends = if started.elapsed() < SETTLED { quick_ends + 1 } else { 0 };
            if quick_ends > 1 {
                if quick_ends >= IN_TROUBLE {
                    self.socket.give_back();
                }
                sleep(Duration::from_millis(100) * 2u32.pow(quick_ends.min(7))).await;
            }
        }
    }

    /// Starts a new process of this part and, once that answers, lets the old one finish what it has begun.
    async fn replace(&mut self) -> Result<()> {
        let name = self.role.name();
        if self.role == Role::Helper {
            // Two of it would work on the same sandboxes: the old one ends first, who asks meanwhile waits.
            if let Some(mut old) = self.process.take() {
                signal(&old, Signal::QUIT);
                end(&mut old, name).await;
            }
        }
        // A helper has already ended here, and must come again.
        let (mut new, stdout) = match self.role {
            Role::Helper => self.spawn_at_last().await,
            Role::Router | Role::Serve => self.spawn()?,
        };
        let answers = tokio::select! {
            ready = timeout(READY_WITHIN, control::ready(stdout)) => {
                ready.unwrap_or_else(|elapsed| Err(elapsed.into())).context("it does not answer")
            }
            ended = new.wait() => match ended {
                Ok(status) => Err(anyhow::anyhow!("it ended at once ({status})")),
                Err(error) => Err(error.into()),
            },
        };
        if self.role == Role::Helper {
            self.process = Some(new);
            return answers.with_context(|| format!("the new {name} is in trouble; see the platform's log"));
        }
        if let Err(error) = answers {
            let _ = new.kill().await;
            return Err(error.context(format!("the new {name} is of no use, the old one goes on")));
        }
        if let Some(old) = self.process.replace(new) {
            signal(&old, Signal::QUIT);
            self.leaving.spawn(leave(old, name, self.stopping.subscribe()));
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL to what does not listen.
    pub(super) async fn stop(mut self) {
        self.stopping.send_replace(true);
        if let Some(process) = &mut self.process {
            signal(process, Signal::TERM);
            end(process, self.role.name()).await;
        }
        while self.leaving.join_next().await.is_some() {}
    }

    /// Starts it as soon as that is possible: a program that is being replaced may be away for a moment, and a machine
    /// short of memory for a while, which is no reason to end the tools.
    async fn spawn_at_last(&mut self) -> (tokio::process::Child, Option<ChildStdout>) {
        loop {
            match self.spawn() {
                Ok(started) => return started,
                Err(error) => say(&format!("{error:#}; trying again")),
            }
            sleep(SPAWN_AGAIN).await;
        }
    }

    /// The process, and where it says that it is ready.
    fn spawn(&mut self) -> Result<(tokio::process::Child, Option<ChildStdout>)> {
        let Start { program, file, instance } = self.start.as_ref();
        let mut command = Command::new(program);
        command
            .arg(self.role.name())
            .arg(file)
            .arg(instance.0.to_string())
            .stdin(Stdio::from(self.socket.lend()?))
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C is for `up` alone, which stops its parts in order.
            .process_group(0)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/");
        // The group is the platform's for both; setting a user also drops all supplementary groups.
        match self.role {
            Role::Helper => {}
            Role::Router => {
                command.uid(instance.router_id()).gid(instance.serve_id());
            }
            Role::Serve => {
                command.uid(instance.serve_id()).gid(instance.serve_id());
            }
        }
        let mut process = command.spawn().with_context(|| format!("cannot start {}", self.role.name()))?;
        let stdout = process.stdout.take();
        Ok((process, stdout))
    }
}

/// Waits for a replaced process; when the platform stops, or it takes too long, it is ended.
async fn leave(mut process: tokio::process::Child, name: &'static str, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        _ = process.wait() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = sleep(LEAVE_WITHIN) => {}
    }
    signal(&process, Signal::TERM);
    end(&mut process, name).await;
}

/// Waits for the end of a process that was told to end.
async fn end(process: &mut tokio::process::Child, name: &str) {
    if timeout(STOP_TIME, process.wait()).await.is_err() {
        say(&format!("{name} did not end in time and is killed"));
        if let Err(error) = process.kill().await {
            say(&format!("{name} cannot be killed: {error}"));
        }
    }
}

fn signal(process: &tokio::process::Child, signal: Signal) {
    let pid = process.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself a moment ago.
        let _ = rustix::process::kill_process(pid, signal);
    }
}
