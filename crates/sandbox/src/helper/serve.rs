//! The helper's socket: one thread per connection, one request per connection.

use super::refusal::Refusal;
use super::{State, create, facts, workers};
use crate::request::{Answer, Request, Worker};
use crate::wire;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A request is sent at once; whoever is slower is no part of the platform.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Threads that mostly wait.
const STACK_BYTES: usize = 512 * 1024;

/// Answers until `leave` is readable.
pub(crate) fn accept(state: &Arc<State>, listener: &UnixListener, leave: Option<&OwnedFd>) -> io::Result<()> {
    loop {
        if let Some(leave) = leave {
            let mut waiting = [PollFd::new(listener, PollFlags::IN), PollFd::new(leave, PollFlags::IN)];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut waiting, None))?;
            if !waiting[1].revents().is_empty() {
                return Ok(());
            }
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let state = Arc::clone(state);
                let started = thread::Builder::new()
                    .name("request".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn(move || converse(&state, stream));
                if let Err(error) = started {
                    tracing::error!(%error, "no thread for a request");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Out of descriptors or memory: others give some back.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) =>
            {
                tracing::error!(%error, "cannot accept a connection now");
                thread::sleep(Duration::from_millis(100));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// True when the peer has closed its end.
pub(crate) fn is_gone(stream: &UnixStream) -> bool {
    let mut waiting = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut waiting, Some(&now)).is_ok_and(|woken| woken > 0)
}

fn converse(state: &Arc<State>, mut stream: UnixStream) {
    if let Err(refusal) = check_peer(state, &stream) {
        reply(&mut stream, &refused(refusal));
        return;
    }
    let timed = stream.set_read_timeout(Some(REQUEST_TIME)).and(stream.set_write_timeout(Some(REQUEST_TIME)));
    if let Err(error) = timed {
        tracing::warn!(%error, "a connection takes no time limit");
        return;
    }
    let (request, descriptors) = match wire::receive(&mut stream) {
        Ok(Some(received)) => received,
        Ok(None) => return,
        Err(error) => {
            reply(&mut stream, &refused(Refusal::new("bad-request", model::sentence::of(&error))));
            return;
        }
    };
    let _unfinished = (!only_waits(&request)).then(|| state.begin());
    match answer(state, request, descriptors, &stream) {
        Ok(Some(answer)) => reply(&mut stream, &answer),
        Ok(None) => {}
        Err(refusal) => {
            tracing::info!(id = refusal.id, text = %refusal.text, "refused");
            reply(&mut stream, &refused(refusal));
        }
    }
}

/// Whether a request mostly waits for something that outlives helpers: the end of a sandbox, or of the run that a push
/// set off.
fn only_waits(request: &Request) -> bool {
    match request {
        Request::Wait { .. } => true,
        Request::Worker(Worker::Git { service, .. }) => service.outlives_helpers(),
        _ => false,
    }
}

/// Only serve, and root who could do it all anyway.
fn check_peer(state: &State, stream: &UnixStream) -> Result<(), Refusal> {
    let peer = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|error| Refusal::platform("cannot tell who asks", &error))?;
    let user = peer.uid.as_raw();
    if user == 0 || user == state.config.instance.serve_id() {
        return Ok(());
    }
    Err(Refusal::new("not-permitted", format!("user {user} may not ask the helper: only the platform may")))
}

/// `None`: the asker has gone away meanwhile.
fn answer(
    state: &Arc<State>,
    request: Request,
    mut descriptors: Vec<OwnedFd>,
    asker: &UnixStream,
) -> Result<Option<Answer>, Refusal> {
    Ok(Some(match request {
        Request::Create(spec) => {
            let (Some(log), true) = (descriptors.pop(), descriptors.is_empty()) else {
                return Err(Refusal::new("bad-request", "create has one descriptor: the log stream"));
            };
            create::create(state, &spec, &log)?
        }
        Request::Start { id } => state.start(&id)?,
        Request::Wait { id } => return state.wait(&id, asker),
        Request::Kill { id, grace_milliseconds } => Answer::Ended(state.kill(&id, grace_milliseconds)?),
        Request::Remove { id } => state.remove(&id)?,
        Request::List => state.list(),
        Request::Usage { id } => Answer::Usage(state.usage(&id)?),
        Request::Listeners { id } => state.listeners(&id)?,
        Request::Worker(worker) => return workers::run(state, &worker, descriptors, asker),
        Request::RemoveScratch { id } => state.remove_scratch(&id)?,
        Request::RemoveRepository { tool } => state.remove_repository(tool)?,
        Request::Facts => Answer::Facts(facts::facts(state)?),
    }))
}

fn refused(refusal: Refusal) -> Answer {
    Answer::Refused { id: refusal.id.to_owned(), text: refusal.text }
}

fn reply(stream: &mut UnixStream, answer: &Answer) {
    if let Err(error) = wire::answer(stream, answer) {
        tracing::debug!(%error, "an answer found nobody");
    }
}
