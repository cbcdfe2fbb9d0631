//! What most verbs need: which platform, which tool, which token, and where to print.

use super::{
    arguments::Common,
    client::Client,
    credentials::{self, Credentials},
    failure::usage,
    output::Printer,
    remotes::{self, Remote},
    server::Server,
};
use model::{Problem, ToolName};

/// Shown instead of the stored token, for programs that have no home; only to a server that is named beside it, since
/// a git remote may have been written by somebody else.
pub(crate) const TOKEN_VARIABLE: &str = "WINDLASS_TOKEN";

/// One verb's work with one platform.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) printer: Printer,
    tool: Option<ToolName>,
}

impl Session {
    /// The platform that is meant: `--server`, else the git remote's, else that of the last login.
    pub(crate) fn open(common: &Common) -> Result<Self, Problem> {
        let named = common.server.as_deref().map(str::parse::<Server>).transpose()?;
        let tool = common.tool.as_deref().map(tool_name).transpose()?;
        let token =
            named.as_ref().and_then(|_| std::env::var(TOKEN_VARIABLE).ok()).filter(|token| !token.is_empty());
        let credentials = match credentials::file() {
            Ok(file) => Credentials::load(&file)?,
            // A program that brings server and token needs no home.
            Err(_) if token.is_some() => Credentials::default(),
            Err(problem) => return Err(problem),
        };
        let remotes = remotes::here();
        let remote = match remotes::pick(&remotes, named.as_ref()) {
            Ok(remote) => remote,
            // With the tool named, only the server could be unclear, and the last login settles that.
            Err(_) if tool.is_some() => None,
            Err(problem) => return Err(problem),
        };
        let server = server(named, remote, &credentials)?;
        let token = token.or_else(|| credentials.servers.get(&server).map(|known| known.token.clone()));
        if token.is_none() {
            return Err(not_signed_in(&server));
        }
        let tool = tool.or_else(|| remote.map(|remote| remote.tool.clone()));
        Ok(Self { client: Client::new(server, token)?, printer: Printer::new(common.json), tool })
    }

    /// The tool that is meant: `--tool`, else the git remote's.
    pub(crate) fn tool(&self) -> Result<&str, Problem> {
        self.tool.as_ref().map(ToolName::as_str).ok_or_else(|| {
            usage("which tool?", "this directory has no git remote that is a tool of the platform").hint(
                format!(
                    "say `--tool NAME`, or add the remote: `git remote add windlass {}/git/NAME.git`",
                    self.client.server()
                ),
            )
        })
    }
}

fn server(
    named: Option<Server>,
    remote: Option<&Remote>,
    credentials: &Credentials,
) -> Result<Server, Problem> {
    let server =
        named.or_else(|| remote.map(|remote| remote.server.clone())).or_else(|| credentials.default.clone());
    server.ok_or_else(|| {
        Problem::new("auth-missing", 401, "not signed in", "no platform is known on this machine")
            .hint("run `windlass login URL`, for example `windlass login http://localhost:8080`")
    })
}

pub(crate) fn not_signed_in(server: &Server) -> Problem {
    Problem::new("auth-missing", 401, "not signed in", format!("there is no token for {server}"))
        .hint(format!("run `windlass login {server}`"))
}

/// A tool's name as typed.
pub(crate) fn tool_name(text: &str) -> Result<ToolName, Problem> {
    text.parse().map_err(|error: model::name::BadName| usage("this is no tool's name", error.to_string()))
}
