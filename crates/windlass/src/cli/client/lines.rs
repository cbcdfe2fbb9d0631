//! A long answer, line by line, as it comes.

use model::Problem;
use reqwest::Response;

/// Longest line: a row of 16 KiB, each byte escaped, with its frame.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// Lines of one answer.
pub(crate) struct Lines {
    response: Response,
    server: String,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold no line end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(response: Response, server: String) -> Self {
        Self { response, server, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end, empty ones left out; `None` when the answer is complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
                self.searched = 0;
                match line.strip_suffix(b"\n").unwrap_or(&line) {
                    [] => continue,
                    text => return Ok(Some(text.to_vec())),
                }
            }
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE_BYTES {
                let title = format!("{} does not answer as a platform does", self.server);
                return Err(Problem::new("cli-not-a-platform", 502, title, "a line does not end"));
            }
            match self.response.chunk().await.map_err(|error| super::unreachable(&self.server, &error))? {
                Some(part) => self.buffer.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
    }
}
