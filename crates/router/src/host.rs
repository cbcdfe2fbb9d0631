//! The host that a request is for (RFC 9110 §7.2, RFC 9112 §3.2): one name, read in one way.

use http::{HeaderMap, Uri, header::HOST};

/// A host as the request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Lower-case, without port and trailing dot: what the table is asked for.
    pub(crate) name: String,
    /// With the port when there is one: what the backend is told.
    pub(crate) authority: String,
}

/// Reads the host of a request, or says why the request has none.
pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Host, &'static str> {
    let mut values = headers.get_all(HOST).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        (None, _) => return Err("The request names no host."),
        (Some(_), Some(_)) => return Err("The request names two hosts."),
    };
    let host = parse(value).ok_or("The request's Host header is not a host name.")?;
    match uri.authority() {
        Some(target) if parse(target.as_str().as_bytes()).as_ref() != Some(&host) => {
            Err("The request's target and its Host header name different hosts.")
        }
        _ => Ok(host),
    }
}

/// A name, an IPv4 address or a bracketed IPv6 address, with or without a port.
fn parse(value: &[u8]) -> Option<Host> {
    let text = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    let bracket = text.rfind(']').unwrap_or(0);
    let (name, port) = match text[bracket..].find(':') {
        Some(colon) => (&text[..bracket + colon], Some(&text[bracket + colon + 1..])),
        None => (text.as_str(), None),
    };
    if let Some(port) = port {
        port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if !is_name(name) {
        return None;
    }
    let authority = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    Some(Host { name: name.to_owned(), authority })
}

fn is_name(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(target: &str, values: &[&str]) -> Result<Host, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HOST, value.parse().unwrap());
        }
        read(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn a_host_is_read_without_case_trailing_dot_and_port() {
        let read = host("/", &["WordCount.Tools.Example.:8080"]).unwrap();
        assert_eq!(
            (read.name.as_str(), read.authority.as_str()),
            ("wordcount.tools.example", "wordcount.tools.example:8080")
        );
        assert_eq!(host("/", &["localhost"]).unwrap().name, "localhost");
        assert_eq!(host("/", &["[::1]:80"]).unwrap().name, "[::1]");
        assert_eq!(host("http://a.example/x", &["A.example"]).unwrap().name, "a.example");
    }

    #[test]
    fn what_could_be_read_as_two_hosts_is_refused() {
        assert!(host("/", &[]).is_err());
        assert!(host("/", &["a.example", "a.example"]).is_err());
        assert!(host("http://b.example/", &["a.example"]).is_err());
        for bad in [
            "",
            "a.example:",
            "a.example:80:80",
            "a.example:+80",
            "a.example:99999",
            "user@a.example",
            "a.example/x",
            "a..example",
            "-a.example",
            "a_b.example",
            "a.example,b.example",
            "[::1",
            "[::1]x",
            "a b",
        ] {
            assert!(host("/", &[bad]).is_err(), "{bad}");
        }
    }
}
