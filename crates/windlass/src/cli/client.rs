//! Talking to `/api/v1`. Every error comes back as a [`Problem`]: the platform's own, or one about the way there.

mod lines;
mod resolver;

pub(crate) use lines::Lines;

use super::server::Server;
use model::Problem;
use reqwest::{Method, RequestBuilder, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long a short answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest silence of a long answer; the platform shows a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Largest short answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Longest text of a router's page that is shown.
const MAX_WORDS_BYTES: usize = 1000;

/// One platform, and the token to show there.
pub(crate) struct Client {
    http: reqwest::Client,
    server: Server,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(server: Server, token: Option<String>) -> Result<Self, Problem> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            // A token goes to the address that the person named, never to where that one points.
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(resolver::Resolver));
        if server.is_local() {
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|error| super::failure::local("cannot speak HTTP", &chain(&error)))?;
        Ok(Self { http, server, token })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Problem> {
        self.answer(self.request(Method::GET, path).query(query)).await
    }

    /// For verbs that take nothing and answer little or nothing.
    pub(crate) async fn ask(&self, method: Method, path: &[&str]) -> Result<Value, Problem> {
        self.answer(self.request(method, path)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> Result<Value, Problem> {
        self.answer(self.request(method, path).json(body)).await
    }

    /// A long answer, line by line.
    pub(crate) async fn lines(&self, path: &[&str], query: &[(&str, String)]) -> Result<Lines, Problem> {
        let request = self.request(Method::GET, path).query(query);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Lines::new(response, self.server.to_string()));
        }
        Err(self.refusal(response).await)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.server.api(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, Problem> {
        let response = request.timeout(ANSWER).send().await.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = self.body(response).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| self.not_a_platform(&error.to_string()))
    }

    async fn refusal(&self, response: Response) -> Problem {
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let ours = kind.is_some_and(|kind| kind.starts_with("application/problem+json"));
        let body = self.body(response).await.unwrap_or_default();
        if ours && let Ok(problem) = serde_json::from_slice(&body) {
            return problem;
        }
        if status.as_u16() == 503 || status.as_u16() == 502 {
            // The router's own words: a title, then whose fault it is, with its id.
            let words = String::from_utf8_lossy(&body);
            let words = words.lines().skip(1).collect::<Vec<_>>().join("\n");
            let mut detail = format!("{} says {status}: it may be starting or restarting", self.server);
            if words.contains("the operator finds it") && words.len() < MAX_WORDS_BYTES {
                detail = words;
            }
            return Problem::new("cli-starting", 503, "the platform does not answer now", detail)
                .hint("try again in a moment");
        }
        self.not_a_platform(&format!("it answered {status}"))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(self.not_a_platform("its answer does not end"));
            }
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Problem {
        unreachable(&self.server.to_string(), error)
    }

    fn not_a_platform(&self, why: &str) -> Problem {
        let title = format!("{} does not answer as a platform does", self.server);
        Problem::new("cli-not-a-platform", 502, title, why)
            .hint("check the address; `--server URL` names another")
    }
}

/// The platform's answer in the wire's type.
pub(crate) fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Problem> {
    T::deserialize(answer).map_err(|error| {
        Problem::new("cli-version", 502, "the platform's answer cannot be read", error.to_string())
            .hint("platform and command may be of different versions: use the platform's own `windlass`")
    })
}

fn unreachable(server: &str, error: &reqwest::Error) -> Problem {
    Problem::new("cli-unreachable", 503, format!("cannot reach {server}"), chain(error))
        .hint("is the platform running, and is the address right? `--server URL` names another")
}

/// An error with what lies behind it, without the address that reqwest would repeat each time.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    causes.dedup();
    causes.join(": ")
}
