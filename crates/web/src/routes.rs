//! Every path that answers, with the verb it stands for.

mod identity;
mod logs;
mod quota;
mod runs;
mod storage;
mod tools;

use crate::{answer, page};
use app::App;
use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware,
    routing::{get, post, put},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Largest body of any request here, in bytes: nothing that people ask for is long.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The platform's own pages and API. The git door has a router of its own; merge both.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/health", get(health))
        .route("/whoami", get(identity::whoami))
        .route("/tokens", get(identity::tokens).post(identity::issue_token))
        .route("/tokens/{token}", axum::routing::delete(identity::revoke_token))
        .route("/users", get(identity::users).post(identity::create_user))
        .route("/storage", get(storage::storage))
        .route("/storage/scrubs", post(storage::begin_scrub))
        .route("/storage/scrubs/{number}", get(storage::scrub))
        .route("/tools", get(tools::list).post(tools::create))
        .route("/tools/{tool}", get(tools::status).delete(tools::delete))
        .route("/tools/{tool}/production-branch", put(tools::set_production_branch))
        .route("/tools/{tool}/on-new-push", put(tools::set_on_new_push))
        .route("/tools/{tool}/quota", get(quota::show).put(quota::set))
        .route("/tools/{tool}/stop", post(tools::stop))
        .route("/tools/{tool}/start", post(tools::start))
        .route("/tools/{tool}/restart", post(tools::restart))
        .route("/tools/{tool}/members", get(tools::members))
        .route("/tools/{tool}/members/{user}", put(tools::add_member).delete(tools::remove_member))
        .route("/tools/{tool}/runs", get(runs::list))
        .route("/tools/{tool}/runs/{number}", get(runs::show))
        .route("/tools/{tool}/runs/{number}/cancel", post(runs::cancel))
        .route("/tools/{tool}/runs/{number}/retry", post(runs::retry))
        .route("/tools/{tool}/runs/{number}/log", get(logs::run_log))
        .route("/tools/{tool}/releases", get(runs::releases))
        .route("/tools/{tool}/rollback", post(runs::roll_back))
        .route("/tools/{tool}/logs", get(logs::logs))
        .layer(middleware::map_response(uncached));
    Router::new()
        .route("/", get(page::root))
        .nest("/api/v1", api)
        .fallback(answer::nothing_here)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

/// Answers depend on who asks: no cache on the way may keep them.
async fn uncached(mut response: axum::response::Response) -> axum::response::Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// For whoever watches the platform: it answers, so it lives. Says nothing else to nobody.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// What a verb without an answer answers.
type Done = StatusCode;
