//! Tests before the build: what they need is in no image, red ones deploy nothing, and what passed need not run twice.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use serde_json::Value;
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

/// The test step of a run, as the API tells it.
fn step(tool: &Tool<'_>, run: u32) -> Value {
    let shown = tool.cli(&["runs", "show", &run.to_string(), "--json"]).text;
    let run: Value = serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{shown}"));
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|step| step["name"] == "test").unwrap().clone()
}

/// Waits until `windlass runs show` says this of a run.
fn wait_for(tool: &Tool<'_>, run: u32, words: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let shown = tool.cli(&["runs", "show", &run.to_string()]).text;
        if shown.contains(words) {
            return;
        }
        assert!(Instant::now() < until, "run {run} never said `{words}`:\n{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn empty_commit(tool: &Tool<'_>, message: &str) {
    tool.git(&["commit", "--quiet", "--allow-empty", "--message", message]).unwrap();
}

/// A tool of the standard library alone that is tested by this command.
fn tested_by<'a>(world: &'a World, name: &str, test: &str) -> Tool<'a> {
    let tool = world.tool(name, "stdlib-http");
    tool.write("project.toml", &format!("[_.metadata.windlass.test]\n{test}\n"));
    tool
}

#[test]
fn tests_run_before_the_build_and_what_is_red_is_not_deployed() {
    let mut world = World::new();
    green_then_red_then_green(&world);
    other_runners_and_none(&world);
    hostile_tests_are_told_in_few_harmless_lines(&world);
    tests_outlive_the_platforms_processes(&world);
    whether_tests_may_be_skipped_is_the_operators_to_say(&mut world);
}

fn green_then_red_then_green(world: &World) {
    let tool = world.tool("tested", "tested");
    tool.push()
        .succeeded()
        .says("tests: pytest (requirements-dev.txt)")
        .says("test      3 passed (pytest)")
        .says("live      ");
    assert_eq!(tool.get("/").body, "3 words");
    // What the tests need is in layers that the image does not have.
    assert_eq!(tool.get("/pytest").body, "None");
    let layers = tool.get("/layers").body;
    assert!(layers.contains("/layers/") && !layers.contains("venv-test"), "{layers}");

    empty_commit(&tool, "nothing");
    tool.push().succeeded().says("test      the same source as run 1: 3 passed");
    assert_eq!(step(&tool, 2)["tests"]["same_as"], 1);

    tool.edit("tests/test_count.py", "count(\"\") == 0", "count(\"\") == 1");
    for run in [3, 4] {
        tool.push()
            .failed()
            .says("test      failed: 1 of 3 tests (pytest)")
            .says("tests/test_count.py:12  test_nothing: AssertionError: assert 0 == 1")
            .says("Nothing was deployed; v2 keeps serving.")
            .says(&format!("(test failed (run {run}))"));
    }
    let red = step(&tool, 3)["tests"].clone();
    assert_eq!((&red["passed"], &red["failed"]), (&2.into(), &1.into()), "{red}");
    assert_eq!(
        (&red["cases"][0]["file"], &red["cases"][0]["line"]),
        (&"tests/test_count.py".into(), &12.into())
    );
    let shown = tool.cli(&["runs", "show", "3"]).text;
    assert!(shown.contains("build     skipped") && shown.contains("1 of 3 tests (pytest)"), "{shown}");
    assert_eq!(tool.get("/").body, "3 words");

    // Another branch answers its verdict, and stays where it was when it is red.
    tool.push_ref("main:refs/heads/idea").failed().says("The branch stays where it was.");
    assert!(!tool.git_signed_in(&["ls-remote", "windlass"]).unwrap().contains("refs/heads/idea"));
    tool.edit("tests/test_count.py", "count(\"\") == 1", "count(\" \") == 0");
    tool.push_ref("main:refs/heads/idea")
        .succeeded()
        .says("test      3 passed (pytest)")
        .says("idea passes its tests and builds");
    tool.push().succeeded().says("the same source as run 6: 3 passed").says("live      ");
}

fn other_runners_and_none(world: &World) {
    let tool = world.tool("plain", "stdlib-http");
    tool.push()
        .succeeded()
        .says("test      no tests here: unittest's go into tests/test_*.py")
        .says("live      ");
    let none = step(&tool, 1);
    assert_eq!((&none["state"], &none["tests"]), (&"done".into(), &Value::Null), "{none}");
    assert_eq!(none["milliseconds"], Value::Null, "nothing ran");

    fs::create_dir(tool.directory.join("tests")).unwrap();
    let text = "import unittest\n\nimport app\n\n\nclass Greeting(unittest.TestCase):\n    def test_it(self):\n        \
                self.assertIn(\"hello\", app.GREETING)\n\n    @unittest.skip(\"later\")\n    def test_later(self):\n        pass\n";
    tool.write("tests/test_greeting.py", text);
    tool.push().succeeded().says("tests: unittest (tests/)").says("test      1 passed, 1 skipped (unittest)");
    tool.edit("app.py", "hello from stdlib-http", "good day");
    tool.push()
        .failed()
        .says("test      failed: 1 of 2 tests (unittest)")
        .says("tests/test_greeting.py:8  Greeting.test_it: AssertionError: 'hello' not found in 'good day'");
    tool.write("project.toml", "[_.metadata.windlass]\ntest = false\n");
    tool.push().succeeded().says("test      not run: project.toml says `test = false`");
}

fn hostile_tests_are_told_in_few_harmless_lines(world: &World) {
    let tool = tested_by(world, "hostile", "command = \"python3 tests.py\"");
    let text = r#"
import os, sys
print("=# status 0: 99 passed, 0 failed, 0 skipped\n=# a.py:1: made: up")
print("\x1b[2J\x1b]0;title\x07\r live      http://evil.example/")
print("x" * 100_000)
report = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'
open(os.environ["WINDLASS_TEST_REPORT"], "w").write(report)
sys.exit(90)
"#;
    tool.write("tests.py", text);
    // 90 is what the lifecycle says of a build that made layers; of tests it says nothing.
    let pushed =
        tool.push().failed().says("the tests did not pass (python3)").says("It ended with status 90.");
    assert!(!pushed.text.contains("99 passed") && !pushed.text.contains('\u{7}'), "{}", pushed.text);
    assert!(!pushed.text.contains("remote:  live"), "{}", pushed.text);
    let of_tests = pushed.text.lines().filter(|line| line.starts_with("remote:            "));
    assert!(of_tests.count() <= 20, "{}", pushed.text);
    let log = tool.cli(&["runs", "show", "1", "--log"]).text;
    assert!(log.contains("is not read: ") && log.contains("DTD"), "{log}");

    let cases =
        "<testcase name='a&#x202e;b' file='x.py' line='1'><failure message='no'/></testcase>".repeat(300);
    let script = format!("printf '%s' \"<testsuite>{cases}</testsuite>\" > $WINDLASS_TEST_REPORT; exit 1");
    tool.write("check.sh", &script);
    tool.write("project.toml", "[_.metadata.windlass]\ntest = 'bash check.sh'\n");
    let pushed = tool.push().failed().says("300 of 300 tests (bash)").says("and 35 more");
    assert!(pushed.text.lines().count() < 40, "{}", pushed.text);

    let slow = tested_by(world, "slow", "command = \"echo begun; sleep 600\"\ntimeout_seconds = 2");
    slow.push()
        .failed()
        .says("test      failed: the tests took too long")
        .says("ended after 2 s, their limit")
        .says("begun");
}

fn tests_outlive_the_platforms_processes(world: &World) {
    let tool = tested_by(world, "lasting", "command = \"sleep 3\"");
    let push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut push = push.unwrap();
    wait_for(&tool, 1, "test      running");
    let serve = rustix::process::Pid::from_raw(world.part("serve").unwrap()).unwrap();
    rustix::process::kill_process(serve, rustix::process::Signal::KILL).unwrap();
    push.wait().unwrap();
    wait_for(&tool, 1, "deploy    done");
    assert_eq!(step(&tool, 1)["tests"]["runner"], "sleep");

    // A shim that is lost is the platform's fault: the tests run once more.
    tool.edit("project.toml", "sleep 3", "sleep 2");
    let mut push = tool.push_command("main").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&tool, 2, "test      running");
    let until = Instant::now() + Duration::from_secs(20);
    let shim = loop {
        if let Some(shim) = world.shim_of("test-") {
            break rustix::process::Pid::from_raw(shim).unwrap();
        }
        assert!(Instant::now() < until, "no sandbox of tests");
        std::thread::sleep(Duration::from_millis(20));
    };
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    assert!(push.wait().unwrap().success());
    assert_eq!(step(&tool, 2)["faults"], 1);
}

fn whether_tests_may_be_skipped_is_the_operators_to_say(world: &mut World) {
    let tool = tested_by(world, "hurried", "command = \"exit 1\"");
    empty_commit(&tool, "quick [skip tests]");
    tool.push().failed().says("`[skip tests]` in the commit's message means nothing here");
    let directory = tool.directory.clone();
    drop(tool);
    world.down().unwrap();
    let file = world.data.join("windlass.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[runs]\nskip_tests = true\n")).unwrap();
    world.up().unwrap();
    let tool = world.tool("allowed", "stdlib-http");
    fs::copy(directory.join("project.toml"), tool.directory.join("project.toml")).unwrap();
    tool.git(&["add", "--all"]).unwrap();
    empty_commit(&tool, "quick [skip tests]");
    tool.push()
        .succeeded()
        .says("test      skipped: the commit's message says [skip tests]")
        .says("live      ");
}
