//! The way back: one command, no build, and the truth about what is live.

use testkit::World;

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
