//! What answers look like, good ones and bad ones.

use crate::door::{Door, request};
use axum::{
    body::Body,
    http::{Request, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use model::LogStream;
use serde_json::{Value, json};
use std::fs;
use web::wire;

#[tokio::test]
async fn a_tools_status_says_what_runs_and_what_came_last() {
    let door = Door::new().await;
    let token = door.token("shop").await;
    let status: wire::Status = serde_json::from_value(door.get(&token, "/tools/shop").await.json()).unwrap();
    assert_eq!(status.tool.url, "http://shop.localhost:8080/");
    assert_eq!(status.tool.git_url, "http://localhost:8080/git/shop.git");
    assert_eq!(status.tool.production_branch.as_deref(), Some("main"));
    assert_eq!((status.release.unwrap().number, status.last_run.unwrap().number), (1, 2));

    let run: wire::Run = serde_json::from_value(door.get(&token, "/tools/shop/runs/1").await.json()).unwrap();
    assert_eq!((run.state.as_str(), run.by.as_deref()), ("live", Some("shop")));
    let summaries: Vec<_> =
        run.steps.iter().map(|step| step.summary.as_deref().unwrap_or_default()).collect();
    assert!(summaries.contains(&"build went well"), "{summaries:?}");
}

#[tokio::test]
async fn the_production_branch_is_set_and_shown() {
    let door = Door::new().await;
    let token = door.token("maintainer").await;
    let set =
        request("PUT", "/tools/shop/production-branch", Some(&token), Some(&json!({ "branch": "live" })));
    let answer = door.send(set).await.json();
    assert_eq!((answer["name"].as_str(), answer["production_branch"].as_str()), (Some("shop"), Some("live")));
    assert_eq!(door.get(&token, "/tools/shop").await.json()["tool"], answer);
}

#[tokio::test]
async fn a_token_is_taken_as_bearer_and_as_gits_password() {
    let door = Door::new().await;
    let token = door.token("reader").await;
    let basic = BASE64_STANDARD.encode(format!("anything:{token}"));
    let asked = Request::get("/api/v1/whoami").header(header::AUTHORIZATION, format!("Basic {basic}"));
    let who = door.send(asked.body(Body::empty()).unwrap()).await.json();
    assert_eq!((who["user"].as_str(), who["operator"].as_bool()), (Some("reader"), Some(false)));
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_how_and_gets_both_challenges() {
    let door = Door::new().await;
    let answer = door.send(request("GET", "/whoami", None, None)).await;
    let challenges: Vec<_> = answer.headers.get_all(header::WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges.len(), 2);
    assert_eq!(answer.json()["hint"], "run `windlass login`");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_nothing_happens() {
    let door = Door::new().await;
    let token = door.token("shop").await;
    let bad: [(&str, &str, Option<Value>, u16); 10] = [
        ("POST", "/tools", Some(json!({ "name": "cafe", "colour": "red" })), 422),
        ("POST", "/tools", Some(json!({ "name": 7 })), 422),
        ("POST", "/tools", Some(json!({ "name": "x".repeat(100_000) })), 413),
        ("POST", "/tools", None, 415),
        ("GET", "/tools/shop/runs?limit=many", None, 422),
        ("GET", "/tools/shop/runs?lmit=3", None, 422),
        ("GET", "/tools/shop/logs?cursors=elsewhere@1", None, 422),
        ("PUT", "/tools/shop/members/newcomer", Some(json!({ "role": "king" })), 422),
        ("PUT", "/tools/shop/production-branch", Some(json!({ "branch": "two words" })), 422),
        ("PUT", "/tools/shop/production-branch", Some(json!({})), 422),
    ];
    for (method, path, body, status) in bad {
        let answer = door.send(request(method, path, Some(&token), body.as_ref())).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    assert_eq!(door.get(&token, "/tools").await.json()["tools"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_told_as_problems() {
    let door = Door::new().await;
    let token = door.token("shop").await;
    for path in
        ["/nothing", "/tools/shop/runs/many", "/tools/shop/runs/-1", "/tools/..%2Fshop", "/tools/shop/"]
    {
        assert_eq!(door.get(&token, path).await.status, 404, "{path}");
    }
    assert_eq!(door.send(request("PATCH", "/tools/shop", Some(&token), None)).await.status, 405);
    let elsewhere = Request::get("/elsewhere").body(Body::empty()).unwrap();
    assert_eq!(door.send(elsewhere).await.json()["id"], "not-found");
}

#[tokio::test]
async fn a_new_token_is_shown_once_and_works_until_it_is_revoked() {
    let door = Door::new().await;
    let token = door.token("reader").await;
    let answer =
        door.send(request("POST", "/tokens", Some(&token), Some(&json!({ "label": "laptop" })))).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let issued: wire::IssuedToken = serde_json::from_value(answer.json()).unwrap();
    let listed = door.get(&token, "/tokens").await;
    assert!(listed.text.contains("laptop") && !listed.text.contains(&issued.token));
    assert_eq!(door.get(&issued.token, "/whoami").await.json()["token"], issued.id.as_str());
    assert_eq!(door.send(request("DELETE", "/tokens/current", Some(&issued.token), None)).await.status, 204);
    assert_eq!(door.get(&issued.token, "/whoami").await.status, 401);
    assert_eq!(door.get(&token, "/whoami").await.status, 200);
}

#[tokio::test]
async fn a_log_comes_as_lines_of_json_whatever_bytes_were_written() {
    let door = Door::new().await;
    let tool = door.world.tool_id("shop").await;
    let stream: LogStream = "process/web.1".parse().unwrap();
    let path = door.world.paths.log(tool, &stream);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = logs::Writer::open(&path, u64::MAX).unwrap();
    writer.row(logs::Stream::Out, logs::Flags::NONE, b"hello").unwrap();
    writer.row(logs::Stream::Err, logs::Flags::PARTIAL, b"\xff\"\n\x1b[2J").unwrap();

    let token = door.token("reader").await;
    let answer = door.get(&token, "/tools/shop/logs?process=web").await;
    assert_eq!(answer.kind, "application/x-ndjson");
    let rows: Vec<wire::LogRow> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows[0].text.as_str(), rows[0].source.as_str(), rows[0].offset), ("hello", "out", 0));
    assert_eq!((rows[1].text.as_str(), rows[1].source.as_str()), ("\u{fffd}\"\n\u{1b}[2J", "err"));
    assert!(rows[1].partial && rows[0].next == rows[1].offset);

    let path = format!("/tools/shop/logs?process=web&cursors=process/web.1@{}", rows[1].offset);
    assert_eq!(door.get(&token, &path).await.text.lines().count(), 1, "taken up after the first row");
}

#[tokio::test]
async fn the_front_page_says_what_this_is_and_needs_no_script() {
    let door = Door::new().await;
    let answer = door.send(Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("windlass login http://localhost:8080"));
    assert!(!answer.text.contains("<script"));
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
}
