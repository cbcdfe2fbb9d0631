//! Processes of the platform are killed with -9 under a tool or a run: what is wanted comes back, what was under way is
//! tried again and told as the platform's fault, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may have ended this moment.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

fn wait_for(what: &str, seconds: u64, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !check() {
        assert!(Instant::now() < until, "{what} did not happen in {seconds} s");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Pushes, kills what `find` gives as soon as it is there and `after` has passed, and gives what the pusher read.
fn push_and_kill(tool: &Tool<'_>, after: Duration, find: impl Fn() -> Option<i32>) -> String {
    thread::scope(|scope| {
        let push = scope.spawn(|| tool.push());
        let mut found = None;
        wait_for("what shall be killed", 60, || {
            found = find();
            found.is_some() || push.is_finished()
        });
        thread::sleep(after);
        kill(found.expect("the push ended before"));
        push.join().unwrap().succeeded().text
    })
}

#[track_caller]
fn told_and_tried_again(text: &str, step: &str) {
    let told = text.lines().find(|line| line.contains("the platform's fault, not yours")).unwrap_or_default();
    assert!(
        told.contains(&format!("{step:<9} broke off")) && told.trim_end().ends_with("(2 of 3)"),
        "{step}:\n{text}"
    );
    assert!(text.contains(" live "), "{text}");
}

/// Waits until nothing but one copy of each of so many tools is there.
fn nothing_but(world: &World, tools: usize) {
    let count = |name: &str| std::fs::read_dir(world.data.join(name)).unwrap().count();
    wait_for("the end of all else", 30, || {
        world.shims().len() == tools
            && count("sandboxes") == tools
            && count("scratch") == 0
            && world.workers("egress").is_empty()
    });
}

#[test]
fn a_killed_shim_runtime_or_way_out_costs_a_run_one_more_try() {
    let world = World::new();
    let build = world.tool("build", "slow-build");
    build.edit("slow/backend.py", "\"8\"", "\"3\"");
    let moment = Duration::from_secs(1);
    let text = push_and_kill(&build, moment, || world.workers("egress").first().copied());
    told_and_tried_again(&text, "build");
    nothing_but(&world, 1);

    let release = world.tool("release", "release-green");
    release.edit("migrate.py", "print(", "import time\n\ntime.sleep(2)\nprint(");
    let text = push_and_kill(&release, moment, || world.shim_of("release-"));
    told_and_tried_again(&text, "release");
    nothing_but(&world, 2);

    let deploy = world.tool("deploy", "stdlib-http");
    deploy.edit("app.py", "def main():", "def main():\n    __import__(\"time\").sleep(2)");
    let before = world.shims();
    let started = || world.shims().into_iter().find(|shim| !before.contains(shim));
    let in_deploy = || deploy.cli(&["runs", "show", "1"]).text.contains("deploy    running");
    let text = push_and_kill(&deploy, Duration::ZERO, || in_deploy().then(started).flatten());
    told_and_tried_again(&text, "deploy");
    nothing_but(&world, 3);

    // The runtime, in the middle of making a container: the first two that are seen.
    let made = world.tool("made", "stdlib-http");
    let done = AtomicBool::new(false);
    let killed = thread::scope(|scope| {
        let hunter = scope.spawn(|| {
            let mut killed = Vec::new();
            while killed.len() < 2 && !done.load(Ordering::Relaxed) {
                for pid in
                    world.runtimes().into_iter().filter(|pid| !killed.contains(pid)).collect::<Vec<_>>()
                {
                    kill(pid);
                    killed.push(pid);
                }
            }
            killed.len()
        });
        let text = made.push().succeeded().text;
        done.store(true, Ordering::Relaxed);
        assert!(text.contains("the platform's fault, not yours"), "{text}");
        hunter.join().unwrap()
    });
    assert!(killed > 0);
    nothing_but(&world, 4);
    assert_eq!(made.get("/").body, "hello from stdlib-http\n");
}

#[test]
fn whatever_is_killed_at_once_comes_back() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|name| {
        let tool = world.tool(name, "stdlib-http");
        tool.push().succeeded();
        tool
    });

    // A copy whose shim is gone is replaced.
    let old = world.shims();
    kill(old[0]);
    let answers = |tool: &Tool<'_>| tool.get("/").body == "hello from stdlib-http\n";
    wait_for("another copy", 20, || {
        !world.shims().contains(&old[0]) && world.shims().len() == 2 && answers(&one) && answers(&two)
    });

    // A restart that was acknowledged takes place, whoever dies the moment after.
    let old = world.shims();
    assert_eq!(one.cli(&["restart"]).status, 0);
    kill(world.part("serve").unwrap());
    wait_for("the restart", 30, || {
        let new = world.shims();
        new.len() == 2 && old.iter().filter(|shim| new.contains(shim)).count() == 1 && answers(&one)
    });

    // A rollback goes on without the serve that began it, and whoever asked learns how it ended.
    two.edit("app.py", "hello from stdlib-http", "good day");
    two.push().succeeded();
    let back = thread::scope(|scope| {
        let back = scope.spawn(|| two.cli(&["rollback"]));
        wait_for("the rollback", 20, || two.cli(&["runs", "list"]).text.contains("back to v1"));
        kill(world.part("serve").unwrap());
        back.join().unwrap()
    });
    assert_eq!(back.status, 0, "{}", back.text);
    assert!(answers(&two));
    nothing_but(&world, 2);

    // Everything at once, in the middle of a build.
    let three = world.tool("three", "slow-build");
    three.edit("slow/backend.py", "\"8\"", "\"3\"");
    thread::scope(|scope| {
        let push = scope.spawn(|| three.push());
        wait_for("the build", 60, || !world.workers("egress").is_empty());
        thread::sleep(Duration::from_secs(1));
        let parts = ["helper", "serve", "router"].map(|part| world.part(part).unwrap());
        for pid in parts.into_iter().chain(world.workers("egress")).chain(world.shims().pop()) {
            kill(pid);
        }
        // Its connection went with the router; the run goes on.
        let _ = push.join().unwrap();
    });
    let page = |tool: &str| world.try_get(&format!("{tool}.localhost"), "/").map(|answer| answer.body);
    wait_for("all pages", 60, || {
        ["one", "two"].iter().all(|tool| page(tool).is_some_and(|body| body.starts_with("hello")))
            && page("three").is_some_and(|body| body == "built slowly\n")
    });
    wait_for("the end of its run", 20, || three.cli(&["runs", "show", "1"]).text.contains("run 1 · live"));
    nothing_but(&world, 3);
}
