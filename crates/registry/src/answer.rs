//! Answers: errors as distribution-spec, "Error Codes" writes them, and the headers that every answer has.

use app::{App, registry::Want};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use model::Problem;
use serde::Serialize;
use serde_json::json;
use std::io;

/// Old clients look for it before they believe that this is a registry.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Why a request is not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, String)>,
    /// The token that was shown is not enough, and why.
    challenge: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new(), challenge: None }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "sign in with a token of this platform")
    }

    /// A file of ours could not be used; the cause goes to the log.
    pub(crate) fn broken(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let full = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        if error.downcast_ref().is_some_and(full) {
            tracing::error!(what, %error, "the disk of the registry is full");
            return Self::disk_full();
        }
        app::internal(what, error).into()
    }

    /// Everybody's disk, not this tool's quota. No 5xx: clients keep the sentence of one to themselves and try again.
    pub(crate) fn disk_full() -> Self {
        let text = "the platform's disk is full, which is not your doing: tell the operator, and push again later; \
                    nothing of this was kept";
        Self::new(StatusCode::FORBIDDEN, "DENIED", text)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let (status, code) = match (problem.id.as_str(), problem.status) {
            ("registry-name" | "tool-unknown", _) => (404, "NAME_UNKNOWN"),
            ("registry-manifest", _) => (404, "MANIFEST_UNKNOWN"),
            ("registry-blob", _) => (404, "BLOB_UNKNOWN"),
            ("registry-upload", _) => (404, "BLOB_UPLOAD_UNKNOWN"),
            ("registry-blob-unknown", _) => (400, "MANIFEST_BLOB_UNKNOWN"),
            // Clients give up at once and print the sentence; 507 and the like they try again and again.
            (
                "quota-storage" | "registry-blob-used" | "registry-manifest-used" | "registry-repositories",
                _,
            ) => (403, "DENIED"),
            ("registry-uploads", _) => (429, "TOOMANYREQUESTS"),
            (_, 401) => (401, "UNAUTHORIZED"),
            (_, 403) => (403, "DENIED"),
            (_, status @ 500..) => (status, "UNKNOWN"),
            (_, status) => (status, "UNSUPPORTED"),
        };
        // Clients print the message on one line.
        let mut message = format!("{}: {}", problem.title, problem.detail);
        if let Some(hint) = &problem.hint {
            message = format!("{message}; {hint}");
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let challenge = match problem.id.as_str() {
            "registry-scope" => Some("insufficient_scope"),
            "auth-token" => Some("invalid_token"),
            _ => None,
        };
        let refusal = Self { challenge, ..Self::new(status, code, message.replace('\n', " ")) };
        // Places among a tool's uploads come free by the minute.
        if status == StatusCode::TOO_MANY_REQUESTS {
            refusal.with(header::RETRY_AFTER, "60")
        } else {
            refusal
        }
    }
}

/// What every answer has; a refusal also says how to sign in, for what was asked.
pub(crate) fn finish(app: &App, answer: Result<Response, Refusal>, asked: &[(&str, Want)]) -> Response {
    let mut response = answer.unwrap_or_else(|refusal| {
        let body = json!({ "errors": [{ "code": refusal.code, "message": refusal.message }] });
        let mut response = json_with(refusal.status, &body, "application/json");
        for (name, value) in refusal.headers {
            set(response.headers_mut(), name, &value);
        }
        if refusal.status == StatusCode::UNAUTHORIZED {
            let challenge = challenge(app, asked, refusal.challenge);
            set(response.headers_mut(), header::WWW_AUTHENTICATE, &challenge);
        }
        response
    });
    set(response.headers_mut(), API_VERSION, "registry/2.0");
    response
}

/// One challenge, since some clients read the first alone; Basic is taken everywhere as well. Several scopes stand side
/// by side in one value.
fn challenge(app: &App, asked: &[(&str, Want)], error: Option<&str>) -> String {
    let addresses = app.addresses();
    let scope = |(name, want): &(&str, Want)| {
        let actions = if *want == Want::Push { "pull,push" } else { want.as_str() };
        format!("repository:{name}:{actions}")
    };
    let scopes: Vec<String> = asked.iter().map(scope).collect();
    let scope = (!scopes.is_empty()).then(|| format!(",scope=\"{}\"", scopes.join(" ")));
    let error = error.map(|error| format!(",error=\"{error}\""));
    format!(
        "Bearer realm=\"{}/v2/token\",service=\"{}\"{}{}",
        addresses.platform(),
        addresses.domain,
        scope.unwrap_or_default(),
        error.unwrap_or_default()
    )
}

pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Values are digests, numbers and names that were checked; what is no header value is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

pub(crate) fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value, "application/json")
}

pub(crate) fn json_with(status: StatusCode, value: &impl Serialize, media_type: &str) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, media_type);
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_LENGTH, "0");
    response
}

/// `201 Created`: where it is pulled from, and its digest.
pub(crate) fn created(location: &str, digest: &model::Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    set(response.headers_mut(), header::LOCATION, location);
    set(response.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    response
}
