//! What the router says itself: short pages for people, the same as plain text for programs.

use crate::body::{Body, text};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER},
};
use model::Fault;

/// Why there is no answer of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The request cannot be read in one way only.
    BadRequest(&'static str),
    /// A method that no backend gets.
    Method,
    /// No tool has this host name.
    UnknownHost(String),
    /// The tool exists, nothing was ever deployed.
    Empty(String),
    Starting(String),
    Stopped(String),
    Failed(String),
    /// The tool has as many open requests as one tool may have.
    Busy(String),
    /// No backend accepted the connection, or it ended without an answer.
    Unreachable(String),
    /// The backend did not begin to answer in time.
    Slow(String),
    /// The backend was replaced, and did not answer in the time that was left to it.
    Cut(String),
    /// The platform knows no way to the backend.
    NoWay(String, Fault),
    /// The platform itself does not answer.
    PlatformAway(Fault),
}

/// A whole answer to a request whose head did not come in time; with it the connection ends.
pub(crate) fn slow_head() -> Vec<u8> {
    let body =
        "This request came too slowly\nIts head was not whole in time. Send it again on a new connection.\n";
    let (status, length) = (StatusCode::REQUEST_TIMEOUT, body.len());
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

struct Words {
    status: StatusCode,
    title: String,
    detail: String,
    /// Seconds.
    retry_after: Option<u32>,
}

/// The pages' one style. Its hash stands in [`POLICY`]; a test compares them.
const STYLE: &str = "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:38rem;margin:15vh auto;padding:0 1.5rem}\
h1{font-size:1.6rem;line-height:1.3}footer{margin-top:3rem;font-size:.9rem;opacity:.8}";
const POLICY: &str = "default-src 'none'; style-src 'sha256-4RH2vuFZV5MKeezR6KzIpM5+PtIKz/plbS64s5ooHD8='; frame-ancestors 'none'; base-uri 'none'";

impl Page {
    pub(crate) const BROKEN_BODY: Self = Self::BadRequest(
        "Its body is broken or was not sent to its end. Send it again; if that changes nothing, the program that sent \
         it frames it wrongly.",
    );

    /// The answer to a client, as HTML when it asks for that.
    pub(crate) fn response(&self, request: &HeaderMap) -> Response<Body> {
        let words = self.words();
        let html = wants_html(request);
        let body = if html { words.html() } else { format!("{}\n{}\n", words.title, words.detail) };
        let mut response = Response::new(text(body));
        *response.status_mut() = words.status;
        let kind = if html { "text/html; charset=utf-8" } else { "text/plain; charset=utf-8" };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if matches!(self, Self::Method) {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if let Some(seconds) = words.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    fn words(&self) -> Words {
        let words = |status, title: &str, detail: &str, retry_after| Words {
            status,
            title: title.to_owned(),
            detail: detail.to_owned(),
            retry_after,
        };
        match self {
            Self::BadRequest(why) => {
                words(StatusCode::BAD_REQUEST, "This request cannot be answered", why, None)
            }
            Self::Method => words(
                StatusCode::METHOD_NOT_ALLOWED,
                "This method is not allowed",
                "Use GET, POST or another usual one.",
                None,
            ),
            Self::UnknownHost(host) => words(
                StatusCode::NOT_FOUND,
                &format!("There is no tool at {host}"),
                "Check the address for a typing mistake. The tool may have been deleted or may have another name.",
                None,
            ),
            Self::Empty(tool) => words(
                StatusCode::NOT_FOUND,
                &format!("{tool} has nothing to show yet"),
                "The tool exists, but nothing was deployed. Its maintainers change that with: git push windlass main",
                None,
            ),
            Self::Starting(tool) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{tool} is starting"),
                "It will be here in a moment. Please load this page again.",
                Some(2),
            ),
            Self::Stopped(tool) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{tool} is stopped"),
                "One of its maintainers stopped it and can start it again with: windlass start",
                None,
            ),
            Self::Failed(tool) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{tool} does not stay up"),
                "It ends again and again after it is started. Its maintainers see why with: windlass logs",
                Some(30),
            ),
            Self::Busy(tool) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{tool} is busy"),
                "It has more open requests than one tool may have. Please try again in a moment.",
                Some(5),
            ),
            Self::Unreachable(tool) => words(
                StatusCode::BAD_GATEWAY,
                &format!("{tool} did not answer"),
                "It refused the connection or ended it without an answer. Its maintainers see why with: windlass logs",
                None,
            ),
            Self::Slow(tool) => words(
                StatusCode::GATEWAY_TIMEOUT,
                &format!("{tool} took too long"),
                "It did not begin to answer in time. Its maintainers see more with: windlass logs",
                None,
            ),
            Self::Cut(tool) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{tool} was replaced meanwhile"),
                "The copy that had this request ended before it was answered. Send it again if it may happen twice.",
                None,
            ),
            Self::NoWay(tool, fault) => words(
                StatusCode::BAD_GATEWAY,
                &format!("{tool} cannot be reached"),
                &format!("It may be running, but requests do not get there. {}", fault.sentence()),
                Some(5),
            ),
            Self::PlatformAway(fault) => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "The platform does not answer",
                &format!(
                    "It may be restarting; tools go on answering meanwhile. Please try again in a moment. {}",
                    fault.sentence()
                ),
                Some(5),
            ),
        }
    }
}

impl Words {
    /// Host names and tool names are of a grammar without markup, so there is nothing to escape.
    fn html(&self) -> String {
        let Self { title, detail, .. } = self;
        let again = match self.retry_after {
            Some(seconds) if seconds <= 5 => format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"),
            _ => String::new(),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
             {again}<title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><p>{detail}</p></main><footer>{} · Windlass</footer></body></html>\n",
            self.status
        )
    }
}

fn wants_html(request: &HeaderMap) -> bool {
    let accepted = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_names_the_hash_of_the_style() {
        let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn programs_get_text_and_browsers_a_page() {
        let asks = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            Page::Starting("wordcount".to_owned()).response(&headers)
        };
        let kind = |accept| asks(accept).headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(kind("*/*"), "text/plain; charset=utf-8");
        assert_eq!(kind("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html; charset=utf-8");
        assert_eq!(asks("*/*").headers()[RETRY_AFTER], "2");
        assert_eq!(asks("*/*").status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
