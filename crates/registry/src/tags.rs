//! `tags/list` (end-8).

use crate::{
    Door,
    answer::{self, Refusal},
    query::Query,
};
use app::registry::ImageRepository;
use axum::{
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

pub(crate) async fn list(
    door: &Door,
    repository: &ImageRepository,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let query = Query::of(&parts.uri);
    let limit = query.page()?;
    let after = query.one("last")?.unwrap_or_default();
    let tags = door.app.tags(repository, after, limit.saturating_add(1)).await?;
    let Some(mut tags) = tags else {
        let text = format!("nothing was pushed to {} yet", repository.name());
        return Err(Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", text));
    };
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = tags.len() > wanted && wanted > 0;
    tags.truncate(wanted);
    let name = repository.name();
    let mut response = answer::json(&json!({ "name": name, "tags": tags }));
    if let (true, Some(last)) = (more, tags.last()) {
        next(&mut response, &format!("/v2/{name}/tags/list?n={limit}&last={}", encoded(last)));
    }
    Ok(response)
}

/// Where the list goes on (RFC 8288).
pub(crate) fn next(response: &mut Response, address: &str) {
    answer::set(response.headers_mut(), header::LINK, &format!("<{address}>; rel=\"next\""));
}

/// For a value in a query.
pub(crate) fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
