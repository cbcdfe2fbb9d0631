//! Every operation, asked by everybody: one table of statuses.

use crate::{
    document,
    door::{Door, request},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fmt::Write;

/// Method, path, body. What changes something is asked in a world of its own, so none sees what another did.
fn operations() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("GET", "/health", None),
        ("GET", "/whoami", None),
        ("GET", "/tokens", None),
        ("POST", "/tokens", Some(json!({ "label": "laptop" }))),
        ("DELETE", "/tokens/current", None),
        ("DELETE", "/tokens/of-nobody", None),
        ("GET", "/users", None),
        ("POST", "/users", Some(json!({ "name": "ada" }))),
        ("GET", "/storage", None),
        ("POST", "/storage/scrubs", None),
        ("GET", "/storage/scrubs/1", None),
        ("GET", "/tools", None),
        ("POST", "/tools", Some(json!({ "name": "cafe" }))),
        ("GET", "/tools/shop", None),
        ("DELETE", "/tools/shop", None),
        ("PUT", "/tools/shop/production-branch", Some(json!({ "branch": "live" }))),
        ("PUT", "/tools/shop/on-new-push", Some(json!({ "on_new_push": "queue" }))),
        ("GET", "/tools/shop/quota", None),
        ("PUT", "/tools/shop/quota", Some(json!({ "bytes": 1 }))),
        ("POST", "/tools/shop/stop", None),
        ("POST", "/tools/shop/start", None),
        ("POST", "/tools/shop/restart", None),
        ("GET", "/tools/shop/members", None),
        ("PUT", "/tools/shop/members/newcomer", Some(json!({ "role": "reader" }))),
        ("DELETE", "/tools/shop/members/reader", None),
        ("GET", "/tools/shop/runs", None),
        ("GET", "/tools/shop/runs/1", None),
        ("POST", "/tools/shop/runs/2/cancel", None),
        ("POST", "/tools/shop/runs/1/retry", None),
        ("GET", "/tools/shop/runs/1/log", None),
        ("GET", "/tools/shop/releases", None),
        ("POST", "/tools/shop/rollback", Some(json!({ "release": 1 }))),
        ("GET", "/tools/shop/logs", None),
    ]
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_policy_says() {
    let people = ["nobody", "forger", "stranger", "reader", "maintainer", "shop", "operator"];
    let mut table = format!("{:<36}", "");
    for person in people {
        let shown = if person == "shop" { "owner" } else { person };
        write!(table, " {shown:<10}").unwrap();
    }
    let shared = Door::new().await;
    for (method, path, body) in operations() {
        write!(table, "\n{:<36}", format!("{method} {path}")).unwrap();
        let answers = people.map(|person| {
            let (shared, body) = (&shared, body.as_ref());
            async move {
                if method == "GET" {
                    return ask(shared, person, method, path, body).await;
                }
                ask(&Door::new().await, person, method, path, body).await
            }
        });
        for status in join_all(answers).await {
            write!(table, " {status:<10}").unwrap();
        }
    }
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(trimmed.join("\n"));
}

async fn ask(door: &Door, person: &str, method: &str, path: &str, body: Option<&Value>) -> u16 {
    let token = match person {
        "nobody" => None,
        "forger" => Some(format!("wl_personal_{}", "0".repeat(64))),
        person => Some(door.token(person).await),
    };
    door.send(request(method, path, token.as_deref(), body)).await.status
}

#[test]
fn no_operation_is_missing_from_the_table() {
    let document = serde_json::to_value(web::openapi()).unwrap();
    let same = |pattern: &str, asked: &str| {
        let (pattern, asked): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), asked.split('/').collect());
        let fits = |(known, word): (&&str, &&str)| known == word || known.starts_with('{');
        pattern.len() == asked.len() && pattern.iter().zip(&asked).all(fits)
    };
    for (method, path, _) in document::operations(&document) {
        let pattern = path.strip_prefix("/api/v1").unwrap();
        let row = |(by, asked, _): &(&str, &str, Option<Value>)| *by == method && same(pattern, asked);
        assert!(operations().iter().any(row), "{method} {pattern} has no row");
    }
}

#[tokio::test]
async fn a_strangers_answer_is_the_same_byte_for_byte_as_for_what_is_not_there() {
    let door = Door::new().await;
    let token = door.token("stranger").await;
    for path in ["", "/members", "/runs", "/runs/1", "/releases", "/logs", "/runs/1/log"] {
        let there = door.get(&token, &format!("/tools/shop{path}")).await;
        let absent = door.get(&token, &format!("/tools/ghost{path}")).await;
        assert_eq!((there.status, &there.text), (404, &absent.text.replace("ghost", "shop")), "{path}");
    }
}
