//! Logs as they are written: lines of JSON (`application/x-ndjson`), an empty line now and then as a sign of life.

use crate::wire;
use app::logs::{LogFeed, LogLine};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use logs::{Flags, Stream};
use model::Problem;
use std::{io, time::Duration};

/// How often a silent connection shows that it lives; shorter than any time-out on the way.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// The rows of a feed as an answer. What is wrong with the first batch is an error answer, not a broken stream.
pub(crate) async fn answer(mut feed: LogFeed) -> Result<Response, Problem> {
    let Some(first) = feed.next(Duration::ZERO).await? else { return Ok(respond(Body::empty())) };
    let rest = stream::unfold(Some((Some(first), feed)), next_lines);
    Ok(respond(Body::from_stream(rest)))
}

type Rows = Option<(Option<Vec<LogLine>>, LogFeed)>;

async fn next_lines(rows: Rows) -> Option<(Result<Bytes, io::Error>, Rows)> {
    let (ready, mut feed) = rows?;
    let batch = match ready {
        Some(batch) => batch,
        None => match feed.next(SIGN_OF_LIFE).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return None,
            // The status is sent already: only breaking off tells the reader that this is not the end.
            Err(problem) => return Some((Err(io::Error::other(problem)), None)),
        },
    };
    Some((lines(&batch).map(Bytes::from), Some((None, feed))))
}

fn lines(batch: &[LogLine]) -> Result<Vec<u8>, io::Error> {
    let mut text = Vec::new();
    for line in batch {
        serde_json::to_writer(&mut text, &row(line))?;
        text.push(b'\n');
    }
    if text.is_empty() {
        text.push(b'\n');
    }
    Ok(text)
}

fn row(line: &LogLine) -> wire::LogRow {
    let row = &line.entry.row;
    wire::LogRow {
        stream: line.stream.clone(),
        offset: line.entry.offset,
        next: line.entry.next_offset,
        microseconds: row.microseconds,
        source: match row.stream {
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::Platform => "platform",
            Stream::Marker => "marker",
        }
        .to_owned(),
        partial: row.flags.has(Flags::PARTIAL),
        text: String::from_utf8_lossy(&row.bytes).into_owned(),
    }
}

fn respond(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
