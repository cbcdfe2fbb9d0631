//! `make api`: schemathesis asks the real API everything that its document allows and much that it forbids, as each kind
//! of person, and compares the answers with the document. Not part of the default lane: it needs a program from `PyPI` and
//! some minutes.

#![expect(clippy::unwrap_used, reason = "a story that panics is a story that failed")]

use std::{env, fs, process::Command};
use testkit::World;

/// Requests that are tried of each operation.
const EXAMPLES: &str = "100";
/// A log that is followed does not end, and a program that waits for its end would call that a fault.
const SETTINGS: &str = "[parameters]\n\"query.follow\" = \"false\"\n";

fn main() {
    let world = World::new();
    let tool = world.tool("shop", "stdlib-http");
    tool.push().succeeded().says("live");
    let people = [("stranger", None), ("maintainer", Some("maintainer")), ("owner", Some("owner"))];
    let mut tokens = vec![("nobody".to_owned(), String::new())];
    for (name, role) in people {
        let made = world.cli(&["users", "create", name]);
        assert_eq!(made.status, 0, "{}", made.text);
        let token = made.text.split_whitespace().find(|word| word.starts_with("wl_")).unwrap().to_owned();
        if let Some(role) = role {
            let added = world.cli(&["members", "add", name, "--role", role, "--tool", "shop"]);
            assert_eq!(added.status, 0, "{}", added.text);
        }
        tokens.push((name.to_owned(), token));
    }
    tokens.push(("operator".to_owned(), world.token().to_owned()));
    let settings = world.data.join("schemathesis.toml");
    fs::write(&settings, SETTINGS).unwrap();
    let program = env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let mut red = Vec::new();
    for (name, token) in &tokens {
        println!("\n=== as {name}");
        let mut command = Command::new(&program);
        command
            .arg("--config-file")
            .arg(&settings)
            .arg("run")
            .arg(format!("{}/api/v1/openapi.json", world.url()));
        command.args(["--checks", "all", "--max-examples", EXAMPLES, "--continue-on-failure", "--no-color"]);
        // It counts only 401 and 403, and who sends so many wrong tokens gets a 429; the table of rights asks for this.
        command.args(["--exclude-checks", "ignored_auth"]);
        command.current_dir(&world.data);
        if !token.is_empty() {
            command.args(["--header", &format!("Authorization:Bearer {token}")]);
        }
        if !command.status().unwrap().success() {
            red.push(name.as_str());
        }
    }
    assert!(red.is_empty(), "schemathesis found something as {}", red.join(", "));
    println!("\napi: nothing found as {} kinds of people", tokens.len());
}
