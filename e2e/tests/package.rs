//! The Debian package as dpkg and systemd read it. What it does on a server is `make test-vm`'s story.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a program prints; it must succeed.
fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {words:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A package of what was compiled for the tests.
fn package(out: &Path) -> String {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap();
    let script = root().join("tools/deb.sh");
    let made = Command::new(script)
        .env("BUILT", built)
        .env("OUT", out)
        .env("VERSION", "9.8.7")
        .env("COMPRESSION", "none")
        .env("MAINTAINER", "Package test <test@example.org>")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_package_holds_what_a_server_needs_and_its_scripts_can_be_read() {
    let out = std::env::temp_dir().join(format!("windlass-package-{}", std::process::id()));
    let package = package(&out);
    assert_eq!(output("dpkg-deb", &["--field", &package, "Version"]).trim(), "9.8.7");
    let depends = output("dpkg-deb", &["--field", &package, "Depends"]);
    for needed in ["runc", "git", "nftables", "iproute2", "e2fsprogs", "mmdebstrap", "systemd (>= 252)"] {
        assert!(depends.contains(needed), "{depends}");
    }
    let tree = out.join("tree");
    output("dpkg-deb", &["--raw-extract", &package, tree.to_str().unwrap()]);
    let settings = fs::read_to_string(tree.join("DEBIAN/conffiles")).unwrap();
    assert_eq!(settings, "/etc/windlass/windlass.toml\n");
    let owners = output("dpkg-deb", &["--contents", &package]);
    assert!(owners.lines().all(|line| line.contains("root/root")), "{owners}");

    let windlass = tree.join("usr/bin/windlass");
    let said = output(
        windlass.to_str().unwrap(),
        &["config", "check", tree.join("etc/windlass/windlass.toml").to_str().unwrap()],
    );
    assert!(said.ends_with("no mistakes\n"), "{said}");
    let generator = fs::read_link(tree.join("usr/lib/systemd/system-generators/windlass-generator")).unwrap();
    assert!(tree.join("usr/lib/systemd/system-generators").join(generator).exists());
    for file in [
        "windlass/builder.tar",
        "windlass/base-images",
        "windlass/stacks/make-base.sh",
        "sysusers.d/windlass.conf",
    ] {
        assert!(tree.join("usr/lib").join(file).exists(), "{file}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        output("sh", &["-n", tree.join("DEBIAN").join(script).to_str().unwrap()]);
    }
    fs::remove_dir_all(&out).unwrap();
}

#[test]
fn the_units_ids_are_those_of_the_first_platform_and_each_part_is_a_unit() {
    let users = fs::read_to_string(root().join("deploy/sysusers.conf")).unwrap();
    // Range 1 of instance 0 (crates/model/src/instance.rs).
    let first = 1_000_000_000 + 65_536;
    assert!(users.contains(&format!("u windlass        {first}:windlass")), "{users}");
    assert!(users.contains(&format!("u windlass-router {}:windlass", first + 1)), "{users}");
    let target = fs::read_to_string(root().join("deploy/systemd/windlass.target")).unwrap();
    for part in ["helper", "serve", "router"] {
        assert!(target.contains(&format!("windlass-{part}.service")), "{target}");
        let unit =
            fs::read_to_string(root().join(format!("deploy/systemd/windlass-{part}.service"))).unwrap();
        assert!(unit.contains(&format!("ExecStart=/usr/bin/windlass {part} /etc/windlass/windlass.toml")));
        assert!(unit.contains("KillSignal=SIGQUIT") && unit.contains("StandardInput=socket"), "{part}");
        // What the helper starts inherits its filters: this one would end just-in-time compilers in tools.
        assert_eq!(unit.contains("\nMemoryDenyWriteExecute=yes"), part != "helper", "{part}");
    }
}
