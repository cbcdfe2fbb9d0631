//! What is stored is looked after: what nobody needs goes, and whatever is killed meanwhile, nothing live does.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

const HURRIED: &str = "[releases]\nkeep = 2\n[storage]\ncollect_seconds = 1\n";

fn wait_for(what: &str, seconds: u64, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !check() {
        assert!(Instant::now() < until, "{what} did not happen in {seconds} s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The names of all published layers.
fn layers(world: &World) -> BTreeSet<String> {
    let entries = fs::read_dir(world.data.join("layers")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("sha256-")).collect()
}

/// What lies in `.new`, `.trash` or `.replaced`.
fn waiting(world: &World, area: &str) -> usize {
    fs::read_dir(world.data.join("layers").join(area)).unwrap().count()
}

fn say(tool: &Tool<'_>, word: &str) {
    let text = fs::read_to_string(tool.directory.join("app.py")).unwrap();
    let from = text.split('"').find(|part| part.starts_with("hello from") || part.starts_with("word-"));
    tool.edit("app.py", from.unwrap(), word);
}

#[test]
fn old_releases_go_with_their_layers_and_the_live_one_survives_every_kill() {
    let mut world = World::with_settings(HURRIED);
    let base = layers(&world);
    let words = ["word-1", "word-2", "word-3", "word-4", "word-5"];
    {
        let tool = world.tool("hello", "stdlib-http");
        tool.push().succeeded();
        for (word, part) in words[1..].iter().zip(["helper", "serve", "helper", "serve"]) {
            say(&tool, word);
            tool.push().succeeded();
            // In the middle of a round, somewhere.
            let pid = rustix::process::Pid::from_raw(world.part(part).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            wait_for("the platform's answer", 60, || {
                world.part(part).is_some() && tool.cli(&["status"]).status == 0
            });
        }
        // Five app layers were made. Two releases are kept, and what was live before is one of them.
        wait_for("the end of the oldest releases", 60, || {
            tool.cli(&["releases", "--json"]).text.matches("\"removed\"").count() == 3
        });
        assert!(tool.cli(&["releases"]).text.contains("removed"));
        wait_for("the end of their layers", 60, || {
            waiting(&world, ".trash") == 0 && layers(&world).difference(&base).count() <= 2 + SHARED
        });
        assert_eq!(waiting(&world, ".new"), 0);
        assert!(tool.get("/").body.contains("word-5"));
        // The release is whole: a new copy starts from its layers alone.
        assert_eq!(tool.cli(&["restart"]).status, 0);
        wait_for("the restarted copy", 60, || {
            let answer = tool.get("/");
            answer.status == 200 && answer.body.contains("word-5")
        });
        // Nothing changed: everything that a build reuses is still there.
        say(&tool, "word-6");
        tool.push().succeeded();
        assert!(tool.get("/").body.contains("word-6"));
        assert_eq!(tool.cli(&["tools", "delete", "hello", "--yes"]).status, 0);
    }
    wait_for("the end of the deleted tool's layers", 90, || layers(&world) == base);
    // What a killed worker was writing or removing is gone at the next start.
    world.down().unwrap();
    for area in [".new", ".trash"] {
        let rubbish = world.data.join("layers").join(area).join("half/tree/deep");
        fs::create_dir_all(&rubbish).unwrap();
        fs::write(rubbish.join("file"), "x").unwrap();
    }
    fs::write(world.data.join("blobs/sha256/.new-half"), "x").unwrap();
    world.up().unwrap();
    wait_for("the sweep", 30, || {
        waiting(&world, ".new") == 0
            && waiting(&world, ".trash") == 0
            && !world.data.join("blobs/sha256/.new-half").exists()
    });
}

/// Layers of a release that those of its tool have in common: launcher, configuration, process types, buildpacks.
const SHARED: usize = 6;
