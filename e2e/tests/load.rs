//! The load generator tells the truth: it loses nothing on a tool that is left alone, and sees what a stop cuts.

use std::{thread, time::Duration};
use testkit::World;

#[test]
fn nothing_is_lost_while_nothing_happens_and_a_stopped_tool_is_noticed() {
    let world = World::new();
    let tool = world.tool("steady", "steady");
    tool.push().succeeded().says("live");

    let load = tool.load(200);
    thread::sleep(Duration::from_secs(5));
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    assert!(report.requests > 100 && report.posts > 5 && report.kept_alive > 50, "{report}");
    let lines: Vec<&str> = report.answered_by.keys().map(String::as_str).collect();
    assert_eq!(lines, ["steady one"], "{report}");

    // The twin: the same questions to a tool that is gone.
    let load = tool.load(200);
    assert_eq!(tool.cli(&["stop"]).status, 0);
    thread::sleep(Duration::from_secs(3));
    let report = load.stop();
    assert!(report.lost() > 0, "a stopped tool answered: {report}");
}
