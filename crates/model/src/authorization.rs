//! The token in an `Authorization` header, read alike at every door (RFC 6750 Bearer, RFC 7617 Basic).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use thiserror::Error;

/// Longest value that is looked at, in bytes.
const MAX_BYTES: usize = 4096;

/// Why a header that is there holds no token. It is never taken for no header: who sent it meant to be somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadAuthorization {
    #[error("there is more than one")]
    Several,
    #[error("it is longer than 4096 bytes")]
    Long,
    #[error("it holds bytes that are no ASCII")]
    Bytes,
    #[error("it names a scheme without a value")]
    Scheme,
    #[error("its scheme is neither Bearer nor Basic")]
    OtherScheme,
    #[error("its Basic value is no base64")]
    Base64,
    #[error("its Basic value holds no colon")]
    Colon,
    #[error("its token is empty")]
    Empty,
}

/// The token of `Bearer <token>` or of `Basic <base64 of user:token>`; the user's name is of no account. `values`: of
/// every header of that name; `None` when there is none.
pub fn token<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<String>, BadAuthorization> {
    use BadAuthorization as Bad;
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Bad::Several);
    }
    if value.len() > MAX_BYTES {
        return Err(Bad::Long);
    }
    let value = str::from_utf8(value).ok().filter(|value| value.is_ascii()).ok_or(Bad::Bytes)?;
    let (scheme, rest) = value.split_once(' ').ok_or(Bad::Scheme)?;
    let rest = rest.trim();
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.ok_or(Bad::Base64)?.split_once(':').ok_or(Bad::Colon)?.1.to_owned()
    } else {
        return Err(Bad::OtherScheme);
    };
    if token.is_empty() { Err(Bad::Empty) } else { Ok(Some(token)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_bearer_or_as_password_and_from_nothing_else() {
        let long = format!("Bearer {}", "x".repeat(MAX_BYTES));
        let read = |value: &str| token([value.as_bytes()]);
        for (value, expected) in [
            ("Bearer wl_x", Ok("wl_x")),
            ("bearer  wl_x ", Ok("wl_x")),
            ("Basic dTp3bF9wX3g=", Ok("wl_p_x")),
            ("basic OmE6Yg==", Ok("a:b")),
            // git asks so first when the address names a user.
            ("Basic dTo=", Err(BadAuthorization::Empty)),
            ("Bearer ", Err(BadAuthorization::Empty)),
            ("Basic !!!", Err(BadAuthorization::Base64)),
            ("Basic YWRh", Err(BadAuthorization::Colon)),
            ("Digest x", Err(BadAuthorization::OtherScheme)),
            ("wl_p_x", Err(BadAuthorization::Scheme)),
            ("Bearer ä", Err(BadAuthorization::Bytes)),
            (&long, Err(BadAuthorization::Long)),
        ] {
            assert_eq!(read(value), expected.map(|token| Some(token.to_owned())), "{value}");
        }
        assert_eq!(token([]), Ok(None));
        assert_eq!(token([b"Bearer a".as_slice(), b"Bearer b"]), Err(BadAuthorization::Several));
    }
}
