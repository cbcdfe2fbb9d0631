//! What people type. [`arguments`] holds every verb; each verb group has a file of its name.
//!
//! A verb talks to `/api/v1` and nothing else. It prints the answer in words, or as it came with `--json`, and ends
//! with an exit status that scripts can trust ([`failure`]).

mod arguments;
mod client;
mod config;
mod credentials;
mod doctor;
mod failure;
mod git_credential;
mod login;
mod logs;
mod output;
mod people;
mod quota;
mod releases;
mod reload;
mod remotes;
mod rollbacks;
mod runs;
mod server;
mod session;
mod status;
mod storage;
mod tools;

use arguments::{Arguments, Common, Config, Verb};
use clap::Parser;
use failure::{Failure, local};
use model::Problem;
use std::process::ExitCode;

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let Arguments { mut common, verb } = Arguments::parse();
    // A variable that is set to nothing names no server.
    common.server = common.server.filter(|server| !server.is_empty());
    act(&common, &verb).unwrap_or_else(|failure| failure.report(common.json))
}

fn act(common: &Common, verb: &Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Doctor => doctor::doctor(common.json),
        Verb::Config(Config::Check { file }) => config::check(common.json, file),
        Verb::Up { config } => match crate::up::run(config) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                Err(Problem::new("up-failed", 500, "the platform cannot run", format!("{error:#}")).into())
            }
        },
        Verb::Reload { config, part } => {
            reload::reload(common, config.as_deref(), part.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        Verb::GitCredential { operation } => git_credential::run(operation).map(|()| ExitCode::SUCCESS),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| local("this program cannot start", &error))?;
            runtime.block_on(ask(common, verb))
        }
    }
}

/// The verbs that talk to a platform.
async fn ask(common: &Common, verb: &Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Login(login) => login::login(common, login).await?,
        Verb::Logout => login::logout(common).await?,
        Verb::Whoami => login::whoami(common).await?,
        Verb::Tools(verb) => tools::tools(common, verb).await?,
        Verb::Status => status::status(common).await?,
        Verb::Quota => quota::quota(common).await?,
        Verb::Runs(verb) => return runs::runs(common, verb).await,
        Verb::Releases { page } => releases::releases(common, page).await?,
        Verb::Rollback { release } => return rollbacks::rollback(common, *release).await,
        Verb::Logs(which) => logs::logs(common, which).await?,
        Verb::Restart => tools::control(common, "restart", "restarting").await?,
        Verb::Stop => tools::control(common, "stop", "stopping").await?,
        Verb::Start => tools::control(common, "start", "starting").await?,
        Verb::Members(verb) => people::members(common, verb).await?,
        Verb::Tokens(verb) => people::tokens(common, verb).await?,
        Verb::Users(verb) => people::users(common, verb).await?,
        Verb::Storage => storage::storage(common).await?,
        Verb::Scrub => return storage::scrub(common).await,
        Verb::Doctor
        | Verb::Config(_)
        | Verb::Up { .. }
        | Verb::Reload { .. }
        | Verb::GitCredential { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
