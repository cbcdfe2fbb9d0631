//! Connections to backends: a tool's address or serve's socket, one request each.

use crate::{
    body::{Activity, Body},
    early::Early,
    underway::{Cut, Passage},
};
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::Notify,
    time::{sleep, timeout},
};

/// How often a socket is tried that nobody listens on.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Time-outs, as a maintainer feels them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until a request's head is whole; also how long an idle connection is kept.
    pub(crate) head: Duration,
    /// Until a backend accepts the connection.
    pub(crate) connect: Duration,
    /// Until a tool begins to answer, counted from the last byte of the request.
    pub(crate) tool_answer: Duration,
    /// The same for the platform, where a push may be silent while git works.
    pub(crate) platform_answer: Duration,
    /// How long a request waits for a platform that is being restarted.
    pub(crate) platform_restart: Duration,
    /// How long open requests may go on when the platform stops.
    pub(crate) drain: Duration,
    /// How long open requests, downloads and tunnels may go on when another router has taken over.
    pub(crate) leave: Duration,
}

impl Patience {
    pub(crate) const DEFAULT: Self = Self {
        head: Duration::from_secs(10),
        connect: Duration::from_secs(5),
        tool_answer: Duration::from_mins(1),
        platform_answer: Duration::from_mins(10),
        platform_restart: Duration::from_secs(10),
        drain: Duration::from_secs(10),
        leave: Duration::from_mins(10),
    };
}

/// A stream to a backend.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// An open connection to a backend.
pub(crate) struct Way {
    connection: Box<dyn Connection>,
    pub(crate) cut: Cut,
}

/// Why a backend gave no answer.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Nothing was sent.
    #[error("nothing accepted the connection")]
    Unreachable(#[source] io::Error),
    #[error("the connection ended without an answer, or with one that is no HTTP")]
    Broken(#[source] hyper::Error),
    /// The client's fault: the backend never got the whole request.
    #[error("the request's body is broken or was not sent to its end")]
    Request(#[source] hyper::Error),
    #[error("another protocol was answered than asked for")]
    Protocol,
    #[error("no answer in time")]
    Slow,
    /// Its copy was replaced, and what was under way had its time.
    #[error("no answer before the end of the copy's drain")]
    Cut,
}

impl Failure {
    /// Whether a tool can have no part in it: its copy is on this machine, and this machine knew no way there.
    pub(crate) fn is_the_platforms(&self) -> bool {
        use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable, PermissionDenied};
        const NO_DESCRIPTORS: [i32; 2] =
            [rustix::io::Errno::MFILE.raw_os_error(), rustix::io::Errno::NFILE.raw_os_error()];
        let Self::Unreachable(error) = self else { return false };
        matches!(error.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable | PermissionDenied)
            || error.raw_os_error().is_some_and(|number| NO_DESCRIPTORS.contains(&number))
    }
}

/// Connects to a running copy of a tool.
pub(crate) async fn connect_tool(
    address: SocketAddr,
    patience: Duration,
    passage: Passage,
) -> Result<Way, Failure> {
    let connected = timeout(patience, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|elapsed| Err(elapsed.into())).map_err(Failure::Unreachable)?;
    // Small writes go out at once; without this nothing breaks, it is only slower.
    let _ = stream.set_nodelay(true);
    let (connection, cut) = passage.over(stream);
    Ok(Way { connection, cut })
}

/// Connects to serve, waiting until `until` for one that is being restarted.
pub(crate) async fn connect_platform(socket: &Path, until: Instant) -> Result<Way, Failure> {
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(Way { connection: Box::new(stream), cut: Cut::NEVER }),
            Err(error) if Instant::now() >= until => return Err(Failure::Unreachable(error)),
            Err(_) => sleep(TRY_AGAIN).await,
        }
    }
}

/// Sends one request and waits for the head of its answer. The answer's body keeps the connection open. When it is cut,
/// `severed` hears of it: the client may stand still, and then hears nothing.
pub(crate) async fn exchange(
    Way { connection, mut cut }: Way,
    request: Request<Body>,
    activity: &Activity,
    patience: Duration,
    severed: Arc<Notify>,
) -> Result<Response<Incoming>, Failure> {
    let (connection, tunnel) = Early::new(connection);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connection)).await.map_err(Failure::Broken)?;
    let is_cut = cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            ended = connection.with_upgrades() => if let Err(error) = ended {
                tracing::debug!(%error, "the connection to a backend ended badly");
            },
            () = cut.told() => severed.notify_one(),
        }
    });
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let broken = |error| if is_cut.is_told() { Failure::Cut } else { Failure::Broken(error) };
    loop {
        let left = patience.saturating_sub(activity.idle());
        match timeout(left, &mut answer).await {
            Ok(Err(error)) if activity.is_broken() => return Err(Failure::Request(error)),
            Ok(answer) => {
                let answer = answer.map_err(broken)?;
                tunnel.store(answer.status() == StatusCode::SWITCHING_PROTOCOLS, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(_) if activity.idle() >= patience => return Err(Failure::Slow),
            // The request's body has moved meanwhile.
            Err(_) => {}
        }
    }
}
