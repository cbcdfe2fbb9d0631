//! Who asks, their tokens, and the users of the platform.

use super::Done;
use crate::{
    answer::{Body, Named, Refused},
    asker::Asker,
    view, wire,
};
use app::App;
use axum::{Json, extract::State, http::StatusCode};
use std::sync::Arc;

/// Who the token belongs to
#[utoipa::path(
    get,
    path = "/whoami",
    operation_id = "whoami",
    tag = "people",
    responses((status = 200, description = "Whose token it is", body = wire::Identity))
)]
pub(super) async fn whoami(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<Json<wire::Identity>, Refused> {
    Ok(Json(view::identity(&app.whoami(&asker.0).await?)))
}

/// List your tokens
#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "tokens",
    tag = "people",
    responses((status = 200, description = "Your tokens, without their texts", body = wire::Tokens))
)]
pub(super) async fn tokens(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Tokens>, Refused> {
    let tokens = app.tokens(&asker.0).await?;
    Ok(Json(wire::Tokens { tokens: tokens.iter().map(view::token).collect() }))
}

/// Make a further token
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "issue_token",
    tag = "people",
    request_body = wire::NewToken,
    responses((status = 201, description = "The token; its text is shown this once", body = wire::IssuedToken))
)]
pub(super) async fn issue_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewToken>,
) -> Result<(StatusCode, Json<wire::IssuedToken>), Refused> {
    let issued = app.issue_token(&asker.0, &new.label).await?;
    let issued = wire::IssuedToken { id: issued.id.to_string(), token: issued.text };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// Revoke a token
#[utoipa::path(
    delete,
    path = "/tokens/{token}",
    operation_id = "revoke_token",
    tag = "people",
    params(("token" = String, Path, description = "Its id, or `current`: the one that is shown")),
    responses((status = 204, description = "It opens nothing any more"))
)]
pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(token): Named<String>,
) -> Result<Done, Refused> {
    app.revoke_token(&asker.0, &token).await?;
    Ok(Done::NO_CONTENT)
}

/// List users (operators)
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "users",
    tag = "people",
    responses((status = 200, description = "All users", body = wire::Users))
)]
pub(super) async fn users(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Users>, Refused> {
    let users = app.users(&asker.0).await?;
    Ok(Json(wire::Users { users: users.iter().map(view::user).collect() }))
}

/// Make a user (operators)
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "create_user",
    tag = "people",
    request_body = wire::NewUser,
    responses((status = 201, description = "The user and a token to hand over; it is shown this once", body = wire::CreatedUser))
)]
pub(super) async fn create_user(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewUser>,
) -> Result<(StatusCode, Json<wire::CreatedUser>), Refused> {
    let (user, token) = app.create_user(&asker.0, &new.name).await?;
    let created = wire::CreatedUser { user: view::user(&user), token: token.text };
    Ok((StatusCode::CREATED, Json(created)))
}
