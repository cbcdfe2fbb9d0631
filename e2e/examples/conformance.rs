//! `make conformance SUITE=PROGRAM`: the distribution specification's own conformance suite against a running platform,
//! all four workflows. Not part of the default lane: the suite is a program of its own, in Go, that is built elsewhere.
//!
//! Taken are the suite of specification 1.1.1 (`go test -c`) and the one that replaced it (`go build`). Both write
//! `junit.xml`, from which the count comes: the newer one ends with status 0 also when its configuration is wrong.

#![expect(clippy::unwrap_used, reason = "a story that panics is a story that failed")]

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};
use testkit::World;

const TOOL: &str = "images";

/// One test of the suite.
struct Case {
    name: String,
    end: End,
}

enum End {
    Passed,
    Failed,
    Skipped(String),
}

fn main() -> ExitCode {
    let suite =
        env::var("WINDLASS_CONFORMANCE").expect("the suite's program (make conformance SUITE=PROGRAM)");
    let suite = fs::canonicalize(suite).expect("the suite's program");
    let world = World::new();
    assert_eq!(world.cli(&["tools", "create", TOOL]).status, 0);
    let (host, results) = (format!("localhost:{}", world.port), world.data.join("conformance"));
    fs::create_dir_all(&results).unwrap();
    // First what the suite of 1.1.1 reads, then what the newer one does.
    let output = Command::new(suite)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &results)
        .env("OCI_ROOT_URL", format!("http://{host}"))
        .env("OCI_NAMESPACE", format!("{TOOL}/import/one"))
        .env("OCI_CROSSMOUNT_NAMESPACE", format!("{TOOL}/import/two"))
        .env("OCI_TEST_PULL", "1")
        .env("OCI_TEST_PUSH", "1")
        .env("OCI_TEST_CONTENT_DISCOVERY", "1")
        .env("OCI_TEST_CONTENT_MANAGEMENT", "1")
        // A blob is mounted from where the client says, and from nowhere else.
        .env("OCI_AUTOMATIC_CROSSMOUNT", "false")
        .env("OCI_REPORT_DIR", &results)
        .env("OCI_REGISTRY", &host)
        .env("OCI_TLS", "disabled")
        .env("OCI_CACHE_AUTH", "false")
        .env("OCI_REPO1", format!("{TOOL}/import/one"))
        .env("OCI_REPO2", format!("{TOOL}/import/two"))
        // The image specification leaves it open, and the platform keeps SHA-256 alone.
        .env("OCI_DATA_SHA512", "false")
        .env("OCI_VERSION", env::var("OCI_VERSION").unwrap_or_else(|_| "1.1".to_owned()))
        .env("OCI_RESULTS_DIR", &results)
        .env("OCI_USERNAME", "anyone")
        .env("OCI_PASSWORD", world.token())
        .current_dir(&results)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let cases = fs::read_to_string(results.join("junit.xml")).map(|text| cases(&text)).unwrap_or_default();
    let failed: Vec<&Case> = cases.iter().filter(|case| matches!(case.end, End::Failed)).collect();
    for case in &cases {
        match &case.end {
            End::Passed => {}
            End::Failed => println!("failed: {}", case.name),
            End::Skipped(why) => println!("skipped: {}: {why}", case.name),
        }
    }
    if cases.is_empty() || !failed.is_empty() {
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    keep_report(&results);
    let passed = cases.iter().filter(|case| matches!(case.end, End::Passed)).count();
    let skipped = cases.len() - passed - failed.len();
    println!("conformance: {passed} passed, {} failed, {skipped} skipped", failed.len());
    if passed > 0 && failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The world's directory goes with it.
fn keep_report(results: &Path) {
    if let Ok(to) = env::var("REPORT") {
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(results).unwrap().flatten() {
            fs::copy(entry.path(), Path::new(&to).join(entry.file_name())).unwrap();
        }
    }
}

/// The tests of a `junit.xml`. The suite of 1.1.1 tells an end by an element, the newer one by `status` and by what it
/// wrote.
fn cases(text: &str) -> Vec<Case> {
    let of = |case: &str| {
        let (head, rest) = case.split_once('>').unwrap_or((case, ""));
        let has = |element: &str| rest.contains(element);
        let end = match attribute(head, "status").as_str() {
            "passed" => End::Passed,
            "skipped" if has("<skipped") => End::Skipped(attribute(rest, "message")),
            "skipped" => End::Skipped(last_words(rest)),
            _ => End::Failed,
        };
        let (class, name) = (attribute(head, "classname"), attribute(head, "name"));
        Case { name: format!("{class} {name}").trim().to_owned(), end }
    };
    text.split("<testcase ")
        .skip(1)
        .map(|case| case.split("</testcase>").next().unwrap_or(case))
        .map(of)
        .collect()
}

/// The last line that a test of the newer suite wrote: why it was skipped.
fn last_words(rest: &str) -> String {
    let between =
        |from: &str, to: &str| Some(rest.split_once(from)?.1.split_once(to)?.0.replace("&#xA;", "\n"));
    let said = between("<system-out>", "</system-out>").or_else(|| between("<system-err>", "</system-err>"));
    said.unwrap_or_default().trim().lines().last().unwrap_or_default().trim().to_owned()
}

fn attribute(element: &str, name: &str) -> String {
    let value = element.split_once(&format!("{name}=\"")).map(|(_, value)| value);
    value.and_then(|value| value.split('"').next()).unwrap_or_default().to_owned()
}
