//! The platform's own words in a step's log. The first row is written before anything is started.

use crate::{Line, line::StationError};
use logs::Writer;
use model::{LogStream, ToolId, run::StepKind};

/// Rows that the platform may write into one step's log, in bytes.
const LIMIT_BYTES: u64 = 1024 * 1024;

/// One step's log.
pub(crate) struct StepLog {
    writer: Writer,
}

impl StepLog {
    pub(crate) fn open(line: &Line, tool: ToolId, run: u64, step: StepKind) -> Result<Self, StationError> {
        let path = line.log_path(tool, &LogStream::Step { run, step })?;
        Ok(Self { writer: Writer::open(&path, LIMIT_BYTES)? })
    }

    /// One row. A log that cannot be written stops no step: the outcome tells what happened.
    pub(crate) fn say(&mut self, text: &str) {
        if let Err(error) = self.writer.platform(text) {
            tracing::warn!(%error, "a step's log could not be written");
        }
    }
}
