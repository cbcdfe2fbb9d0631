//! Rows of several streams as one, in the order of their times, batch by batch.

use super::source::{Cursors, Source};
use crate::problems;
use logs::{Entry, ReadError, Reader};
use model::{LogStream, Problem, RunId};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use store::Store;

/// How soon a new row is seen.
const POLL: Duration = Duration::from_millis(150);
/// Rows of one stream that are held in memory at a time.
const BATCH_ROWS: usize = 200;
/// Bytes of one stream that are held in memory when only its newest rows are wanted.
const NEWEST_BYTES: usize = 4 * 1024 * 1024;

/// A row, and the stream it stands in.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub stream: LogStream,
    pub entry: Entry,
}

/// When following stops.
pub(super) enum End {
    /// When the reader goes away.
    Never,
    /// When the run has ended and its last row was read.
    Run { store: Arc<dyn Store>, run: RunId },
}

/// Gives rows until there are no more.
pub struct LogFeed {
    position: Option<Position>,
    end: Option<End>,
}

/// What the blocking side needs to go on reading.
struct Position {
    directory: PathBuf,
    source: Source,
    cursors: Cursors,
    /// Only the newest rows of what is there at first.
    newest: Option<usize>,
    readers: BTreeMap<LogStream, Reader>,
}

impl LogFeed {
    pub(super) fn new(
        directory: PathBuf,
        source: Source,
        cursors: Cursors,
        newest: Option<usize>,
        end: Option<End>,
    ) -> Self {
        let position = Position { directory, source, cursors, newest, readers: BTreeMap::new() };
        Self { position: Some(position), end }
    }

    /// The next rows, at least one; when none came for `patience`, an empty batch; `None` at the end.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<Vec<LogLine>>, Problem> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            // Asked before reading: what an ended run wrote is on disk by then.
            let ended = self.ended().await?;
            let Some(mut position) = self.position.take() else { return Ok(None) };
            let read = tokio::task::spawn_blocking(move || {
                let batch = position.batch();
                (position, batch)
            });
            let (position, batch) =
                read.await.map_err(|error| problems::internal("reading the log", &error))?;
            let batch = batch?;
            let done = ended && batch.is_empty();
            self.position = (!done).then_some(position);
            if done {
                return Ok(None);
            }
            if !batch.is_empty() || tokio::time::Instant::now() >= deadline {
                return Ok(Some(batch));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn ended(&self) -> Result<bool, Problem> {
        match &self.end {
            None => Ok(true),
            Some(End::Never) => Ok(false),
            Some(End::Run { store, run }) => {
                let run = store.run(*run).await;
                Ok(run.map_err(|error| problems::store("following the run", &error))?.state.is_final())
            }
        }
    }
}

impl Position {
    fn batch(&mut self) -> Result<Vec<LogLine>, Problem> {
        self.open_new()?;
        let mut lines = match self.newest.take() {
            None => self.read(BATCH_ROWS)?,
            Some(newest) => self.read_newest(newest)?,
        };
        // Sorting is stable: rows of one time stay in the order of their stream.
        lines.sort_by_key(|line| line.entry.row.microseconds);
        Ok(lines)
    }

    /// Streams begin to exist while they are followed.
    fn open_new(&mut self) -> Result<(), Problem> {
        let streams = self.source.streams(&self.directory);
        for stream in streams.map_err(|error| problems::internal("listing the logs", &error))? {
            if self.readers.contains_key(&stream) {
                continue;
            }
            let from = self.cursors.get(&stream).unwrap_or(0);
            match Reader::open(&self.directory.join(stream.file()), from) {
                Ok(reader) => {
                    self.readers.insert(stream, reader);
                }
                Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&stream, &error)),
            }
        }
        Ok(())
    }

    fn read(&mut self, most_per_stream: usize) -> Result<Vec<LogLine>, Problem> {
        let mut lines = Vec::new();
        for (stream, reader) in &mut self.readers {
            for _ in 0..most_per_stream {
                match reader.next_row() {
                    Ok(Some(entry)) => lines.push(LogLine { stream: stream.clone(), entry }),
                    Ok(None) => break,
                    Err(error) => return Err(unreadable(stream, &error)),
                }
            }
        }
        Ok(lines)
    }

    /// Reads all that is there, keeping the newest rows; of a stream that is gone on with, all.
    fn read_newest(&mut self, newest: usize) -> Result<Vec<LogLine>, Problem> {
        let mut continued = Vec::new();
        let mut begun = Vec::new();
        for (stream, reader) in &mut self.readers {
            let resumes = self.cursors.get(stream).is_some();
            let mut kept: VecDeque<LogLine> = VecDeque::new();
            let mut bytes = 0;
            while !resumes || kept.len() < BATCH_ROWS {
                match reader.next_row() {
                    Ok(Some(entry)) => {
                        bytes += entry.row.bytes.len();
                        kept.push_back(LogLine { stream: stream.clone(), entry });
                    }
                    Ok(None) => break,
                    Err(error) => return Err(unreadable(stream, &error)),
                }
                while !resumes && (kept.len() > newest || bytes > NEWEST_BYTES) {
                    bytes -= kept.pop_front().map_or(0, |line| line.entry.row.bytes.len());
                }
            }
            if resumes { continued.extend(kept) } else { begun.extend(kept) }
        }
        begun.sort_by_key(|line: &LogLine| line.entry.row.microseconds);
        begun.drain(..begun.len().saturating_sub(newest));
        begun.extend(continued);
        Ok(begun)
    }
}

fn unreadable(stream: &LogStream, error: &ReadError) -> Problem {
    match error {
        ReadError::Io { .. } => problems::internal("reading the log", error),
        ReadError::BeyondEnd { offset, end, .. } => Problem::new(
            "log-beyond-end",
            404,
            "the log does not reach that far",
            format!("{stream} ends at {end}, before {offset}"),
        )
        .hint("read it from the start, without an offset"),
        ReadError::NoRow { offset, .. } => Problem::new(
            "log-no-row",
            404,
            "no row begins there",
            format!("no row of {stream} begins at {offset}"),
        )
        .hint("use an offset that a row of this log was shown with"),
    }
}
