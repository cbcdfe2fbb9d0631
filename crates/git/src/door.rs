//! Smart HTTP (gitprotocol-http(5)): three requests, each answered by one git process of the helper's.

mod opening;
pub(crate) mod receive;
mod relay;
mod upload;

use crate::{
    Access, Gate, Grant, Platform, Refusal, pktline,
    repository::{Repositories, Running},
    settings::{Limits, Places},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use model::{Fault, authorization};
use sandbox::request::GitService;
use serde::Deserialize;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest body of a fetch request in bytes: wants and haves of a very large negotiation.
const MAX_FETCH_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Everything the door needs; cheap to clone.
#[derive(Clone)]
pub struct Door {
    pub platform: Arc<dyn Platform>,
    pub gate: Arc<Gate>,
    pub repositories: Repositories,
    pub places: Places,
    pub limits: Limits,
}

#[derive(Deserialize)]
struct Service {
    service: Option<String>,
}

impl Door {
    /// The routes below `/git/`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/git/{repository}/info/refs", get(info_refs))
            .route("/git/{repository}/git-upload-pack", post(upload_pack))
            .route("/git/{repository}/git-receive-pack", post(receive_pack))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(self)
    }

    async fn open(&self, headers: &HeaderMap, repository: &str, access: Access) -> Result<Grant, Response> {
        let tool = repository.strip_suffix(".git").unwrap_or(repository);
        // One that holds no token gets the challenge, as none does: git asks with an empty password first.
        let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = authorization::token(values).unwrap_or_default();
        self.platform.open(token.as_deref(), tool, access).await.map_err(|refusal| refused(&refusal))
    }
}

async fn info_refs(
    State(door): State<Door>,
    Path(repository): Path<String>,
    Query(query): Query<Service>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let (access, name) = match query.service.as_deref() {
        Some("git-upload-pack") => (Access::Read, "git-upload-pack"),
        Some("git-receive-pack") => (Access::Write, "git-receive-pack"),
        _ => {
            let text = "This is a git repository; clone it with git 1.6.6 or newer.\n";
            return Err((StatusCode::FORBIDDEN, text).into_response());
        }
    };
    let grant = door.open(&headers, &repository, access).await?;
    let version = protocol(&headers);
    let (service, config) = match access {
        Access::Read => (GitService::UploadPack { advertise: true }, Vec::new()),
        Access::Write => (
            GitService::ReceivePack { advertise: true },
            crate::settings::receive(&door.places, grant.max_input_bytes),
        ),
    };
    let env = version.iter().map(|version| ("GIT_PROTOCOL".to_owned(), version.clone())).collect();
    let running =
        door.repositories.start(grant.tool, service, config, env).await.map_err(|error| broken(&error))?;
    let Running { stdin, mut stdout, stderr, worker } = running;
    drop(stdin);
    log_stderr(stderr);
    let mut body = Vec::new();
    // Version 2 has no service line of its own (gitprotocol-v2(5), "HTTP Transport").
    if version.as_deref() != Some("version=2") {
        body.extend(pktline::encode(format!("# service={name}\n").as_bytes()));
        body.extend(b"0000");
    }
    stdout.read_to_end(&mut body).await.map_err(|error| broken(&error))?;
    match worker.status().await.map_err(|error| broken(&error))? {
        0 => Ok(answer(&format!("application/x-{name}-advertisement"), Body::from(body))),
        status => Err(broken(&std::io::Error::other(format!("git ended with status {status}")))),
    }
}

async fn upload_pack(
    State(door): State<Door>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let grant = door.open(&headers, &repository, Access::Read).await?;
    let request = axum::body::to_bytes(body, MAX_FETCH_REQUEST_BYTES).await;
    let request = request.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    let request =
        receive::plain(&headers, &request, MAX_FETCH_REQUEST_BYTES).map_err(IntoResponse::into_response)?;
    let env = protocol(&headers).map(|version| ("GIT_PROTOCOL".to_owned(), version)).into_iter().collect();
    let service = GitService::UploadPack { advertise: false };
    let running = door
        .repositories
        .start(grant.tool, service, Vec::new(), env)
        .await
        .map_err(|error| broken(&error))?;
    let Running { mut stdin, stdout, stderr, worker } = running;
    log_stderr(stderr);
    tokio::spawn(async move {
        // A client that leaves makes git stop reading; that is no fault.
        let _ = stdin.write_all(&request).await;
    });
    let stream = receive::streamed(stdout, worker, door.limits.patience);
    Ok(answer("application/x-git-upload-pack-result", Body::from_stream(stream)))
}

async fn receive_pack(
    State(door): State<Door>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let grant = door.open(&headers, &repository, Access::Write).await?;
    let body = receive::start(door, grant, &headers, body).await?;
    Ok(answer("application/x-git-receive-pack-result", body))
}

/// The `Git-Protocol` header, if it is one of the three values that we pass on.
fn protocol(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("git-protocol")?.to_str().ok()?;
    matches!(value, "version=0" | "version=1" | "version=2").then(|| value.to_owned())
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = (status, format!("{}\n", refusal.text)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"Windlass\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Response {
    let fault = Fault::of("a request of git", error);
    let text = format!(
        "windlass: the platform could not run git just now; nothing was changed, try again in a minute\n{}\n",
        fault.sentence()
    );
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn answer(content_type: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What git says on its own standard error is for the operator.
fn log_stderr(mut stderr: tokio::net::unix::pipe::Receiver) {
    tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = (&mut stderr).take(16 * 1024).read_to_end(&mut text).await;
        if !text.is_empty() {
            tracing::info!(text = %String::from_utf8_lossy(&text).trim(), "git said");
        }
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_protocol_version_reaches_git() {
        for (value, passed) in
            [("version=2", true), ("version=2:x", false), ("version=3", false), ("", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("git-protocol", value.parse().unwrap());
            assert_eq!(protocol(&headers).is_some(), passed, "{value}");
        }
    }
}
