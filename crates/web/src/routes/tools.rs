//! Tools and their members.

use super::Done;
use crate::{
    answer::{Body, Named, Refused},
    asker::Asker,
    view, wire,
};
use app::App;
use axum::{Json, extract::State, http::StatusCode};
use std::sync::Arc;

pub(super) async fn list(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Tools>, Refused> {
    let tools = app.tools(&asker.0).await?;
    Ok(Json(wire::Tools { tools: tools.iter().map(|tool| view::tool(&app, tool)).collect() }))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewTool>,
) -> Result<(StatusCode, Json<wire::Tool>), Refused> {
    let tool = app.create_tool(&asker.0, &new.name).await?;
    Ok((StatusCode::CREATED, Json(view::tool(&app, &tool))))
}

pub(super) async fn status(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Json<wire::Status>, Refused> {
    Ok(Json(view::status(&app, &app.status(&asker.0, &tool).await?)))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.delete_tool(&asker.0, &tool).await?;
    Ok(Done::NO_CONTENT)
}

pub(super) async fn set_production_branch(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::ProductionBranch>,
) -> Result<Json<wire::Tool>, Refused> {
    let tool = app.set_production_branch(&asker.0, &tool, &new.branch).await?;
    Ok(Json(view::tool(&app, &tool)))
}

pub(super) async fn set_on_new_push(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::NewPushRule>,
) -> Result<Json<wire::Tool>, Refused> {
    let tool = app.set_on_new_push(&asker.0, &tool, new.on_new_push).await?;
    Ok(Json(view::tool(&app, &tool)))
}

/// What was asked for is on disk; the processes follow within a moment.
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.stop_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.start_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

pub(super) async fn restart(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.restart_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

pub(super) async fn members(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Json<wire::Members>, Refused> {
    let members = app.members(&asker.0, &tool).await?;
    Ok(Json(wire::Members { members: members.iter().map(view::member).collect() }))
}

pub(super) async fn add_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, user)): Named<(String, String)>,
    Body(new): Body<wire::NewMember>,
) -> Result<Done, Refused> {
    app.add_member(&asker.0, &tool, &user, new.role).await?;
    Ok(Done::NO_CONTENT)
}

pub(super) async fn remove_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, user)): Named<(String, String)>,
) -> Result<Done, Refused> {
    app.remove_member(&asker.0, &tool, &user).await?;
    Ok(Done::NO_CONTENT)
}
