//! Doing something inside another process's network namespace.

use super::NetworkError;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use std::{io, os::fd::BorrowedFd, thread};

/// Runs `work` inside the network namespace of the process behind `process` (a pidfd), on a thread that ends with it.
///
/// Only the network namespace is entered: a thread cannot join a user namespace, and need not, since the helper's
/// capabilities reach down into every user namespace made below its own (`user_namespaces(7)`).
pub(super) fn inside<T: Send>(
    process: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let run = || {
        move_into_thread_name_spaces(process, ThreadNameSpaceType::NETWORK)
            .map_err(|error| NetworkError::Enter(error.into()))?;
        work()
    };
    thread::scope(|scope| {
        let ended = thread::Builder::new().spawn_scoped(scope, run).map_err(NetworkError::Enter)?.join();
        ended
            .unwrap_or_else(|_| Err(NetworkError::Enter(io::Error::other("the thread that entered it died"))))
    })
}
