//! `referrers/<digest>`: signatures, bills of materials and the like that speak of a manifest (end-12).

use crate::{
    Door,
    answer::{self, Refusal},
    document::{INDEX, referrer},
    query::Query,
    tags::{encoded, next},
};
use app::registry::ImageRepository;
use axum::{
    http::{HeaderName, StatusCode, request::Parts},
    response::Response,
};
use model::Digest;
use serde_json::json;

/// Rows of one answer.
const PAGE: u32 = 100;
/// Longest type that is looked for, in bytes.
const MAX_TYPE_BYTES: usize = 1024;
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Never 404: of what is not there, nothing speaks.
pub(crate) async fn list(
    door: &Door,
    repository: &ImageRepository,
    subject: &Digest,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let query = Query::of(&parts.uri);
    let after = query.one("last")?.unwrap_or_default();
    let kind = query.one("artifactType")?;
    if kind.is_some_and(|kind| kind.len() > MAX_TYPE_BYTES) {
        return Err(Refusal::bad("UNSUPPORTED", "an artifactType may have 1024 bytes"));
    }
    let mut found = door.app.referrers(repository, subject, after, PAGE + 1).await?;
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = found.len() > page;
    found.truncate(page);
    let rows = found.iter().map(referrer);
    let wanted = rows.filter(|(found, _)| kind.is_none_or(|kind| found.as_deref() == Some(kind)));
    let manifests: Vec<_> = wanted.map(|(_, descriptor)| descriptor).collect();
    let body = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let mut response = answer::json_with(StatusCode::OK, &body, INDEX);
    if kind.is_some() {
        answer::set(response.headers_mut(), FILTERS, "artifactType");
    }
    if let (true, Some(last)) = (more, found.last()) {
        let kind = kind.map(|kind| format!("&artifactType={}", encoded(kind))).unwrap_or_default();
        let last = encoded(&last.digest.to_string());
        next(&mut response, &format!("/v2/{}/referrers/{subject}?last={last}{kind}", repository.name()));
    }
    Ok(response)
}
