//! What the fuzz targets reach of this room (`fuzz/`); for nobody else.

use crate::{
    helper::{self, Refusal},
    request::{GitService, Request, SandboxSpec},
    wire,
};
use std::{
    io::{self, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

/// What the helper makes of these bytes on its socket; at most 100 kB of them.
pub fn receive(bytes: &[u8]) -> io::Result<Option<Request>> {
    let (mut client, mut server) = UnixStream::pair()?;
    client.write_all(&bytes[..bytes.len().min(100_000)])?;
    client.shutdown(Shutdown::Write)?;
    let received = wire::receive(&mut server).map_err(io::Error::other)?;
    Ok(received.map(|(request, _)| request))
}

/// A request as the client writes it.
pub fn send(request: &Request) -> io::Result<Vec<u8>> {
    wire::frame(request, crate::request::MAX_MESSAGE_BYTES)
}

/// Whether a sandbox may be asked for.
pub fn check(spec: &SandboxSpec) -> Result<(), Refusal> {
    helper::check_spec(spec)
}

/// The arguments of git for a service.
pub fn git_arguments(service: &GitService) -> Result<Vec<String>, Refusal> {
    helper::git_arguments(service)
}

/// The environment of git.
pub fn git_environment(
    config: &[(String, String)],
    env: &[(String, String)],
) -> Result<Vec<(String, String)>, Refusal> {
    helper::git_environment(config, env)
}
