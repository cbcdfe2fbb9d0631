//! The way back: one command, no build, and the truth about what is live.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};
use testkit::{World, wait_for};

/// Settings that travel with a release: a variable, a limit, a health check.
fn settings(word: &str, memory: &str) -> String {
    format!(
        "[_]\nschema-version = \"0.2\"\n[_.metadata.windlass.env]\nWORD = \"{word}\"\n\
         [_.metadata.windlass.processes.web]\nmemory = \"{memory}\"\n\
         [_.metadata.windlass.health]\npath = \"/\"\ntimeout_seconds = 5\n"
    )
}

#[test]
fn a_rollback_brings_back_a_release_with_its_settings_and_says_how_to_go_on() {
    let world = World::new();
    let tool = world.tool("back", "stdlib-http");
    let refused = tool.cli(&["rollback"]);
    assert_eq!(refused.status, 6, "{}", refused.text);
    assert!(refused.text.contains("there is nothing to run yet"), "{}", refused.text);

    tool.write("project.toml", &settings("first", "300MiB"));
    tool.push().succeeded().says("v1 healthy");
    tool.edit("app.py", "hello from stdlib-http", "good day");
    tool.write("project.toml", &settings("second", "200MiB"));
    tool.push().succeeded().says("v2 healthy");

    // Back, with what the release was told then.
    let back = tool.cli(&["rollback"]);
    assert_eq!(back.status, 0, "{}", back.text);
    for words in [
        "run 3 · back to v1",
        "v1 healthy after",
        "live      http://back.localhost",
        "`windlass rollback v2`",
    ] {
        assert!(back.text.contains(words), "`{words}` is not in:\n{}", back.text);
    }
    assert_eq!(tool.get("/").body, "hello from stdlib-http\n");
    let environment = tool.get("/env").body;
    for expected in ["\"WORD\": \"first\"", "\"WINDLASS_RELEASE\": \"v1\"", "\"WEB_CONCURRENCY\": \"1\""] {
        assert!(environment.contains(expected), "{expected} is not in {environment}");
    }
    let runs = tool.cli(&["runs", "list"]).text;
    assert!(runs.contains("back to v1"), "{runs}");
    let releases = tool.cli(&["releases"]).text;
    assert!(releases.contains("rolled back from v2"), "{releases}");
    let live = |text: &str| text.lines().find(|line| line.contains(" live ")).unwrap_or_default().to_owned();
    assert!(live(&releases).starts_with("v1 "), "{releases}");

    // The branch knows nothing of it; a new commit goes forward, with the next number.
    tool.push().succeeded().says("Everything up-to-date");
    assert_eq!(tool.get("/").body, "hello from stdlib-http\n");
    for (release, status, words) in [
        ("v1", 6, "v1 is live already"),
        ("v9", 5, "there is no v9"),
        ("latest", 2, "a release is named by its number"),
    ] {
        let refused = tool.cli(&["rollback", release]);
        assert_eq!(refused.status, status, "{}", refused.text);
        assert!(refused.text.contains(words), "{}", refused.text);
    }
    let first = tool.cli(&["rollback"]);
    assert!(first.status == 6 && first.text.contains("nothing was live before v1"), "{}", first.text);
    assert_eq!(tool.cli(&["rollback", "v2"]).status, 0);
    assert_eq!(tool.get("/").body, "good day\n");
    tool.edit("app.py", "good day", "good night");
    tool.push().succeeded().says("v3 healthy");
    assert_eq!(tool.get("/").body, "good night\n");
    assert!(tool.cli(&["releases"]).text.contains("pushed"));

    // A stopped tool is started by it.
    assert_eq!(tool.cli(&["stop"]).status, 0);
    let json = tool.cli(&["rollback", "--json"]);
    assert!(json.status == 0 && json.text.contains("\"rollback_to\": 2"), "{}", json.text);
    assert_eq!(tool.get("/").body, "good day\n");
}

#[test]
fn a_rollback_that_fails_or_is_overtaken_leaves_the_truth() {
    let world = World::new();
    let body = |tool: &testkit::Tool<'_>| tool.get("/").body;

    // What worked once need not work for ever: v1 ends at a start at which it is turned away.
    let aged = world.tool("aged", "stdlib-http");
    let door = world.hold(3600);
    let ends = "def main():\n    \
                __import__(\"subprocess\").run([\"sleep\", \"3600\"]).returncode == -15 and sys.exit(3)";
    aged.edit("app.py", "def main():", ends);
    door.open_while(|| aged.push().succeeded());
    aged.edit("app.py", ends, "def main():");
    aged.edit("app.py", "hello from stdlib-http", "good day");
    aged.push().succeeded();

    // One that takes its time to start, so that something can come between.
    let slow = world.tool("slow", "stdlib-http");
    let sleeps = "def main():\n    __import__(\"subprocess\").run([\"sleep\", \"3601\"])";
    let start = world.hold(3601);
    slow.edit("app.py", "def main():", sleeps);
    start.open_while(|| slow.push().succeeded());
    slow.edit("app.py", sleeps, "def main():");
    slow.edit("app.py", "hello from stdlib-http", "good day");
    slow.push().succeeded();
    let meanwhile = |act: &dyn Fn()| {
        thread::scope(|scope| {
            let back = scope.spawn(|| slow.cli(&["rollback", "v1"]));
            start.reached();
            act();
            let back = back.join().unwrap();
            assert_eq!(back.status, 1, "{}", back.text);
            back.text
        })
    };
    let text = meanwhile(&|| assert_eq!(slow.cli(&["runs", "cancel", "3"]).status, 0));
    assert!(text.contains("cancelled after"), "{text}");
    assert_eq!(body(&slow), "good day\n");
    slow.edit("app.py", "good day", "good night");
    let text = meanwhile(&|| drop(slow.push().succeeded().says("run 4")));
    assert!(text.contains("a newer push or rollback took over"), "{text}");
    assert_eq!(body(&slow), "good night\n");
    wait_for("the end of all copies but one", || world.shims().len() == 2);

    let back = thread::scope(|scope| {
        let back = scope.spawn(|| aged.cli(&["rollback"]));
        door.turn_away();
        back.join().unwrap()
    });
    assert_eq!(back.status, 1, "{}", back.text);
    for words in ["v1 never got healthy", "It ended with status 3 before it answered. v2 stays live."] {
        assert!(back.text.contains(words), "`{words}` is not in:\n{}", back.text);
    }
    assert_eq!(body(&aged), "good day\n");
    let releases = aged.cli(&["releases"]).text;
    assert!(!releases.contains("rolled back") && !releases.contains("failed"), "{releases}");
}

/// A request on a connection of its own, whose answer's head has come.
fn under_way(world: &World, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "{request}\r\nHost: steady.localhost\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A download that stops in its middle.
fn download(world: &World) -> TcpStream {
    let (stream, head) = under_way(world, "GET /held?seconds=3600 HTTP/1.1\r\nConnection: close");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    world.hold(3600).reached();
    stream
}

/// Lets the download go on.
fn ends_whole(world: &World, mut download: TcpStream) {
    world.hold(3600).let_go();
    let mut body = String::new();
    download.read_to_string(&mut body).unwrap();
    assert_eq!(body, "line 0\nline 1\n");
}

#[test]
fn deploys_rollbacks_and_stops_lose_nothing_that_is_under_way() {
    let world = World::with_settings("\n[releases]\ndrain_seconds = 15\n");
    let tool = world.tool("steady", "steady");
    tool.push().succeeded().says("v1 healthy");

    // What is under way to the old copy goes on: a download to its end, a tunnel until its time is over.
    let long = download(&world);
    let (mut tunnel, head) =
        under_way(&world, "GET /upgrade HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    tool.edit("app.py", "steady one", "steady two");
    tool.push().succeeded().says("v1 is draining (");
    assert!(tool.get("/").body.starts_with("steady two"));
    tunnel.write_all(b"still here").unwrap();
    let mut echo = [0; 10];
    tunnel.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"still here");
    ends_whole(&world, long);
    assert_eq!(tunnel.read(&mut echo).unwrap_or(0), 0, "its time is over");
    wait_for("the row about it", || {
        tool.cli(&["logs"]).text.contains("1 request still open after 15 s, and cut")
    });

    let load = tool.load(100);
    for number in 3..=7 {
        let (old, new) = (format!("steady {}", number - 1), format!("steady {number}"));
        tool.edit("app.py", if number == 3 { "steady two" } else { &old }, &new);
        tool.push().succeeded().says(&format!("v{number} healthy")).says("drain");
        let back = tool.cli(&["rollback"]);
        assert_eq!(back.status, 0, "{}", back.text);
        assert!(back.text.contains("back to v2"), "{}", back.text);
    }
    let report = load.stop();
    assert_eq!(report.lost(), 0, "{report}");
    assert!(report.kept_alive > 50 && report.posts > 10 && report.answered_by.len() > 3, "{report}");
    assert!(tool.get("/").body.starts_with("steady two"));

    // A stop takes the route away first, and ends the copy after its last answer.
    let long = download(&world);
    assert_eq!(tool.cli(&["stop"]).status, 0);
    wait_for("the stop", || tool.get("/").status == 503);
    ends_whole(&world, long);
    wait_for("the end of the copy", || world.shims().is_empty());
}
