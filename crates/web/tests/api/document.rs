//! The document says what the door does: it is committed, and what it says is what answers.

use crate::door::{Door, request};
use serde_json::Value;
use std::{env, fs};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_committed_document_is_what_the_code_says() {
    let written = serde_json::to_string_pretty(&web::openapi()).unwrap() + "\n";
    if env::var_os("WINDLASS_UPDATE").is_some() {
        fs::write(COMMITTED, &written).unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap();
    assert!(
        written == committed,
        "docs/openapi.json is old: WINDLASS_UPDATE=1 cargo test -p windlass-web document"
    );
}

#[tokio::test]
async fn the_platform_hands_the_document_out_to_everybody() {
    let door = Door::new().await;
    let answer = door.send(request("GET", "/openapi.json", None, None)).await;
    assert_eq!((answer.status, answer.kind.as_str()), (200, "application/json"));
    assert_eq!(answer.json(), serde_json::to_value(web::openapi()).unwrap());
}

#[test]
fn every_operation_says_what_it_is_and_how_it_refuses() {
    let document = serde_json::to_value(web::openapi()).unwrap();
    for (method, path, operation) in operations(&document) {
        let text = |field: &str| operation[field].as_str().unwrap_or_default();
        assert!(!text("summary").is_empty() && !text("operationId").is_empty(), "{method} {path}");
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
        }
    }
}

/// Method, path and what is said of them.
pub(crate) fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, said) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.as_str(), said));
        }
    }
    found
}
