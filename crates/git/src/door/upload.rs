//! A push's request body: its gzip taken off, its beginning judged, the rest counted on its way into git.

use super::opening::{self, MAX_OPENING_BYTES, Opening, Read};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_util::StreamExt;
use std::{
    io::{self, Write},
    sync::OnceLock,
};
use tokio::{io::AsyncWriteExt, net::unix::pipe};

/// Compressed bytes that are unpacked at a time: they may become a thousand times as many, and git stops reading at
/// its own limit.
const PIECE_BYTES: usize = 4096;

/// The rest of a request.
pub(super) struct Upload {
    body: BodyDataStream,
    gzip: Option<GzDecoder<Vec<u8>>>,
    raw: Bytes,
    /// Read already, and not yet in git.
    begun: Vec<u8>,
}

/// Why a beginning could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Longer than [`MAX_OPENING_BYTES`]: too many refs, the first of which are these.
    TooLong(Opening),
    /// No push, or cut off.
    Bad,
}

impl Upload {
    pub(super) fn new(body: Body, gzip: bool) -> Self {
        let gzip = gzip.then(|| GzDecoder::new(Vec::new()));
        Self { body: body.into_data_stream(), gzip, raw: Bytes::new(), begun: Vec::new() }
    }

    /// Reads as much as says what the push wants.
    pub(super) async fn opening(&mut self) -> Result<Opening, Unread> {
        let mut ended = false;
        // Looked at each time that it has doubled: a client that sends byte by byte must not cost the square of it.
        let mut look_at = 0;
        loop {
            if ended || self.begun.len() >= look_at {
                look_at = 2 * self.begun.len();
                match opening::read(&self.begun, ended) {
                    Read::Whole(opening) if opening.pack_at <= MAX_OPENING_BYTES => return Ok(opening),
                    Read::More(_) if self.begun.len() <= MAX_OPENING_BYTES => {}
                    Read::Bad => return Err(Unread::Bad),
                    Read::Whole(opening) | Read::More(opening) => return Err(Unread::TooLong(opening)),
                }
            }
            match self.next().await.map_err(|_| Unread::Bad)? {
                Some(plain) => self.begun.extend_from_slice(&plain),
                None => ended = true,
            }
        }
    }

    /// Copies everything into git. As soon as more than `max_bytes` of pack have come, `notice` is set to `too_large`:
    /// git stops at the same limit, but knows no number that a person would.
    pub(super) async fn feed(
        mut self,
        mut stdin: pipe::Sender,
        pack_at: usize,
        max_bytes: u64,
        notice: &OnceLock<String>,
        too_large: &str,
    ) -> io::Result<()> {
        let mut pack_bytes = self.begun.len().saturating_sub(pack_at) as u64;
        let mut chunk = Bytes::from(std::mem::take(&mut self.begun));
        loop {
            if pack_bytes > max_bytes {
                let _ = notice.set(too_large.to_owned());
            }
            if stdin.write_all(&chunk).await.is_err() {
                // git has refused and closed its end: what it says is in its answer.
                self.drain(u64::MAX).await;
                return Ok(());
            }
            match self.next().await? {
                Some(plain) => {
                    pack_bytes += plain.len() as u64;
                    chunk = plain;
                }
                None => return Ok(()),
            }
        }
    }

    /// Reads on and throws away, at most so much: a client reads an answer only when it has sent everything.
    pub(super) async fn drain(&mut self, max_bytes: u64) {
        let mut drained = 0;
        while let Some(Ok(chunk)) = self.body.next().await {
            drained += chunk.len() as u64;
            if drained > max_bytes {
                return;
            }
        }
    }

    /// The next plain bytes; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.raw.is_empty() {
                match self.body.next().await {
                    Some(chunk) => self.raw = chunk.map_err(io::Error::other)?,
                    None => return self.last(),
                }
            }
            let Some(decoder) = &mut self.gzip else { return Ok(Some(std::mem::take(&mut self.raw))) };
            let piece = self.raw.split_to(self.raw.len().min(PIECE_BYTES));
            decoder.write_all(&piece)?;
            let plain = std::mem::take(decoder.get_mut());
            if !plain.is_empty() {
                return Ok(Some(plain.into()));
            }
        }
    }

    fn last(&mut self) -> io::Result<Option<Bytes>> {
        let Some(decoder) = self.gzip.take() else { return Ok(None) };
        let plain = decoder.finish()?;
        Ok((!plain.is_empty()).then(|| plain.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    const DELETION: &[u8] = b"0065aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
        0000000000000000000000000000000000000000 refs/heads/x\0ab0000";

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_body_reaches_git_whole_with_or_without_gzip() {
        let rest = vec![b'x'; 100_000];
        let bytes = [DELETION, &rest].concat();
        for (body, gzip) in [(bytes.clone(), false), (zipped(&bytes), true)] {
            let mut upload = Upload::new(Body::from(body), gzip);
            let opening = upload.opening().await.unwrap();
            assert_eq!(opening.commands[0].name, "refs/heads/x");
            let (write, mut read) = pipe::pipe().unwrap();
            let notice = OnceLock::new();
            let mut got = Vec::new();
            let (fed, _) = tokio::join!(
                upload.feed(write, opening.pack_at, 99_999, &notice, "too large"),
                read.read_to_end(&mut got)
            );
            fed.unwrap();
            assert_eq!(got, bytes);
            assert_eq!(notice.get().map(String::as_str), Some("too large"));
        }
    }

    #[tokio::test]
    async fn an_endless_list_of_refs_is_not_read_to_its_end() {
        let line = DELETION[..101].to_vec();
        let endless =
            futures_util::stream::repeat_with(move || Ok::<_, io::Error>(Bytes::from(line.clone())));
        let mut upload = Upload::new(Body::from_stream(endless), false);
        let opening = tokio::time::timeout(Duration::from_secs(60), upload.opening()).await.unwrap();
        let Err(Unread::TooLong(opening)) = opening else { panic!() };
        assert!(opening.commands.len() > 5000, "{}", opening.commands.len());
    }
}
