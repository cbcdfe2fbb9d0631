//! The address of a platform, in one spelling, so that it can be a key: of credentials, of git's settings.

use model::{Problem, ToolName};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use super::failure::usage;

/// `http://host[:port]`: no user, no path, lower case, no default port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Server(Url);

impl Server {
    /// The address of one thing beneath `/api/v1`; segments are escaped.
    pub(crate) fn api(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // Only URLs that cannot be a base have no path segments, and `parse` refuses those.
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    /// `host[:port]`, as image names begin.
    pub(crate) fn host(&self) -> String {
        self.to_string().trim_start_matches("http://").to_owned()
    }

    /// Whether the name means this machine by rule (RFC 6761 §6.3), so that nothing is asked to resolve it.
    pub(crate) fn is_local(&self) -> bool {
        is_localhost(self.0.host_str().unwrap_or_default())
    }

    /// The server and tool of a remote of ours: `http://host/git/<tool>.git`; `None` for other remotes.
    pub(crate) fn of_remote(remote: &str) -> Option<(Self, ToolName)> {
        let mut url: Url = remote.parse().ok()?;
        let tool =
            url.path().strip_prefix("/git/")?.trim_end_matches('/').strip_suffix(".git")?.parse().ok()?;
        url.set_path("");
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some((url.as_str().parse().ok()?, tool))
    }
}

/// `localhost` and every name beneath it.
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

impl FromStr for Server {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| {
            usage("this is no address of a platform", format!("`{}`: {why}", super::output::printable(text)))
                .hint("write it as http://localhost:8080")
        };
        let url: Url = text.parse().map_err(|error| wrong(&format!("{error}")))?;
        match url.scheme() {
            "http" => {}
            "https" => {
                return Err(wrong("this version speaks plain HTTP only; TLS comes with the complete router"));
            }
            other => return Err(wrong(&format!("`{other}:` is not a protocol of the platform"))),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a name or token does not belong into an address: others can read it there"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("leave out what follows host and port"));
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for Server {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.to_string()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for text in ["http://LOCALHOST:8080", "http://localhost:8080/"] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), "http://localhost:8080");
        }
        assert_eq!("http://tools.example:80".parse::<Server>().unwrap().to_string(), "http://tools.example");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, why) in [
            ("localhost:8080", "not a protocol"),
            ("tools.example", "relative URL"),
            ("https://tools.example", "plain HTTP"),
            ("http://me:secret@tools.example", "others can read it"),
            ("http://tools.example/git", "leave out"),
            ("ftp://tools.example", "not a protocol"),
        ] {
            let problem = text.parse::<Server>().unwrap_err();
            assert!(problem.detail.contains(why), "{text}: {problem}");
            assert_eq!(problem.status, 400);
        }
    }

    #[test]
    fn a_remote_names_server_and_tool() {
        let of = |remote: &str| Server::of_remote(remote).map(|(server, tool)| format!("{server} {tool}"));
        assert_eq!(of("http://localhost:8080/git/shop.git").as_deref(), Some("http://localhost:8080 shop"));
        assert_eq!(
            of("http://me@localhost:8080/git/shop.git/").as_deref(),
            Some("http://localhost:8080 shop")
        );
        for other in
            ["git@forge.example:me/shop.git", "https://forge.example/me/shop.git", "/srv/git/shop.git", ""]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn names_beneath_localhost_mean_this_machine() {
        assert!(is_localhost("localhost") && is_localhost("shop.LOCALHOST") && is_localhost("localhost."));
        assert!(!is_localhost("notlocalhost") && !is_localhost("localhost.example"));
    }

    #[test]
    fn what_goes_into_a_path_is_escaped() {
        let server: Server = "http://localhost:8080".parse().unwrap();
        assert_eq!(
            server.api(&["tools", "../x?y"]).as_str(),
            "http://localhost:8080/api/v1/tools/..%2Fx%3Fy"
        );
    }
}
