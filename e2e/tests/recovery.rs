//! Processes of the platform are killed with -9 under a tool or a run: what is wanted comes back, what was under way is
//! tried again and told as the platform's fault, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use testkit::{Hold, Tool, World, wait_for};

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may have ended this moment.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Pushes, kills what `find` gives when the tool's program stands at `hold`, lets the next try pass, and gives what the
/// pusher read.
fn push_and_kill(tool: &Tool<'_>, hold: Hold<'_>, find: impl Fn() -> Option<i32>) -> String {
    thread::scope(|scope| {
        let push = scope.spawn(|| tool.push());
        let held = hold.reached();
        kill(find().expect("nothing to kill"));
        wait_for("the end of what depended on it", || !hold.held().contains(&held));
        hold.open_while(|| push.join().unwrap().succeeded().text)
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

/// A line of Python at which the story has to let a program go on.
const WAITS: &str = "__import__(\"subprocess\").run([\"sleep\", \"3601\"])";

/// Waits until nothing but one copy of each of so many tools is there.
fn nothing_but(world: &World, tools: usize) {
    let count = |name: &str| std::fs::read_dir(world.data.join(name)).unwrap().count();
    wait_for("the end of all else", || {
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
    build.edit("slow/backend.py", "\"8\"", "\"3600\"");
    let text = push_and_kill(&build, world.hold(3600), || world.workers("egress").first().copied());
    told_and_tried_again(&text, "build");
    nothing_but(&world, 1);

    let release = world.tool("release", "release-green");
    release.edit("migrate.py", "print(", &format!("{WAITS}\nprint("));
    let text = push_and_kill(&release, world.hold(3601), || world.shim_of("release-"));
    told_and_tried_again(&text, "release");
    nothing_but(&world, 2);

    let deploy = world.tool("deploy", "stdlib-http");
    deploy.edit("app.py", "def main():", &format!("def main():\n    {WAITS}"));
    let before = world.shims();
    let started = || world.shims().into_iter().find(|shim| !before.contains(shim));
    let text = push_and_kill(&deploy, world.hold(3601), started);
    told_and_tried_again(&text, "deploy");
    nothing_but(&world, 3);

    // The runtime, in the middle of making a container: the first that are seen. One that was just done is no loss,
    // so this may take more than one push.
    let made = world.tool("made", "stdlib-http");
    let mut round = 0;
    wait_for("a kill that cost a run a try", || {
        round += 1;
        made.write("round", &format!("{round}"));
        let text = push_under_a_hunter(&world, &made);
        text.contains("the platform's fault, not yours")
    });
    nothing_but(&world, 4);
    assert_eq!(made.get("/").body, "hello from stdlib-http\n");
}

/// Pushes while the first two runtimes that are seen are killed; gives what the pusher read.
fn push_under_a_hunter(world: &World, tool: &Tool<'_>) -> String {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut killed = Vec::new();
            while killed.len() < 2 && !done.load(Ordering::Relaxed) {
                let new = world.runtimes().into_iter().find(|pid| !killed.contains(pid));
                killed.extend(new.inspect(|pid| kill(*pid)));
            }
        });
        let pushed = tool.push();
        done.store(true, Ordering::Relaxed);
        pushed.succeeded().text
    })
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
    wait_for("another copy", || {
        !world.shims().contains(&old[0]) && world.shims().len() == 2 && answers(&one) && answers(&two)
    });

    // A restart that was acknowledged takes place, whoever dies the moment after.
    let old = world.shims();
    assert_eq!(one.cli(&["restart"]).status, 0);
    kill(world.part("serve").unwrap());
    wait_for("the restart", || {
        let new = world.shims();
        new.len() == 2 && old.iter().filter(|shim| new.contains(shim)).count() == 1 && answers(&one)
    });

    // A rollback goes on without the serve that began it, and whoever asked learns how it ended.
    two.edit("app.py", "hello from stdlib-http", "good day");
    two.push().succeeded();
    let back = thread::scope(|scope| {
        let back = scope.spawn(|| two.cli(&["rollback"]));
        wait_for("the rollback", || two.cli(&["runs", "list"]).text.contains("back to v1"));
        kill(world.part("serve").unwrap());
        back.join().unwrap()
    });
    assert_eq!(back.status, 0, "{}", back.text);
    assert!(answers(&two));
    nothing_but(&world, 2);

    // Everything at once, in the middle of a build.
    let three = world.tool("three", "slow-build");
    three.edit("slow/backend.py", "\"8\"", "\"3600\"");
    let build = world.hold(3600);
    thread::scope(|scope| {
        let push = scope.spawn(|| three.push());
        let held = build.reached();
        let parts = ["helper", "serve", "router"].map(|part| world.part(part).unwrap());
        let kept = [world.workers("egress"), world.shim_of("build-").into_iter().collect()].concat();
        assert_eq!(kept.len(), 2, "{kept:?}");
        for pid in parts.into_iter().chain(kept) {
            kill(pid);
        }
        wait_for("the end of the build", || !build.held().contains(&held));
        // Its connection went with the router; the run goes on.
        let _ = push.join().unwrap();
    });
    let page = |tool: &str| world.try_get(&format!("{tool}.localhost"), "/").map(|answer| answer.body);
    build.open_while(|| {
        wait_for("all pages", || {
            ["one", "two"].iter().all(|tool| page(tool).is_some_and(|body| body.starts_with("hello")))
                && page("three").is_some_and(|body| body == "built slowly\n")
        });
    });
    wait_for("the end of its run", || three.cli(&["runs", "show", "1"]).text.contains("run 1 · live"));
    nothing_but(&world, 3);
}
