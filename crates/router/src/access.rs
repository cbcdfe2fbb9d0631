//! One row per request in its tool's log. Rows hold neither client addresses nor query strings, which may carry
//! secrets; the request id connects them with what the tool writes itself.

use http::{HeaderValue, Method, StatusCode};
use logs::{Flags, Stream, Writer};
use model::{LogStream, Paths, ToolId};
use std::{
    collections::HashMap,
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Instant,
};

/// Bytes of rows that one tool's stream of requests may hold; serve drops the oldest.
const LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// Rows that wait for the disk. More are dropped: a slow disk must not slow requests.
const WAITING_ROWS: usize = 4096;
/// Streams kept open.
const OPEN_STREAMS: usize = 256;
const MAX_PATH_BYTES: usize = 500;

/// Writes rows on a thread of its own.
pub(crate) struct AccessLog {
    sender: Option<SyncSender<(ToolId, String)>>,
    thread: Option<JoinHandle<()>>,
}

/// A handle for those who write rows.
#[derive(Clone)]
pub(crate) struct AccessSender(SyncSender<(ToolId, String)>);

impl AccessLog {
    pub(crate) fn start(paths: Paths) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_ROWS);
        let thread =
            thread::Builder::new().name("access-log".to_owned()).spawn(move || write(&paths, &receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(crate) fn sender(&self) -> Option<AccessSender> {
        self.sender.clone().map(AccessSender)
    }
}

impl Drop for AccessLog {
    /// Waits until what was sent is written. All other senders are gone by then.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(paths: &Paths, rows: &Receiver<(ToolId, String)>) {
    let mut writers: HashMap<ToolId, Writer> = HashMap::new();
    while let Ok((tool, row)) = rows.recv() {
        if writers.len() >= OPEN_STREAMS && !writers.contains_key(&tool) {
            writers.clear();
        }
        if let Err(error) = write_row(paths, &mut writers, tool, &row) {
            tracing::warn!(%tool, %error, "the row of a request could not be written");
            writers.remove(&tool);
        }
    }
}

fn write_row(
    paths: &Paths,
    writers: &mut HashMap<ToolId, Writer>,
    tool: ToolId,
    row: &str,
) -> io::Result<()> {
    let writer = match writers.entry(tool) {
        std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(Writer::open(&paths.log(tool, &LogStream::Router), LIMIT_BYTES)?)
        }
    };
    writer.row(Stream::Out, Flags::NONE, row.as_bytes())
}

/// One request's row, written when this is dropped.
pub(crate) struct Row {
    log: AccessSender,
    tool: ToolId,
    method: Method,
    path: String,
    request_id: HeaderValue,
    started: Instant,
    pub(crate) status: StatusCode,
    /// Release that answered; `None` when the router did.
    pub(crate) release: Option<u64>,
    pub(crate) sent_bytes: u64,
    /// The whole answer was handed on.
    pub(crate) complete: bool,
}

impl Row {
    pub(crate) fn new(
        log: AccessSender,
        tool: ToolId,
        method: Method,
        path: &str,
        request_id: HeaderValue,
    ) -> Self {
        let path = path.chars().filter(char::is_ascii_graphic).take(MAX_PATH_BYTES).collect();
        Self {
            log,
            tool,
            method,
            path,
            request_id,
            started: Instant::now(),
            status: StatusCode::BAD_GATEWAY,
            release: None,
            sent_bytes: 0,
            complete: false,
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let release = self.release.map_or_else(|| "router".to_owned(), |number| format!("v{number}"));
        let cut = if self.complete { "" } else { " cut" };
        let (tenths, path) = (self.started.elapsed().as_micros() / 100, &self.path);
        let row = format!(
            "{} {path} {} {} B {}.{} ms {release} {}{cut}",
            self.method,
            self.status.as_u16(),
            self.sent_bytes,
            tenths / 10,
            tenths % 10,
            self.request_id.to_str().unwrap_or_default(),
        );
        // Full: the disk is slower than the requests.
        let _ = self.log.0.try_send((self.tool, row));
    }
}
