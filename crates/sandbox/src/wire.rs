//! The framing of the helper's socket: a big-endian u32 length, then one JSON document; descriptors ride on the length
//! (`SCM_RIGHTS`, unix(7)). The helper's side; [`client`](crate::client) writes the same bytes asynchronously.

use crate::request::{Answer, MAX_MESSAGE_BYTES, Request};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use thiserror::Error;

/// Descriptors that any request carries at most.
pub(crate) const MAX_DESCRIPTORS: usize = 3;
/// Longest answer in bytes: a list of some thousand sandboxes.
pub(crate) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Bytes that are no request.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the message has {0} bytes; the most is {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    #[error("the message is no request of this version")]
    NotARequest(#[source] serde_json::Error),
}

/// Reads one request with its descriptors. `None`: the peer closed without asking anything.
pub(crate) fn receive(stream: &mut UnixStream) -> Result<Option<(Request, Vec<OwnedFd>)>, WireError> {
    let mut length = [0; 4];
    let mut descriptors = Vec::new();
    let mut filled = 0;
    while filled < length.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut length[filled..])];
        let got = rustix::net::recvmsg(&*stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(|error| WireError::Broken(error.into()))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if got.bytes == 0 {
            return Ok(None);
        }
        filled += got.bytes;
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong(length));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map_err(WireError::Broken)?;
    let request = serde_json::from_slice(&bytes).map_err(WireError::NotARequest)?;
    Ok(Some((request, descriptors)))
}

/// Writes one answer.
pub(crate) fn answer(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    stream.write_all(&frame(answer, MAX_ANSWER_BYTES)?)
}

/// A document behind its length.
pub(crate) fn frame(document: &impl serde::Serialize, most: usize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(document)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("the message has {} bytes; the most is {most}", bytes.len())));
    }
    let mut framed = u32::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
    framed.extend(bytes);
    Ok(framed)
}
