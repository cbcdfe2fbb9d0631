//! `blobs/uploads/`: a blob comes whole, or begun, in chunks and finished; or from another repository of the same tool
//! without moving a byte (end-4 to end-6, end-11, end-13, end-14).

use crate::{
    Door,
    answer::{self, Refusal, UPLOAD_ID},
    blobs::text,
    body::{Received, receive},
    files::{Session, SessionError},
    path::{self, Target},
    query::Query,
    range,
};
use app::registry::{ImageRepository, MAX_BLOB_BYTES, RegistryAsker, Want};
use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::Response,
};
use model::Digest;
use std::io;
use tokio::task::spawn_blocking;

/// A blob that comes in one request and is not longer needs no session.
const SMALL_BYTES: u64 = 8 * 1024 * 1024;

/// `POST`: mounts, takes a whole blob, or begins a session.
pub(crate) async fn begin(
    door: &Door,
    asker: &RegistryAsker,
    repository: &ImageRepository,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let query = Query::of(&parts.uri);
    if let Some(algorithm) = query.one("digest-algorithm")?
        && algorithm != "sha256"
    {
        let shown: String = algorithm.chars().take(16).collect();
        return Err(path::other_algorithm(&shown));
    }
    if let (Some(digest), Some(from)) = (query.one("mount")?, query.one("from")?)
        && let Some(mounted) = mount(door, asker, repository, digest, from).await?
    {
        return Ok(mounted);
    }
    let digest = query.one("digest")?.map(path::digest).transpose()?;
    let length = length(&parts.headers)?;
    let id = uuid::Uuid::now_v7().to_string();
    let small = digest.is_some() && length.is_some_and(|length| length <= SMALL_BYTES);
    door.app.check_room(repository, length.unwrap_or(0)).await?;
    if !small {
        door.app.open_upload(repository, &id).await?;
    }
    let session = match door.files.begin(&id) {
        Ok(session) => session,
        Err(error) => {
            drop_upload(door, &id, !small).await;
            return Err(unusable(&error));
        }
    };
    let Some(digest) = digest else {
        door.files.pause(session);
        return Ok(progressing(StatusCode::ACCEPTED, repository, &id, 0));
    };
    let counted = if small { None } else { Some(count(door, &id, 0, length).await?) };
    let received = receive(door, session, body, length.unwrap_or(MAX_BLOB_BYTES), counted).await;
    let session = match received {
        Ok(Received { session, refused: None }) => session,
        // It has no address yet at which it could go on.
        Ok(Received { refused: Some(refusal), .. }) | Err(refusal) => {
            drop_upload(door, &id, !small).await;
            return Err(refusal);
        }
    };
    keep(door, repository, session, &digest, !small).await
}

/// From which repository a request wants to mount.
pub(crate) fn source(target: &Target, parts: &Parts) -> Option<String> {
    let mounts = *target == Target::Uploads && parts.method == Method::POST;
    let query = mounts.then(|| Query::of(&parts.uri))?;
    let from = query.one("mount").ok()?.and(query.one("from").ok()?)?;
    app::registry::is_repository_name(from).then(|| from.to_owned())
}

/// `None`: it cannot be had from there, for whatever reason; the client uploads it then.
async fn mount(
    door: &Door,
    asker: &RegistryAsker,
    repository: &ImageRepository,
    digest: &str,
    from: &str,
) -> Result<Option<Response>, Refusal> {
    let Ok(digest) = path::digest(digest) else { return Ok(None) };
    if !app::registry::is_repository_name(from) {
        return Ok(None);
    }
    let Ok(source) = door.app.open_repository(asker, from, Want::Pull).await else { return Ok(None) };
    if source.tool() != repository.tool() {
        return Ok(None);
    }
    let Some(known) = door.app.image_blob(&source, &digest).await? else { return Ok(None) };
    let blob = door.files.blob(&digest, known);
    let Some(blob) = blob.map_err(|error| Refusal::broken("reading a blob", &error))? else {
        return Ok(None);
    };
    door.app.add_blob(repository, &digest, blob.length, None).await?;
    Ok(Some(answer::created(&address(repository, &digest), &digest)))
}

/// `GET`: how far it is.
pub(crate) async fn progress(
    door: &Door,
    repository: &ImageRepository,
    id: &str,
) -> Result<Response, Refusal> {
    door.app.upload(repository, id).await?;
    let received = door.files.received(id).map_err(|error| unusable(&error))?;
    Ok(progressing(StatusCode::NO_CONTENT, repository, id, received))
}

/// `PATCH`: the next chunk.
pub(crate) async fn add(
    door: &Door,
    repository: &ImageRepository,
    id: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let session = go_on(door, repository, id, parts, body, Chunk::Must).await?;
    let length = session.length;
    door.files.pause(session);
    Ok(progressing(StatusCode::ACCEPTED, repository, id, length))
}

/// `PUT`: the last chunk, if there is one, and what it all is.
pub(crate) async fn finish(
    door: &Door,
    repository: &ImageRepository,
    id: &str,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let query = Query::of(&parts.uri);
    let Some(digest) = query.one("digest")? else {
        return Err(Refusal::bad("DIGEST_INVALID", "say what it is: `?digest=sha256:…`"));
    };
    let digest = path::digest(digest)?;
    let session = go_on(door, repository, id, parts, body, Chunk::May).await?;
    keep(door, repository, session, &digest, true).await
}

/// `DELETE`: it will not be finished.
pub(crate) async fn cancel(door: &Door, repository: &ImageRepository, id: &str) -> Result<Response, Refusal> {
    door.app.upload(repository, id).await?;
    drop_upload(door, id, true).await;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// Whether a request brings bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Must,
    May,
}

/// Takes the bytes that a request brings into the upload.
async fn go_on(
    door: &Door,
    repository: &ImageRepository,
    id: &str,
    parts: &Parts,
    body: Body,
    chunk: Chunk,
) -> Result<Session, Refusal> {
    door.app.upload(repository, id).await?;
    let (files, name) = (door.files.clone(), id.to_owned());
    let session = spawn_blocking(move || files.resume(&name)).await;
    let session = session.map_err(|error| Refusal::broken("going on with an upload", &error))?;
    let session = session.map_err(|error| unusable(&error))?;
    let before = session.length;
    let length = length(&parts.headers)?;
    let told = text(&parts.headers, &header::CONTENT_RANGE).map(|value| {
        let bad = || Refusal::bad("BLOB_UPLOAD_INVALID", "Content-Range is written as `0-1023`");
        range::of_chunk(value).ok_or_else(bad)
    });
    if let Some((first, announced)) = told.transpose().inspect_err(|_| ())? {
        if length.is_some_and(|length| length != announced) {
            door.files.pause(session);
            return Err(Refusal::bad("SIZE_INVALID", "Content-Range and Content-Length do not agree"));
        }
        if first != before {
            door.files.pause(session);
            let text = format!("the next byte is {before}, not {first}");
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", text);
            return Err(refusal
                .with(header::LOCATION, &location(repository, id))
                .with(header::RANGE, &so_far(before))
                .with(UPLOAD_ID, id));
        }
    }
    if chunk == Chunk::May && length == Some(0) {
        return Ok(session);
    }
    let counted = match count(door, id, before, length).await {
        Ok(counted) => counted,
        Err(refusal) => {
            door.files.pause(session);
            return Err(refusal);
        }
    };
    let room = length.unwrap_or(u64::MAX).min(MAX_BLOB_BYTES.saturating_sub(before));
    let received = receive(door, session, body, room, Some(counted)).await;
    let Received { session, refused } = match received {
        Ok(received) => received,
        // Nobody knows what of it is on disk.
        Err(refusal) => {
            drop_upload(door, id, true).await;
            return Err(refusal);
        }
    };
    let kept =
        if session.length == counted { Ok(()) } else { door.app.upload_received(id, session.length).await };
    match (refused, kept) {
        (None, Ok(())) => Ok(session),
        (Some(refusal), _) => {
            door.files.pause(session);
            Err(refusal)
        }
        (None, Err(problem)) => {
            door.files.pause(session);
            Err(problem.into())
        }
    }
}

/// Counts what a request announces before a byte of it comes; gives the length that is counted then.
async fn count(door: &Door, id: &str, before: u64, length: Option<u64>) -> Result<u64, Refusal> {
    let Some(length) = length.filter(|length| *length > 0) else { return Ok(before) };
    let total = before.checked_add(length).filter(|total| *total <= MAX_BLOB_BYTES);
    let total = total.ok_or_else(|| Refusal::bad("SIZE_INVALID", "no blob may be larger than 64 GiB"))?;
    door.app.upload_received(id, total).await?;
    Ok(total)
}

/// All has come: if it is what it is said to be, the repository has it.
async fn keep(
    door: &Door,
    repository: &ImageRepository,
    session: Session,
    digest: &Digest,
    has_row: bool,
) -> Result<Response, Refusal> {
    let id = session.id.clone();
    let found = session.digest();
    if found != *digest {
        drop_upload(door, &id, has_row).await;
        let text = format!("what came is {found}, not {digest}");
        return Err(Refusal::bad("DIGEST_INVALID", text));
    }
    let row = has_row.then_some(id.as_str());
    if let Err(problem) = door.app.add_blob(repository, digest, session.length, row).await {
        drop_upload(door, &id, has_row).await;
        return Err(problem.into());
    }
    let (files, named) = (door.files.clone(), *digest);
    let published = spawn_blocking(move || files.publish(session, &named)).await;
    if let Err(error) = published.map_err(io::Error::other).and_then(|published| published) {
        // The row goes with the file that did not come; when another push brought that, both stay.
        drop_upload(door, &id, false).await;
        let there = door.files.blob(digest, None).is_ok_and(|blob| blob.is_some());
        if !there && let Err(problem) = door.app.drop_blob(repository, digest).await {
            tracing::warn!(%problem, %digest, "a blob that was not kept still counts until its hour is over");
        }
        return Err(Refusal::broken("keeping the blob", &error));
    }
    Ok(answer::created(&address(repository, digest), digest))
}

/// What is left over after a failure is cleared up later.
async fn drop_upload(door: &Door, id: &str, has_row: bool) {
    if has_row && let Err(problem) = door.app.end_upload(id).await {
        tracing::info!(%problem, "an upload had ended already");
    }
    if let Err(error) = door.files.discard(id) {
        tracing::warn!(%error, "an upload's file was not removed");
    }
}

fn unusable(error: &SessionError) -> Refusal {
    match error {
        SessionError::Gone => {
            Refusal::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload any more")
        }
        SessionError::Busy => {
            let text = "another request is working on this upload; ask how far it is, and go on from there";
            Refusal::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", text)
        }
        SessionError::Io(error) => Refusal::broken("going on with an upload", error),
    }
}

/// Of the body, when the client says it.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Refusal::bad("SIZE_INVALID", "Content-Length is no length"))
}

fn address(repository: &ImageRepository, digest: &Digest) -> String {
    format!("/v2/{}/blobs/{digest}", repository.name())
}

fn location(repository: &ImageRepository, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", repository.name())
}

/// `0-<last byte>`. Of nothing it says `0-0`, as the specification has no word for it.
fn so_far(bytes: u64) -> String {
    format!("0-{}", bytes.saturating_sub(1))
}

fn progressing(status: StatusCode, repository: &ImageRepository, id: &str, bytes: u64) -> Response {
    let mut response = answer::empty(status);
    let headers = response.headers_mut();
    answer::set(headers, header::LOCATION, &location(repository, id));
    answer::set(headers, header::RANGE, &so_far(bytes));
    answer::set(headers, UPLOAD_ID, id);
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    response
}
