//! The registry: what is deployed is pulled by its digest, people push images of their own, and nobody sees another's.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rustix::process::{Pid, Signal};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use testkit::World;

/// For whatever a loaded machine does slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `skopeo` did: its exit status and words.
fn skopeo(world: &World, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("skopeo")
        .args(arguments)
        .env("HOME", &world.data)
        .env("REGISTRY_AUTH_FILE", world.data.join("auth.json"))
        .output()
        .expect("skopeo (tools/setup.sh installs it)");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[track_caller]
fn did(ran: (bool, String)) -> String {
    assert!(ran.0, "{}", ran.1);
    ran.1
}

#[track_caller]
fn refused((done, text): (bool, String), words: &str) {
    assert!(!done && text.contains(words), "`{words}` is not in:\n{text}");
    drop(text);
}

fn sign_in(world: &World, token: &str) -> (bool, String) {
    let host = format!("localhost:{}", world.port);
    skopeo(world, &["login", "--tls-verify=false", "--username", "anyone", "--password", token, &host])
}

/// What `sha256:` names in a directory that `skopeo copy … dir:` wrote is what it is called.
fn assert_whole(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.len() == 64 {
            let output = Command::new("sha256sum").arg(&path).output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).starts_with(&name), "{name}");
        }
    }
}

#[test]
fn what_is_deployed_is_pulled_by_digest_and_people_push_beside_it() {
    let mut world = World::with_settings("[storage]\nscrub_mebibytes_per_second = 0\n");
    let pulled = world.data.join("pulled");
    let (v1, again) = (format!("dir:{}", pulled.display()), format!("dir:{}-again", pulled.display()));
    let host = format!("docker://localhost:{}", world.port);
    let copy = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    {
        let tool = world.tool("hello", "stdlib-http");
        tool.push().succeeded();
        let releases = tool.cli(&["releases"]).text;
        let address = releases.split_whitespace().find(|word| word.contains("/hello/release@sha256:"));
        let address = format!("docker://{}", address.unwrap_or_else(|| panic!("no address in\n{releases}")));

        refused(
            skopeo(&world, &[copy.as_slice(), &[&address, &v1]].concat()),
            "sign in with a token of this platform",
        );
        assert!(!sign_in(&world, "wl_personal_0000").0, "a wrong token signs nobody in");
        did(sign_in(&world, world.token()));
        did(skopeo(&world, &[copy.as_slice(), &[&address, &v1]].concat()));
        assert_whole(&pulled);
        let tags =
            did(skopeo(&world, &["list-tags", "--tls-verify=false", &format!("{host}/hello/release")]));
        assert!(tags.contains("\"v1\""), "{tags}");

        // Releases come from builds alone; beside them there is room.
        let to_release = format!("{host}/hello/release:mine");
        refused(skopeo(&world, &[copy.as_slice(), &[&v1, &to_release]].concat()), "written by builds alone");
        let foreign = format!("{host}/other/import/mine:one");
        refused(skopeo(&world, &[copy.as_slice(), &[&v1, &foreign]].concat()), "no tool `other`");
    }
    let import = format!("{host}/hello/import/mine:one");
    did(skopeo(&world, &[copy.as_slice(), &[&v1, &import]].concat()));
    world.down().unwrap();
    world.up().unwrap();
    did(skopeo(&world, &[copy.as_slice(), &[&import, &again]].concat()));
    assert_whole(Path::new(&format!("{}-again", pulled.display())));
    let there = std::fs::read(pulled.join("manifest.json")).unwrap();
    assert_eq!(there, std::fs::read(format!("{}-again/manifest.json", pulled.display())).unwrap());
    a_flipped_bit_is_refused_and_made_good(&world, &pulled, &[copy.as_slice(), &[&import, &again]].concat());
    did(skopeo(&world, &["delete", "--tls-verify=false", &import]));
    refused(skopeo(&world, &[copy.as_slice(), &[&import, &again]].concat()), "manifest unknown");
}

/// The layer that lies in `pulled` with the most bytes is altered on the platform's disk; `copy` pulls it.
fn a_flipped_bit_is_refused_and_made_good(world: &World, pulled: &Path, copy: &[&str]) {
    let blobs = std::fs::read_dir(pulled).unwrap().flatten().filter(|entry| entry.file_name().len() == 64);
    let largest = blobs.max_by_key(|entry| entry.metadata().unwrap().len()).unwrap();
    let name = largest.file_name().into_string().unwrap();
    let blob = world.data.join("blobs/sha256").join(&name[..2]).join(&name);
    let whole = std::fs::read(&blob).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&blob, flipped).unwrap();
    let (done, text) = skopeo(world, copy);
    assert!(!done, "a damaged layer was pulled: {text}");
    assert!(world.log().contains("a blob is damaged: a client was cut off"), "{}", world.log());
    // The scrub that this began makes the layer's blob anew.
    let until = Instant::now() + PATIENCE;
    while std::fs::read(&blob).ok().is_none_or(|bytes| bytes != whole) {
        assert!(Instant::now() < until, "it was not made good:\n{}", world.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    did(skopeo(world, copy));
}

/// One request on a connection of its own; gives the answer's head and body. A body shorter than `length` is sent as far
/// as it goes, and the connection is given back as it is.
fn ask(world: &World, line: &str, length: usize, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (port, token) = (world.port, world.token());
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// Head and body of the answer.
fn answer(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("no HTTP answer") + 4;
    let body = bytes.split_off(end);
    (String::from_utf8(bytes).unwrap().to_lowercase(), body)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no `{name}` in\n{head}"))
}

/// Bytes of uploads that are on disk.
fn uploaded(world: &World) -> u64 {
    let uploads = std::fs::read_dir(world.data.join("blobs/uploads")).unwrap();
    uploads.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn a_chunked_upload_goes_on_where_it_was_when_serve_was_killed() {
    const LENGTH: usize = 24 * 1024 * 1024;
    let world = World::new();
    assert_eq!(world.cli(&["tools", "create", "images"]).status, 0);
    let file = world.data.join("blob");
    let blob: Vec<u8> =
        (0..LENGTH as u64 / 8).flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    std::fs::write(&file, &blob).unwrap();
    let digest = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    let digest = format!("sha256:{}", std::str::from_utf8(&digest[..64]).unwrap());

    let (begun, _) = answer(ask(&world, "POST /v2/images/import/a/blobs/uploads/", 0, b""));
    assert!(begun.contains(" 202 "), "{begun}");
    let place = header(&begun, "location").to_owned();
    // Two thirds of it come; the client is still there.
    let cut = ask(&world, &format!("PATCH {place}"), LENGTH, &blob[..LENGTH / 3 * 2]);
    let until = Instant::now() + PATIENCE;
    while uploaded(&world) < LENGTH as u64 / 3 {
        assert!(Instant::now() < until, "nothing is written");
        std::thread::sleep(Duration::from_millis(20));
    }
    let serve = world.part("serve").unwrap();
    rustix::process::kill_process(Pid::from_raw(serve).unwrap(), Signal::KILL).unwrap();
    let (broken, _) = answer(cut);
    assert!(!broken.contains(" 202 "), "{broken}");
    let until = Instant::now() + PATIENCE;
    while world.part("serve").is_none_or(|pid| pid == serve) {
        assert!(Instant::now() < until, "no other serve came");
        std::thread::sleep(Duration::from_millis(20));
    }

    let (told, _) = answer(ask(&world, &format!("GET {place}"), 0, b""));
    assert!(told.contains(" 204 "), "{told}");
    let last: usize = header(&told, "range").strip_prefix("0-").unwrap().parse().unwrap();
    assert!((LENGTH / 3 - 1..LENGTH / 3 * 2).contains(&last), "{last}");
    let rest = &blob[last + 1..];
    let (added, _) = answer(ask(&world, &format!("PATCH {place}"), rest.len(), rest));
    assert!(added.contains(" 202 ") && header(&added, "range") == format!("0-{}", LENGTH - 1), "{added}");
    let (kept, _) = answer(ask(&world, &format!("PUT {place}?digest={digest}"), 0, b""));
    assert!(kept.contains(" 201 ") && header(&kept, "docker-content-digest") == digest, "{kept}");
    let (got, body) = answer(ask(&world, &format!("GET /v2/images/import/a/blobs/{digest}"), 0, b""));
    assert!(got.contains(" 200 ") && body == blob, "{got}");

    // A refusal that comes before the body is read, again and again, by a client that sends all of it first.
    for _ in 0..30 {
        let refused = ask(&world, "POST /v2/none/import/a/blobs/uploads/", 1 << 20, &blob[..1 << 20]);
        let (head, body) = answer(refused);
        assert!(head.contains(" 404 "), "{head}");
        assert!(String::from_utf8_lossy(&body).contains("NAME_UNKNOWN"));
    }
}

/// What `windlass … --json` prints on its standard output.
fn json(world: &World, arguments: &[&str]) -> serde_json::Value {
    let output = world.command().args(arguments).arg("--json").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[test]
fn a_build_that_does_not_fit_is_refused_with_the_numbers_and_fits_again_with_more_room() {
    let world = World::new();
    let tool = world.tool("hello", "stdlib-http");
    tool.push().succeeded();
    let quota = ["quota", "--tool", "hello"];
    let shown = world.cli(&quota);
    assert_eq!(shown.status, 0, "{}", shown.text);
    assert!(shown.text.starts_with("hello · ") && shown.text.contains(" of 10.0 GiB used"), "{}", shown.text);
    assert!(shown.text.contains("images") && !shown.text.contains("pushed"), "{}", shown.text);
    let counted = json(&world, &quota);
    assert_eq!(counted["limit_bytes"], 10_u64 << 30);
    assert_eq!(counted["pushed_bytes"], 0);
    let used = counted["used_bytes"].as_u64().unwrap();
    assert!(
        used > 0
            && used == counted["images_bytes"].as_u64().unwrap() + counted["caches_bytes"].as_u64().unwrap()
    );

    let set = |to: &str| world.cli(&["tools", "set", "--quota-mebibytes", to, "--tool", "hello"]);
    assert_eq!(set("some").status, 2);
    let none = set("0");
    assert!(none.status == 0 && none.text.contains("and may use 0 bytes"), "{}", none.text);

    tool.edit("app.py", "hello from", "changed in");
    tool.push()
        .failed()
        .says("the image does not fit")
        .says(" of 0 bytes: images ")
        .says("and this needs ")
        .says("`windlass quota` shows what takes how much");
    let run = json(&world, &["runs", "show", "2", "--tool", "hello"]);
    assert_eq!(run["state"], "failed", "{run}");
    assert!(
        run["steps"].as_array().unwrap().iter().any(|step| step["problem"]["id"] == "quota-storage"),
        "{run}"
    );
    assert!(tool.get("/").body.contains("hello from"), "what is live stays");
    for verb in ["show", "retry"] {
        let followed = tool.cli(&["runs", verb, "2", "--follow"]);
        assert_eq!(followed.status, 7, "{}", followed.text);
        assert!(followed.text.contains("the image does not fit"), "{}", followed.text);
    }
    // What was refused counts for nothing.
    assert_eq!(json(&world, &quota)["used_bytes"], used);

    let more = set("default");
    assert!(more.status == 0 && more.text.contains("and may use 10.0 GiB"), "{}", more.text);
    let again = tool.cli(&["runs", "retry", "2", "--follow"]);
    assert_eq!(again.status, 0, "{}", again.text);
    assert!(tool.get("/").body.contains("changed in"));
}
