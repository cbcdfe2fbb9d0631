//! Who asks: a token as the password of any user name (`docker login`), or as a bearer.

use crate::answer::Refusal;
use app::{App, registry::RegistryAsker};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use model::authorization;

pub(crate) async fn asker(app: &App, headers: &HeaderMap) -> Result<RegistryAsker, Refusal> {
    let token = token(headers)?;
    Ok(app.registry_asker(token.as_deref()).await?)
}

/// The token of `Authorization`, when there is that header.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    authorization::token(values).map_err(|bad| {
        let text = format!("the Authorization header cannot be read: {bad}; `docker login` writes it");
        Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", text)
    })
}
