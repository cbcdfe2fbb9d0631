//! The texts of this layer's refusals. Each says what, where, and what to do next.

use model::{Action, Fault, Problem, ToolName, name::BadName};
use std::error::Error;
use store::{Conflict, StoreError};

/// Nobody is signed in.
pub fn not_signed_in() -> Problem {
    Problem::new("auth-missing", 401, "not signed in", "this needs to know who you are")
        .hint("run `windlass login`")
}

/// The token is unknown, revoked or expired: which one is nobody's business but its owner's.
pub(crate) fn bad_token() -> Problem {
    Problem::new(
        "auth-token",
        401,
        "the token is not valid",
        "it is unknown here, was revoked, or has expired",
    )
    .hint("run `windlass login` again")
}

/// Absent, or not the asker's to know.
pub(crate) fn no_tool(name: &str) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    Problem::new(
        "tool-unknown",
        404,
        format!("there is no tool `{shown}`"),
        "it does not exist, or you are no member of it",
    )
    .hint("`windlass tools list` shows the tools you are a member of")
}

pub(crate) fn forbidden(action: Action, tool: Option<&ToolName>) -> Problem {
    let (what, who) = match action {
        Action::PushCode => ("push code", "maintainers and owners"),
        Action::ControlTool => ("stop, start or restart it", "maintainers and owners"),
        Action::ConfigureTool => ("say how its pushes are treated", "maintainers and owners"),
        Action::RollBack => ("roll back", "maintainers and owners"),
        Action::RetryRun => ("retry runs", "maintainers and owners"),
        Action::CancelRun => ("cancel runs", "maintainers and owners"),
        Action::PushImages => ("push images", "maintainers and owners"),
        Action::DeleteImages => ("delete images", "maintainers and owners"),
        Action::DeleteTool => ("delete it", "owners"),
        Action::SetQuota => ("say how much storage it may use", "operators of the platform"),
        Action::ManageMembers => ("change its members", "owners"),
        Action::ManageUsers => ("manage users", "operators"),
        Action::ReadStorage => ("see the platform's storage", "operators"),
        Action::ScrubStorage => ("have the platform's storage checked", "operators"),
        Action::CreateTool => ("create tools", "people whose token reaches more than one tool"),
        Action::ManageTokens => ("manage tokens", "people whose token reaches more than one tool"),
        _ => ("do this", "others"),
    };
    let place = tool.map_or_else(|| "on this platform".to_owned(), |name| format!("in the tool `{name}`"));
    let problem =
        Problem::new("auth-forbidden", 403, "you may not do this", format!("{place}, only {who} may {what}"));
    match (action, tool) {
        (Action::PushCode, Some(name)) => problem
            .hint(format!("ask an owner for `windlass members add NAME --role maintainer --tool {name}`")),
        (_, Some(_)) => problem.hint("ask an owner of the tool; `windlass members list` names them"),
        (_, None) => problem.hint("ask an operator of this platform"),
    }
}

pub(crate) fn bad_name(error: &BadName) -> Problem {
    Problem::new("tool-name", 422, "this cannot be a tool's name", error.to_string())
        .hint("a name becomes part of the tool's URL: try something like `wordcount` or `word-count2`")
}

/// What was sent makes no sense.
pub fn bad_request(title: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::new("request-invalid", 422, title, detail)
}

pub(crate) fn no_run(number: u64, tool: &ToolName) -> Problem {
    Problem::new("run-unknown", 404, format!("there is no run {number}"), format!("not in the tool `{tool}`"))
        .hint("`windlass runs list` shows the newest ones")
}

/// Something of ours broke. The cause goes to the platform's log under a short id that the text shows.
pub fn internal(what: &str, error: &(dyn Error + 'static)) -> Problem {
    let fault = Fault::of(what, error);
    let title = format!("{what} failed; nothing was changed");
    fault
        .problem("platform-fault", 500, &title)
        .hint(format!("try again; if it happens again, tell the operator the id {fault}"))
}

/// What the store said, for people.
pub(crate) fn store(what: &str, error: &StoreError) -> Problem {
    match error {
        StoreError::NotFound(noun) => {
            Problem::new("not-found", 404, format!("there is no such {noun}"), format!("{what} needs it"))
        }
        StoreError::Conflict(conflict) => conflicting(conflict),
        StoreError::Locked | StoreError::Full | StoreError::ReadOnly => {
            let fault = Fault::of(what, error);
            let mut problem = fault
                .problem("store-unavailable", 503, "the platform cannot save anything now")
                .hint(format!("nothing was changed; tell the operator the id {fault}"));
            problem.detail = format!("{error}\n{}", problem.detail);
            problem
        }
        StoreError::CannotOpen { .. }
        | StoreError::Lost
        | StoreError::Damaged { .. }
        | StoreError::Newer { .. }
        | StoreError::Unavailable(_) => internal(what, error),
    }
}

fn conflicting(conflict: &Conflict) -> Problem {
    let problem = |id, title: &str| Problem::new(id, 409, title, conflict.to_string());
    match conflict {
        Conflict::ToolNameTaken(_) => problem("tool-taken", "a tool of that name exists")
            .hint("choose another name: tools of all users share one name space"),
        Conflict::UserNameTaken(_) => {
            problem("user-taken", "a user of that name exists").hint("choose another name")
        }
        Conflict::RangesSpent(_) => {
            problem("tool-ranges", "no further tool fits on this platform").hint("tell the operator")
        }
        Conflict::AlreadyMember => problem("member-exists", "that user is a member already"),
        Conflict::LastOwner => problem("member-last-owner", "a tool needs an owner"),
        Conflict::TokenExists => problem("token-exists", "this token exists already"),
        Conflict::RunEnded(_) => problem("run-ended", "there is nothing left to cancel")
            .hint("`windlass runs show NUMBER` tells how it ended"),
        Conflict::RunOpen(_) => problem("run-open", "the run goes on")
            .hint("`windlass runs cancel NUMBER` ends it; then it can be tried again"),
        Conflict::QuotaExceeded { .. } => Problem::new(
            "quota-storage",
            507,
            "the tool's storage is full",
            conflict.to_string(),
        )
        .hint(
            "delete images under import/ that are no longer needed (`skopeo delete`), or ask an operator for \
                 more; old releases and caches of old branches go by themselves",
        ),
        Conflict::TooManyRepositories(_) => problem("registry-repositories", "too many repositories")
            .hint("delete the manifests of one that is no longer needed, or ask the operator"),
        Conflict::TooManyUploads(_) => problem("registry-uploads", "too many unfinished uploads")
            .hint("wait until they are finished; those that nobody goes on with end within an hour"),
        Conflict::BlobUnknown(_) => problem("registry-blob-unknown", "a part of the image is not there"),
        Conflict::BlobInUse(_) => problem("registry-blob-used", "a manifest needs this blob"),
        Conflict::ManifestInUse(_) => problem("registry-manifest-used", "an index needs this manifest"),
        Conflict::PushDiffers | Conflict::CurrentReleaseMoved { .. } | Conflict::LayerMissing(_) => {
            problem("state-moved", "something else came first")
                .hint("look at `windlass status` and try again")
        }
    }
}
