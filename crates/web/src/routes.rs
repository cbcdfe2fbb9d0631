//! Every path that answers, with the verb it stands for.

mod identity;
mod logs;
mod quota;
mod runs;
mod storage;
mod tools;

use crate::{answer, document, page, wire};
use app::App;
use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware,
    routing::get,
};
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Largest body of any request here, in bytes: nothing that people ask for is long.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The platform's own pages and API. The git door has a router of its own; merge both.
pub fn router(app: Arc<App>) -> Router {
    let (api, document) = api().split_for_parts();
    let document = Json(document::finished(document));
    Router::new()
        .route("/", get(page::root))
        .merge(api.layer(middleware::map_response(uncached)))
        .route(document::PATH, get(async move || document))
        .fallback(answer::nothing_here)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

/// What [`router`] answers beneath `/api/v1`, as `OpenAPI` 3.1 describes it.
pub fn openapi() -> OpenApi {
    document::finished(api().into_openapi())
}

/// Each path stands with its handler; what is not in the document does not answer.
fn api() -> OpenApiRouter<Arc<App>> {
    let operations = OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(identity::whoami))
        .routes(routes!(identity::tokens, identity::issue_token))
        .routes(routes!(identity::revoke_token))
        .routes(routes!(identity::users, identity::create_user))
        .routes(routes!(storage::storage))
        .routes(routes!(storage::begin_scrub))
        .routes(routes!(storage::scrub))
        .routes(routes!(tools::list, tools::create))
        .routes(routes!(tools::status, tools::delete))
        .routes(routes!(tools::set_production_branch))
        .routes(routes!(tools::set_on_new_push))
        .routes(routes!(quota::show, quota::set))
        .routes(routes!(tools::stop))
        .routes(routes!(tools::start))
        .routes(routes!(tools::restart))
        .routes(routes!(tools::members))
        .routes(routes!(tools::add_member, tools::remove_member))
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(logs::run_log))
        .routes(routes!(runs::releases))
        .routes(routes!(runs::roll_back))
        .routes(routes!(logs::logs));
    OpenApiRouter::new().nest("/api/v1", operations)
}

/// Answers depend on who asks: no cache on the way may keep them.
async fn uncached(mut response: axum::response::Response) -> axum::response::Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether the platform answers
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "platform",
    responses((status = 200, description = "It answers, so it lives", body = wire::Health)),
    security(())
)]
async fn health() -> Json<wire::Health> {
    Json(wire::Health { status: "ok".to_owned() })
}

/// What a verb without an answer answers.
type Done = StatusCode;
