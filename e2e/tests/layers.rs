//! What is stored is looked after: what nobody needs goes, and whatever is killed meanwhile, nothing live does.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};
use testkit::{Tool, World, wait_for};

const HURRIED: &str = "[releases]\nkeep = 2\n[storage]\ncollect_seconds = 1\n";

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
            wait_for("the platform's answer", || {
                world.part(part).is_some() && tool.cli(&["status"]).status == 0
            });
        }
        // Five app layers were made. Two releases are kept, and what was live before is one of them.
        wait_for("the end of the oldest releases", || {
            tool.cli(&["releases", "--json"]).text.matches("\"removed\"").count() == 3
        });
        assert!(tool.cli(&["releases"]).text.contains("removed"));
        wait_for("the end of their layers", || {
            waiting(&world, ".trash") == 0 && layers(&world).difference(&base).count() <= 2 + SHARED
        });
        assert_eq!(waiting(&world, ".new"), 0);
        assert!(tool.get("/").body.contains("word-5"));
        // The release is whole: a new copy starts from its layers alone.
        let old = world.shims();
        assert_eq!(tool.cli(&["restart"]).status, 0);
        wait_for("the restarted copy", || {
            let new = world.shims();
            new.len() == 1 && new != old && tool.get("/").body.contains("word-5")
        });
        // Nothing changed: everything that a build reuses is still there.
        say(&tool, "word-6");
        tool.push().succeeded();
        assert!(tool.get("/").body.contains("word-6"));
        assert_eq!(tool.cli(&["tools", "delete", "hello", "--yes"]).status, 0);
    }
    wait_for("the end of the deleted tool's layers", || layers(&world) == base);
    // One that no row knows, as a killed build leaves it.
    let orphan = world.data.join(format!("layers/sha256-{}", "0".repeat(64)));
    fs::create_dir(&orphan).unwrap();
    let store = fs::metadata(world.data.join("layers")).unwrap();
    std::os::unix::fs::chown(&orphan, Some(store.uid()), Some(store.gid())).unwrap();
    wait_for("the end of the orphan", || layers(&world) == base);
    // What a killed worker was writing or removing is gone at the next start.
    world.down().unwrap();
    for area in [".new", ".trash"] {
        let rubbish = world.data.join("layers").join(area).join("half/tree/deep");
        fs::create_dir_all(&rubbish).unwrap();
        fs::write(rubbish.join("file"), "x").unwrap();
    }
    fs::write(world.data.join("blobs/sha256/.new-half"), "x").unwrap();
    world.up().unwrap();
    wait_for("the sweep", || {
        waiting(&world, ".new") == 0
            && waiting(&world, ".trash") == 0
            && !world.data.join("blobs/sha256/.new-half").exists()
    });
}

/// The only layer whose tree holds this file.
fn layer_with(world: &World, file: &str) -> std::path::PathBuf {
    let mut trees = layers(world).into_iter().map(|name| world.data.join("layers").join(name));
    trees.find(|layer| layer.join("tree").join(file).exists()).unwrap()
}

/// The blob of a layer, by its notes.
fn blob_of(world: &World, layer: &Path) -> std::path::PathBuf {
    let notes = fs::read_to_string(layer.join("meta.json")).unwrap();
    let digest = notes.split("\"blob_digest\":\"sha256:").nth(1).unwrap().split('"').next().unwrap();
    world.data.join("blobs/sha256").join(&digest[..2]).join(digest)
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_altered_on_disk_is_named_and_repaired_or_refused_and_builds_wait_for_space() {
    let mut world = World::with_settings("[storage]\nscrub_mebibytes_per_second = 0\n");
    {
        let tool = world.tool("hello", "stdlib-http");
        tool.push().succeeded();
        let clean = world.cli(&["scrub"]);
        assert_eq!(clean.status, 0, "{}", clean.text);
        assert!(clean.text.contains("nothing damaged"), "{}", clean.text);

        // A file of a layer: the directory is made anew, and what runs keeps the old one until it is restarted.
        let layer = layer_with(&world, "workspace/app.py");
        let app = layer.join("tree/workspace/app.py");
        let text = fs::read_to_string(&app).unwrap();
        fs::write(&app, text.replace("hello from", "HELLO FROM")).unwrap();
        let found = world.cli(&["scrub"]);
        assert_eq!(found.status, 0, "{}", found.text);
        for expected in ["repaired", "`workspace/app.py` has other content", "needed by hello v1"] {
            assert!(found.text.contains(expected), "{expected}: {}", found.text);
        }
        assert_eq!(fs::read_to_string(&app).unwrap(), text);
        assert_eq!(waiting(&world, ".replaced"), 1);
        assert_eq!(tool.get("/").status, 200, "what runs goes on");
        assert_eq!(tool.cli(&["restart"]).status, 0);

        // A blob: made anew from the directory, byte for byte.
        let blob = blob_of(&world, &layer);
        let before = fs::read(&blob).unwrap();
        flip(&blob);
        let found = world.cli(&["scrub"]);
        assert!(found.status == 0 && found.text.contains("has the content of"), "{}", found.text);
        assert_eq!(fs::read(&blob).unwrap(), before);

        // Both: nobody is given it any more, what runs goes on, and a push makes it anew.
        flip(&blob);
        fs::write(&app, "raise SystemExit(1)").unwrap();
        let found = world.cli(&["scrub"]);
        assert_eq!(found.status, 1, "{}", found.text);
        assert!(found.text.contains("refused") && found.text.contains("hello v1"), "{}", found.text);
        assert!(!blob.exists() && !layer.exists());
        assert_eq!(tool.get("/").status, 200);
        let storage = world.cli(&["storage"]);
        assert!(
            storage.text.contains("refused") && storage.text.contains("are kept free"),
            "{}",
            storage.text
        );
        tool.git(&["commit", "--quiet", "--allow-empty", "--message", "again"]).unwrap();
        tool.push().succeeded();
        assert_eq!(tool.get("/").body, "hello from stdlib-http\n");
        assert_eq!(fs::read_to_string(&app).unwrap(), text);
        let clean = world.cli(&["scrub"]);
        assert!(clean.status == 0 && clean.text.contains("nothing damaged"), "{}", clean.text);
    }
    // Below the reserve a push waits and says so; it is not lost.
    let settings = world.data.join("windlass.toml");
    let before = fs::read_to_string(&settings).unwrap();
    world.down().unwrap();
    fs::write(&settings, before.replace("[storage]", "[storage]\nreserve_mebibytes = 1000000000")).unwrap();
    world.up().unwrap();
    let storage = world.cli(&["storage"]);
    assert!(storage.text.contains("NO BUILD BEGINS"), "{}", storage.text);
    {
        let tool = world.tool("patient", "stdlib-http");
        let said = world.data.join("said");
        let file = fs::File::create(&said).unwrap();
        let mut push =
            tool.push_command("main").stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        wait_for("the push's word", || {
            fs::read_to_string(&said).unwrap().contains("waits for space on the platform")
        });
        assert!(push.try_wait().unwrap().is_none(), "it waits");
        assert_eq!(world.get("hello.localhost", "/").status, 200, "what runs goes on");
        push.kill().unwrap();
        push.wait().unwrap();
    }
    world.down().unwrap();
    fs::write(&settings, before).unwrap();
    world.up().unwrap();
    wait_for("the deploy of what waited", || world.get("patient.localhost", "/").status == 200);
}

/// Layers of a release that those of its tool have in common: launcher, configuration, process types, buildpacks.
const SHARED: usize = 6;
