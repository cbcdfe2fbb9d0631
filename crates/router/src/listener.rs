//! Serve's way in: the messages of [`control`] over a Unix socket.

use crate::{
    control::{self, MAX_MESSAGE_BYTES, Message, Reply, Statistics},
    service::Counts,
    tables::Tables,
};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task,
    time::sleep,
};

/// A router's control socket, removed with it.
pub(crate) struct Listener {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What stays is refused by the kernel, and cleared by the next router.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes this router's socket in a directory and clears away those of routers that were killed.
pub(crate) fn bind(directory: &Path) -> io::Result<Listener> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    for socket in control::sockets(directory)? {
        if std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::fs::remove_file(&socket)?;
        }
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!("control-{}-{number}.sock", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    Ok(Listener { path, listener })
}

/// Answers serve for ever.
pub(crate) async fn serve(listener: Listener, tables: Arc<Tables>, counts: Arc<Counts>) {
    loop {
        let Ok((stream, _)) = listener.listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !is_ours(&stream) {
            tracing::warn!("a stranger asked to change the table");
            continue;
        }
        let (tables, counts) = (Arc::clone(&tables), Arc::clone(&counts));
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &tables, &counts).await {
                tracing::debug!(%error, "the connection of serve ended badly");
            }
        });
    }
}

/// Serve, root or ourselves. The socket's group holds the git program too, which reads strangers' bytes and has no
/// business here; serve's user has the number of that group.
fn is_ours(stream: &UnixStream) -> bool {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    stream.peer_cred().is_ok_and(|peer| [0, user, group].contains(&peer.uid()))
}

async fn converse(stream: UnixStream, tables: &Arc<Tables>, counts: &Counts) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        if (&mut read).take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(message) => answer(message, tables, counts).await?,
            Err(error) => Reply::Refused { text: format!("the message cannot be read: {error}") },
        };
        let mut reply = serde_json::to_vec(&reply)?;
        reply.push(b'\n');
        write.write_all(&reply).await?;
    }
}

async fn answer(message: Message, tables: &Arc<Tables>, counts: &Counts) -> io::Result<Reply> {
    let reply = match message {
        Message::Table(table) => {
            let tables = Arc::clone(tables);
            // The table is written to disk before it is answered.
            let replaced = task::spawn_blocking(move || tables.replace(&table)).await;
            match replaced.map_err(io::Error::other)? {
                Ok(generation) => Reply::Applied { generation },
                Err(error) => Reply::Refused { text: with_source(&error) },
            }
        }
        Message::Drain { backend, .. } if tables.names(backend) => {
            Reply::Refused { text: format!("the table still leads to {backend}") }
        }
        Message::Drain { backend, deadline_seconds } => {
            let deadline = Duration::from_secs(deadline_seconds);
            Reply::Drained(tables.underway.drain(backend, deadline).await)
        }
        Message::Open { backend } => Reply::Open { open: tables.underway.open_at(backend) },
        Message::Statistics => Reply::Statistics(Statistics {
            requests: counts.requests.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
            open: tables.underway.open(),
        }),
    };
    Ok(reply)
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
