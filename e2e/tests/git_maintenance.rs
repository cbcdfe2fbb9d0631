//! Repositories are kept small while they are pushed to and cloned: nobody notices, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};
use testkit::{Tool, World, wait_for};

/// Work all the time, and nothing of a red push is kept.
const BUSY: &str = "
[git]
maintenance_seconds = 1
repack_above_packs = 5
keep_red_pushes_days = 0
";

#[test]
fn repositories_are_repacked_under_pushes_and_clones_and_cleared_of_what_is_over() {
    let world = World::with_settings(BUSY);
    let tool = world.tool("busy", "stdlib-http");
    tool.push().succeeded();
    let repository = only_repository(&world);
    nothing_fails_beside_a_repack(&tool, &repository);
    a_red_push_is_let_go(&tool, &repository);
    what_a_crash_left_is_cleared(&tool, &repository);
    drop(tool);
    wait_for("the row of a repack", || world.log().contains("a repository was repacked"));
    assert!(!world.log().contains("a repository was not looked after"), "{}", world.log());
}

/// The one tool's repository on disk.
fn only_repository(world: &World) -> PathBuf {
    let mut found = Vec::new();
    let mut open = vec![world.data.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            // A bare one; working copies of this test have theirs below `.git`.
            if path.join("objects").is_dir() && path.join("HEAD").is_file() && !path.ends_with(".git") {
                found.push(path);
            } else if entry.file_type().unwrap().is_dir()
                && !path.ends_with("clones")
                && !path.ends_with("layers")
            {
                open.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// git on the repository itself, as root.
fn git_in(repository: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(["-c", &format!("safe.directory={}", repository.display())])
        .args(words)
        .current_dir(repository)
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn packs(repository: &Path) -> usize {
    let entries = fs::read_dir(repository.join("objects/pack")).unwrap().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count()
}

const PUSHERS: usize = 3;
const PUSHES: usize = 12;

fn nothing_fails_beside_a_repack(tool: &Tool<'_>, repository: &Path) {
    let url = tool.git(&["remote", "get-url", "windlass"]).unwrap();
    // Each pusher has a clone and a line of commits of its own; tags build nothing.
    let clones: Vec<String> =
        (0..PUSHERS).map(|n| tool.directory.with_extension(format!("{n}")).display().to_string()).collect();
    for clone in &clones {
        tool.git_signed_in(&["clone", "--quiet", &url, clone]).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pushers: Vec<_> = clones
            .iter()
            .enumerate()
            .map(|(n, clone)| {
                scope.spawn(move || {
                    for round in 0..PUSHES {
                        fs::write(Path::new(clone).join("file"), format!("{n} {round}")).unwrap();
                        tool.git(&["-C", clone, "add", "file"]).unwrap();
                        tool.git(&["-C", clone, "commit", "--quiet", "--message", "more"]).unwrap();
                        let name = format!("HEAD:refs/tags/t{n}-{round}");
                        tool.git_says(&["-C", clone, "push", "--quiet", "origin", &name]).succeeded();
                    }
                })
            })
            .collect();
        let (done, url) = (&done, &url);
        let cloner = scope.spawn(move || {
            let target = tool.directory.with_extension("again");
            let mut clones = 0;
            while !done.load(Ordering::Relaxed) || clones == 0 {
                tool.git_says(&["clone", "--quiet", url, target.to_str().unwrap()]).succeeded();
                fs::remove_dir_all(&target).unwrap();
                clones += 1;
            }
        });
        for pusher in pushers {
            pusher.join().unwrap();
        }
        wait_for("a pack", || packs(repository) > 0);
        done.store(true, Ordering::Relaxed);
        cloner.join().unwrap();
    });
    let listed = tool.git_signed_in(&["ls-remote", "--tags", "windlass"]).unwrap();
    assert_eq!(listed.lines().count(), PUSHERS * PUSHES, "{listed}");
    let (clean, said) = git_in(repository, &["fsck", "--full", "--strict"]);
    assert!(clean, "{said}");
    wait_for("few packs", || packs(repository) <= 6);
}

fn a_red_push_is_let_go(tool: &Tool<'_>, repository: &Path) {
    let good = tool.git(&["rev-parse", "HEAD"]).unwrap();
    tool.write("Procfile", "web: true\nweb: false\n\u{0}");
    tool.push().failed();
    wait_for("the end of hidden refs of what is over", || {
        git_in(repository, &["for-each-ref", "refs/windlass"]).1.is_empty()
    });
    tool.git(&["reset", "--quiet", "--hard", &good]).unwrap();
}

fn what_a_crash_left_is_cleared(tool: &Tool<'_>, repository: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    let lock = repository.join("refs/tags/stuck.lock");
    let upload = repository.join("objects/tmp_objdir-incoming-x");
    fs::create_dir(&upload).unwrap();
    for path in [&lock, &upload] {
        if path == &lock {
            fs::write(path, "").unwrap();
        }
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        let (user, group) = {
            use std::os::unix::fs::MetadataExt;
            let owner = fs::metadata(repository).unwrap();
            (owner.uid(), owner.gid())
        };
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
    wait_for("the end of leftovers", || !lock.exists() && !upload.exists());
    tool.git_says(&["push", "windlass", "main:refs/tags/stuck"]).succeeded();
}
