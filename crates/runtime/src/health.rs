//! Is it ready? One question over HTTP, asked often at first, and words for the ways in which nothing answers.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// The port that a tool's process is told to listen on (interfaces: Toolforge's port).
pub const PORT: u16 = 8000;
/// How long one connection may take, on this machine.
const CONNECT_TIME: Duration = Duration::from_millis(250);
/// How long one question may take.
const QUESTION_TIME: Duration = Duration::from_secs(5);

/// What makes a process healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `None`: any answer to `GET /`. A path must answer 2xx or 3xx.
    pub path: Option<String>,
    pub timeout: Duration,
}

/// The last thing that was seen before it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unhealthy {
    /// Nothing took the connection.
    Refused,
    /// The connection was taken, but no answer came.
    Silent,
    /// An answer with a status that the check does not accept.
    Status(u16),
}

/// Waits until the process at `address` answers.
///
/// # Errors
/// The last thing that was seen when the time was over.
pub async fn wait(address: Ipv4Addr, check: &Check) -> Result<(), Unhealthy> {
    let began = Instant::now();
    loop {
        let last = match tokio::time::timeout(QUESTION_TIME, ask(address, check)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => Unhealthy::Silent,
        };
        if began.elapsed() >= check.timeout {
            return Err(last);
        }
        // Often at first: most processes are up in well under a second, and the pusher waits.
        let pause = match began.elapsed().as_secs() {
            0 => 5,
            1..5 => 20,
            _ => 250,
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn ask(address: Ipv4Addr, check: &Check) -> Result<(), Unhealthy> {
    let connect = TcpStream::connect(SocketAddr::from((address, PORT)));
    // A lost first packet is repeated by the kernel after a second; asking again is quicker.
    let connected = tokio::time::timeout(CONNECT_TIME, connect).await.map_err(|_| Unhealthy::Silent)?;
    let stream = connected.map_err(|_| Unhealthy::Refused)?;
    let silent = |_| Unhealthy::Silent;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(check.path.as_deref().unwrap_or("/"))
        .header("host", "localhost")
        .header("user-agent", "windlass-health/1")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Unhealthy::Silent)?;
    let answer = sender.send_request(request).await.map_err(|_| Unhealthy::Silent);
    connection.abort();
    let status = answer?.status();
    if check.path.is_none() || status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(Unhealthy::Status(status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_as_refused() {
        let check = Check { path: None, timeout: Duration::from_millis(100) };
        assert_eq!(wait(Ipv4Addr::LOCALHOST, &check).await, Err(Unhealthy::Refused));
    }
}
