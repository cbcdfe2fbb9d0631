//! The load generator tells the truth: it loses nothing on a tool that is left alone, and sees what a stop cuts.

use testkit::{World, wait_for};

#[test]
fn nothing_is_lost_while_nothing_happens_and_a_stopped_tool_is_noticed() {
    let world = World::new();
    let tool = world.tool("steady", "steady");
    tool.push().succeeded().says("live");

    let load = tool.load(200);
    wait_for("a thousand requests", || load.asked() >= 1000);
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    assert!(report.requests > 100 && report.posts > 5 && report.kept_alive > 50, "{report}");
    let lines: Vec<&str> = report.answered_by.keys().map(String::as_str).collect();
    assert_eq!(lines, ["steady one"], "{report}");

    // The twin: the same questions to a tool that is gone.
    let load = tool.load(200);
    assert_eq!(tool.cli(&["stop"]).status, 0);
    wait_for("the first loss", || load.lost() > 0);
    let report = load.stop();
    assert!(report.lost() > 0, "a stopped tool answered: {report}");
}
