//! One row per request in its tool's log. Rows hold neither client addresses nor query strings, which may carry
//! secrets; the request id connects them with what the tool writes itself.

use http::{HeaderValue, Method, StatusCode};
use logs::{Flags, Stream, Writer};
use model::{LogStream, Paths, ToolId};
use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Instant,
};

/// Bytes of rows that one tool's stream of requests may hold, and those that are left when the oldest have to go.
const LIMIT_BYTES: u64 = 16 * 1024 * 1024;
const KEEP_BYTES: u64 = LIMIT_BYTES / 2;
/// Rows between two looks at the size of a stream; far less than what lies between the two numbers above.
const ROWS_BETWEEN_LOOKS: u32 = 4096;
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
    let mut streams: HashMap<ToolId, Open> = HashMap::new();
    while let Ok((tool, row)) = rows.recv() {
        if streams.len() >= OPEN_STREAMS && !streams.contains_key(&tool) {
            streams.clear();
        }
        if let Err(error) = write_row(paths, &mut streams, tool, &row) {
            tracing::warn!(%tool, %error, "the row of a request could not be written");
            streams.remove(&tool);
        }
    }
}

/// A stream that rows were written to lately.
struct Open {
    writer: Writer,
    rows: u32,
}

fn write_row(paths: &Paths, streams: &mut HashMap<ToolId, Open>, tool: ToolId, row: &str) -> io::Result<()> {
    let path = paths.log(tool, &LogStream::Router);
    let open = match streams.entry(tool) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(place) => place.insert(Open { writer: Writer::open(&path, LIMIT_BYTES)?, rows: 0 }),
    };
    if open.rows.is_multiple_of(ROWS_BETWEEN_LOOKS) {
        drop_oldest(&path)?;
    }
    open.rows = open.rows.wrapping_add(1);
    open.writer.row(Stream::Out, Flags::NONE, row.as_bytes())
}

/// The router is the one writer of this stream, so it also keeps it small.
fn drop_oldest(path: &Path) -> io::Result<()> {
    let occupied_bytes = path.metadata()?.blocks() * 512;
    if occupied_bytes > LIMIT_BYTES - KEEP_BYTES / 2 {
        logs::trim(path, KEEP_BYTES).map_err(io::Error::other)?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_rows_go_when_there_are_too_many() {
        let place = tempfile::tempdir().unwrap();
        let paths = Paths::new(place.path(), place.path());
        let tool = ToolId::new();
        let path = paths.log(tool, &LogStream::Router);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut streams = HashMap::new();
        let long = "x".repeat(1000);
        for number in 0..40_000 {
            write_row(&paths, &mut streams, tool, &format!("{number} {long}")).unwrap();
        }
        assert!(path.metadata().unwrap().blocks() * 512 <= LIMIT_BYTES);
        let mut reader = logs::Reader::open(&path, 0).unwrap();
        let rows: Vec<_> = std::iter::from_fn(|| reader.next_row().unwrap()).map(|entry| entry.row).collect();
        assert!(
            rows.len() > 4000 && rows.iter().all(|row| row.stream == Stream::Out),
            "none was dropped when new"
        );
        assert!(rows[rows.len() - 1].bytes.starts_with(b"39999 "));
    }
}
