//! The sockets that parts listen on. The starter owns them, so that who connects while a part restarts waits and is
//! not refused.

use anyhow::{Context, Result};
use std::{
    fs::{self, Permissions},
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

/// What one part gets as its standard input.
pub(super) enum Socket {
    /// Held for as long as the platform runs.
    Public(TcpListener),
    /// For the platform's own processes. Given back while its part does not stay up, so that those who wait hear it.
    Own { path: PathBuf, owner: u32, mode: u32, held: Option<UnixListener> },
}

impl Socket {
    /// A socket at `path`, made when it is first needed.
    pub(super) fn own(path: PathBuf, owner: u32, mode: u32) -> Self {
        Self::Own { path, owner, mode, held: None }
    }

    /// The listener, for one more process.
    pub(super) fn lend(&mut self) -> Result<OwnedFd> {
        match self {
            Self::Public(listener) => Ok(listener.try_clone()?.into()),
            Self::Own { path, owner, mode, held } => {
                let listener = match held {
                    Some(listener) => listener,
                    None => held.insert(
                        listen(path, *owner, *mode)
                            .with_context(|| format!("cannot listen on {}", path.display()))?,
                    ),
                };
                Ok(listener.try_clone()?.into())
            }
        }
    }

    /// The listener for the program after this one; `None` when there is none at the moment.
    pub(super) fn present(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Self::Public(listener) => Ok(Some(listener.try_clone()?.into())),
            Self::Own { held, .. } => held.as_ref().map(|held| Ok(held.try_clone()?.into())).transpose(),
        }
    }

    /// Goes on with the listener of the program before this one; the public one is given at the beginning.
    pub(super) fn take_over(&mut self, listener: OwnedFd) {
        if let Self::Own { held, .. } = self {
            *held = Some(listener.into());
        }
    }

    /// Refuses from now on, and those who wait already.
    pub(super) fn give_back(&mut self) {
        if let Self::Own { held, .. } = self {
            *held = None;
        }
    }
}

/// Listens where an earlier process may have left its socket.
pub(super) fn listen(path: &Path, owner: u32, mode: u32) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    chown(path, Some(owner), Some(owner))?;
    Ok(listener)
}

/// Why a platform that runs cannot take a new public address.
pub(super) fn listening_at(has: SocketAddr, says: SocketAddr) -> String {
    format!(
        "server.listen is {says} now, but the platform listens on {has}; end it and start it to change that"
    )
}
