//! An application layer over a real store in a directory of its own, and people who use it.

use app::{Addresses, App, retries::Commits};
use async_trait::async_trait;
use model::{
    Actor, EnvironmentName, Paths, ProcessType, PushId, RunId, TokenScope, ToolId, UserId,
    run::{Outcome, StepKind},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, error::Error, path::Path, process::Command, sync::Arc, time::Duration};
use store::{Claiming, NewRelease, NewToken, ReleaseProcess, Store, TokenHash, TokenKind, contract::Town};
use tokio::sync::Notify;

/// Repositories as git keeps them, where the platform has them; a tool without one has no commit.
struct Repositories(Paths);

#[async_trait]
impl Commits for Repositories {
    async fn has(&self, tool: ToolId, commit: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        let found = git(&self.0.repository(tool)).args(["cat-file", "-e", commit]).output()?;
        Ok(found.status.success())
    }
}

fn git(repository: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repository).env_clear().env("PATH", "/usr/bin:/bin");
    git
}

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) paths: Paths,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) operator: Actor,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(directory.path().join("data"), directory.path().join("run"));
        for place in [paths.keys(), paths.database().parent().unwrap().to_owned()] {
            std::fs::create_dir_all(place).unwrap();
        }
        let store: Arc<dyn Store> = Arc::new(store_sqlite::Sqlite::open(&paths.database()).await.unwrap());
        let nudge = Arc::new(Notify::new());
        let addresses = Addresses { domain: "localhost".into(), port: 8080 };
        let app = Arc::new(App::new(
            Arc::clone(&store),
            Arc::new(Repositories(paths.clone())),
            paths.clone(),
            addresses,
            Arc::clone(&nudge),
        ));
        app.ensure_operator().await.unwrap();
        let token = std::fs::read_to_string(paths.operator_token()).unwrap();
        let operator = app.identify(Some(token.trim())).await.unwrap();
        Self { app, store, paths, nudge, operator, _directory: directory }
    }

    /// Somebody who is signed in.
    pub(crate) async fn person(&self, name: &str) -> Actor {
        let (_, token) = self.app.create_user(&self.operator, name).await.unwrap();
        self.app.identify(Some(&token.text)).await.unwrap()
    }

    /// A further token of somebody who is there.
    pub(crate) async fn token_of(&self, name: &str) -> String {
        let user = self.store.user_by_name(name).await.unwrap();
        let text = format!("wl_personal_{}", UserId::new());
        let token = NewToken {
            hash: TokenHash(Sha256::digest(text.as_bytes()).into()),
            user: user.id,
            kind: TokenKind::Personal,
            scope: TokenScope::All,
            label: "story".into(),
            expires_at: None,
        };
        self.store.add_token(&token, &Actor::Platform).await.unwrap();
        text
    }

    pub(crate) async fn tool_id(&self, name: &str) -> ToolId {
        self.store.tool_by_name(&name.parse().unwrap()).await.unwrap().id
    }

    /// An owner and their tool of the same name.
    pub(crate) async fn tool(&self, name: &str) -> (Actor, ToolId) {
        let owner = self.person(name).await;
        let view = self.app.create_tool(&owner, name).await.unwrap();
        (owner, view.tool.id)
    }

    /// Pushes a commit to `main`.
    pub(crate) async fn push(&self, by: &Actor, tool: &str) -> RunId {
        let pushed =
            app::pushes::PushedRef { name: "refs/heads/main".into(), old: None, new: Some("3f".repeat(20)) };
        self.app.record_push(by, tool, PushId::new(), &pushed).await.unwrap().run
    }

    /// A commit of nothing in the tool's repository.
    pub(crate) fn commit(&self, tool: ToolId) -> String {
        let repository = self.paths.repository(tool);
        std::fs::create_dir_all(repository.parent().unwrap()).unwrap();
        let run = |arguments: &[&str]| {
            let output =
                git(&repository).args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        run(&["init", "--quiet", "--bare", repository.to_str().unwrap()]);
        let tree = run(&["hash-object", "-t", "tree", "-w", "--stdin"]);
        let someone = ["-c", "user.name=Maintainer", "-c", "user.email=maintainer@example.org"];
        run(&[&someone[..], &["commit-tree", "-m", "nothing", &tree]].concat())
    }

    /// Walks a run to its live end, as the engine does.
    pub(crate) async fn deploy(&self, run: RunId) -> u64 {
        let tool = self.store.run(run).await.unwrap().tool;
        let claiming = Claiming {
            worker: "story",
            now: model::Timestamp::now(),
            lease: Duration::from_secs(30),
            per_tool: 9,
            per_machine: 9,
        };
        let mut number = 0;
        for kind in StepKind::ALL {
            let step = self.store.claim_step(&claiming).await.unwrap().unwrap();
            assert_eq!((step.run, step.kind), (run, kind));
            match kind {
                StepKind::Release => number = self.release(tool, run).await,
                StepKind::Deploy => {
                    let production = EnvironmentName::production();
                    self.store
                        .set_current(tool, &production, number, self.live(tool).await, run)
                        .await
                        .unwrap();
                }
                _ => {}
            }
            let outcome = Outcome::done(json!({ "line": format!("{kind} went well") }));
            self.store.finish_step(&step.claim, &outcome).await.unwrap();
        }
        number
    }

    /// What production serves.
    pub(crate) async fn live(&self, tool: ToolId) -> Option<u64> {
        let environment = self.store.environment(tool, &EnvironmentName::production()).await.unwrap();
        environment.map(|environment| environment.current)
    }

    pub(crate) async fn release(&self, tool: ToolId, run: RunId) -> u64 {
        let town = Town { store: Arc::clone(&self.store) };
        let image = town.image(tool, run, 7).await.digest;
        let process = ReleaseProcess { image, command: vec!["/cnb/process/web".into()] };
        let processes = BTreeMap::from([(ProcessType::web(), process)]);
        let release = NewRelease { tool, run, processes, config: json!({}) };
        self.store.create_release(&release).await.unwrap().number
    }
}
