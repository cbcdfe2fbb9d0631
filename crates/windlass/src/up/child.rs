//! One part of the platform as a child process: started again whenever it ends by itself, replaced when asked.

use super::{
    control::{self, Asked},
    hand_over,
    process::Process,
    say,
    socket::Socket,
};
use anyhow::{Context, Result, bail};
use model::Instance;
use rustix::process::Signal;
use std::{
    convert::Infallible,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{ChildStdout, Command, Stdio},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
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
/// How much longer than it allows itself a replaced part may take to finish what it has begun.
const LEAVE_MARGIN: Duration = Duration::from_mins(1);

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
    /// How long a replaced part allows itself.
    pub(super) finish: Duration,
}

/// A part.
pub(super) struct Child {
    role: Role,
    start: Arc<Start>,
    socket: Socket,
    /// Requests to replace it.
    asked: mpsc::Receiver<Asked>,
    process: Option<Process>,
    /// Processes that were replaced and finish what they have begun, and what waits for each.
    left: Vec<Weak<Process>>,
    leaving: JoinSet<()>,
    /// Tells them that the platform stops.
    stopping: watch::Sender<bool>,
}

impl Child {
    /// A part that [`Self::keep`] starts.
    pub(super) fn new(role: Role, start: &Arc<Start>, socket: Socket, asked: mpsc::Receiver<Asked>) -> Self {
        let (start, stopping) = (Arc::clone(start), watch::Sender::new(false));
        Self {
            role,
            start,
            socket,
            asked,
            process: None,
            left: Vec::new(),
            leaving: JoinSet::new(),
            stopping,
        }
    }

    /// Goes on with what the program before had of it.
    pub(super) fn take_over(&mut self, taken: hand_over::Part) {
        if let Some(socket) = taken.socket {
            self.socket.take_over(socket);
        }
        self.process = taken.process.map(Process::held);
        for process in taken.leaving {
            self.let_leave(Process::held(process));
        }
    }

    /// What the program after it needs to go on.
    pub(super) fn hand_over(&self) -> Result<hand_over::Part> {
        let duplicate = |process: &Process| rustix::io::fcntl_dupfd_cloexec(process, 0);
        let leaving = self.left.iter().filter_map(Weak::upgrade).filter(|process| process.lives());
        Ok(hand_over::Part {
            socket: self.socket.present()?,
            process: self.process.as_ref().map(duplicate).transpose()?,
            leaving: leaving.map(|process| duplicate(&process)).collect::<Result<Vec<OwnedFd>, _>>()?,
        })
    }

    fn let_leave(&mut self, process: Process) {
        let process = Arc::new(process);
        self.left.retain(|process| process.strong_count() > 0);
        self.left.push(Arc::downgrade(&process));
        let within = self.start.finish + LEAVE_MARGIN;
        self.leaving.spawn(leave(process, self.role.name(), within, self.stopping.subscribe()));
    }

    /// Starts it unless it runs, and again whenever it ends by itself. Returns only when it cannot be waited for; when
    /// this is dropped while nobody asks to replace it, the part runs on and a later call goes on with it.
    pub(super) async fn keep(&mut self) -> Result<Infallible> {
        let name = self.role.name();
        let mut quick_ends = 0;
        loop {
            let mut started = Instant::now();
            if self.process.is_none() {
                self.process = Some(self.spawn_at_last().await.0);
            }
            let status = loop {
                let Some(process) = &self.process else { bail!("{name} was lost sight of") };
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
            self.process = None;
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
            if let Some(old) = self.process.take() {
                old.signal(Signal::QUIT);
                end(&old, name).await;
            }
        }
        // A helper has already ended here, and must come again.
        let (new, stdout) = match self.role {
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
            new.signal(Signal::KILL);
            let _ = new.wait().await;
            return Err(error.context(format!("the new {name} is of no use, the old one goes on")));
        }
        if let Some(old) = self.process.replace(new) {
            old.signal(Signal::QUIT);
            self.let_leave(old);
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL to what does not listen.
    pub(super) async fn stop(mut self) {
        self.stopping.send_replace(true);
        if let Some(process) = &self.process {
            process.signal(Signal::TERM);
            end(process, self.role.name()).await;
        }
        while self.leaving.join_next().await.is_some() {}
    }

    /// Starts it as soon as that is possible: a program that is being replaced may be away for a moment, and a machine
    /// short of memory for a while, which is no reason to end the tools.
    async fn spawn_at_last(&mut self) -> (Process, Option<ChildStdout>) {
        loop {
            match self.spawn() {
                Ok(started) => return started,
                Err(error) => say(&format!("{error:#}; trying again")),
            }
            sleep(SPAWN_AGAIN).await;
        }
    }

    /// The process, and where it says that it is ready.
    fn spawn(&mut self) -> Result<(Process, Option<ChildStdout>)> {
        let Start { program, file, instance, .. } = self.start.as_ref();
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
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.role.name()))?;
        match Process::of(&child) {
            Ok(process) => Ok((process, child.stdout.take())),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).with_context(|| format!("cannot keep an eye on {}", self.role.name()))
            }
        }
    }
}

/// Waits for a replaced process; when the platform stops, or it takes too long, it is ended.
async fn leave(
    process: Arc<Process>,
    name: &'static str,
    within: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = process.wait() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = sleep(within) => {}
    }
    process.signal(Signal::TERM);
    end(&process, name).await;
}

/// Waits for the end of a process that was told to end.
async fn end(process: &Process, name: &str) {
    if timeout(STOP_TIME, process.wait()).await.is_err() {
        say(&format!("{name} did not end in time and is killed"));
        process.signal(Signal::KILL);
        if let Err(error) = process.wait().await {
            say(&format!("{name} cannot be waited for: {error}"));
        }
    }
}
