//! A world with its API, and what one can send to it.

use crate::world::World;
use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt;
use model::Role;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

/// The tool `shop` of the user `shop`, with one live run and one that waits; people around it.
pub(crate) struct Door {
    pub(crate) routes: Router,
    pub(crate) world: Arc<World>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) headers: axum::http::HeaderMap,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

impl Door {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let (owner, _) = world.tool("shop").await;
        let live = world.push(&owner, "shop").await;
        world.deploy(live).await;
        world.push(&owner, "shop").await;
        for (name, role) in [("reader", Role::Reader), ("maintainer", Role::Maintainer)] {
            world.person(name).await;
            world.app.add_member(&owner, "shop", name, role).await.unwrap();
        }
        world.person("stranger").await;
        world.person("newcomer").await;
        let world = Arc::new(world);
        let routes = web::router(Arc::clone(&world.app));
        Self { routes, world }
    }

    /// A fresh token of a user.
    pub(crate) async fn token(&self, user: &str) -> String {
        self.world.token_of(user).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        read(self.routes.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(request("GET", path, Some(token), None)).await
    }
}

/// `path` beneath `/api/v1`.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

async fn read(response: Response<Body>) -> Answer {
    let status = response.status();
    let headers = response.headers().clone();
    let kind = headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(kind, "application/problem+json", "{status}: {text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["type"].as_str().unwrap().starts_with("/help/"), "{text}");
    }
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{text}");
    Answer { status: status.as_u16(), kind, text, headers }
}
