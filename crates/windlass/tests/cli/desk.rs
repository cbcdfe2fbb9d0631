//! A platform that listens, and somebody's machine: a home of its own, a working directory, the program.

use crate::world::World;
use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};
use tokio::net::TcpListener;

pub(crate) struct Desk {
    pub(crate) world: Arc<World>,
    pub(crate) url: String,
    home: tempfile::TempDir,
    /// Ends the platform with the desk.
    platform: tokio::task::JoinHandle<()>,
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let world = Arc::new(World::new().await);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let routes = web::router(Arc::clone(&world.app));
        let platform = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { world, url, home: tempfile::tempdir().unwrap(), platform }
    }

    /// A desk whose person is signed in as the operator.
    pub(crate) async fn signed_in() -> Self {
        let desk = Self::new().await;
        desk.sign_in().await.ok();
        desk
    }

    pub(crate) async fn sign_in(&self) -> Ran {
        let token = self.world.paths.operator_token();
        self.windlass(&["login", &self.url, "--token-file", token.to_str().unwrap()]).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) async fn windlass(&self, arguments: &[&str]) -> Ran {
        self.windlass_with(arguments, "").await
    }

    pub(crate) async fn windlass_with(&self, arguments: &[&str], input: &str) -> Ran {
        self.run(env!("CARGO_BIN_EXE_windlass"), arguments, &[], input).await
    }

    pub(crate) async fn git(&self, arguments: &[&str], input: &str) -> Ran {
        self.run("git", arguments, &[], input).await
    }

    /// A program with this home, in it, and with nothing else of this process's environment.
    pub(crate) async fn run(
        &self,
        program: &str,
        arguments: &[&str],
        env: &[(&str, &str)],
        input: &str,
    ) -> Ran {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(env.iter().copied())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let ran = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // A program that reads no input may be gone already.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        let output = ran.await.unwrap();
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.platform.abort();
    }
}
