//! Several pushes of one branch: the newer takes over or waits, and a run is tried again.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use testkit::{PATIENCE, Tool, World, wait_for};

/// Pushes in the background.
fn begin(tool: &Tool<'_>, refspec: &str) -> Child {
    tool.push_command(refspec).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until `windlass runs show` says this of a run.
fn shows(tool: &Tool<'_>, run: u32, words: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let shown = tool.cli(&["runs", "show", &run.to_string()]).text;
        if shown.contains(words) {
            return;
        }
        assert!(Instant::now() < until, "run {run} never said `{words}`:\n{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Exit status, and what the pusher read.
fn end(push: Child) -> (i32, String) {
    let Output { status, stderr, .. } = push.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_newer_push_takes_over_or_waits_as_the_tool_is_set_and_a_run_is_tried_again() {
    let world = World::new();
    let tool = world.tool("queued", "stdlib-http");
    let greet = |from: &str, to: &str| {
        tool.edit("app.py", &format!("hello from {from}"), &format!("hello from {to}"));
    };
    // Its release takes as long as another push needs to come.
    let release = world.hold(3600);
    tool.write("Procfile", "web: python3 app.py\nrelease: sleep 3600 || true\n");

    let first = begin(&tool, "main");
    let held = release.reached();
    greet("stdlib-http", "the second");
    let second = begin(&tool, "main");
    wait_for("the end of the first release", || !release.held().contains(&held));
    let (status, said) = release.open_while(|| end(second));
    assert!(status == 0 && said.contains("run 1 of this branch ends; this push takes its place"), "{said}");
    let (status, said) = end(first);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("a newer push or rollback took over (run 2)"), "{said}");
    shows(&tool, 1, "superseded by run 2");
    assert_eq!(tool.get("/").body, "hello from the second\n");

    assert_eq!(tool.cli(&["tools", "set", "--on-new-push", "queue"]).status, 0);
    greet("the second", "the third");
    let third = begin(&tool, "main");
    release.reached();
    // One that contains the third, one that does not.
    greet("the third", "the fourth");
    let fourth = begin(&tool, "main");
    shows(&tool, 4, "waits for run 3");
    tool.git(&["checkout", "--quiet", "-b", "aside", "main~2"]).unwrap();
    greet("the second", "the fifth");
    let fifth = begin(&tool, "aside:main");
    shows(&tool, 5, "waits for run 4");
    let [third, fourth, fifth] = release.open_while(|| [third, fourth, fifth].map(end));
    let (status, said) = third;
    assert!(status == 0 && said.contains("live "), "{said}");
    let (status, said) = fourth;
    assert!(status == 0 && said.contains("waits until run 3 of this branch has ended"), "{said}");
    let (status, said) = fifth;
    assert!(status == 1 && said.contains("main moved meanwhile"), "{said}");
    assert!(said.contains("git rebase FETCH_HEAD"), "{said}");
    assert_eq!(tool.get("/").body, "hello from the fourth\n");
    let main = tool.git_signed_in(&["ls-remote", "windlass", "refs/heads/main"]).unwrap();
    assert!(main.starts_with(&tool.git(&["rev-parse", "main"]).unwrap()), "{main}");

    // What is live may be tried again; what would undo it may not, and an open run is not.
    let retry = |run: &str| release.open_while(|| tool.cli(&["runs", "retry", run, "--follow"]));
    let again = retry("4");
    assert!(again.status == 0 && again.text.contains("run 6 tries run 4 again"), "{}", again.text);
    let undo = retry("2");
    assert!(undo.status == 1 && undo.text.contains("main moved meanwhile"), "{}", undo.text);
    assert_eq!(tool.get("/").body, "hello from the fourth\n");
    let red = tool.cli(&["runs", "retry", "5"]);
    assert_eq!(red.status, 0, "its commit is kept although no branch names it: {}", red.text);
    release.open_while(|| shows(&tool, 8, "main moved meanwhile"));
    tool.git(&["checkout", "--quiet", "main"]).unwrap();
    a_store_that_is_locked_for_longer_than_a_lease_costs_no_run(&world, &tool);
}

fn a_store_that_is_locked_for_longer_than_a_lease_costs_no_run(world: &World, tool: &Tool<'_>) {
    tool.edit("app.py", "hello from the fourth", "hello from behind the lock");
    let push = begin(tool, "main");
    world.hold(3600).reached();
    shows(tool, 9, "release   running");
    // A database shell that somebody left open in the middle of a transaction.
    let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60); \
                c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()";
    let mut shell = Command::new("python3")
        .args(["-c", hold])
        .arg(world.data.join("db/windlass.sqlite"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let began = Instant::now();
    world.hold(3600).let_go();
    let refused = tool.cli(&["tools", "set", "--production-branch", "main"]);
    assert!(refused.status == 8 && refused.text.contains("locked by another program"), "{}", refused.text);
    assert_eq!(tool.cli(&["runs", "list"]).status, 0, "reading goes on");
    assert_eq!(tool.get("/").status, 200);
    // Longer than a lease, and than the release command.
    std::thread::sleep(Duration::from_secs(18).saturating_sub(began.elapsed()));
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let (status, said) = end(push);
    assert!(status == 0 && said.contains("live "), "{said}");
    assert_eq!(tool.get("/").body, "hello from behind the lock\n");
    let run = tool.cli(&["runs", "show", "9", "--json"]).text;
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    for step in run["steps"].as_array().unwrap() {
        assert_eq!(step["faults"], 0, "{step}");
    }
}
