//! The router's process: takes connections, answers them, ends without cutting what is open.

use crate::{
    access::AccessLog,
    file, listener, pages,
    service::{Counts, Service},
    tables::Tables,
    upstream::Patience,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Paths;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// What the router is told at its start; everything else it learns from serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The platform's own host name: `localhost`, `tools.example`.
    pub domain: String,
    pub paths: Paths,
    /// How long open requests, downloads and tunnels may go on when another router has taken over.
    pub finish: Duration,
}

/// Why the router cannot serve.
#[derive(Debug, Error)]
pub enum RouterError {
    #[error("the router cannot listen for serve at {path}")]
    Control {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the router cannot use what it was given by the system")]
    Io(#[from] io::Error),
}

/// Descriptors that are wanted: two a request.
const WANTED_DESCRIPTORS: u64 = 65_536;
/// Descriptors that are not connections.
const OTHER_DESCRIPTORS: u64 = 400;
/// How long a client that is refused is listened to, so that it hears why.
const LINGER: Duration = Duration::from_secs(2);
/// Longest request line and headers together, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long a router goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Serving,
    /// Another one takes the listener: what is open is finished, clients are told to connect anew.
    Leaving,
    /// The platform stops: what is open is finished if that is quick.
    Ending,
}

/// Serves until SIGQUIT, when another router takes over, or SIGTERM or SIGINT, when the platform stops. `ready` is
/// called once connections are taken.
///
/// # Errors
/// When the control socket, the listener or a signal cannot be used.
pub async fn serve(
    config: Config,
    listener: std::net::TcpListener,
    ready: impl FnOnce(),
) -> Result<(), RouterError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut quit = signal(SignalKind::quit())?;
    let (life, lives) = watch::channel(Life::Serving);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = quit.recv() => drop(life.send(Life::Leaving)),
            }
        }
        let _ = life.send(Life::Ending);
        life.closed().await;
    });
    let patience = Patience { leave: config.finish, ..Patience::DEFAULT };
    serve_while(config, listener, patience, lives, ready).await
}

pub(crate) async fn serve_while(
    config: Config,
    listener: std::net::TcpListener,
    patience: Patience,
    mut life: watch::Receiver<Life>,
    ready: impl FnOnce(),
) -> Result<(), RouterError> {
    let Config { domain, paths, .. } = config;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let control = paths.router_sockets();
    let socket = listener::bind(&control)
        .map_err(|source| RouterError::Control { path: control.display().to_string(), source })?;
    // After the socket: a table that only the router before got is on disk by now, a later one comes here.
    let tables = Arc::new(Tables::load(paths.route_table(), &domain));
    let counts = Arc::new(Counts::default());
    let serving_control = tokio::spawn(listener::serve(socket, Arc::clone(&tables), Arc::clone(&counts)));
    let access = AccessLog::start(paths.clone())?;
    let sender = access.sender().ok_or_else(|| io::Error::other("the access log has ended"))?;
    let service = Service::new(tables, sender, paths, patience, counts, life.clone());
    let service = Arc::new(service);

    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(connection_places()));
    ready();
    loop {
        let place = tokio::select! {
            _ = life.wait_for(|life| *life != Life::Serving) => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            _ = life.wait_for(|life| *life != Life::Serving) => break,
            accepted = listener.accept() => accepted,
            // The set keeps the outcome of every connection until somebody asks.
            _ = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (service, life) = (Arc::clone(&service), life.clone());
                connections.spawn(async move {
                    connection(stream, service, life).await;
                    drop(place);
                });
            }
            // Out of descriptors, or a client that was gone at once.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    drop(listener);
    finish(&mut connections, &service, patience, life).await;
    if !connections.is_empty() || service.tunnels() > 0 {
        tracing::warn!(connections = connections.len(), tunnels = service.tunnels(), "cut at the end");
    }
    connections.shutdown().await;
    // Until here: tables and drains concern what a router still does.
    serving_control.abort();
    // Open tunnels end with the service, and then nothing sends rows any more: what was sent gets written.
    drop(service);
    tokio::task::spawn_blocking(move || drop(access)).await.map_err(io::Error::other)?;
    Ok(())
}

/// Lets open requests end. One that leaves waits long, also for tunnels, unless it is told to end meanwhile.
async fn finish(
    connections: &mut JoinSet<()>,
    service: &Service,
    patience: Patience,
    mut life: watch::Receiver<Life>,
) {
    if *life.borrow() == Life::Leaving {
        let all = async {
            while connections.join_next().await.is_some() {}
            while service.tunnels() > 0 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = all => return,
            () = sleep(patience.leave) => return,
            _ = life.wait_for(|life| *life == Life::Ending) => {}
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut.
    let _ = timeout(patience.drain, all).await;
}

async fn connection(stream: TcpStream, service: Arc<Service>, mut life: watch::Receiver<Life>) {
    let Ok(client) = stream.peer_addr() else { return };
    // Small writes go out at once; without this nothing breaks, it is only slower.
    let _ = stream.set_nodelay(true);
    let head = service.patience.head;
    let files = file::Queue::default();
    let stream = file::Connection { stream, files: files.clone() };
    let severed = Arc::new(Notify::new());
    let told = Arc::clone(&severed);
    let answer = service_fn(move |request| {
        let (service, files, told) = (Arc::clone(&service), files.clone(), Arc::clone(&told));
        async move { Ok::<_, Infallible>(service.answer(request, client.ip(), &files, &told).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    // The buffer alone bounds nothing: one read may bring more than it is meant to hold.
    http.max_buf_size(MAX_HEAD_BYTES).max_header_size(MAX_HEAD_BYTES);
    let mut served = http.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    let to_its_end = async {
        tokio::select! {
            ended = &mut served => return ended,
            () = closing(&mut life, head) => {}
        }
        Pin::new(&mut served).graceful_shutdown();
        (&mut served).await
    };
    let ended = tokio::select! {
        ended = to_its_end => ended,
        // A client that reads has heard it by then.
        () = async { severed.notified().await; sleep(LINGER).await } => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%client, %error, "a connection ended badly");
        // A connection on which nothing was begun is idle, and ends without a word.
        if let Some(parts) =
            served.into_parts().filter(|parts| error.is_timeout() && !parts.read_buf.is_empty())
        {
            refuse_slow_head(parts.io.into_inner().stream).await;
        }
    }
}

/// Says why, if the client still listens.
async fn refuse_slow_head(mut stream: TcpStream) {
    let said = async {
        stream.write_all(&pages::slow_head()).await?;
        stream.shutdown().await?;
        // What comes meanwhile is read: closing over it would take the answer away (RFC 9112, section 9.6).
        tokio::io::copy(&mut (&mut stream).take(MAX_HEAD_BYTES as u64), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, said).await;
}

/// Returns when a connection without a request is to be closed. A client may be sending one at this very moment, which
/// a router that leaves must not lose: it answers the next request too and says that it is the last, and closes only
/// those that have none for as long as an idle connection is ever kept.
async fn closing(life: &mut watch::Receiver<Life>, idle: Duration) {
    // A sender that is gone means the end as well.
    let _ = life.wait_for(|life| *life != Life::Serving).await;
    if *life.borrow() == Life::Leaving {
        let _ = timeout(idle, life.wait_for(|life| *life == Life::Ending)).await;
    }
}

/// Raises the limit of open descriptors as far as we may, and divides it: a request needs two.
fn connection_places() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(WANTED_DESCRIPTORS).min(WANTED_DESCRIPTORS);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    let descriptors = if raised.is_ok() { wanted } else { limit.current.unwrap_or(wanted) };
    usize::try_from(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).unwrap_or(0).max(16)
}
