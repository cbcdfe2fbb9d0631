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

pub(super) async fn whoami(
    State(app): State<Arc<App>>,
    asker: Asker,
) -> Result<Json<wire::Identity>, Refused> {
    Ok(Json(view::identity(&app.whoami(&asker.0).await?)))
}

pub(super) async fn tokens(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Tokens>, Refused> {
    let tokens = app.tokens(&asker.0).await?;
    Ok(Json(wire::Tokens { tokens: tokens.iter().map(view::token).collect() }))
}

pub(super) async fn issue_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewToken>,
) -> Result<(StatusCode, Json<wire::IssuedToken>), Refused> {
    let issued = app.issue_token(&asker.0, &new.label).await?;
    let issued = wire::IssuedToken { id: issued.id.to_string(), token: issued.text };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// `current`: the one that was shown.
pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(token): Named<String>,
) -> Result<Done, Refused> {
    app.revoke_token(&asker.0, &token).await?;
    Ok(Done::NO_CONTENT)
}

pub(super) async fn users(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Users>, Refused> {
    let users = app.users(&asker.0).await?;
    Ok(Json(wire::Users { users: users.iter().map(view::user).collect() }))
}

pub(super) async fn create_user(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewUser>,
) -> Result<(StatusCode, Json<wire::CreatedUser>), Refused> {
    let (user, token) = app.create_user(&asker.0, &new.name).await?;
    let created = wire::CreatedUser { user: view::user(&user), token: token.text };
    Ok((StatusCode::CREATED, Json(created)))
}
