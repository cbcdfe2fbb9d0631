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

/// List the tools that you may see
#[utoipa::path(
    get,
    path = "/tools",
    operation_id = "list_tools",
    tag = "tools",
    responses((status = 200, description = "Tools by name", body = wire::Tools))
)]
pub(super) async fn list(State(app): State<Arc<App>>, asker: Asker) -> Result<Json<wire::Tools>, Refused> {
    let tools = app.tools(&asker.0).await?;
    Ok(Json(wire::Tools { tools: tools.iter().map(|tool| view::tool(&app, tool)).collect() }))
}

/// Make a tool
#[utoipa::path(
    post,
    path = "/tools",
    operation_id = "create_tool",
    tag = "tools",
    request_body = wire::NewTool,
    responses((status = 201, description = "The tool; you are its owner", body = wire::Tool))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    asker: Asker,
    Body(new): Body<wire::NewTool>,
) -> Result<(StatusCode, Json<wire::Tool>), Refused> {
    let tool = app.create_tool(&asker.0, &new.name).await?;
    Ok((StatusCode::CREATED, Json(view::tool(&app, &tool))))
}

/// A tool and what it is doing now
#[utoipa::path(
    get,
    path = "/tools/{tool}",
    operation_id = "show_tool",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 200, description = "The tool", body = wire::Status))
)]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Json<wire::Status>, Refused> {
    Ok(Json(view::status(&app, &app.status(&asker.0, &tool).await?)))
}

/// Delete a tool with its code, releases and logs
#[utoipa::path(
    delete,
    path = "/tools/{tool}",
    operation_id = "delete_tool",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.delete_tool(&asker.0, &tool).await?;
    Ok(Done::NO_CONTENT)
}

/// Say which branch is deployed
#[utoipa::path(
    put,
    path = "/tools/{tool}/production-branch",
    operation_id = "set_production_branch",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    request_body = wire::ProductionBranch,
    responses((status = 200, description = "The tool", body = wire::Tool))
)]
pub(super) async fn set_production_branch(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::ProductionBranch>,
) -> Result<Json<wire::Tool>, Refused> {
    let tool = app.set_production_branch(&asker.0, &tool, &new.branch).await?;
    Ok(Json(view::tool(&app, &tool)))
}

/// Say what a push does to earlier runs of its branch
#[utoipa::path(
    put,
    path = "/tools/{tool}/on-new-push",
    operation_id = "set_on_new_push",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    request_body = wire::NewPushRule,
    responses((status = 200, description = "The tool", body = wire::Tool))
)]
pub(super) async fn set_on_new_push(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
    Body(new): Body<wire::NewPushRule>,
) -> Result<Json<wire::Tool>, Refused> {
    let tool = app.set_on_new_push(&asker.0, &tool, new.on_new_push).await?;
    Ok(Json(view::tool(&app, &tool)))
}

/// Stop a tool until it is started
#[utoipa::path(
    post,
    path = "/tools/{tool}/stop",
    operation_id = "stop_tool",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 202, description = "It is on disk; the processes follow within a moment"))
)]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.stop_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

/// Start a stopped tool
#[utoipa::path(
    post,
    path = "/tools/{tool}/start",
    operation_id = "start_tool",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 202, description = "It is on disk; the processes follow within a moment"))
)]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.start_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

/// Replace the running copies by new ones
#[utoipa::path(
    post,
    path = "/tools/{tool}/restart",
    operation_id = "restart_tool",
    tag = "tools",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 202, description = "It is on disk; the processes follow within a moment"))
)]
pub(super) async fn restart(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Done, Refused> {
    app.restart_tool(&asker.0, &tool).await?;
    Ok(Done::ACCEPTED)
}

/// List a tool's members
#[utoipa::path(
    get,
    path = "/tools/{tool}/members",
    operation_id = "members",
    tag = "members",
    params(("tool" = String, Path, description = "The tool's name")),
    responses((status = 200, description = "Members", body = wire::Members))
)]
pub(super) async fn members(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named(tool): Named<String>,
) -> Result<Json<wire::Members>, Refused> {
    let members = app.members(&asker.0, &tool).await?;
    Ok(Json(wire::Members { members: members.iter().map(view::member).collect() }))
}

/// Add a member, or change a role
#[utoipa::path(
    put,
    path = "/tools/{tool}/members/{user}",
    operation_id = "add_member",
    tag = "members",
    params(("tool" = String, Path, description = "The tool's name"), ("user" = String, Path, description = "The user's name")),
    request_body = wire::NewMember,
    responses((status = 204, description = "It is so now"))
)]
pub(super) async fn add_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, user)): Named<(String, String)>,
    Body(new): Body<wire::NewMember>,
) -> Result<Done, Refused> {
    app.add_member(&asker.0, &tool, &user, new.role).await?;
    Ok(Done::NO_CONTENT)
}

/// Remove a member
#[utoipa::path(
    delete,
    path = "/tools/{tool}/members/{user}",
    operation_id = "remove_member",
    tag = "members",
    params(("tool" = String, Path, description = "The tool's name"), ("user" = String, Path, description = "The user's name")),
    responses((status = 204, description = "No member any more"))
)]
pub(super) async fn remove_member(
    State(app): State<Arc<App>>,
    asker: Asker,
    Named((tool, user)): Named<(String, String)>,
) -> Result<Done, Refused> {
    app.remove_member(&asker.0, &tool, &user).await?;
    Ok(Done::NO_CONTENT)
}
