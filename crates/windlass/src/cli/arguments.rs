//! Every verb that people type, as clap reads it. What a verb does stands in the file of its name.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Push code, get a URL: tools, runs, releases and logs of a Windlass platform.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done, 1 the thing asked for failed, 2 usage, 3 not signed in, 4 not \
permitted,\n5 not found, 6 conflict, 7 quota, 8 platform or network.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Platform to talk to; otherwise the one of this directory's git remote, or of the last `windlass login`.
    #[arg(long, global = true, value_name = "URL", env = "WINDLASS_SERVER")]
    pub(crate) server: Option<String>,
    /// Tool to act on; otherwise the one of this directory's git remote.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// Print what the platform answered, as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Sign in, and let git sign in by itself.
    Login(Login),
    /// Sign out: the platform forgets this machine's token, git forgets the platform.
    Logout,
    /// Show who is signed in, and where.
    Whoami,
    /// Create, list, set up and delete tools.
    #[command(subcommand)]
    Tools(Tools),
    /// Show what a tool is doing now.
    Status,
    /// Show how much storage a tool uses, and for what.
    Quota,
    /// Show, cancel and retry runs: what each push set off.
    #[command(subcommand)]
    Runs(Runs),
    /// List a tool's releases, and which was live when.
    Releases {
        #[command(flatten)]
        page: Page,
    },
    /// Make an earlier release live again, with its settings and without a build; the exit status tells how it went.
    Rollback {
        /// For example `v12`; otherwise what was live before the present release was deployed.
        #[arg(value_name = "RELEASE", value_parser = release)]
        release: Option<u64>,
    },
    /// Show what a tool's processes and its router wrote.
    Logs(Logs),
    /// Start the processes of the current release anew.
    Restart,
    /// Stop the tool's processes until `windlass start`.
    Stop,
    /// Start the current release of a stopped tool.
    Start,
    /// List, add and remove the members of a tool.
    #[command(subcommand)]
    Members(Members),
    /// List and revoke your own tokens.
    #[command(subcommand)]
    Tokens(Tokens),
    /// For operators: list and create users.
    #[command(subcommand)]
    Users(Users),
    /// For operators: show what is stored, how much room there is, and what the last scrub found.
    Storage,
    /// For operators: compare all that is stored with what it should be, and repair it. Exit status 1 when something
    /// could not be repaired.
    Scrub,
    /// Judge this machine: what the platform needs of it, what is missing, how to get it.
    Doctor,
    /// For operators: check the platform's settings before it is started with them.
    #[command(subcommand)]
    Config(Config),
    /// Run the platform on this machine, as root, until Ctrl-C.
    Up {
        /// What the operator sets.
        #[arg(default_value = "/etc/windlass/windlass.toml", value_name = "windlass.toml")]
        config: PathBuf,
    },
    /// For operators: replace the running platform's processes by the program that lies in their place now, as root.
    /// No tool stops and no request is lost.
    Reload {
        /// What the platform was started with; otherwise the platform that runs on this machine, of several the one at
        /// `--server`, or the one of /etc/windlass/windlass.toml.
        #[arg(value_name = "windlass.toml")]
        config: Option<PathBuf>,
        /// Only this one.
        #[arg(long, value_name = "PART", value_parser = ["up", "helper", "router", "serve"])]
        part: Option<String>,
    },
    /// Answer git's question for a password (git calls this; see gitcredentials(7)).
    #[command(hide = true)]
    GitCredential {
        /// `get`, `store` or `erase`; others are ignored, as git asks.
        operation: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Name every mistake with its file and line. Exit status 1 when there is one.
    Check {
        /// What the platform is started with.
        #[arg(default_value = "/etc/windlass/windlass.toml", value_name = "windlass.toml")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The platform's address, for example `http://localhost:8080`.
    pub(crate) url: Option<String>,
    /// Read the token from this file (`-`: standard input) instead of asking for it.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// As root on the platform's machine: its data directory, which holds the operator's token.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "token_file")]
    pub(crate) data: Option<PathBuf>,
    /// Leave git's settings alone.
    #[arg(long)]
    pub(crate) no_git: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tools {
    /// Create a tool and become its owner.
    Create {
        /// 2 to 30 lower-case letters, digits and single dashes, starting with a letter.
        name: String,
    },
    /// List the tools you are a member of.
    List,
    /// Change what a tool is set to.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Set {
        /// The branch whose pushes are deployed, for example `main`.
        #[arg(long, value_name = "NAME", group = "what")]
        production_branch: Option<String>,
        /// Whether a new push ends earlier runs of its branch or waits for them; `default`: as the platform is set.
        #[arg(long, value_name = "RULE", group = "what", value_parser = ["supersede", "queue", "default"])]
        on_new_push: Option<String>,
        /// For operators: storage that the tool may use, in MiB; `default`: as the platform is set.
        #[arg(long, value_name = "MIB", group = "what", value_parser = mebibytes)]
        quota_mebibytes: Option<Mebibytes>,
    },
    /// Delete a tool with its code, images and logs.
    Delete {
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List the newest runs.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one run with its steps.
    Show {
        number: u64,
        /// Also print what each step wrote.
        #[arg(long)]
        log: bool,
        /// Print what the steps write until the run has ended; the exit status tells how.
        #[arg(long, short, conflicts_with = "log")]
        follow: bool,
    },
    /// End a run that has not ended.
    Cancel { number: u64 },
    /// Try a run that has ended again, with the same commit; a rollback, the rollback again.
    Retry {
        number: u64,
        /// Print what the new run's steps write until it has ended; the exit status tells how.
        #[arg(long, short)]
        follow: bool,
    },
}

/// So much, or as much as the platform is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mebibytes(pub(crate) Option<u64>);

fn mebibytes(text: &str) -> Result<Mebibytes, String> {
    match (text, text.parse()) {
        ("default", _) => Ok(Mebibytes(None)),
        (_, Ok(number)) => Ok(Mebibytes(Some(number))),
        (_, Err(_)) => Err("a whole number of MiB, or `default`".to_owned()),
    }
}

/// `v12` or `12`.
fn release(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('v').unwrap_or(text);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = is_number.then(|| number.parse().ok()).flatten();
    parsed.ok_or_else(|| "a release is named by its number, for example `v12`".to_owned())
}

/// Which part of a long list.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// How many rows.
    #[arg(long, default_value_t = 10, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    /// Only rows older than this number.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on printing new rows until Ctrl-C.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only this process: `web`, `web.1`, or `router` for the requests it answered.
    #[arg(long, short, value_name = "PROCESS")]
    pub(crate) process: Option<String>,
    /// How many of the newest rows to begin with.
    #[arg(long, short = 'n', default_value_t = 100, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) rows: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Members {
    List,
    /// Let a user of this platform take part.
    Add {
        user: String,
        /// A reader sees everything, a maintainer also pushes, stops and cancels, an owner also deletes and invites.
        #[arg(long, default_value = "maintainer", value_parser = ["reader", "maintainer", "owner"])]
        role: String,
    },
    Remove {
        user: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    List,
    /// Make a token useless, for example one that was lost.
    Revoke {
        /// As `windlass tokens list` shows it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    List,
    /// Make a user and show the token that they sign in with, once.
    Create {
        name: String,
    },
}
