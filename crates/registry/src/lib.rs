//! The registry's door: OCI distribution over the blobs that builds write (distribution-spec v1.1).
//!
//! [`Door`] answers `/v2/…`. It reads what was sent ([`path`], [`range`], [`document`]), asks [`app::App`] who may do
//! it and what the rows say, and moves bytes between clients and [`files`]. Nothing is held in memory but manifests.

mod answer;
mod blobs;
mod body;
mod chores;
mod credentials;
mod document;
mod files;
mod manifests;
mod path;
mod query;
mod range;
mod referrers;
mod seen;
mod send;
mod tags;
mod token;
mod uploads;

use answer::Refusal;
use app::{App, registry::Want};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Method, Request, request::Parts},
    response::Response,
    routing::{any, get},
};
pub use chores::Clocks;
use files::Files;
use model::Paths;
use path::Target;
use std::sync::Arc;

/// The registry of one platform; cheap to clone.
#[derive(Clone)]
pub struct Door {
    app: Arc<App>,
    files: Arc<Files>,
}

impl Door {
    pub fn new(app: Arc<App>, paths: &Paths) -> Self {
        Self { app, files: Arc::new(Files::new(paths)) }
    }

    /// The routes below `/v2`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v2", any(base))
            .route("/v2/", any(base))
            .route("/v2/token", get(token::by_query).post(token::by_form))
            .route("/v2/{*rest}", any(answer))
            .with_state(self)
    }
}

/// `GET /v2/`: is this a registry, and is the token good? (end-1)
async fn base(State(door): State<Door>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let asker = credentials::asker(&door.app, &parts.headers).await;
    let answer = match asker {
        Ok(asker) if asker.is_anonymous() => Err(Refusal::not_signed_in()),
        Ok(_) => Ok(answer::json(&serde_json::json!({}))),
        Err(refusal) => Err(refusal),
    };
    answer::finish(&door.app, answer, &[])
}

async fn answer(State(door): State<Door>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let asked = match path::read(parts.uri.path(), &parts.method) {
        Ok(asked) => asked,
        Err(refusal) => return answer::finish(&door.app, Err(refusal), &[]),
    };
    let want = match parts.method {
        Method::GET | Method::HEAD => Want::Pull,
        Method::DELETE if !matches!(asked.target, Target::Upload(_)) => Want::Delete,
        _ => Want::Push,
    };
    // A session is asked about by whoever pushes.
    let want = if matches!(asked.target, Target::Upload(_)) { Want::Push } else { want };
    let source = uploads::source(&asked.target, &parts);
    let answer = act(&door, &asked, want, parts, body).await;
    // Whoever mounts needs a token for both.
    let mut scopes = vec![(asked.name.as_str(), want)];
    scopes.extend(source.iter().map(|source| (source.as_str(), Want::Pull)));
    answer::finish(&door.app, answer, &scopes)
}

async fn act(
    door: &Door,
    asked: &path::Asked,
    want: Want,
    parts: Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let asker = credentials::asker(&door.app, &parts.headers).await?;
    let repository = door.app.open_repository(&asker, &asked.name, want).await?;
    let get = matches!(parts.method, Method::GET | Method::HEAD);
    let head = parts.method == Method::HEAD;
    match (&asked.target, &parts.method) {
        (Target::Blob(digest), _) if get => blobs::get(door, &repository, digest, &parts.headers, head).await,
        (Target::Blob(digest), &Method::DELETE) => blobs::delete(door, &repository, digest).await,
        (Target::Manifest(reference), _) if get => {
            manifests::get(door, &repository, reference, &parts.headers, head).await
        }
        (Target::Manifest(reference), &Method::PUT) => {
            manifests::put(door, &repository, reference, &parts, body).await
        }
        (Target::Manifest(reference), &Method::DELETE) => {
            manifests::delete(door, &repository, reference).await
        }
        (Target::Tags, &Method::GET) => tags::list(door, &repository, &parts).await,
        (Target::Referrers(digest), &Method::GET) => referrers::list(door, &repository, digest, &parts).await,
        (Target::Uploads, &Method::POST) => uploads::begin(door, &asker, &repository, &parts, body).await,
        (Target::Upload(id), &Method::GET) => uploads::progress(door, &repository, id).await,
        (Target::Upload(id), &Method::PATCH) => uploads::add(door, &repository, id, &parts, body).await,
        (Target::Upload(id), &Method::PUT) => uploads::finish(door, &repository, id, &parts, body).await,
        (Target::Upload(id), &Method::DELETE) => uploads::cancel(door, &repository, id).await,
        _ => Err(Refusal::unsupported("this cannot be asked so")),
    }
}
