//! What names a commit is moved or deleted while a run of that commit builds: each with its answer, and no commit goes
//! before its run has ended (docs/git.md).

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use testkit::{Tool, World};

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn refs_that_move_under_a_build_change_nothing_of_it() {
    let world = World::new();
    let tool = world.tool("moves", "slow-build");
    change(&tool, SHORT);
    tool.push().succeeded().says("live");
    let repository = tool.repository();
    a_branch_that_is_deleted_is_not_brought_back(&tool, &repository);
    a_moved_tag_and_a_swept_repository_are_not_noticed(&tool, &repository);
    a_forced_push_takes_over_and_the_older_commit_is_kept(&tool, &repository);
}

/// Time in which others can do something while it builds.
const LONG: &str = "5";
const SHORT: &str = "0";

/// A commit whose build takes so many seconds.
fn change(tool: &Tool<'_>, seconds: &str) -> String {
    let file = tool.directory.join("slow/backend.py");
    let text = fs::read_to_string(file).unwrap();
    let (before, rest) = text.split_once("\"SLOW_SECONDS\", \"").unwrap();
    let after = rest.split_once('"').unwrap().1;
    tool.write("slow/backend.py", &format!("{before}\"SLOW_SECONDS\", \"{seconds}\"{after}\n# again\n"));
    tool.git(&["rev-parse", "HEAD"]).unwrap()
}

fn begin(tool: &Tool<'_>, refspec: &str) -> Child {
    tool.push_command(refspec).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit status, and what the pusher read.
fn end(push: Child) -> (i32, String) {
    let Output { status, stderr, .. } = push.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

fn shown(tool: &Tool<'_>, run: u32) -> String {
    tool.cli(&["runs", "show", &run.to_string()]).text
}

fn wait_for(tool: &Tool<'_>, run: u32, words: &str) {
    let until = Instant::now() + PATIENCE;
    while !shown(tool, run).contains(words) {
        assert!(Instant::now() < until, "run {run} never said `{words}`:\n{}", shown(tool, run));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn named(tool: &Tool<'_>, name: &str) -> Option<String> {
    let listed = tool.git_signed_in(&["ls-remote", "windlass", name]).unwrap();
    listed.split_whitespace().next().map(str::to_owned)
}

/// git on the repository itself, as the id that it belongs to.
fn git_in(repository: &Path, words: &[&str]) -> (bool, String) {
    let owner = fs::metadata(repository).unwrap();
    let output = Command::new("git")
        .args(words)
        .current_dir(repository)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .uid(owner.uid())
        .gid(owner.gid())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A collection without an age, harder than any of the platform's: only what a ref holds outlives it.
fn sweep(repository: &Path) {
    let (swept, said) = git_in(repository, &["gc", "--quiet", "--prune=now"]);
    assert!(swept, "{said}");
}

fn a_branch_that_is_deleted_is_not_brought_back(tool: &Tool<'_>, repository: &Path) {
    tool.git_says(&["push", "windlass", ":idea"]).failed().says("remote ref does not exist");
    tool.push_ref("main:idea").succeeded().says("idea builds");
    let commit = change(tool, LONG);
    let push = begin(tool, "main:idea");
    wait_for(tool, 3, "build     running");
    let began = Instant::now();
    tool.git_says(&["push", "windlass", ":idea"]).succeeded().says("[deleted]");
    assert!(shown(tool, 3).contains("build     running"), "after {:?} nobody waited", began.elapsed());
    sweep(repository);
    let (status, said) = end(push);
    assert!(status == 1 && said.contains("idea was deleted meanwhile"), "{said}");
    assert!(said.contains("(build failed (run 3))"), "{said}");
    assert_eq!(named(tool, "refs/heads/idea"), None);
    assert!(
        git_in(repository, &["cat-file", "-e", &commit]).0,
        "its commit is kept like that of any red run"
    );
}

fn a_moved_tag_and_a_swept_repository_are_not_noticed(tool: &Tool<'_>, repository: &Path) {
    tool.git(&["tag", "v1"]).unwrap();
    tool.push_ref("v1").succeeded();
    let commit = change(tool, LONG);
    let push = begin(tool, "main");
    wait_for(tool, 4, "build     running");
    tool.git(&["tag", "--force", "v1"]).unwrap();
    tool.push_ref("v1").failed().says("already exists");
    tool.git_says(&["push", "--force", "windlass", "v1"]).succeeded().says("(forced update)");
    assert_eq!(named(tool, "refs/tags/v1").as_ref(), Some(&commit));
    tool.git_says(&["push", "windlass", ":v1"]).succeeded();
    tool.git_says(&["push", "windlass", ":main"]).failed().says("the production branch stays");
    assert!(shown(tool, 4).contains("build     running"), "nobody waited");
    // Nothing names the commit now but what holds the push.
    sweep(repository);
    let (status, said) = end(push);
    assert!(status == 0 && said.contains("live "), "{said}");
    assert_eq!(named(tool, "refs/heads/main"), Some(commit));
}

fn a_forced_push_takes_over_and_the_older_commit_is_kept(tool: &Tool<'_>, repository: &Path) {
    let older = change(tool, LONG);
    let push = begin(tool, "main");
    wait_for(tool, 5, "build     running");
    // The history that is live is replaced as well.
    tool.git(&["reset", "--quiet", "--hard", "HEAD~2"]).unwrap();
    let newer = change(tool, SHORT);
    tool.push_ref("main").failed().says("[rejected]");
    tool.git_says(&["push", "--force", "windlass", "main"])
        .succeeded()
        .says("a forced push: ")
        .says("run 5 of this branch ends; this push takes its place")
        .says("live");
    let (status, said) = end(push);
    assert!(status == 1 && said.contains("a newer push or rollback took over (run 6)"), "{said}");
    assert!(shown(tool, 5).contains("superseded by run 6"), "{}", shown(tool, 5));
    assert_eq!(named(tool, "refs/heads/main"), Some(newer));
    sweep(repository);
    assert!(git_in(repository, &["cat-file", "-e", &older]).0, "it may be tried again");
}
