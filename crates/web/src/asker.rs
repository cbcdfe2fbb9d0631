//! Who asks: the token in the Authorization header.

use crate::answer::Refused;
use app::App;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use model::{Actor, Problem, authorization};
use std::sync::Arc;

/// The actor behind a request. Without a header: nobody, and the policy table says what nobody may do.
pub(crate) struct Asker(pub(crate) Actor);

impl FromRequestParts<Arc<App>> for Asker {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let token = token(&parts.headers)?;
        Ok(Self(app.identify(token.as_deref()).await?))
    }
}

/// The token of the request, when it shows one.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    authorization::token(values).map_err(|bad| {
        Problem::new("auth-header", 401, "the Authorization header cannot be read", bad.to_string())
            .hint("send `Authorization: Bearer <token>`")
    })
}
