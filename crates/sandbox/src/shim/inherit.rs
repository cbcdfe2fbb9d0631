//! The descriptors that the helper gives.

use super::{CONFIG_FD, Config, LOG_FD, READY_FD, Ready, ShimError};
use rustix::io::FdFlags;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

/// Largest configuration in bytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

pub(super) struct Inherited {
    pub(super) config: Config,
    pub(super) log: OwnedFd,
    pub(super) ready: File,
}

/// Takes the three descriptors, out of reach of every program that the shim starts, and reads the configuration.
pub(super) fn take() -> Result<Inherited, ShimError> {
    let config = File::from(take_one(CONFIG_FD)?);
    let log = take_one(LOG_FD)?;
    let ready = File::from(take_one(READY_FD)?);
    let mut text = Vec::new();
    config.take(MAX_CONFIG_BYTES).read_to_end(&mut text).map_err(ShimError::Config)?;
    let config = serde_json::from_slice(&text).map_err(|error| ShimError::Config(error.into()))?;
    Ok(Inherited { config, log, ready })
}

fn take_one(number: i32) -> Result<OwnedFd, ShimError> {
    // SAFETY: fcntl(F_GETFD) on any number is harmless: a closed one answers EBADF.
    #[expect(unsafe_code, reason = "descriptors that were inherited come as bare numbers")]
    let open = rustix::io::fcntl_getfd(unsafe { rustix::fd::BorrowedFd::borrow_raw(number) });
    open.map_err(|_| ShimError::NotInherited(number))?;
    // SAFETY: it is open, and `take` runs once, before anything else in this process opens a descriptor.
    #[expect(unsafe_code, reason = "descriptors that were inherited come as bare numbers")]
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)
        .map_err(|error| ShimError::Kernel("keep a descriptor to itself", error.into()))?;
    Ok(descriptor)
}

/// Tells the helper and closes the pipe. An error: the helper has died meanwhile, and its successor removes what it
/// finds half-made.
pub(super) fn say(mut pipe: File, ready: &Ready) -> Result<(), ShimError> {
    let told = serde_json::to_vec(ready).map_err(io::Error::from).and_then(|text| pipe.write_all(&text));
    told.map_err(|error| ShimError::Kernel("tell the helper", error))
}
