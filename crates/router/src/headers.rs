//! Header hygiene: what belongs to one connection stays there, and what the platform says about a request cannot be
//! said by the client (RFC 9110 §7.6.1).

use crate::host::Host;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use model::blob_part::ACCEPTS_BLOB;
use std::net::IpAddr;
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that concern one connection. hyper frames bodies itself, so `Transfer-Encoding` goes too; it answers
/// `Expect: 100-continue` when the body is first asked for.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// Takes the client's request id when it keeps to the grammar, or makes one: 8 to 64 letters, digits, `-` and `_`.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_id = |value: &&HeaderValue| {
        (8..=64).contains(&value.len())
            && value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    headers.get(REQUEST_ID).filter(is_id).cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// The protocol that a request wants to change to, when it says so properly (RFC 9110 §7.8).
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    names_in_connection(headers).contains(&UPGRADE).then(|| headers.get(UPGRADE).cloned())?
}

/// Makes a client's headers those that a backend gets.
pub(crate) fn to_backend(headers: &mut HeaderMap, host: &Host, client: IpAddr, request_id: &HeaderValue) {
    let upgrade = upgrade(headers);
    remove_hop_by_hop(headers);
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("host", &host.authority);
    set("x-forwarded-host", &host.authority);
    set("x-forwarded-proto", "http");
    set("x-forwarded-for", &client.to_canonical().to_string());
    headers.insert(REQUEST_ID, request_id.clone());
    connection(headers, upgrade, "close");
}

/// The same for serve, which may leave it to us to send a blob.
pub(crate) fn to_platform(headers: &mut HeaderMap, host: &Host, client: IpAddr, request_id: &HeaderValue) {
    to_backend(headers, host, client, request_id);
    headers.insert(HeaderName::from_static(ACCEPTS_BLOB), HeaderValue::from_static("1"));
}

/// Makes a backend's headers those that the client gets. `switched` when the connection changes its protocol.
pub(crate) fn to_client(headers: &mut HeaderMap, request_id: &HeaderValue, switched: bool) {
    let upgrade = switched.then(|| headers.get(UPGRADE).cloned()).flatten();
    remove_hop_by_hop(headers);
    headers.insert(REQUEST_ID, request_id.clone());
    if upgrade.is_some() {
        connection(headers, upgrade, "close");
    }
}

fn connection(headers: &mut HeaderMap, upgrade: Option<HeaderValue>, otherwise: &'static str) {
    match upgrade {
        Some(protocol) => {
            headers.insert(UPGRADE, protocol);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        None => {
            headers.insert(CONNECTION, HeaderValue::from_static(otherwise));
        }
    }
}

/// Names that only the platform may set. Underscores would meet dashes in a CGI-like environment (`X_FORWARDED_FOR`),
/// and `Proxy` would become `HTTP_PROXY` there.
fn is_ours(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || name.starts_with("x-windlass-")
        || name.contains('_')
        || matches!(name, "forwarded" | "x-real-ip" | "x-request-id" | "proxy" | "host")
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in names_in_connection(headers).into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What `Connection` names, lower-case.
fn names_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.filter_map(|word| HeaderName::from_bytes(word.trim_ascii()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        lines.iter().map(line).collect()
    }

    fn forwarded(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(lines);
        let host = Host { name: "a.example".to_owned(), authority: "a.example:8080".to_owned() };
        to_backend(&mut headers, &host, "::ffff:203.0.113.9".parse().unwrap(), &"request-1".parse().unwrap());
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let headers = forwarded(&[
            ("connection", "keep-alive, X-Secret ,close"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("accept", "*/*"),
        ]);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let ours =
            ["accept", "connection", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        assert_eq!(names, [&ours[..], &["x-request-id"]].concat());
        assert_eq!(headers[CONNECTION], "close");
    }

    #[test]
    fn a_client_cannot_speak_for_the_platform() {
        let headers = forwarded(&[
            ("host", "evil.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-port", "1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("proxy", "http://evil.example"),
            ("x-windlass-accepts-blob", "1"),
        ]);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9");
        assert_eq!(headers["x-forwarded-host"], "a.example:8080");
        assert_eq!(headers[HOST], "a.example:8080");
        assert!(!headers.iter().any(|(name, value)| name.as_str().contains('_') || value == "10.0.0.1"));
        assert!(!headers.contains_key(ACCEPTS_BLOB));
        assert!(!headers.contains_key("proxy") && !headers.contains_key("x-forwarded-port"));
    }

    #[test]
    fn a_proper_wish_to_change_the_protocol_goes_on() {
        let headers = forwarded(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(
            (&headers[CONNECTION], &headers[UPGRADE]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
    }

    #[test]
    fn a_request_id_of_the_grammar_is_kept_and_any_other_is_replaced() {
        let id = |value: &str| request_id(&headers(&[("x-request-id", value)]));
        assert_eq!(id("0190-abc_DEF"), "0190-abc_DEF");
        for bad in ["short", "with space", "<script>alert</script>", &"x".repeat(65)] {
            let made = id(bad);
            assert_eq!(made.len(), 32, "{bad}");
        }
    }
}
