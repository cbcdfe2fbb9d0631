//! A registry over a real store and a real directory, asked without a network.

use app::{Addresses, App, retries::Commits};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request},
};
use model::{Actor, Paths, Role, ToolId};
use registry::Door;
use sha2::{Digest, Sha256};
use std::{error::Error, sync::Arc};
use store::{NewToken, NewTool, Store, TokenHash, TokenKind, contract::Town};
use tokio::sync::Notify;
use tower::ServiceExt;

/// In this world nobody has pushed code.
struct NoCode;

#[async_trait]
impl Commits for NoCode {
    async fn has(&self, _: ToolId, _: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(false)
    }
}

pub(crate) struct World {
    pub(crate) door: Door,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) paths: Paths,
    pub(crate) app: Arc<App>,
    _directory: tempfile::TempDir,
}

/// One answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

impl World {
    /// With the tools `shop` and `other`, each with an owner of its name, and `shop`'s reader.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(directory.path().join("data"), directory.path().join("run"));
        for place in [paths.keys(), paths.uploads(), paths.blobs(), paths.database().parent().unwrap().into()]
        {
            std::fs::create_dir_all(place).unwrap();
        }
        let store: Arc<dyn Store> = Arc::new(store_sqlite::Sqlite::open(&paths.database()).await.unwrap());
        let addresses = Addresses { domain: "localhost".into(), port: 8080 };
        let app = Arc::new(App::new(
            Arc::clone(&store),
            Arc::new(NoCode),
            paths.clone(),
            addresses,
            Arc::new(Notify::new()),
        ));
        let world =
            Self { door: Door::new(Arc::clone(&app), &paths), store, paths, app, _directory: directory };
        for name in ["shop", "other"] {
            let owner = world.person(name).await;
            let tool = NewTool { name: name.parse().unwrap(), owner };
            world.store.create_tool(&tool, &Actor::Platform).await.unwrap();
        }
        let reader = world.person("reader").await;
        let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
        world.store.add_member(shop, reader, Role::Reader, &Actor::Platform).await.unwrap();
        world
    }

    async fn person(&self, name: &str) -> model::UserId {
        let user = self.store.create_user(name, &Actor::Platform).await.unwrap().id;
        let token = NewToken {
            hash: TokenHash(Sha256::digest(Self::token(name)).into()),
            user,
            kind: TokenKind::Personal,
            scope: model::TokenScope::All,
            label: "story".into(),
            expires_at: None,
        };
        self.store.add_token(&token, &Actor::Platform).await.unwrap();
        user
    }

    pub(crate) fn token(name: &str) -> String {
        format!("wl_personal_{name}")
    }

    /// The same platform, started anew: nothing of the old process is left but files and rows.
    pub(crate) fn restarted(&self) -> Door {
        Door::new(Arc::clone(&self.app), &self.paths)
    }

    pub(crate) fn town(&self) -> Town {
        Town { store: Arc::clone(&self.store) }
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        answer(self.door.clone().routes(), request).await
    }

    /// `METHOD /path` by this person (`""`: nobody), with these headers.
    pub(crate) async fn send(
        &self,
        by: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.ask(request(by, line, headers, body)).await
    }

    /// A blob in one request; gives its digest.
    pub(crate) async fn push_blob(&self, by: &str, repository: &str, bytes: &[u8]) -> Answer {
        let line = format!("POST /v2/{repository}/blobs/uploads/?digest={}", digest(bytes));
        let length = bytes.len().to_string();
        self.send(by, &line, &[("content-length", &length)], bytes.to_vec()).await
    }
}

pub(crate) fn request(
    by: &str,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    if !by.is_empty() {
        request = request.header("authorization", format!("Bearer {}", World::token(by)));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

pub(crate) async fn answer(routes: Router, request: Request<Body>) -> Answer {
    let (parts, body) = routes.oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}
