//! Who may do what at the registry, with which token.

use crate::world::{World, answer, digest, request};
use axum::{body::Body, http::Request};
use model::Actor;
use serde_json::Value;
use std::fmt::Write;

impl World {
    /// What the token endpoint gives for these scopes.
    async fn registry_token(&self, by: &str, scopes: &str) -> String {
        let got = self.send(by, &format!("GET /v2/token?service=localhost{scopes}"), &[], "").await;
        assert_eq!(got.status, 200, "{}", got.text());
        serde_json::from_slice::<Value>(&got.body).unwrap()["token"].as_str().unwrap().to_owned()
    }

    async fn bearing(&self, token: &str, line: &str) -> crate::world::Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        answer(self.door.clone().routes(), request.header("content-length", "0").body(Body::empty()).unwrap())
            .await
    }
}

#[tokio::test]
async fn everybody_gets_what_the_policy_says() {
    let world = World::new().await;
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap();
    let image = world.town().release(&shop, 5).await;
    assert_eq!(image.number, 1);
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let blob = format!("/v2/shop/import/a/blobs/{}", digest(b"{}"));
    // Nobody, stranger, reader, owner.
    let people = ["", "other", "reader", "shop"];
    let mut table = Vec::new();
    for line in [
        "GET /v2/".to_owned(),
        format!("GET {blob}"),
        "GET /v2/shop/import/a/tags/list".to_owned(),
        "GET /v2/shop/release/tags/list".to_owned(),
        "POST /v2/shop/import/a/blobs/uploads/".to_owned(),
        "POST /v2/shop/release/blobs/uploads/".to_owned(),
        "PUT /v2/shop/release/manifests/mine".to_owned(),
        "DELETE /v2/shop/release/manifests/v1".to_owned(),
        "DELETE /v2/shop/import/a/manifests/none".to_owned(),
        "GET /v2/shop/elsewhere/tags/list".to_owned(),
        "GET /v2/ghost/import/a/tags/list".to_owned(),
    ] {
        let mut row = line.replace(&digest(b"{}"), "D");
        for person in people {
            let answer = world.send(person, &line, &[("content-length", "0")], "").await;
            write!(row, " {}", answer.status).unwrap();
            assert!(
                answer.status != 401
                    || answer
                        .header("www-authenticate")
                        .starts_with("Bearer realm=\"http://localhost:8080/v2/token\",service=\"localhost\"")
            );
        }
        table.push(row);
    }
    assert_eq!(
        table.join("\n"),
        "GET /v2/ 401 200 200 200\n\
         GET /v2/shop/import/a/blobs/D 401 404 200 200\n\
         GET /v2/shop/import/a/tags/list 401 404 200 200\n\
         GET /v2/shop/release/tags/list 401 404 200 200\n\
         POST /v2/shop/import/a/blobs/uploads/ 401 404 403 202\n\
         POST /v2/shop/release/blobs/uploads/ 401 404 403 403\n\
         PUT /v2/shop/release/manifests/mine 401 404 403 403\n\
         DELETE /v2/shop/release/manifests/v1 401 404 403 403\n\
         DELETE /v2/shop/import/a/manifests/none 401 404 403 404\n\
         GET /v2/shop/elsewhere/tags/list 401 404 404 404\n\
         GET /v2/ghost/import/a/tags/list 401 404 404 404"
    );
    let there = world.send("other", "GET /v2/shop/import/a/tags/list", &[], "").await;
    let absent = world.send("other", "GET /v2/ghost/import/a/tags/list", &[], "").await;
    assert_eq!(there.text(), absent.text().replace("ghost", "shop"), "no oracle");
}

/// The twin of every refusal to a stranger: the same requests, byte for byte, once the policy lets them.
#[tokio::test]
async fn only_the_policy_stands_between_a_stranger_and_a_blob() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let blob = format!("HEAD /v2/shop/import/a/blobs/{}", digest(b"{}"));
    let begin = "POST /v2/shop/import/a/blobs/uploads/";
    let mount = format!("POST /v2/other/import/b/blobs/uploads/?mount={}&from=shop/import/a", digest(b"{}"));
    let token = world.registry_token("other", "&scope=repository:shop/import/a:pull,push").await;
    let asked = async || {
        let mut statuses = Vec::new();
        for line in [&blob, begin, &mount] {
            statuses.push(world.send("other", line, &[("content-length", "0")], "").await.status);
        }
        // A token that was asked for by a stranger grants nothing, also later.
        statuses.push(world.bearing(&token, &blob).await.status);
        statuses
    };
    assert_eq!(asked().await, [404, 404, 202, 404]);
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    let other = world.store.user_by_name("other").await.unwrap().id;
    world.store.add_member(shop, other, model::Role::Maintainer, &Actor::Platform).await.unwrap();
    // A blob is mounted within one tool alone, whoever asks.
    assert_eq!(asked().await, [200, 202, 202, 401]);
    let within = mount.replace("other/import/b", "shop/import/b");
    assert_eq!(world.send("other", &within, &[("content-length", "0")], "").await.status, 201);
}

#[tokio::test]
async fn a_registry_token_is_good_for_what_it_was_given_and_dies_with_its_tool() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let blob = format!("GET /v2/shop/import/a/blobs/{}", digest(b"{}"));
    let begin = "POST /v2/shop/import/a/blobs/uploads/";
    let pull = world.registry_token("shop", "&scope=repository:shop/import/a:pull").await;
    assert_eq!(world.bearing(&pull, &blob).await.status, 200);
    let refused = world.bearing(&pull, begin).await;
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .ends_with("scope=\"repository:shop/import/a:pull,push\",error=\"insufficient_scope\"")
    );
    assert_eq!(world.bearing(&pull, "GET /v2/shop/import/b/tags/list").await.status, 401);
    // Whoever mounts is told to ask for both.
    let mount = format!("POST /v2/shop/import/b/blobs/uploads/?mount={}&from=shop/import/a", digest(b"{}"));
    let asked = world.send("", &mount, &[], "").await;
    let scopes = "scope=\"repository:shop/import/b:pull,push repository:shop/import/a:pull\"";
    assert!(asked.header("www-authenticate").ends_with(scopes), "{}", asked.header("www-authenticate"));
    let both = "&scope=repository:shop/import/b:pull,push%20repository:shop/import/a:pull";
    assert_eq!(world.bearing(&world.registry_token("shop", both).await, &mount).await.status, 201);

    // As `docker login` asks, without a scope; and it is worth nothing but that.
    let login = world.registry_token("shop", "&account=shop&client_id=docker&offline_token=true").await;
    assert_eq!(world.bearing(&login, "GET /v2/").await.status, 200);
    assert_eq!(world.bearing(&login, &blob).await.status, 401);
    // Less than was asked is no error, and what is no scope gives nothing.
    let reader = world
        .registry_token("reader", "&scope=repository:shop/import/a:push,pull&scope=registry:catalog:*")
        .await;
    assert_eq!(world.bearing(&reader, &blob).await.status, 200);
    assert_eq!(world.bearing(&reader, begin).await.status, 403, "the policy, in a sentence");
    let stranger = world.registry_token("other", "&scope=repository:shop/import/a:pull&scope=*&scope=").await;
    assert_eq!(world.bearing(&stranger, &blob).await.status, 404);
    // It buys no further tokens, and containerd's way of asking works too.
    assert_eq!(world.bearing(&pull, "GET /v2/token?scope=repository:shop/import/a:push").await.status, 401);
    let form = format!(
        "grant_type=password&username=x&password={}&scope=repository:shop/import/a:pull,push",
        World::token("shop")
    );
    let posted = world.send("", "POST /v2/token", &[], form).await;
    let push =
        serde_json::from_slice::<Value>(&posted.body).unwrap()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(world.bearing(&push, begin).await.status, 202);
    assert_eq!(world.send("", "GET /v2/token", &[], "").await.status, 401);

    // The name comes back as another tool of the same owner.
    let owner = world.store.user_by_name("shop").await.unwrap().id;
    let old = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    world.store.delete_tool(old, &Actor::Platform).await.unwrap();
    let new = store::NewTool { name: "shop".parse().unwrap(), owner };
    world.store.create_tool(&new, &Actor::Platform).await.unwrap();
    assert_eq!(world.bearing(&push, begin).await.status, 401);
    assert_eq!(world.send("shop", &blob, &[], "").await.status, 404, "and has none of its images");
    // Whoever loses the token behind it loses this one.
    let fresh = world.registry_token("shop", "&scope=repository:shop/import/a:pull").await;
    let behind = world.store.tokens_of(owner).await.unwrap()[0].id;
    world.store.revoke_token(behind, &Actor::Platform).await.unwrap();
    assert_eq!(world.bearing(&fresh, "GET /v2/").await.status, 401);
    let lone = request("", "GET /v2/", &[("authorization", "Basic eDo=")], "");
    assert_eq!(world.ask(lone).await.status, 401, "an empty password is nobody's");
}
