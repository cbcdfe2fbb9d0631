//! Parts are killed in the middle of a build: the run ends true, and nothing is left.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::process::Stdio;
use testkit::{Hold, Tool, World, wait_for};

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Pushes `e2e/apps/slow-build` in the background and waits until its build is in the middle; it stays there until the
/// story lets it go on.
fn push_until_it_builds<'a>(world: &'a World, tool: &Tool<'_>) -> (std::process::Child, Hold<'a>) {
    tool.edit("slow/backend.py", "\"8\"", "\"3600\"");
    let push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let build = world.hold(3600);
    build.reached();
    (push, build)
}

fn run_state(tool: &Tool<'_>, number: &str) -> String {
    tool.cli(&["runs", "show", number, "--json"]).text
}

#[test]
fn a_killed_helper_serve_or_shim_costs_no_run() {
    let world = World::new();
    let count = |name: &str| std::fs::read_dir(world.data.join(name)).unwrap().count();
    for (running, part) in (1..).zip(["helper", "serve", "shim"]) {
        let tool = world.tool(&format!("chaos-{part}"), "slow-build");
        let (mut push, build) = push_until_it_builds(&world, &tool);
        let held = build.held();
        let killed = if part == "shim" { world.shim_of("build-") } else { world.part(part) }.unwrap();
        kill(killed);
        // What kept the build takes it down; what only looked after it finds it as it was.
        wait_for("what follows from the kill", || match part {
            "shim" => !build.held().contains(&held[0]),
            _ => world.part(part).is_some_and(|pid| pid != killed) && tool.cli(&["status"]).status == 0,
        });
        assert!(part == "shim" || build.held() == held, "the build did not outlive the {part}");
        build.open_while(|| {
            let _ = push.wait();
            wait_for("the run's end", || {
                let state = run_state(&tool, "1");
                assert!(!state.contains("\"failed\""), "{part}: {state}");
                state.contains("\"live\"")
            });
        });
        assert_eq!(tool.get("/").body, "built slowly\n", "{part}");
        // One copy per tool, and nothing of any build: no process, no directory, no unpacked source.
        wait_for("the end of all else", || {
            world.shims().len() == running && count("sandboxes") == running && count("scratch") == 0
        });
    }
}

#[test]
fn a_cancelled_run_ends_and_leaves_nothing() {
    let world = World::new();
    let tool = world.tool("cancelled", "slow-build");
    let (mut push, _) = push_until_it_builds(&world, &tool);
    assert_eq!(tool.cli(&["runs", "cancel", "1"]).status, 0);
    assert_eq!(push.wait().unwrap().code(), Some(1));
    assert!(run_state(&tool, "1").contains("\"cancelled\""));
    wait_for("the end of the sandbox", || world.shims().is_empty());
}

#[test]
fn a_pusher_who_leaves_ends_nothing() {
    let world = World::new();
    let tool = world.tool("left", "slow-build");
    let (mut push, build) = push_until_it_builds(&world, &tool);
    push.kill().unwrap();
    push.wait().unwrap();
    build.let_go();
    wait_for("the deploy", || tool.get("/").body == "built slowly\n");
}
