//! Parts are replaced, killed and lose their power: tools go on or come back, and no request to them is lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::Read,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};
use testkit::{Loss, Tool, World};

const PARTS: [&str; 3] = ["helper", "router", "serve"];

fn wait_for(what: &str, seconds: u64, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !check() {
        assert!(Instant::now() < until, "{what} did not happen in {seconds} s");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Pushes in the background and waits until the build's container runs.
fn push_until_it_builds(world: &World, tool: &Tool<'_>) -> Child {
    let push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the build", 60, || world.shim_of("build-").is_some());
    push
}

/// What the pusher read, and the exit status of git.
fn ended(mut push: Child) -> (String, Option<i32>) {
    let mut text = String::new();
    push.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (text, push.wait().unwrap().code())
}

#[test]
fn parts_are_replaced_under_load_and_nobody_notices() {
    let world = World::new();
    let steady = world.tool("steady", "steady");
    steady.push().succeeded();
    let slow = world.tool("slow", "slow-build");
    let shims = world.shims();
    let load = steady.load(100);
    let download = thread::scope(|scope| {
        let download = scope.spawn(|| steady.get("/slow?seconds=6").body);
        thread::sleep(Duration::from_millis(300));
        for part in PARTS {
            let old = world.part(part).unwrap();
            let replaced = world.reload(part);
            assert_eq!(replaced.status, 0, "{part}: {}", replaced.text);
            assert_ne!(world.part(part).unwrap(), old, "{part}");
        }
        download.join().unwrap()
    });
    assert_eq!(download.lines().count(), 60);
    // A pusher hears from the serve that let the push in, while the one that took over builds and deploys.
    let push = push_until_it_builds(&world, &slow);
    assert_eq!(world.reload("serve").status, 0);
    assert_eq!(world.reload("helper").status, 0);
    assert_eq!(world.reload("router").status, 0);
    let (text, status) = ended(push);
    assert!(status == Some(0) && text.contains("live "), "{text}");
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    assert!(shims.iter().all(|shim| world.shims().contains(shim)), "every tool runs on");
    wait_for("the end of what was replaced", 60, || PARTS.iter().all(|part| world.parts(part).len() == 1));
    let unknown = world.command().args(["reload", "/nowhere/windlass.toml"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(8));
}

#[test]
fn killed_parts_refuse_nobody_and_what_ran_runs_on_or_again_whatever_ended() {
    let mut world = World::new();
    let steady = world.tool("steady", "steady");
    steady.push().succeeded();
    let load = steady.load(50);
    for part in ["helper", "serve", "router"] {
        let old = world.part(part).unwrap();
        kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
        wait_for("another one", 20, || world.part(part).is_some_and(|pid| pid != old));
        wait_for("its answer", 20, || steady.cli(&["status"]).status == 0);
    }
    let report = load.stop();
    // Only what the killed router had in its hands is cut.
    assert!(report.lost.keys().all(|loss| *loss == Loss::Cut), "{report}");
    assert!(report.lost() < 20, "{report}");

    let slow = world.tool("slow", "slow-build");
    let push = push_until_it_builds(&world, &slow);
    drop(slow);
    world.down().unwrap();
    let (text, status) = ended(push);
    assert!(status == Some(1) && text.contains("goes on without you"), "{text}");
    assert!(text.contains("run 1 goes on"), "{text}");
    world.up().unwrap();
    wait_for("the deploy", 90, || world.get("slow.localhost", "/").body == "built slowly\n");

    let shims = world.shims();
    world.kill_starter().unwrap();
    assert_eq!(world.shims(), shims, "tools go on without the platform");
    world.up().unwrap();
    wait_for("both pages", 60, || {
        world.try_get("steady.localhost", "/").is_some_and(|answer| answer.body.starts_with("steady"))
            && world.get("slow.localhost", "/").body == "built slowly\n"
    });
    assert_eq!(world.shims(), shims, "what ran was taken over, not started anew");

    world.lose_power().unwrap();
    world.up().unwrap();
    wait_for("both pages", 60, || {
        world.get("steady.localhost", "/").body.starts_with("steady")
            && world.get("slow.localhost", "/").body == "built slowly\n"
    });
    wait_for("the end of what was left", 30, || {
        std::fs::read_dir(world.data.join("sandboxes")).unwrap().count() == 2
    });
}
