//! Who asks: a token as the password of any user name (`docker login`), or as a bearer.

use crate::answer::Refusal;
use app::{App, registry::RegistryAsker};
use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine, prelude::BASE64_STANDARD};

/// Longest header that is looked at, in bytes.
const MAX_HEADER_BYTES: usize = 4096;

pub(crate) async fn asker(app: &App, headers: &HeaderMap) -> Result<RegistryAsker, Refusal> {
    let token = token(headers)?;
    Ok(app.registry_asker(token.as_deref()).await?)
}

/// The token of `Authorization`, when there is that header.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let unreadable = || {
        let text = "the Authorization header cannot be read; `docker login` writes it";
        Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", text)
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.len() > MAX_HEADER_BYTES {
        return Err(unreadable());
    }
    let value = value.to_str().map_err(|_| unreadable())?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(unreadable)?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded =
            BASE64_STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(unreadable)?;
        decoded.split_once(':').ok_or_else(unreadable)?.1.to_owned()
    } else {
        return Err(unreadable());
    };
    // An empty one is no other than a wrong one: it must not pass for nobody.
    if token.is_empty() { Err(unreadable()) } else { Ok(Some(token)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_basic_or_bearer_and_from_nothing_else() {
        for (value, expected) in [
            ("Bearer wl_p_x", Some("wl_p_x")),
            ("Basic dTp3bF9wX3g=", Some("wl_p_x")),
            ("basic OmE6Yg==", Some("a:b")),
            ("Basic dTo=", None),
            ("Basic !!!", None),
            ("Bearer ", None),
            ("Digest x", None),
            ("wl_p_x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(token(&headers).ok().flatten().as_deref(), expected, "{value}");
        }
        assert_eq!(token(&HeaderMap::new()).ok(), Some(None));
    }
}
