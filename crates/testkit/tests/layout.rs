//! The rules of the house, held by a test instead of a page: see "Rooms" in ARCHITECTURE.md.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Lines that a file may have.
const MAX_LINES: usize = 600;
/// Lines that the opening comment of a crate or folder-module may have.
const MAX_OPENING_LINES: usize = 20;

/// Which room may use which. A room that is not listed may be used by nobody but the binary and the tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("logs", &[]),
    ("cnb", &["model"]),
    ("oci", &["model"]),
    ("pipeline", &["model"]),
    ("egress", &["model", "logs"]),
    ("layers", &["model", "oci"]),
    ("lifecycle", &["model", "oci", "cnb", "layers"]),
    ("sandbox", &["model", "logs", "egress"]),
    ("store", &["model"]),
    ("store/sqlite", &["model", "store"]),
    ("git", &["model", "sandbox"]),
    ("router", &["model", "logs"]),
    ("runtime", &["model", "layers", "lifecycle", "sandbox"]),
    ("app", &["model", "logs", "store"]),
    ("web", &["model", "logs", "app", "store"]),
    ("registry", &["model", "oci", "app", "store"]),
    (
        "flow",
        &[
            "model",
            "logs",
            "oci",
            "cnb",
            "egress",
            "layers",
            "lifecycle",
            "pipeline",
            "sandbox",
            "store",
            "git",
            "router",
            "runtime",
        ],
    ),
];

/// Rooms in which `unsafe` may stand, each block with its `SAFETY:` sentence.
const UNSAFE_ROOMS: &[&str] = &["crates/sandbox/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of ours with this ending, its path from the root.
fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for room in
        ["crates", "buildpacks", "e2e", "tools", "stacks", "bench", "chaos", "fuzz", "vm", "deploy", "docs"]
    {
        walk(&root().join(room), &mut found);
    }
    let root = root();
    found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().display().to_string(), text)
        })
        .collect()
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// Fails with all the offenders at once.
#[track_caller]
fn none(offenders: &[String], rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn no_file_is_longer_than_a_reader_wants() {
    let mut long = Vec::new();
    for ending in ["rs", "sh", "py"] {
        long.extend(files(ending).into_iter().filter_map(|(path, text)| {
            let lines = text.lines().count();
            (lines > MAX_LINES).then(|| format!("{path}: {lines} lines"))
        }));
    }
    none(&long, "files over 600 lines; split them by what they are about");
}

#[test]
fn every_source_file_opens_with_what_it_is() {
    let bare: Vec<String> = files("rs")
        .into_iter()
        .filter(|(path, _)| path.contains("/src/"))
        .filter_map(|(path, text)| {
            let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
            (opening == 0 || opening > MAX_OPENING_LINES).then(|| format!("{path}: {opening} opening lines"))
        })
        .collect();
    none(&bare, "files that do not open with `//!`, or with too much of it");
    let named_mod: Vec<String> =
        files("rs").into_iter().map(|(path, _)| path).filter(|path| path.ends_with("/mod.rs")).collect();
    none(&named_mod, "mod.rs files; a folder's module is the file of its name beside it");
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, allowed) in &arrows {
        let manifest = root().join("crates").join(room).join("Cargo.toml");
        let text =
            fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let Some((name, _)) = line.split_once(".workspace") else { continue };
            let room_name = name.replace("store-sqlite", "store/sqlite");
            let ours = arrows.contains_key(room_name.as_str()) || matches!(name, "testkit");
            if ours && !allowed.contains(&room_name.as_str()) {
                wrong.push(format!("{room} uses {name}"));
            }
        }
    }
    none(&wrong, "arrows between rooms that ARCHITECTURE.md does not draw");
}

#[test]
fn stations_do_not_call_their_neighbours() {
    // Each may read what an earlier one left in its rows; none may run another.
    let stations = ["plan", "test", "build", "release", "deploy"];
    let mut wrong = Vec::new();
    for station in stations {
        let text = fs::read_to_string(root().join(format!("crates/flow/src/{station}.rs"))).unwrap();
        for other in stations.iter().filter(|other| **other != station) {
            let call = format!("{other}::{other}(");
            if text.contains(&call) {
                wrong.push(format!("{station}.rs calls {call}"));
            }
        }
    }
    none(&wrong, "stations that call a neighbour; the engine alone knows what comes next");
}

#[test]
fn unsafe_stands_in_the_sandbox_alone_and_says_why_it_is_sound() {
    let mut wrong = Vec::new();
    for (path, text) in files("rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") || !(code.contains("unsafe {") || code.contains("unsafe fn")) {
                continue;
            }
            if path.ends_with("tests/layout.rs") {
                continue;
            }
            let near = &lines[number.saturating_sub(6)..=(number + 1).min(lines.len() - 1)];
            if !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
                wrong.push(format!("{path}:{}: outside the sandbox", number + 1));
            } else if !near.iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{path}:{}: without SAFETY:", number + 1));
            }
        }
    }
    none(&wrong, "unsafe blocks");
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt so that this file does not find itself.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["#[", "ignore"].concat(),
    ];
    let mut wrong = Vec::new();
    for ending in ["rs", "sh", "py", "toml"] {
        for (path, text) in files(ending) {
            for mark in &marks {
                if text.contains(mark.as_str()) {
                    wrong.push(format!("{path}: {mark}"));
                }
            }
        }
    }
    none(&wrong, "marks of unfinished work");
}

#[test]
fn every_version_stands_once_in_the_workspace() {
    let mut wrong = Vec::new();
    for (path, text) in files("toml").into_iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let dependencies = text.split("dependencies]").skip(1);
        for part in dependencies {
            for line in part.lines().take_while(|line| !line.starts_with('[')) {
                if line.contains('=')
                    && !line.contains("workspace = true")
                    && !line.trim_start().starts_with('#')
                {
                    wrong.push(format!("{path}: {line}"));
                }
            }
        }
    }
    none(&wrong, "versions outside [workspace.dependencies]");
}
