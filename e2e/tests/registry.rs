//! The registry: what is deployed is pulled by its digest, people push images of their own, and nobody sees another's.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{path::Path, process::Command};
use testkit::World;

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
    let mut world = World::new();
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
    did(skopeo(&world, &["delete", "--tls-verify=false", &import]));
    refused(skopeo(&world, &[copy.as_slice(), &[&import, &again]].concat()), "manifest unknown");
}
