//! What a maintainer does with a tool that runs: look, stop, start, restart, read logs; and what survives a restart
//! of the platform.

use testkit::{World, wait_for};

#[test]
fn a_tool_is_stopped_started_and_restarted_and_its_logs_stay() {
    let world = World::new();
    let tool = world.tool("steered", "stdlib-http");
    tool.push().succeeded();
    assert_eq!(tool.get("/log/ahoy").status, 200);
    wait_for("the logged line", || tool.cli(&["logs"]).text.contains("ahoy"));

    assert_eq!(tool.cli(&["stop"]).status, 0);
    wait_for("the stop", || tool.get("/").status == 503);
    assert!(tool.get("/").body.contains("stopped"), "{}", tool.get("/").body);
    assert_eq!(tool.cli(&["start"]).status, 0);
    wait_for("the start", || tool.get("/").status == 200);
    assert_eq!(tool.cli(&["restart"]).status, 0);
    wait_for("the restart", || tool.get("/").status == 200);
    assert!(tool.cli(&["logs"]).text.contains("ahoy"), "what a stopped process wrote is kept");

    let status = tool.cli(&["status"]).text;
    assert!(status.contains("v1"), "{status}");
    let releases = tool.cli(&["releases"]).text;
    assert!(releases.contains("sha256:"), "{releases}");
    let run = tool.cli(&["runs", "show", "1"]).text;
    assert!(run.contains("plan") && run.contains("deploy"), "{run}");
    assert_eq!(tool.cli(&["runs", "show", "99"]).status, 5);
}

#[test]
fn what_ran_runs_again_after_the_platform_was_stopped() {
    let mut world = World::new();
    let body = {
        let tool = world.tool("lasting", "stdlib-http");
        tool.push().succeeded();
        tool.get("/").body
    };
    world.down().unwrap();
    world.up().unwrap();
    wait_for("the page", || world.get("lasting.localhost", "/").body == body);
}

#[test]
fn strangers_see_nothing_and_get_told_how_to_sign_in() {
    let world = World::new();
    let tool = world.tool("private", "stdlib-http");
    let refused =
        world.command().env("WINDLASS_TOKEN", "wl_personal_wrong").args(["tools", "list"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    let mut push = tool.push_command("main");
    push.env("GIT_CONFIG_KEY_0", "core.askPass").env("GIT_CONFIG_VALUE_0", "/bin/echo");
    let output = push.output().unwrap();
    assert_eq!(output.status.code(), Some(128));
    assert!(String::from_utf8_lossy(&output.stderr).contains("windlass login"), "{output:?}");
    let unknown = world.get("nobody.localhost", "/");
    assert_eq!(unknown.status, 404);
}

#[test]
fn a_deleted_tool_is_gone_and_its_name_comes_back_empty() {
    let world = World::new();
    let tool = world.tool("fleeting", "stdlib-http");
    tool.push().succeeded();
    let repositories = || std::fs::read_dir(world.data.join("git")).unwrap().count();
    assert_eq!(repositories(), 1);
    assert_eq!(world.cli(&["tools", "delete", "fleeting", "--yes"]).status, 0);
    wait_for("the end of its page", || tool.get("/").status == 404);
    assert!(!tool.get("/").body.contains("hello"));
    wait_for("the end of its repository", || repositories() == 0);
    wait_for("the end of its processes", || world.shims().is_empty());

    let again = world.tool("fleeting-two", "stdlib-http");
    again.push().succeeded();
    assert_eq!(world.cli(&["tools", "create", "fleeting"]).status, 0);
    assert_eq!(
        world.cli(&["--tool", "fleeting", "runs", "show", "1"]).status,
        5,
        "nothing of the old one is there"
    );
}
