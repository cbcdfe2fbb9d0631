//! One HTTP/1.1 connection that is asked once or many times and believes nothing.

use super::Loss;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// After this an answer counts as lost.
const GIVE_UP: Duration = Duration::from_secs(30);
/// A head or body of this size is none of the tool's.
const ANSWER_MAX_BYTES: usize = 1 << 20;

pub(crate) struct Connection {
    stream: TcpStream,
}

/// An answer with status 200 whose body is as long as it said.
pub(crate) struct Whole {
    pub(crate) body: String,
    /// The other side takes no further request here.
    pub(crate) closes: bool,
}

type Told<T> = Result<T, (Loss, String)>;

impl Connection {
    pub(crate) fn open(port: u16) -> Told<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let open = || {
            let stream = TcpStream::connect_timeout(&address, GIVE_UP)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(GIVE_UP))?;
            stream.set_write_timeout(Some(GIVE_UP))?;
            Ok(Self { stream })
        };
        open().map_err(|error: std::io::Error| (Loss::Connect, error.to_string()))
    }

    /// Whether the other side has neither closed it nor said anything that was not asked for.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0];
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut byte));
        let quiet = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        quiet && self.stream.set_nonblocking(false).is_ok()
    }

    /// Asks once. `body` makes it a POST.
    pub(crate) fn ask(&mut self, host: &str, path: &str, keep: bool, body: Option<&[u8]>) -> Told<Whole> {
        let (method, connection) =
            (if body.is_some() { "POST" } else { "GET" }, if keep { "keep-alive" } else { "close" });
        let length = body.map(|body| format!("content-length: {}\r\n", body.len())).unwrap_or_default();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: {connection}\r\n{length}\r\n")
                .into_bytes();
        request.extend_from_slice(body.unwrap_or_default());
        let sent = self.stream.write_all(&request);
        // Who refuses early may answer before all was sent.
        let answer = self.answer(&format!("{method} {path}"));
        match (sent, answer) {
            (Err(error), Err((Loss::Cut, _))) => {
                Err((Loss::Cut, format!("{method} {path}: while sending: {error}")))
            }
            (_, answer) => answer,
        }
    }

    fn answer(&mut self, what: &str) -> Told<Whole> {
        let mut bytes = Vec::new();
        let head_bytes = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.more(what, &mut bytes)?;
        };
        let head = String::from_utf8_lossy(&bytes[..head_bytes]).into_owned();
        let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        if status != 200 {
            let loss = if status >= 500 { Loss::ServerError } else { Loss::WrongStatus };
            let page = String::from_utf8_lossy(&bytes[head_bytes + 4..]);
            let page: String = page.chars().take(160).collect();
            return Err((loss, format!("{what}: {} {page:?}", head.lines().next().unwrap_or_default())));
        }
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let Some(length) = field("content-length").and_then(|text| text.parse::<usize>().ok()) else {
            return Err((Loss::WrongBody, format!("{what}: the answer does not say its length")));
        };
        let end = head_bytes + 4 + length;
        while bytes.len() < end {
            self.more(what, &mut bytes)?;
        }
        if bytes.len() > end {
            return Err((Loss::WrongBody, format!("{what}: {} bytes too many", bytes.len() - end)));
        }
        let body = String::from_utf8_lossy(&bytes[head_bytes + 4..]).into_owned();
        Ok(Whole { body, closes: field("connection").is_some_and(|value| value.contains("close")) })
    }

    /// Reads on.
    fn more(&mut self, what: &str, bytes: &mut Vec<u8>) -> Told<()> {
        let mut part = [0; 8192];
        match self.stream.read(&mut part) {
            Ok(0) => Err((Loss::Cut, format!("{what}: closed after {} bytes of the answer", bytes.len()))),
            Ok(read) if bytes.len() + read <= ANSWER_MAX_BYTES => {
                bytes.extend_from_slice(&part[..read]);
                Ok(())
            }
            Ok(_) => Err((Loss::WrongBody, format!("{what}: the answer does not end"))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err((Loss::NoAnswer, format!("{what}: nothing for {} s", GIVE_UP.as_secs())))
            }
            Err(error) => Err((Loss::Cut, format!("{what}: after {} bytes: {error}", bytes.len()))),
        }
    }
}
