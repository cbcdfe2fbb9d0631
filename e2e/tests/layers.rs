//! What is stored is looked after: what nobody needs goes, and whatever is killed meanwhile, nothing live does.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
};
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
    rows_and_directories_agree(&world);
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

/// What the registry gives for a blob of `hello`'s releases.
fn pulled(world: &World, blob: &Path) -> Vec<u8> {
    let digest = blob.file_name().unwrap().to_str().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    write!(
        stream,
        "GET /v2/hello/release/blobs/sha256:{digest} HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {}\r\n\
         connection: close\r\n\r\n",
        world.port,
        world.token()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(end)
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
        let storage = world.cli(&["storage"]).text;
        assert!(storage.contains("0 in the trash (0 MiB) · 1 replaced and still run on"), "{storage}");
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
        let altered = fs::read(&blob).unwrap();
        assert!(pulled(&world, &blob) != altered, "before any scrub, too, it is served to nobody");
        fs::write(&app, "raise SystemExit(1)").unwrap();
        let found = world.cli(&["scrub"]);
        assert_eq!(found.status, 1, "{}", found.text);
        assert!(found.text.contains("refused") && found.text.contains("hello v1"), "{}", found.text);
        assert!(!blob.exists() && !layer.exists());
        assert!(pulled(&world, &blob).starts_with(b"{\"errors\""), "it is served to nobody");
        assert_eq!(tool.get("/").status, 200);
        nobody_starts_what_is_damaged(&tool);
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
        wait_for("the page of what was live", || world.get("hello.localhost", "/").status == 200);
        push.kill().unwrap();
        push.wait().unwrap();
    }
    world.down().unwrap();
    fs::write(&settings, before).unwrap();
    world.up().unwrap();
    wait_for("the deploy of what waited", || world.get("patient.localhost", "/").status == 200);
}

/// The release whose layer was refused runs on; starting it anew, by a rollback or a start, says what it is.
fn nobody_starts_what_is_damaged(tool: &Tool<'_>) {
    let why = [
        "this release cannot be started any more",
        "was damaged on disk and could not be repaired",
        "This is not your code's fault. Push again: an empty commit builds it anew.",
    ];
    say(tool, "word-2");
    tool.push().succeeded().says("v2 healthy");
    let back = tool.cli(&["rollback", "v1"]);
    assert_eq!(back.status, 1, "{}", back.text);
    for words in why {
        assert!(back.text.contains(words), "`{words}` is not in:\n{}", back.text);
    }
    assert!(tool.get("/").body.contains("word-2"), "what is live stays");
    tool.git(&["revert", "--no-edit", "HEAD"]).unwrap();
}

/// What `windlass storage` says that layers and blobs take, in bytes.
fn stored(world: &World) -> u64 {
    let storage: serde_json::Value = serde_json::from_str(&world.cli(&["storage", "--json"]).text).unwrap();
    storage["tree_bytes"].as_u64().unwrap() + storage["blob_bytes"].as_u64().unwrap()
}

/// Sets the ceiling of the store, as an operator does.
fn set_ceiling(world: &mut World, settings: &str, mebibytes: u64) {
    world.down().unwrap();
    let file = world.settings_file();
    fs::write(file, format!("{settings}[storage]\nmax_mebibytes = {mebibytes}\n")).unwrap();
    world.up().unwrap();
}

#[test]
fn above_the_ceiling_the_oldest_caches_go_first_and_then_builds_wait() {
    const LARGE: usize = 24 << 20;
    let mut world = World::new();
    let settings = fs::read_to_string(world.settings_file()).unwrap();
    {
        let tool = world.tool("hello", "stdlib-http");
        tool.push().succeeded();
        for (name, seed) in [("older", 1_u64), ("newer", 2)] {
            // What no compressor makes smaller.
            let noise = (0..LARGE as u64 / 8).flat_map(|at| {
                (at ^ (seed << 40))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
                    .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                    .to_le_bytes()
            });
            fs::write(tool.directory.join("large"), noise.collect::<Vec<u8>>()).unwrap();
            tool.write("name", name);
            tool.push_ref(&format!("HEAD:refs/heads/{name}")).succeeded();
        }
    }
    let holds = |world: &World, name: &str| {
        let files = layers(world)
            .into_iter()
            .map(|layer| world.data.join("layers").join(layer).join("tree/workspace/name"));
        files.filter_map(|file| fs::read_to_string(file).ok()).any(|text| text == name)
    };
    assert!(holds(&world, "older") && holds(&world, "newer"));
    // Room for one of the two below nine tenths.
    let before = stored(&world);
    let mebibytes = (before - LARGE as u64) / 9 * 10 / (1 << 20);
    set_ceiling(&mut world, &settings, mebibytes);
    wait_for("the end of the older cache", || !holds(&world, "older"));
    wait_for("room", || stored(&world) < before - LARGE as u64);
    assert!(holds(&world, "newer"), "more was given up than had to be");
    assert!(world.cli(&["storage"]).text.contains(&format!("{mebibytes} MiB for layers and blobs")));

    // Below what has to be kept, every cache goes, what is live stays, and a push waits and says for what.
    set_ceiling(&mut world, &settings, 1);
    wait_for("the end of the newer cache", || !holds(&world, "newer"));
    let said = world.data.join("said");
    let file = fs::File::create(&said).unwrap();
    {
        let tool = world.tool("patient", "stdlib-http");
        let mut push =
            tool.push_command("main").stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        wait_for("the push's word", || {
            let said = fs::read_to_string(&said).unwrap();
            said.contains("waits for space on the platform: layers and blobs take")
                && said.contains("(storage.max_mebibytes)")
        });
        assert!(push.try_wait().unwrap().is_none(), "it waits");
        push.kill().unwrap();
        push.wait().unwrap();
    }
    wait_for("the page of what was live", || {
        world.get("hello.localhost", "/").body == "hello from stdlib-http\n"
    });
    world.down().unwrap();
    fs::write(world.settings_file(), &settings).unwrap();
    world.up().unwrap();
    wait_for("the deploy of what waited", || world.get("patient.localhost", "/").status == 200);
    rows_and_directories_agree(&world);
}

/// Every row has its directory and blob, every directory its row.
fn rows_and_directories_agree(world: &World) {
    let ask = "import sqlite3, sys; [print(*row) for row in sqlite3.connect(sys.argv[1]).execute('SELECT diff_id, blob FROM layers')]";
    let output = Command::new("python3")
        .args(["-c", ask])
        .arg(world.data.join("db/windlass.sqlite"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = BTreeSet::new();
    for row in text.lines() {
        let (layer, blob) = row.split_once(' ').unwrap();
        let blob = blob.strip_prefix("sha256:").unwrap();
        assert!(world.data.join("blobs/sha256").join(&blob[..2]).join(blob).exists(), "no blob of {row}");
        rows.insert(layer.replace(':', "-"));
    }
    assert_eq!(rows, layers(world));
}

/// Layers of a release that those of its tool have in common: launcher, configuration, process types, buildpacks.
const SHARED: usize = 6;
