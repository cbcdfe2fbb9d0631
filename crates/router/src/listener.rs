//! Serve's way in: tables over a Unix socket, one JSON document a line.

use crate::{
    control::{MAX_MESSAGE_BYTES, Message, Reply},
    tables::Tables,
};
use std::{io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task,
    time::sleep,
};

/// Makes the socket; what an earlier router left there is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Takes tables for ever.
pub(crate) async fn serve(listener: UnixListener, tables: Arc<Tables>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !is_ours(&stream) {
            tracing::warn!("a stranger asked to change the table");
            continue;
        }
        let tables = Arc::clone(&tables);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &tables).await {
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

async fn converse(stream: UnixStream, tables: &Arc<Tables>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        if (&mut read).take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let tables = Arc::clone(tables);
        // The table is written to disk before it is answered.
        let reply = task::spawn_blocking(move || answer(&line, &tables)).await.map_err(io::Error::other)?;
        let mut reply = serde_json::to_vec(&reply)?;
        reply.push(b'\n');
        write.write_all(&reply).await?;
    }
}

fn answer(line: &[u8], tables: &Tables) -> Reply {
    match serde_json::from_slice(line) {
        Ok(Message::Table(table)) => match tables.replace(&table) {
            Ok(generation) => Reply::Applied { generation },
            Err(error) => Reply::Refused { text: with_source(&error) },
        },
        Err(error) => Reply::Refused { text: format!("the message cannot be read: {error}") },
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
