//! What `/api/v1` and its clients say to each other, in JSON. The CLI reads these same types.
//!
//! Times are RFC 3339 in UTC. Fields are only ever added; a reader ignores those it does not know.

use model::{LogStream, Problem, ProcessType, Role, ToolName, run::OnNewPush};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Any error (`application/problem+json`, RFC 9457, section 3.1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// Relative to the platform's address; `/help/<id>`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(flatten)]
    pub problem: Problem,
}

/// `GET /health`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
}

/// `GET /whoami`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    pub user: String,
    /// May see and stop every tool of this platform.
    pub operator: bool,
    /// Set when the token reaches this one tool only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub only_tool: Option<ToolName>,
    /// The token that was shown, by its id.
    pub token: String,
    /// When the token ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<String>,
    /// The platform's own version.
    pub version: String,
}

/// `POST /tokens`: a further token of the same user.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, as its owner will recognise it: `git on laptop`.
    #[schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$")]
    pub label: String,
}

/// The answer to [`NewToken`]: the only time that the token is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    pub id: String,
    pub token: String,
}

/// `GET /tokens`: one token of the asker. Its text is never shown again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub label: String,
    pub created: String,
    /// To the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `GET /tokens`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    pub tokens: Vec<Token>,
}

/// `POST /users`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    #[schema(min_length = 2, max_length = 40, pattern = r"^[a-z][a-z0-9._-]*$")]
    pub name: String,
}

/// The answer to [`NewUser`]: a user, and the token to hand to them.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedUser {
    pub user: User,
    pub token: String,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub name: String,
    pub operator: bool,
    pub created: String,
}

/// `GET /users`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Users {
    pub users: Vec<User>,
}

/// `PUT /tools/{tool}/members/{user}`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    pub role: Role,
}

/// One member of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub user: String,
    pub role: Role,
    pub since: String,
}

/// `GET /tools/{tool}/members`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Members {
    pub members: Vec<Member>,
}

/// `POST /tools`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTool {
    /// Becomes part of the tool's URL.
    #[schema(min_length = 2, max_length = 30, pattern = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    pub name: String,
}

/// `PUT /tools/{tool}/production-branch`, answered with the [`Tool`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductionBranch {
    /// Without `refs/heads/`; it need not exist yet.
    pub branch: String,
}

/// `PUT /tools/{tool}/on-new-push`, answered with the [`Tool`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPushRule {
    /// `supersede` or `queue`; null: as the platform is set.
    pub on_new_push: Option<OnNewPush>,
}

/// `GET /tools/{tool}/quota`: its storage in bytes. What two kinds share counts for the first of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    pub used_bytes: u64,
    pub limit_bytes: u64,
    /// Layers of images that builds made.
    pub images_bytes: u64,
    /// What builds keep for the next one.
    pub caches_bytes: u64,
    /// What members pushed to the registry.
    pub pushed_bytes: u64,
    pub uploads_bytes: u64,
}

/// `PUT /tools/{tool}/quota`, answered with the [`Quota`].
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQuota {
    /// Null: as the platform is set.
    pub bytes: Option<u64>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tool {
    pub id: String,
    #[schema(value_type = String)]
    pub name: ToolName,
    /// Where it answers when it is live.
    pub url: String,
    /// What `git remote add` takes.
    pub git_url: String,
    /// Pushes to it are deployed; set by [`ProductionBranch`], else by the first push of `main` or `master`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production_branch: Option<String>,
    /// What a new push does to earlier runs of its branch, `supersede` or `queue`; absent: as the platform is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_new_push: Option<OnNewPush>,
    /// `running` or `stopped`: what its members want, whatever runs at the moment.
    pub wanted: String,
    /// What the asking user may do; absent for an operator who is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    pub created: String,
}

/// `GET /tools`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tools {
    pub tools: Vec<Tool>,
}

/// `GET /tools/{tool}`: the tool and what it is doing now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub tool: Tool,
    /// One word: `live`, `starting`, `failing`, `stopped`, `empty`.
    pub state: String,
    /// What production serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<CurrentRelease>,
    /// The newest run, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Run>,
    /// What runs, or should.
    pub replicas: Vec<Replica>,
}

/// What an environment serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentRelease {
    pub number: u64,
    pub commit: String,
    /// Process type to image digest.
    #[schema(value_type = BTreeMap<String, String>)]
    pub processes: BTreeMap<ProcessType, String>,
    pub created: String,
}

/// One copy of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    #[schema(value_type = String)]
    pub process: ProcessType,
    pub release: u64,
    /// `starting`, `healthy`, `draining`, `ended`.
    pub state: String,
    pub since: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub number: u64,
    /// `queued`, `running`, `live`, `passed`, `failed`, `cancelled`, `superseded`.
    pub state: String,
    /// `refs/heads/main`
    pub reference: String,
    /// The full object id.
    pub commit: String,
    /// Set for a rollback: the release that it makes live again. Branch and commit are those that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// Who pushed, or rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Somebody asked that it end, and it has not yet.
    pub ending: bool,
    /// Number of the run in favour of which it ended or shall end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<u64>,
    /// Number of the run that must end before this one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<u64>,
    pub created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// From the push to the end, or until now.
    pub milliseconds: u64,
    /// Only in `GET /tools/{tool}/runs/{number}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub name: String,
    /// `blocked`, `ready`, `running`, `done`, `failed`, `skipped`, `cancelled`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// Attempts that the platform failed.
    pub faults: u32,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Of a test step that had something to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Tests>,
}

/// What the tests of a source came to. Numbers are there when their runner says them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tests {
    /// `pytest`, `unittest`, or the program that was started.
    pub runner: String,
    /// For a shell.
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u32>,
    /// The first 50 that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<TestCase>,
    /// Number of the run in which the same source passed, when they did not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
}

/// One test that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestCase {
    pub name: String,
    /// Relative to the source's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub text: String,
}

/// `GET /tools/{tool}/runs`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Runs {
    pub runs: Vec<Run>,
}

/// One release: what was, is or could be live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    pub number: u64,
    pub run: u64,
    pub commit: String,
    /// Process type to image digest.
    #[schema(value_type = BTreeMap<String, String>)]
    pub processes: BTreeMap<ProcessType, String>,
    /// `made`, `deployed`, `failed`, `removed`.
    pub state: String,
    /// Whether production serves it.
    pub current: bool,
    pub created: String,
    /// When it last became live; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<String>,
}

/// `GET /tools/{tool}/releases`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Releases {
    pub releases: Vec<Release>,
    /// What was live when, newest first.
    #[serde(default)]
    pub history: Vec<Deployment>,
}

/// One entry of production's history: a release became live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    pub release: u64,
    pub at: String,
    /// The run that made it live.
    pub run: u64,
    /// Who pushed, or rolled back.
    pub by: String,
    /// Whether it was live before and came back.
    pub rollback: bool,
    /// What was live until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// `POST /tools/{tool}/rollback`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRollback {
    /// Absent: what was live before the present release was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
}

/// The answer to [`NewRollback`]: it is on disk and goes on as a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rollback {
    pub run: Run,
    /// What will be live.
    pub release: u64,
    /// What was live when it was asked for.
    pub from: u64,
    /// Numbers of the runs that end in its favour.
    pub superseded: Vec<u64>,
    /// Where the tool answers.
    pub url: String,
}

/// One line of a log answer (`application/x-ndjson`). An empty line says only that the connection is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogRow {
    #[schema(value_type = String)]
    pub stream: LogStream,
    /// Byte position of the row in its stream, for ever.
    pub offset: u64,
    /// Where the next row begins: what `from` takes to go on after this one.
    pub next: u64,
    /// Since 1970-01-01T00:00:00Z, by the clock of whoever wrote the row.
    pub microseconds: u64,
    /// `out`, `err`, `platform` or `marker`.
    pub source: String,
    /// The row goes on in the next one.
    pub partial: bool,
    /// Bytes that are no UTF-8 read as U+FFFD; escape sequences stand as they were written.
    pub text: String,
}

/// `GET /storage`: what is stored, for operators.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    pub layers: u64,
    /// Of the layers' directories, and of their blobs.
    pub tree_bytes: u64,
    pub blob_bytes: u64,
    /// Directories that wait to be removed, and those that a repair replaced while tools ran on them.
    pub trashed: u64,
    #[serde(default)]
    pub trashed_bytes: u64,
    pub replaced: u64,
    #[serde(default)]
    pub replaced_bytes: u64,
    pub disk_bytes: u64,
    pub free_bytes: u64,
    /// Files that the disk has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_files: Option<u64>,
    /// Free bytes below which no build begins.
    pub reserve_bytes: u64,
    /// Most that layers and their blobs may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<Scrub>,
}

/// `POST /storage/scrubs`, `GET /storage/scrubs/{number}`: one pass over everything that is stored.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Scrub {
    pub number: u64,
    pub began: String,
    /// Absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Layers and other blobs that were looked at.
    pub layers: u64,
    pub blobs: u64,
    pub read_bytes: u64,
    pub damages: Vec<Damage>,
}

/// Something that was not as it should be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Damage {
    /// A layer's diffID or a blob's digest.
    pub subject: String,
    /// Which file, and what was wrong with it.
    pub found: Vec<String>,
    /// Releases that need it.
    pub users: Vec<String>,
    /// `repaired`, `refused`.
    pub outcome: String,
    pub at: String,
}
