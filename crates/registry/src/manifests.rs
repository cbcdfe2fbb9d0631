//! `manifests/<tag or digest>` (end-3, end-7, end-9).

use crate::{
    Door,
    answer::{self, CONTENT_DIGEST, Refusal},
    blobs::{matches, text, unchanged},
    document::{Document, MAX_DOCUMENT_BYTES},
    path,
    query::Query,
};
use app::registry::{FoundManifest, ImageRepository, Reference};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::Response,
};
use futures_util::StreamExt;
use model::Digest;
use store::{Manifest, NewManifest};

/// Tags that one request may set.
const MAX_TAGS: usize = 50;
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

pub(crate) async fn get(
    door: &Door,
    repository: &ImageRepository,
    reference: &Reference,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response, Refusal> {
    let manifest = match door.app.manifest(repository, reference).await? {
        FoundManifest::Pushed(manifest) => manifest,
        FoundManifest::Released(digest) => released(door, digest)?,
    };
    let tag = format!("\"{}\"", manifest.digest);
    if matches(headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let length = manifest.body.len().to_string();
    let mut response = Response::new(if head { Body::empty() } else { Body::from(manifest.body) });
    let headers = response.headers_mut();
    answer::set(headers, header::CONTENT_TYPE, &manifest.media_type);
    answer::set(headers, header::CONTENT_LENGTH, &length);
    answer::set(headers, header::ETAG, &tag);
    answer::set(headers, CONTENT_DIGEST, &manifest.digest.to_string());
    Ok(response)
}

/// The manifest that a build wrote.
fn released(door: &Door, digest: Digest) -> Result<Manifest, Refusal> {
    let body = door.files.document(&digest, MAX_DOCUMENT_BYTES as u64);
    let body = body.map_err(|error| Refusal::broken("reading a manifest", &error))?;
    let body = body.ok_or_else(|| {
        let text =
            "this image is damaged on the platform's disk; tell the operator, or push the commit again";
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", text)
    })?;
    Ok(Manifest { digest, media_type: oci::media_type::MANIFEST.to_owned(), body })
}

pub(crate) async fn put(
    door: &Door,
    repository: &ImageRepository,
    reference: &Reference,
    parts: &Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(body).await?;
    let document = Document::read(text(&parts.headers, &header::CONTENT_TYPE), &body)?;
    let digest = oci::digest_of(&body);
    let mut tags = Vec::new();
    match reference {
        Reference::Digest(expected) if *expected != digest => {
            let text = format!("what came is {digest}, not {expected}");
            return Err(Refusal::bad("DIGEST_INVALID", text));
        }
        Reference::Digest(_) => {
            let query = Query::of(&parts.uri);
            tags.extend(query.all("tag").map(path::tag).collect::<Result<Vec<_>, _>>()?);
            if tags.len() > MAX_TAGS {
                return Err(Refusal::bad("TAG_INVALID", "at most 50 tags at once"));
            }
        }
        Reference::Tag(tag) => tags.push(tag.clone()),
    }
    let accepted = tags.join(", ");
    let by_digest = matches!(reference, Reference::Digest(_));
    let manifest = Manifest { digest, media_type: document.media_type, body };
    let new = NewManifest {
        manifest,
        blobs: document.blobs,
        foreign: document.foreign,
        children: document.children,
        subject: document.subject,
        tags,
    };
    door.app.put_manifest(repository, &new).await?;
    let mut response = answer::created(&format!("/v2/{}/manifests/{digest}", repository.name()), &digest);
    if let Some(subject) = new.subject {
        answer::set(response.headers_mut(), OCI_SUBJECT, &subject.to_string());
    }
    if by_digest && !accepted.is_empty() {
        answer::set(response.headers_mut(), OCI_TAG, &accepted);
    }
    Ok(response)
}

pub(crate) async fn delete(
    door: &Door,
    repository: &ImageRepository,
    reference: &Reference,
) -> Result<Response, Refusal> {
    door.app.delete_manifest(repository, reference).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| Refusal::bad("MANIFEST_INVALID", "the manifest broke off"))?;
        if bytes.len() + frame.len() > MAX_DOCUMENT_BYTES {
            let text = "a manifest may have 4 MiB";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", text));
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}
