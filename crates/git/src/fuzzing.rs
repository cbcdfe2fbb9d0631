//! What the fuzz targets reach of this room (`fuzz/`); for nobody else.

use crate::{Command, door, hook, repository};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use std::{collections::BTreeMap, io};

/// What `proc-receive` reads from git, and what it answers to the version.
pub fn proc_receive(mut input: &[u8]) -> io::Result<(Vec<Command>, Vec<String>, Vec<u8>)> {
    let mut answer = Vec::new();
    let (commands, options) = hook::read_push(&mut input, &mut answer)?;
    Ok((commands, options, answer))
}

/// What `pre-receive` reads from git.
pub fn pre_receive(mut input: &[u8]) -> io::Result<Vec<Command>> {
    hook::read_plain_commands(&mut input)
}

/// A verdict's reason as the client gets it.
pub fn reason(text: &str) -> String {
    hook::one_line(text)
}

/// The files in an answer of `git cat-file --batch`; `None` when it cannot be read.
pub fn batch(answer: &[u8], names: &[&str], max_bytes: u64) -> Option<BTreeMap<String, Vec<u8>>> {
    repository::parse_batch(answer, names, max_bytes).ok()
}

/// A request's body without its gzip; `None` when it is refused.
pub fn unzipped(body: &[u8], max_bytes: usize) -> Option<Bytes> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    door::receive::plain(&headers, &Bytes::copy_from_slice(body), max_bytes).ok()
}
