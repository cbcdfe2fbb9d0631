//! `blobs/<digest>`: looking, downloading, deleting (end-2, end-10).

use crate::{
    Door,
    answer::{self, CONTENT_DIGEST, Refusal},
    range::{self, Part},
    seen::Known,
    send,
};
use app::registry::ImageRepository;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::Response,
};
use model::{
    BlobPart, Digest,
    blob_part::{self, ACCEPTS_BLOB},
};

/// What has this digest never changes, and is nobody else's to keep.
const CACHE: &str = "private, max-age=31536000, immutable";
/// From so many bytes on the router sends them, if it can.
const ROUTER_BYTES: u64 = 128 * 1024;

pub(crate) async fn get(
    door: &Door,
    repository: &ImageRepository,
    digest: &Digest,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response, Refusal> {
    let unknown =
        || Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("there is no blob {digest}"));
    let known = door.app.image_blob(repository, digest).await?.ok_or_else(unknown)?;
    let blob = door.files.blob(digest, known);
    let blob = blob.map_err(|error| Refusal::broken("reading a blob", &error))?.ok_or_else(unknown)?;
    let tag = format!("\"{digest}\"");
    if matches(headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let (length, asked) = (blob.length, text(headers, &header::RANGE));
    let (status, first, sent) = match range::of_download(asked, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Some { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Unsatisfiable => {
            let refusal =
                Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "the blob is shorter");
            return Err(refusal.with(header::CONTENT_RANGE, &format!("bytes */{length}")));
        }
    };
    // A large one that was seen to be whole goes from the page cache to the client, without a copy through two processes.
    let unseen = blob.known == Known::Nothing && sent == length;
    let by_router = !head && !unseen && sent >= ROUTER_BYTES && headers.contains_key(ACCEPTS_BLOB);
    let by_us = !head && !by_router;
    let mut response =
        Response::new(if by_us { send::send(door, digest, blob, first, sent) } else { Body::empty() });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if by_router {
        let part = BlobPart { digest: *digest, first, length_bytes: sent };
        answer::set(headers, HeaderName::from_static(blob_part::BLOB), &part.to_string());
    } else {
        answer::set(headers, header::CONTENT_LENGTH, &sent.to_string());
    }
    answer::set(headers, header::CONTENT_TYPE, "application/octet-stream");
    answer::set(headers, header::ACCEPT_RANGES, "bytes");
    answer::set(headers, header::CACHE_CONTROL, CACHE);
    answer::set(headers, header::ETAG, &tag);
    answer::set(headers, CONTENT_DIGEST, &digest.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {first}-{}/{length}", first + sent - 1);
        answer::set(headers, header::CONTENT_RANGE, &part);
    }
    Ok(response)
}

pub(crate) async fn delete(
    door: &Door,
    repository: &ImageRepository,
    digest: &Digest,
) -> Result<Response, Refusal> {
    door.app.delete_blob(repository, digest).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

/// Whether the client has it already (RFC 9110, "If-None-Match").
pub(crate) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let known = text(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

pub(crate) fn unchanged(tag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    answer::set(response.headers_mut(), header::ETAG, tag);
    response
}

/// A header that is text, if it was sent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
