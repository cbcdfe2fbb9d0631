//! Who asks: the token in the Authorization header.

use crate::answer::Refused;
use app::App;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use model::{Actor, Problem};
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

/// The token of `Bearer <token>` or of `Basic <base64 of user:token>`; the user's name is of no account.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let unreadable = |detail: &str| {
        Problem::new("auth-header", 401, "the Authorization header cannot be read", detail)
            .hint("send `Authorization: Bearer <token>`")
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(unreadable("there is more than one"));
    }
    let value = value.to_str().map_err(|_| unreadable("it holds bytes that are no ASCII"))?;
    let (scheme, rest) =
        value.split_once(' ').ok_or_else(|| unreadable("it names a scheme without a value"))?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable("its scheme is neither Bearer nor Basic"));
    }
    let decoded = BASE64_STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(|| unreadable("its Basic value is no base64"))?;
    let (_, password) =
        decoded.split_once(':').ok_or_else(|| unreadable("its Basic value holds no colon"))?;
    // git asks with an empty password first when the URL names a user: that is nobody, and gets a 401.
    Ok(Some(password.to_owned()).filter(|password| !password.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        token(&headers)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_password() {
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
        assert_eq!(read("Bearer wl_x").unwrap().as_deref(), Some("wl_x"));
        assert_eq!(read("bearer  wl_x ").unwrap().as_deref(), Some("wl_x"));
        let basic = |text: &str| read(&format!("Basic {}", BASE64_STANDARD.encode(text)));
        assert_eq!(basic("ada:wl_x:y").unwrap().as_deref(), Some("wl_x:y"));
        assert_eq!(basic("ada:").unwrap(), None);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_told_and_never_taken_for_nobody() {
        for bad in ["Bearer", "Digest x", "Basic ???", "Basic YWRh"] {
            assert_eq!(read(bad).unwrap_err().status, 401, "{bad}");
        }
    }
}
