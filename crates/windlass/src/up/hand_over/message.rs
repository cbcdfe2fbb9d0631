//! The message between the two programs: a document that says what the descriptors beside it are.

use super::{Part, Running};
use anyhow::{Context, Result, ensure};
use model::Instance;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

/// Counted up when a program could not go on with what an earlier one hands over.
pub(super) const FORM: u32 = 1;
/// Largest document in bytes.
pub(super) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Most descriptors of one message; the kernel takes 253.
const MAX_DESCRIPTORS: usize = 250;

/// What is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) form: u32,
    #[serde(with = "number")]
    pub(super) instance: Instance,
    pub(super) program: PathBuf,
    /// What a new program cannot change, since sockets, tools and files lie there.
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) began: Duration,
    /// Which descriptors follow after standard input, lease and root's socket.
    pub(super) parts: Vec<Descriptors>,
    /// The last descriptor is the connection of who asked.
    pub(super) asker: bool,
}

/// Which descriptors are there for one part, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Descriptors {
    pub(super) socket: bool,
    pub(super) process: bool,
    pub(super) leaving: usize,
}

/// Alone what tells whether the rest can be read.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

mod number {
    use model::Instance;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(instance: &Instance, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(instance.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Instance, D::Error> {
        u32::deserialize(from).map(Instance)
    }
}

impl Document {
    pub(super) fn of(running: &Running, parts: &[Part], asker: bool, began: Duration) -> Self {
        let paths = running.settings.paths();
        let parts = parts.iter().map(|part| Descriptors {
            socket: part.socket.is_some(),
            process: part.process.is_some(),
            leaving: part.leaving.len(),
        });
        Self {
            form: FORM,
            instance: running.lease.instance,
            program: running.start.program.clone(),
            data: paths.data,
            run: paths.run,
            listen: running.settings.server.listen,
            began,
            parts: parts.collect(),
            asker,
        }
    }

    /// Reads what another version of this program may have written.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let Form { form } = serde_json::from_slice(bytes).context("it is no hand-over")?;
        ensure!(
            form == FORM,
            "the program that runs hands over in form {form}, this one takes form {FORM}; end the platform and start it"
        );
        Ok(serde_json::from_slice(bytes)?)
    }
}

pub(super) fn send(
    socket: BorrowedFd<'_>,
    document: &Document,
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let bytes = serde_json::to_vec(document)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(
        descriptors.len() <= MAX_DESCRIPTORS && control.push(SendAncillaryMessage::ScmRights(descriptors)),
        "{} descriptors are too many to hand over; try again when replaced parts have ended",
        descriptors.len()
    );
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

pub(super) fn receive(socket: BorrowedFd<'_>) -> Result<(Document, impl Iterator<Item = OwnedFd> + use<>)> {
    let mut bytes = vec![0; MAX_DOCUMENT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = rights.flatten().collect();
    let document = Document::read(bytes.get(..received.bytes).unwrap_or_default())?;
    Ok((document, descriptors.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_form_is_refused_by_name_and_the_present_one_is_read() {
        let text = |form: u32, more: &str| {
            format!(
                r#"{{"form":{form},"instance":3,"program":"/p","data":"/d","run":"/r","listen":"127.0.0.1:80",
                "began":{{"secs":1,"nanos":0}},"parts":[{{"socket":true,"process":true,"leaving":2}}],"asker":false{more}}}"#
            )
        };
        let document = Document::read(text(FORM, "").as_bytes()).unwrap();
        assert!(document.instance == Instance(3) && document.parts[0].leaving == 2);
        let error = Document::read(text(FORM + 1, r#","new":1"#).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("in form 2, this one takes form 1"), "{error}");
        let error = Document::read(b"ready?").unwrap_err().to_string();
        assert!(error.contains("no hand-over"), "{error}");
    }
}
