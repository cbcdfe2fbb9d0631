//! The head of a plain HTTP/1.1 request, read strictly (RFC 9112 §2–§5): what two parsers could read in two ways is
//! refused, and the head is written anew before it goes on.
//!
//! Only GET and HEAD: package managers fetch, and a build has nothing to send over plain HTTP.

use crate::name;

/// Longest head that is read, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;

/// What the first bytes of a connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// Read more bytes and ask again.
    Incomplete,
    /// A request for `host`; `forward` is the head to send on, with `Connection: close`.
    Request { host: String, forward: Vec<u8> },
    /// Refused: the status line to answer with and the reason in words.
    Bad { status: &'static str, why: &'static str },
}

/// Reads a request head from the bytes that a client has sent to `port` so far. Bytes after the head are ignored:
/// one request per connection.
pub fn head(bytes: &[u8], port: u16) -> Head {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if has_bare_line_end(bytes) {
            bad("a line that does not end with CR LF")
        } else {
            Head::Incomplete
        };
    };
    read(&bytes[..end], port).unwrap_or_else(|head| head)
}

fn bad(why: &'static str) -> Head {
    Head::Bad { status: "400 Bad Request", why }
}

fn has_bare_line_end(bytes: &[u8]) -> bool {
    let mut before = 0;
    bytes.iter().any(|&byte| {
        let bare = byte == b'\n' && before != b'\r' || before == b'\r' && byte != b'\n';
        before = byte;
        bare
    })
}

fn read(bytes: &[u8], port: u16) -> Result<Head, Head> {
    if has_bare_line_end(bytes) || bytes.contains(&0) {
        return Err(bad("a line that does not end with CR LF"));
    }
    let mut lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    check_request_line(request_line)?;
    let mut host = None;
    let mut forward = [request_line, b"\r\n"].concat();
    for (count, line) in lines.enumerate() {
        let (field, value) = split_field(line).ok_or(bad("a header line that breaks the grammar"))?;
        if count >= MAX_FIELDS {
            return Err(Head::Bad {
                status: "431 Request Header Fields Too Large",
                why: "more than 100 header lines",
            });
        }
        match field.to_ascii_lowercase().as_slice() {
            b"host" if host.is_some() => return Err(bad("two Host headers")),
            b"host" => host = Some(check_host(value, port)?),
            b"content-length" if value == b"0" => {}
            b"content-length" | b"transfer-encoding" => {
                return Err(Head::Bad { status: "413 Content Too Large", why: "a request with a body" });
            }
            b"upgrade" | b"http2-settings" => return Err(bad("a change of protocol")),
            b"connection" | b"keep-alive" | b"proxy-connection" | b"expect" | b"te" => {}
            _ => forward.extend([line, b"\r\n"].concat()),
        }
    }
    let host = host.ok_or(bad("no Host header"))?;
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    forward.extend(format!("Host: {host}{port}\r\nConnection: close\r\n\r\n").into_bytes());
    Ok(Head::Request { host, forward })
}

fn check_request_line(line: &[u8]) -> Result<(), Head> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() || !matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0")) {
        return Err(bad("not an HTTP/1.1 request"));
    }
    if !matches!(method, Some(b"GET" | b"HEAD")) {
        return Err(Head::Bad { status: "405 Method Not Allowed", why: "a method other than GET and HEAD" });
    }
    match target {
        Some(target) if target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic) => Ok(()),
        _ => Err(bad("a target that does not start with a slash")),
    }
}

/// Field name and trimmed value. No space before the colon, no folded lines (RFC 9112 §5.1, §5.2).
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (field, value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let text = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    (!field.is_empty() && field.iter().all(token) && value.iter().all(text))
        .then(|| (field, value.trim_ascii()))
}

fn check_host(value: &[u8], port: u16) -> Result<String, Head> {
    let suffix = format!(":{port}");
    let host = value.strip_suffix(suffix.as_bytes()).unwrap_or(value);
    name::host(host).ok_or(bad("a Host that is no host name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(request: &str) -> &'static str {
        match head(request.as_bytes(), 80) {
            Head::Bad { status, .. } => status,
            other => panic!("{request:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_plain_request_goes_on_with_its_host_and_a_closed_end() {
        let request = b"GET /debian/a?b HTTP/1.1\r\nhost: Deb.Debian.org:80\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\nGET /more";
        let Head::Request { host, forward } = head(request, 80) else { panic!("refused") };
        assert_eq!(host, "deb.debian.org");
        assert_eq!(
            String::from_utf8(forward).unwrap(),
            "GET /debian/a?b HTTP/1.1\r\nAccept: */*\r\nHost: deb.debian.org\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn whatever_two_parsers_could_read_in_two_ways_is_refused() {
        for request in [
            "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\nHost: a.example\n\n",
            "GET / HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n",
            "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET //a b HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x@a.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(refused(request), "400 Bad Request", "{request:?}");
        }
    }

    #[test]
    fn a_build_has_nothing_to_send() {
        for method in ["POST", "PUT", "CONNECT", "OPTIONS", "get"] {
            assert_eq!(
                refused(&format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n")),
                "405 Method Not Allowed"
            );
        }
        let body = "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(refused(body), "413 Content Too Large");
        let chunked = "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(refused(chunked), "413 Content Too Large");
    }

    #[test]
    fn every_shorter_prefix_is_incomplete() {
        let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        for length in 0..request.len() {
            assert_eq!(head(&request[..length], 80), Head::Incomplete, "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_on_is_always_one_whole_request(lines in proptest::collection::vec("[ -~\r\n]{0,40}", 0..6)) {
            let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{}\r\n\r\n", lines.join("\r\n"));
            if let Head::Request { forward, .. } = head(request.as_bytes(), 80) {
                prop_assert_eq!(forward.windows(4).filter(|window| window == b"\r\n\r\n").count(), 1);
                prop_assert!(forward.ends_with(b"\r\n\r\n"));
            }
        }
    }
}
