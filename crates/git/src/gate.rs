//! Serve's side of the hooks: ties a hook's connection to the grant of the client that pushes, by a one-time secret.

use crate::{
    Arrival, Grant, Platform,
    hook::{Question, Reply, Stage},
};
use std::{
    collections::HashMap,
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

/// Longest question of a hook in bytes: 10,000 refs of ordinary length.
const MAX_QUESTION_BYTES: u64 = 2 * 1024 * 1024;

/// The pushes under way and the platform that judges them.
pub struct Gate {
    platform: Arc<dyn Platform>,
    pushes: Mutex<HashMap<String, Grant>>,
}

/// A push that hooks may speak for, until this is dropped.
pub struct Admission<'a> {
    gate: &'a Gate,
    /// Goes to the hook in [`crate::settings::PUSH_VARIABLE`].
    pub secret: String,
}

impl Gate {
    pub fn new(platform: Arc<dyn Platform>) -> Self {
        Self { platform, pushes: Mutex::default() }
    }

    /// Lets hooks with a fresh secret speak for this client.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn admit(&self, grant: Grant) -> io::Result<Admission<'_>> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let secret = hex::encode(bytes);
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.clone(), grant);
        Ok(Admission { gate: self, secret })
    }

    /// How many pushes are under way.
    pub fn pushes(&self) -> usize {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Answers hooks on a socket that only serve's group (git's processes) can reach. Never returns unless the
    /// socket breaks.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub async fn serve(self: Arc<Self>, socket: &Path) -> io::Result<()> {
        if socket.exists() {
            std::fs::remove_file(socket)?;
        }
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660))?;
        loop {
            let (hook, _) = listener.accept().await?;
            let gate = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = gate.answer(hook).await {
                    tracing::warn!(%error, "a git hook went away or spoke nonsense");
                }
            });
        }
    }

    async fn answer(&self, hook: UnixStream) -> io::Result<()> {
        let (read, mut write) = hook.into_split();
        let mut line = String::new();
        BufReader::new(read.take(MAX_QUESTION_BYTES)).read_line(&mut line).await?;
        let question: Question = serde_json::from_str(&line)?;
        let grant = self.pushes.lock().unwrap_or_else(PoisonError::into_inner).get(&question.push).cloned();
        let Some(grant) = grant else {
            return reply(&mut write, &Reply::Refused("this push is not known here; push again".to_owned()))
                .await;
        };
        match question.stage {
            Stage::PreReceive => {
                let refused = self.platform.refuse(&grant, &question.commands).await;
                reply(&mut write, &refused.map_or(Reply::Verdicts(Vec::new()), Reply::Refused)).await
            }
            Stage::ProcReceive => {
                let arrival = Arrival { grant, commands: question.commands, options: question.options };
                self.receive(arrival, &mut write).await
            }
        }
    }

    /// Copies the run's lines to the hook while it lasts. A hook that is gone stops the copying, never the run.
    async fn receive(&self, arrival: Arrival, hook: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
        let (lines, mut said) = mpsc::channel(256);
        let platform = Arc::clone(&self.platform);
        let run = tokio::spawn(async move { platform.receive(arrival, lines).await });
        while let Some(text) = said.recv().await {
            reply(hook, &Reply::Say(text)).await?;
        }
        let verdicts = run.await.map_err(io::Error::other)?;
        reply(hook, &Reply::Verdicts(verdicts)).await
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.gate.pushes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.secret);
    }
}

async fn reply(hook: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    hook.write_all(line.as_bytes()).await
}
