//! The relay on the build's ports: reads who is meant (TLS server name or Host), decides, connects to a checked
//! address of that host, copies bytes. Never opens TLS.

use crate::{
    Policy,
    head::{self, Head, MAX_HEAD_BYTES},
    hello::{self, Hello},
    lookup::Lookup,
    report::{Refusal, Report, Traffic},
};
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

/// The limits of one build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayLimits {
    /// Open connections.
    pub(crate) connections: usize,
    /// Time for the whole hello or request head.
    pub(crate) opening: Duration,
    /// Time without a byte in either direction.
    pub(crate) idle: Duration,
    /// Bytes to all hosts together; an install sends well under a megabyte.
    pub(crate) up_bytes: u64,
    /// Bytes from all hosts together.
    pub(crate) down_bytes: u64,
}

impl RelayLimits {
    pub(crate) const BUILD: Self = Self {
        connections: 128,
        opening: Duration::from_secs(10),
        idle: Duration::from_mins(2),
        up_bytes: 64 << 20,
        down_bytes: 8 << 30,
    };
}

/// Time for one address to accept a connection, and for all of a host together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_ALL_TIMEOUT: Duration = Duration::from_secs(6);
const BUFFER_BYTES: usize = 32 * 1024;

/// Fatal TLS alerts (RFC 8446 §6.2): clients then say why instead of "connection reset".
const ALERT_ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const ALERT_INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// What all connections of one build share.
pub(crate) struct Relay {
    policy: Arc<Policy>,
    lookup: Lookup,
    report: Arc<Report>,
    limits: RelayLimits,
    places: Arc<Semaphore>,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
}

/// What a connection wants, once its first bytes are read.
struct Opening {
    host: String,
    /// Sent to the host first.
    forward: Vec<u8>,
    tls: bool,
}

/// A connection that is not relayed: the row for the log and the last words to the client.
struct Refused {
    refusal: Option<Refusal>,
    answer: Vec<u8>,
}

impl Relay {
    pub(crate) fn new(policy: Arc<Policy>, lookup: Lookup, report: Arc<Report>, limits: RelayLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        let (up_bytes, down_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { policy, lookup, report, limits, places, up_bytes, down_bytes }
    }

    /// Takes connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: wait until some connections have ended.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.report.refuse(Refusal::Crowded);
                continue;
            };
            let relay = Arc::clone(&self);
            tokio::spawn(async move {
                relay.connection(stream).await;
                drop(place);
            });
        }
    }

    async fn connection(&self, mut stream: TcpStream) {
        if let Err(refused) = self.try_connection(&mut stream).await {
            if let Some(refusal) = refused.refusal {
                self.report.refuse(refusal);
            }
            // The client may be gone; it also gets no more than a moment to read.
            let _ = timeout(Duration::from_secs(2), goodbye(&mut stream, &refused.answer)).await;
        }
    }

    async fn try_connection(&self, stream: &mut TcpStream) -> Result<(), Refused> {
        // Every address is local inside the build: our end of the connection is what the client dialled.
        let dialled = stream.local_addr().map_err(|_| Refused { refusal: None, answer: Vec::new() })?;
        let opening = match timeout(self.limits.opening, read_opening(stream, dialled.port())).await {
            Ok(opening) => opening,
            Err(_) => {
                Err(Refused { refusal: Some(Refusal::NoHost(dialled.to_string())), answer: Vec::new() })
            }
        }?;
        let Opening { host, forward, tls } = opening;
        let refuse = |refusal| Refused { answer: last_words(&refusal, tls), refusal: Some(refusal) };
        if !self.policy.allows(&host, dialled.port()) {
            return Err(refuse(match self.policy.position(&host) {
                Some(_) => Refusal::Port(host, dialled.port()),
                None => Refusal::Host(host),
            }));
        }
        let position = self.policy.position(&host).unwrap_or(usize::MAX);
        let addresses = self.lookup.addresses(position, &host).await.map_err(refuse)?;
        let upstream = connect(&addresses, dialled.port())
            .await
            .map_err(|why| refuse(Refusal::Unreachable(host.clone(), why)))?;
        let traffic = self.report.connected(&host);
        self.copy(stream, upstream, &forward, tls, &traffic).await;
        Ok(())
    }

    /// Copies until both ends are done. A plain HTTP connection is one request, which is `forward`: what the client
    /// sends after it is never read.
    async fn copy(
        &self,
        client: &mut TcpStream,
        mut host: TcpStream,
        forward: &[u8],
        tls: bool,
        traffic: &Traffic,
    ) {
        let last = AtomicU64::new(0);
        let started = Instant::now();
        let (mut client_read, mut client_write) = client.split();
        let (mut host_read, mut host_write) = host.split();
        let pump = Pump { relay: self, started, last: &last };
        let up = async {
            pump.account(forward.len(), &self.up_bytes, self.limits.up_bytes, &traffic.up_bytes)?;
            host_write.write_all(forward).await?;
            if tls {
                let counters = (&self.up_bytes, self.limits.up_bytes, &traffic.up_bytes);
                pump.run(&mut client_read, &mut host_write, counters).await?;
            }
            Ok(())
        };
        let down = async {
            let counters = (&self.down_bytes, self.limits.down_bytes, &traffic.down_bytes);
            pump.run(&mut host_read, &mut client_write, counters).await
        };
        // An error on either side ends both. What went wrong between two strangers is not ours to tell.
        let _: io::Result<((), ())> = tokio::try_join!(up, down);
    }
}

/// One direction of one connection; both share the time of the last byte.
struct Pump<'a> {
    relay: &'a Relay,
    started: Instant,
    /// Milliseconds after `started`.
    last: &'a AtomicU64,
}

impl Pump<'_> {
    async fn run(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        (total, most, counted): (&AtomicU64, u64, &AtomicU64),
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = self.read(from, &mut buffer).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            self.account(length, total, most, counted)?;
            timeout(self.relay.limits.idle, to.write_all(&buffer[..length])).await??;
        }
    }

    async fn read(&self, from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
            let until = last + self.relay.limits.idle;
            match tokio::time::timeout_at(until, from.read(buffer)).await {
                Ok(read) => return read,
                Err(_) if Duration::from_millis(self.last.load(Ordering::Relaxed)) > last - self.started => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    fn account(&self, length: usize, total: &AtomicU64, most: u64, counted: &AtomicU64) -> io::Result<()> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
        let length = length as u64;
        if total.fetch_add(length, Ordering::Relaxed) + length > most {
            self.relay.report.refuse(Refusal::Budget);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        counted.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads until the hello or the head is whole. TLS or plain is told by the first byte, not by the port.
async fn read_opening(stream: &mut TcpStream, port: u16) -> Result<Opening, Refused> {
    let dialled = stream.local_addr().map_or_else(|_| port.to_string(), |address| address.to_string());
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            // A client that connects and leaves, as port probes do, has asked for nothing.
            return Err(Refused { refusal: None, answer: Vec::new() });
        }
        bytes.extend_from_slice(&buffer[..read]);
        let tls = bytes.first() == Some(&22);
        let refuse = |refusal| Refused { answer: last_words(&refusal, tls), refusal: Some(refusal) };
        if tls {
            match hello::sni(&bytes) {
                Hello::Incomplete => {}
                Hello::Host(host) => return Ok(Opening { host, forward: bytes, tls }),
                Hello::BadHost(host) => return Err(refuse(Refusal::Host(host))),
                Hello::NoHost | Hello::NotTls => return Err(refuse(Refusal::NoHost(dialled))),
            }
        } else {
            match head::head(&bytes, port) {
                Head::Incomplete => {}
                Head::Request { host, forward } => return Ok(Opening { host, forward, tls }),
                Head::Bad { status, why } => {
                    let answer = plain_answer(status, why);
                    return Err(Refused { refusal: Some(Refusal::Request(why.to_owned())), answer });
                }
            }
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(refuse(Refusal::NoHost(dialled)));
        }
    }
}

/// Connects to the first address that accepts: the very addresses that were checked.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, String> {
    let all = async {
        let mut why = "it has no address".to_owned();
        for address in addresses {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect((*address, port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("{address} port {port} cannot be reached ({})", error.kind()),
                Err(_) => why = format!("{address} port {port} did not answer within 3 s"),
            }
        }
        Err(why)
    };
    timeout(CONNECT_ALL_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| Err("none of its addresses answered".to_owned()))
}

fn last_words(refusal: &Refusal, tls: bool) -> Vec<u8> {
    match (refusal, tls) {
        (Refusal::Unreachable(..), true) => ALERT_INTERNAL_ERROR.to_vec(),
        (Refusal::Unreachable(..), false) => plain_answer("502 Bad Gateway", "a host that cannot be reached"),
        (_, true) => ALERT_ACCESS_DENIED.to_vec(),
        (_, false) => plain_answer("403 Forbidden", "a host that builds may not reach"),
    }
}

fn plain_answer(status: &str, why: &str) -> Vec<u8> {
    let body = format!("egress refused: {why}; the build's log says more\n");
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends the last words and reads what is still on its way, so that the kernel does not answer it with a reset that
/// would overtake them.
async fn goodbye(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    if answer.is_empty() {
        return Ok(());
    }
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
