//! Parts are killed in the middle of a build: the run ends true, and nothing is left.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn wait_for(what: &str, seconds: u64, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !check() {
        assert!(Instant::now() < until, "{what} did not happen in {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Pushes in the background and waits until the build's container runs.
fn push_until_it_builds(world: &World, tool: &Tool<'_>) -> std::process::Child {
    let shims = world.shims().len();
    let push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the build", 30, || world.shims().len() > shims);
    std::thread::sleep(Duration::from_secs(2));
    push
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
        let mut push = push_until_it_builds(&world, &tool);
        match part {
            "shim" => kill(*world.shims().last().unwrap()),
            _ => kill(world.part(part).unwrap()),
        }
        let _ = push.wait();
        wait_for("the run's end", 90, || {
            let state = run_state(&tool, "1");
            assert!(!state.contains("\"failed\""), "{part}: {state}");
            state.contains("\"live\"")
        });
        assert_eq!(tool.get("/").body, "built slowly\n", "{part}");
        // One copy per tool, and nothing of any build: no process, no directory, no unpacked source.
        wait_for("the end of all else", 15, || {
            world.shims().len() == running && count("sandboxes") == running && count("scratch") == 0
        });
    }
}

#[test]
fn a_cancelled_run_ends_and_leaves_nothing() {
    let world = World::new();
    let tool = world.tool("cancelled", "slow-build");
    let mut push = push_until_it_builds(&world, &tool);
    assert_eq!(tool.cli(&["runs", "cancel", "1"]).status, 0);
    assert_eq!(push.wait().unwrap().code(), Some(1));
    assert!(run_state(&tool, "1").contains("\"cancelled\""));
    wait_for("the end of the sandbox", 10, || world.shims().is_empty());
}

#[test]
fn a_pusher_who_leaves_ends_nothing() {
    let world = World::new();
    let tool = world.tool("left", "slow-build");
    let mut push = push_until_it_builds(&world, &tool);
    push.kill().unwrap();
    push.wait().unwrap();
    wait_for("the deploy", 60, || tool.get("/").body == "built slowly\n");
}
