//! A push answers: the line from `git push` to a page, and what the next push changes.

use testkit::World;

#[test]
fn a_push_becomes_a_page_and_the_next_one_replaces_it() {
    let world = World::new();
    let tool = world.tool("hello", "stdlib-http");
    assert_eq!(tool.get("/").status, 404, "nothing is deployed yet");

    tool.push()
        .succeeded()
        .says("tool \"hello\" · run 1 ·")
        .says("web: python3 (Procfile)")
        .says("v1 = sha256:")
        .says("v1 healthy after")
        .says(&format!("live      http://hello.localhost:{}/", world.port));
    assert_eq!(tool.get("/").body, "hello from stdlib-http\n");
    let environment = tool.get("/env").body;
    for expected in [
        "\"PORT\": \"8000\"",
        "\"WINDLASS_RELEASE\": \"v1\"",
        "\"HOME\": \"/workspace\"",
        "\"WINDLASS_PROCESS\": \"web.1\"",
    ] {
        assert!(environment.contains(expected), "{expected} is not in {environment}");
    }

    tool.edit("app.py", "hello from stdlib-http", "good day");
    tool.push().succeeded().says("v2 healthy after");
    assert_eq!(tool.get("/").body, "good day\n");

    // A clone is what was pushed.
    let clone = tool.directory.with_extension("clone");
    let url = tool.git(&["remote", "get-url", "windlass"]).unwrap();
    tool.git_signed_in(&["clone", "--quiet", &url, &clone.display().to_string()]).unwrap();
    assert!(std::fs::read_to_string(clone.join("app.py")).unwrap().contains("good day"));
    // The branch names what is live, and a push of what is live is none.
    let head = tool.git(&["rev-parse", "HEAD"]).unwrap();
    assert_eq!(tool.git(&["rev-parse", "windlass/main"]).unwrap(), head);
    tool.push().succeeded().says("Everything up-to-date");
}

#[test]
fn a_red_push_changes_nothing_and_the_same_commit_may_be_pushed_again() {
    let world = World::new();
    let tool = world.tool("shop", "release-green");
    tool.push().succeeded().says("live");
    let live = tool.get("/").body;

    tool.edit("Procfile", "migrate.py", "no-such-file.py");
    tool.push()
        .failed()
        .says("release   failed: the release command failed")
        .says("! [remote rejected] main -> main (release failed (run 2))");
    assert_eq!(tool.get("/").body, live, "the old release stays");
    // Rejected, so not what the branch names: pushing it again starts again.
    tool.push().failed().says("run 3");

    tool.edit("Procfile", "no-such-file.py", "migrate.py");
    tool.push().succeeded().says("live");
}

#[test]
fn a_release_that_never_answers_says_why_and_the_old_one_stays() {
    let world = World::new();
    for (name, app, words) in [
        ("port", "wrong-port", "It listens on port 5000, not on 8000: use $PORT."),
        ("loopback", "localhost-only", "It listens on 127.0.0.1:8000 only"),
        ("deaf", "never-listens", "It runs, but listens on no port."),
        ("brief", "ends-at-once", "It ended with status 1 before it answered."),
    ] {
        let tool = world.tool(name, app);
        let mut text = String::new();
        // Where three seconds are too few for Python to come so far, it is given more.
        for seconds in [3, 30, 120] {
            let health = format!("[_.metadata.windlass.health]\ntimeout_seconds = {seconds}\n");
            tool.write("project.toml", &format!("[_]\nschema-version = \"0.2\"\n{health}"));
            text = tool.push().failed().says("never got healthy").says("Nothing is live yet.").text;
            if text.contains(words) {
                break;
            }
        }
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
        assert_ne!(tool.get("/").status, 200, "{name}");
    }
    for (name, main, words) in [
        ("done", "sys.exit(0)", "It ended with status 0 before it answered."),
        ("greedy", "b\"x\" * (700 << 20)", "killed: memory 512 MiB."),
    ] {
        let tool = world.tool(name, "stdlib-http");
        tool.edit("app.py", "def main():", &format!("def main():\n    {main}"));
        tool.push().failed().says("v1 never got healthy").says(words).says("Nothing is live yet.");
    }
}

#[test]
fn other_branches_build_and_are_not_deployed() {
    let world = World::new();
    let tool = world.tool("branchy", "stdlib-http");
    tool.push_ref("main:refs/heads/idea").succeeded().says("only the production branch is deployed");
    assert_eq!(tool.get("/").status, 404);
    tool.push().succeeded().says("live");
    tool.push_ref("main:refs/notes/x").failed().says("only branches and tags are taken");
    tool.push_ref(":main").failed().says("the production branch stays");
    tool.push_ref(":idea").succeeded();
}

#[test]
fn a_release_command_may_stand_in_project_toml() {
    let world = World::new();
    let tool = world.tool("migrating", "stdlib-http");
    let project = "[_]\nschema-version = \"0.2\"\n[_.metadata.windlass]\nrelease = \"python3 -c 'raise SystemExit(3)'\"\n";
    tool.write("project.toml", project);
    tool.push().failed().says("release   failed: the release command failed").says("It ended with status 3.");
    tool.edit("project.toml", "SystemExit(3)", "SystemExit(0)");
    tool.push().succeeded().says("live");
}

#[test]
fn what_is_built_is_the_commit_whatever_its_attributes_say() {
    let world = World::new();
    let tool = world.tool("attributed", "stdlib-http");
    // The first to ask for a new repository are many.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let url = tool.git(&["remote", "get-url", "windlass"]).unwrap();
            let tool = &tool;
            scope.spawn(move || tool.git_signed_in(&["ls-remote", &url]).unwrap());
        }
    });
    tool.write(".gitattributes", "* export-ignore\n*.py export-subst eol=crlf\n");
    tool.edit("app.py", "hello from stdlib-http", "$Format:%h$");
    tool.push().succeeded().says("live");
    assert_eq!(tool.get("/").body, "$Format:%h$\n");
}

#[test]
fn a_commit_that_changes_no_file_is_a_release_without_a_build_and_without_a_new_copy() {
    let world = World::new();
    let tool = world.tool("same", "steady");
    tool.push().succeeded().says("v1 healthy after");
    let copies = world.shims();
    assert_eq!(copies.len(), 1);
    let load = tool.load(200);

    let empty = || tool.git(&["commit", "--quiet", "--allow-empty", "--message", "nothing"]).unwrap();
    empty();
    tool.push()
        .succeeded()
        .says("the same source as run 1: its image is used again")
        .says("v2 is what v1 runs: its copy goes on");
    empty();
    // Told is the build that was made, not the one that took it over.
    tool.push().succeeded().says("the same source as run 1").says("v3 is what v2 runs: its copy goes on");
    assert_eq!(world.shims(), copies);
    let head = tool.git(&["rev-parse", "HEAD"]).unwrap();
    assert_eq!(tool.git(&["rev-parse", "windlass/main"]).unwrap(), head);
    let releases = tool.cli(&["releases"]).text;
    assert!(releases.lines().any(|line| line.starts_with("v3 ") && line.contains(" live ")), "{releases}");

    // Between equal releases a rollback starts nothing either.
    let back = tool.cli(&["rollback", "v1"]);
    assert!(back.status == 0 && back.text.contains("v1 is what v3 runs: its copy goes on"), "{}", back.text);
    assert_eq!(world.shims(), copies);
    let report = load.stop();
    assert!(report.lost() == 0 && report.kept_alive > 0, "{report}");

    // Who asks for a build gets one, and a new copy.
    let again = tool.push_ref("main:refs/run/main").succeeded().text;
    assert!(!again.contains("the same source") && again.contains("v4 healthy after"), "{again}");
    let copies = world.shims();

    // Settings of the release count, whether or not they change the image.
    let health = "[_]\nschema-version = \"0.2\"\n[_.metadata.windlass.health]\npath = \"/\"\n";
    tool.write("project.toml", health);
    tool.push().succeeded().says("v5 healthy after");
    assert_ne!(world.shims(), copies);
    tool.edit("app.py", "steady one", "steady two");
    tool.push().succeeded().says("v6 healthy after");
    assert!(tool.get("/").body.starts_with("steady two"));

    // A stopped tool is started, whatever runs it ran.
    assert_eq!(tool.cli(&["stop"]).status, 0);
    empty();
    tool.push().succeeded().says("the same source as").says("v7 healthy after");
    assert!(tool.get("/").body.starts_with("steady two"));
}
