//! Defences of a push that are git's own settings, each with its twin: the same push against the same git with that
//! one setting taken out goes through. A setting that makes no difference would be no defence.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use testkit::pack::{Blob, Pack};
use windlass_git::settings::{self, Places};

/// Ours for this push; the hooks are left out, since their twin is the whole door.
fn configured(max_input_bytes: u64) -> Vec<(String, String)> {
    let places = Places { hooks: PathBuf::new(), socket: PathBuf::new() };
    let mut all = settings::common(Path::new("/nowhere"));
    all.extend(settings::receive(&places, max_input_bytes));
    all.retain(|(name, _)| {
        !matches!(name.as_str(), "core.hooksPath" | "receive.procReceiveRefs" | "safe.directory")
    });
    all
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        place.git(&["init", "--quiet", "--initial-branch=main", "work"], "");
        place
    }

    fn at(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn run(&self, words: &[&str], input: &[u8]) -> (bool, String) {
        let mut child = Command::new("git")
            .args(words)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "M"), ("GIT_AUTHOR_EMAIL", "m@example.org")])
            .envs([("GIT_COMMITTER_NAME", "M"), ("GIT_COMMITTER_EMAIL", "m@example.org")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).trim().to_owned())
    }

    fn git(&self, words: &[&str], input: &str) -> String {
        let (good, text) = self.run(words, input.as_bytes());
        assert!(good, "git {words:?}: {text}");
        text
    }

    /// A commit of one file with this name, whatever git thinks of it.
    fn commit(&self, name: &str, content: &str) -> String {
        let work = self.at("work");
        let blob = self.git(&["-C", &work, "hash-object", "-w", "--stdin"], content);
        let id = (0..20).map(|at| u8::from_str_radix(&blob[2 * at..2 * at + 2], 16).unwrap());
        let mut tree = format!("100644 {name}\0").into_bytes();
        tree.extend(id);
        let words = ["-C", &work, "hash-object", "-w", "-t", "tree", "--literally", "--stdin"];
        let (good, tree) = self.run(&words, &tree);
        assert!(good, "{tree}");
        self.git(&["-C", &work, "commit-tree", &tree, "-m", "x"], "")
    }

    /// What a push says to a fresh bare repository with our settings but this one.
    fn push(&self, without: Option<&str>, from: &str, refspec: &str) -> (bool, String) {
        let bare = self.bare(without);
        self.run(&["-C", &self.at(from), "push", &format!("file://{bare}"), refspec], b"")
    }

    fn bare(&self, without: Option<&str>) -> String {
        let bare = tempfile::tempdir_in(self.directory.path()).unwrap().keep().display().to_string();
        self.git(&["init", "--quiet", "--bare", &bare], "");
        let config = configured(100_000);
        if let Some(without) = without {
            assert!(config.iter().any(|(name, _)| name == without), "{without} is not set at all");
        }
        for (name, value) in config.iter().filter(|(name, _)| Some(name.as_str()) != without) {
            self.git(&["-C", &bare, "config", name, value], "");
        }
        bare
    }

    #[track_caller]
    fn twins(&self, setting: &str, from: &str, refspec: &str, says: &str) {
        let (taken, text) = self.push(None, from, refspec);
        assert!(!taken && text.contains(says), "{setting}: {text}");
        let (taken, text) = self.push(Some(setting), from, refspec);
        assert!(taken, "without {setting} it should go through: {text}");
    }
}

/// Text that does not compress well.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from((state >> 33) % 64).unwrap())
        })
        .collect()
}

#[test]
fn a_hostile_tree_is_refused_and_without_the_check_it_is_taken() {
    let place = Place::new();
    for (name, content, says) in [
        (".git", "x", "hasDotgit"),
        ("..", "x", "hasDotdot"),
        (".gitmodules", "[submodule \"a\"]\npath = a\nurl = -u./x\n", "gitmodulesUrl"),
    ] {
        let commit = place.commit(name, content);
        place.twins("receive.fsckObjects", "work", &format!("{commit}:refs/heads/main"), says);
    }
}

#[test]
fn a_pack_over_the_limit_is_refused_and_without_the_limit_it_is_taken() {
    let place = Place::new();
    let commit = place.commit("large", &noise(300_000));
    place.twins(
        "receive.maxInputSize",
        "work",
        &format!("{commit}:refs/heads/main"),
        "exceeds maximum allowed size",
    );
}

/// What a pack of this client takes once it was pushed to a repository of ours, with or without that setting.
fn taken_bytes(place: &Place, without: Option<&str>, refspec: &str) -> u64 {
    let bare = place.bare(without);
    let (taken, text) =
        place.run(&["-C", &place.at("work"), "push", &format!("file://{bare}"), refspec], b"");
    assert!(taken, "{text}");
    let counted = place.git(&["-C", &bare, "count-objects", "-v"], "");
    let kibibytes = counted
        .lines()
        .filter_map(|line| line.strip_prefix("size: ").or_else(|| line.strip_prefix("size-pack: ")));
    kibibytes.map(|number| number.parse::<u64>().unwrap() * 1024).sum()
}

#[test]
fn deltas_that_repeat_one_object_stay_as_small_as_they_came_and_unpacked_they_do_not() {
    let place = Place::new();
    let noise = noise(50_000).into_bytes();
    let mut pack = Pack::default();
    let base = pack.blob(&noise);
    let bombs: Vec<Blob> = (0..5)
        .map(|n| {
            let behind = [b'0' + n; 4];
            pack.repeat(&base, 60, &behind, Some(&[noise.repeat(60), behind.to_vec()].concat()))
        })
        .collect();
    let commit = pack.commit(&[&bombs[..], &[base]].concat());
    let pack = pack.bytes();
    let (good, text) = place.run(&["-C", &place.at("work"), "index-pack", "--stdin"], &pack);
    assert!(good, "{text}");
    let refspec = format!("{commit}:refs/heads/main");
    let kept = taken_bytes(&place, None, &refspec);
    assert!(kept < 100_000, "{} bytes of pack became {kept}", pack.len());
    let unpacked = taken_bytes(&place, Some("receive.unpackLimit"), &refspec);
    assert!(unpacked > 100 * kept, "unpacked they should take far more: {kept}, {unpacked}");
}

#[test]
fn a_hidden_ref_cannot_be_pushed_and_without_the_setting_it_can() {
    let place = Place::new();
    let commit = place.commit("file", "x");
    place.twins("transfer.hideRefs", "work", &format!("{commit}:refs/windlass/pushes/x"), "hidden ref");
}

#[test]
fn an_old_history_with_harmless_faults_is_taken_and_by_gits_own_severity_it_is_not() {
    let place = Place::new();
    let good = place.commit("file", "x");
    let work = place.at("work");
    let commit = place.git(&["-C", &work, "cat-file", "commit", &good], "");
    let words = ["-C", &work, "hash-object", "-w", "-t", "commit", "--literally", "--stdin"];
    for (setting, from, to) in
        [("receive.fsck.missingEmail", "<m@example.org>", ""), ("receive.fsck.badTimezone", "+0000", "+x")]
    {
        let old = place.git(&words, &(commit.replacen(from, to, 1) + "\n"));
        let refspec = format!("{old}:refs/heads/main");
        let (taken, text) = place.push(None, "work", &refspec);
        assert!(taken, "{setting}: {text}");
        let (taken, text) = place.push(Some(setting), "work", &refspec);
        assert!(!taken, "{setting} makes no difference: {text}");
    }
}

#[test]
fn what_a_push_has_just_brought_outlives_our_collection_and_not_one_without_an_age() {
    let place = Place::new();
    let work = place.at("work");
    for (prune, survives) in [("--prune=1.days.ago", true), ("--prune=now", false)] {
        let commit = place.commit("file", prune);
        place.git(&["-C", &work, "repack", "--geometric=2", "-d", "--write-midx", "-n", "--quiet"], "");
        place.git(&["-C", &work, "gc", "--quiet", "--cruft", prune], "");
        let (there, text) = place.run(&["-C", &work, "cat-file", "-e", &commit], b"");
        assert_eq!(there, survives, "{prune}: {text}");
    }
    // The hidden ref holds it whatever the age.
    let commit = place.commit("file", "held");
    place.git(&["-C", &work, "update-ref", "refs/windlass/pushes/x", &commit], "");
    place.git(&["-C", &work, "gc", "--quiet", "--prune=now"], "");
    place.git(&["-C", &work, "cat-file", "-e", &commit], "");
}
