//! How root asks a running platform to replace its parts: one JSON document a line over a socket that only root may
//! connect to.

use super::{
    child::Role,
    hand_over::{self, Running},
};
use anyhow::{Context, Result, anyhow, bail};
use model::Paths;
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, Write},
    os::unix::net,
    process::ChildStdout,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::pipe},
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
};

/// Longest message in bytes.
const MAX_MESSAGE_BYTES: u64 = 4096;
/// `up` itself, as a part that may be replaced.
pub(crate) const UP: &str = "up";
/// What a part writes to its standard output once it answers.
const READY: &str = "ready";

/// Who waits for a part to be replaced, and hears how long it took.
pub(super) type Asked = oneshot::Sender<Result<Duration>>;

/// One line to the platform.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Message {
    Restart { part: String },
}

/// One line back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Restarted { milliseconds: u64 },
    Failed { text: String },
}

/// Who waits for `up` to become another program.
pub(super) enum Asker {
    /// Over this connection, which the new program answers.
    Root(net::UnixStream),
    /// By SIGHUP, after which the new program replaces the parts as well.
    Signal,
}

/// `up` is to become another program, which has said that it would take over. Nothing is replaced meanwhile.
pub(super) struct Upgrade {
    pub(super) asker: Asker,
    /// On the machine's monotonic clock.
    pub(super) began: Duration,
    pub(super) _alone: OwnedMutexGuard<()>,
}

/// Ways to ask for each part, and for `up` itself.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) helper: mpsc::Sender<Asked>,
    pub(super) router: mpsc::Sender<Asked>,
    pub(super) serve: mpsc::Sender<Asked>,
    pub(super) up: mpsc::Sender<Upgrade>,
    /// Held while something is replaced.
    pub(super) replacing: Arc<Mutex<()>>,
}

impl Requests {
    /// Returns when the new process of the part answers.
    pub(super) async fn replace(&self, role: Role) -> Result<Duration> {
        let _alone = self.replacing.lock().await;
        let part = match role {
            Role::Helper => &self.helper,
            Role::Router => &self.router,
            Role::Serve => &self.serve,
        };
        let (asked, answer) = oneshot::channel();
        part.send(asked).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Returns when this process is about to become the program at the path, or that would not take over.
    pub(super) async fn upgrade(
        &self,
        running: &Running,
        asker: Asker,
    ) -> Result<(), (Asker, anyhow::Error)> {
        let began = hand_over::now();
        let alone = Arc::clone(&self.replacing).lock_owned().await;
        if let Err(error) = hand_over::rehearse(running).await {
            return Err((asker, error));
        }
        let upgrade = Upgrade { asker, began, _alone: alone };
        self.up.send(upgrade).await.map_err(|unsent| (unsent.0.asker, stopping()))
    }
}

fn stopping() -> anyhow::Error {
    anyhow!("the platform is stopping")
}

impl Asker {
    /// Tells who asked how it went.
    pub(super) fn tell(self, upgraded: Result<Duration>) {
        match self {
            Self::Signal => match upgraded {
                Ok(took) => super::say(&format!("up restarted in {:.1} s", took.as_secs_f64())),
                Err(error) => super::say(&format!("up was not restarted: {error:#}")),
            },
            Self::Root(mut stream) => {
                let told = serde_json::to_vec(&Reply::of(upgraded)).map_err(std::io::Error::from).and_then(
                    |mut reply| {
                        reply.push(b'\n');
                        stream.set_nonblocking(false)?;
                        stream.write_all(&reply)
                    },
                );
                // Whoever asked may be gone.
                drop(told);
            }
        }
    }
}

impl Reply {
    fn of(replaced: Result<Duration>) -> Self {
        match replaced {
            Ok(took) => Self::Restarted { milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) },
            Err(error) => Self::Failed { text: format!("{error:#}") },
        }
    }
}

/// Answers root for ever.
pub(super) async fn serve(
    listener: UnixListener,
    requests: Requests,
    running: Arc<Running>,
) -> Result<std::convert::Infallible> {
    loop {
        let (stream, _) = listener.accept().await.context("root cannot be answered any more")?;
        let (requests, running) = (requests.clone(), Arc::clone(&running));
        tokio::spawn(async move {
            // The socket's mode lets nobody else in; this is said twice because it matters.
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == 0)
                && let Err(error) = converse(stream, &requests, &running).await
            {
                super::say(&format!("a request of root was not answered: {error:#}"));
            }
        });
    }
}

async fn converse(mut stream: UnixStream, requests: &Requests, running: &Running) -> Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(MAX_MESSAGE_BYTES)).read_line(&mut line).await?;
    let replaced = match serde_json::from_str(&line) {
        Ok(Message::Restart { part }) if part == UP => {
            // The program that takes over answers.
            let asker = Asker::Root(stream.into_std()?);
            if let Err((asker, error)) = requests.upgrade(running, asker).await {
                asker.tell(Err(error));
            }
            return Ok(());
        }
        Ok(Message::Restart { part }) => match Role::ALL.into_iter().find(|role| role.name() == part) {
            Some(role) => requests.replace(role).await,
            None => Err(anyhow!("there is no part `{part}`")),
        },
        Err(error) => Err(anyhow!("the request cannot be read: {error}")),
    };
    let mut reply = serde_json::to_vec(&Reply::of(replaced))?;
    reply.push(b'\n');
    Ok(stream.write_all(&reply).await?)
}

/// Asks a running platform to replace one part, and waits until the new one answers.
///
/// # Errors
/// When no platform runs there, or the part cannot be replaced; then the old one goes on.
pub(crate) fn ask(paths: &Paths, part: &str) -> Result<Duration> {
    let socket = paths.starter_socket();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket)
        .with_context(|| format!("no platform answers at {}", socket.display()))?;
    let mut line = serde_json::to_vec(&Message::Restart { part: part.to_owned() })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    std::io::BufReader::new(stream).read_line(&mut answer)?;
    match serde_json::from_str(&answer).context("the platform went away")? {
        Reply::Restarted { milliseconds } => Ok(Duration::from_millis(milliseconds)),
        Reply::Failed { text } => bail!(text),
    }
}

/// A part's word that it answers.
pub(crate) fn say_ready() {
    // A starter that is gone, or does not listen for this, is no reason not to serve. Past the buffer of standard
    // output, which would keep what nobody took until the end.
    let _ = if crate::units::under_systemd() {
        crate::units::say_ready()
    } else {
        let said = rustix::io::write(rustix::stdio::stdout(), format!("{READY}\n").as_bytes());
        said.map(drop).map_err(std::io::Error::from)
    };
    // Nobody reads there any more: what is ever printed goes where the log goes.
    let _ = rustix::stdio::dup2_stdout(std::io::stderr());
}

/// Waits for that word.
pub(super) async fn ready(stdout: Option<ChildStdout>) -> Result<()> {
    let stdout = stdout.context("a part without standard output")?;
    let stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
    let mut line = String::new();
    BufReader::new(stdout.take(MAX_MESSAGE_BYTES)).read_line(&mut line).await?;
    if line.trim_end() == READY { Ok(()) } else { bail!("it ended before it was ready") }
}
