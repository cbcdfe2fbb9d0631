//! Detection and build as a sandbox runs them: the real program, another user, buildpacks that are shell scripts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The user that buildpacks run as.
const USER: u32 = 1000;

/// A builder and a source tree in one temporary directory.
struct World {
    home: tempfile::TempDir,
    /// One world at a time: a program that this process has just written cannot be started while another test's
    /// child, forked meanwhile, still holds it open for writing (execve(2), ETXTBSY).
    #[expect(dead_code, reason = "held, not read")]
    turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::new(());

/// How a run of the lifecycle ended.
#[derive(Debug)]
struct Ended {
    status: i32,
    /// stdout and stderr.
    said: String,
}

impl World {
    fn new(order: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let world = Self { home, turn };
        // The program itself may lie where only root can read.
        fs::copy(env!("CARGO_BIN_EXE_lifecycle"), world.path("lifecycle")).unwrap();
        for directory in ["workspace", "layers", "platform/env", "buildpacks", "config/env", "tmp"] {
            fs::create_dir_all(world.path(directory)).unwrap();
        }
        world.write("order.toml", order);
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Version 1 of a buildpack with these scripts.
    fn buildpack(&self, id: &str, detect: &str, build: &str) {
        self.descriptor(id, "");
        for (program, script) in [("detect", detect), ("build", build)] {
            let path = format!("buildpacks/{}/1/bin/{program}", id.replace('/', "_"));
            self.write(&path, &format!("#!/bin/bash\nset -eu\n{script}\n"));
            fs::set_permissions(self.path(&path), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn descriptor(&self, id: &str, more: &str) {
        let text = format!("api = \"0.10\"\n[buildpack]\nid = \"{id}\"\nversion = \"1\"\n{more}");
        self.write(&format!("buildpacks/{}/1/buildpack.toml", id.replace('/', "_")), &text);
    }

    fn run(&self, phase: &str) -> Ended {
        self.run_with(phase, &[])
    }

    fn run_with(&self, phase: &str, env: &[(&str, &str)]) -> Ended {
        give_away(self.home.path());
        let at = |path: &str| self.path(path).display().to_string();
        let output = Command::new(self.path("lifecycle"))
            .arg(phase)
            .args(["-app", &at("workspace"), "-layers", &at("layers"), "-platform", &at("platform")])
            .args(["-buildpacks", &at("buildpacks"), "-order", &at("order.toml")])
            .args(["-build-config", &at("config")])
            .env_clear()
            .env("CNB_PLATFORM_API", "0.15")
            .env("PATH", "/usr/bin:/bin")
            .env("TMPDIR", at("tmp"))
            .env("SECRET", "of the platform")
            .envs(env.iter().copied())
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        Ended { status: output.status.code().unwrap(), said: String::from_utf8(said).unwrap() }
    }

    /// Ids in group.toml.
    fn group(&self) -> Vec<String> {
        let group: cnb::group::Group =
            cnb::file::read("group.toml", self.read("layers/group.toml").as_bytes()).unwrap();
        group.group.into_iter().map(|member| member.id).collect()
    }
}

fn give_away(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// One group per item; `?` marks an optional buildpack.
fn order(groups: &[&str]) -> String {
    let element = |word: &str| {
        let (id, optional) = (word.trim_end_matches('?'), word.ends_with('?'));
        format!("[[order.group]]\nid = \"{id}\"\nversion = \"1\"\noptional = {optional}\n")
    };
    let group =
        |text: &&str| format!("[[order]]\n{}", text.split_whitespace().map(element).collect::<String>());
    groups.iter().map(group).collect()
}

#[test]
fn the_first_group_that_passes_is_chosen() {
    for (groups, status, chosen) in [
        (&["pass"][..], 0, &["pass"][..]),
        (&["fail", "pass"], 0, &["pass"]),
        (&["fail? pass"], 0, &["pass"]),
        (&["pass fail", "pass other"], 0, &["pass", "other"]),
        (&["error? pass"], 0, &["pass"]),
        (&["both"], 0, &["pass", "other"]),
        (&["both? fail?", "pass"], 0, &["pass", "other"]),
        (&["sorry? other"], 0, &["other"]),
        (&["provider needs"], 0, &["provider", "needs"]),
        (&["needs", "pass"], 0, &["pass"]),
        (&["needs? pass"], 0, &["pass"]),
        (&["fail"], 20, &[]),
        (&["fail?"], 20, &[]),
        (&["needs provider"], 20, &[]),
        (&["sorry"], 20, &[]),
        (&["error"], 21, &[]),
        (&["fail", "error"], 21, &[]),
        (&["broken"], 21, &[]),
        (&["elsewhere"], 21, &[]),
        (&["old"], 12, &[]),
        (&["circle"], 22, &[]),
        (&["missing"], 22, &[]),
    ] {
        let world = World::new(&order(groups));
        for (id, detect) in [
            ("pass", "exit 0"),
            ("other", "exit 0"),
            ("fail", "exit 100"),
            ("error", "exit 3"),
            ("broken", "echo 'not = [toml' > \"$CNB_BUILD_PLAN_PATH\""),
            ("provider", "printf '[[provides]]\\nname = \"x\"\\n' > \"$2\""),
            ("needs", "printf '[[requires]]\\nname = \"x\"\\n' > \"$2\""),
            ("elsewhere", "exit 0"),
            ("old", "exit 0"),
        ] {
            world.buildpack(id, detect, "");
        }
        world.descriptor("elsewhere", "[[targets]]\nos = \"plan9\"\n");
        world.write(
            "buildpacks/old/1/buildpack.toml",
            "api = \"0.2\"\n[buildpack]\nid = \"old\"\nversion = \"1\"\n",
        );
        world.descriptor("both", &order(&["fail", "pass other"]));
        world.descriptor("sorry", &order(&["fail"]));
        world.descriptor("circle", &order(&["circle"]));
        let ended = world.run("detect");
        assert_eq!(ended.status, status, "{groups:?}: {}", ended.said);
        if status == 0 {
            assert_eq!(world.group(), chosen, "{groups:?}: {}", ended.said);
        }
    }
}

#[test]
fn a_failed_detection_says_what_each_buildpack_looked_for() {
    let world = World::new(&order(&["example/python", "example/node"]));
    world.buildpack("example/python", "echo 'no requirements.txt, no *.py'\nexit 100", "");
    world.buildpack("example/node", "echo 'no package.json' >&2\nexit 100", "");
    let ended = world.run("detect-and-build");
    assert_eq!(ended.status, 20);
    for words in ["example/python 1", "no requirements.txt, no *.py", "example/node 1", "no package.json"] {
        assert!(ended.said.contains(words), "{words} is missing in: {}", ended.said);
    }
}

#[test]
fn a_buildpack_is_asked_once_for_all_groups_and_its_leftovers_hold_nobody_up() {
    let world = World::new(&order(&["once fail", "once"]));
    world.buildpack("once", "echo asked >> asked.txt\nsleep 600 &\nexit 0", "");
    world.buildpack("fail", "exit 100", "");
    let started = std::time::Instant::now();
    let ended = world.run("detect");
    assert_eq!(ended.status, 0, "{}", ended.said);
    assert!(started.elapsed() < std::time::Duration::from_secs(300), "it waited for what was left behind");
    assert_eq!(world.read("workspace/asked.txt"), "asked\n");
}

#[test]
fn a_build_hands_environment_plan_and_processes_from_buildpack_to_buildpack() {
    let world = World::new(&order(&["example/first example/second"]));
    world.write("platform/env/LEVEL", "user's");
    world.write("config/env/MIRROR", "operator's");
    world.buildpack(
        "example/first",
        "printf '[[provides]]\\nname = \"tool\"\\n' > \"$2\"",
        r#"cp "$CNB_BP_PLAN_PATH" first-plan.toml
env | sort > first-env.txt
mkdir -p "$1/tool/bin" "$1/tool/env" "$1/tool/env.build" "$1/tool/env.launch" "$1/image/bin" "$1/nobody"
printf '[types]\nbuild = true\n' > "$1/tool.toml"
printf '[types]\nlaunch = true\n' > "$1/image.toml"
printf '[metadata]\nkey = 1\n' > "$1/nobody.toml"
printf one > "$1/tool/env/FLAGS.append"
printf ' ' > "$1/tool/env/FLAGS.delim"
printf yes > "$1/tool/env.build/ONLY_BUILD"
printf yes > "$1/tool/env.launch/ONLY_LAUNCH"
printf '[[processes]]\ntype = "web"\ncommand = ["first"]\ndefault = true\n[[processes]]\ntype = "job"\ncommand = ["job"]\n' > "$1/launch.toml""#,
    );
    world.buildpack(
        "example/second",
        "printf '[[requires]]\\nname = \"tool\"\\n[requires.metadata]\\nversion = \"3\"\\n' > \"$2\"",
        r#"cp "$3" second-plan.toml
env | sort > second-env.txt
printf '[[processes]]\ntype = "web"\ncommand = ["second"]\n[[labels]]\nkey = "k"\nvalue = "v"\n' > "$1/launch.toml""#,
    );
    let ended = world.run("detect-and-build");
    assert_eq!(ended.status, 0, "{}", ended.said);

    assert!(world.read("workspace/first-plan.toml").contains("name = \"tool\""));
    assert!(world.read("workspace/first-plan.toml").contains("version = \"3\""));
    assert_eq!(world.read("workspace/second-plan.toml").trim(), "", "what was provided is not asked again");

    let first = world.read("workspace/first-env.txt");
    for line in ["LEVEL=user's", "MIRROR=operator's", "CNB_TARGET_OS=linux", "PATH=/usr/bin:/bin"] {
        assert!(first.lines().any(|had| had == line), "{line} is missing in: {first}");
    }
    assert!(!first.contains("SECRET"), "{first}");
    let second = world.read("workspace/second-env.txt");
    let layer = world.path("layers/example_first/tool");
    for line in
        [format!("PATH={}/bin:/usr/bin:/bin", layer.display()), "FLAGS=one".into(), "ONLY_BUILD=yes".into()]
    {
        assert!(second.lines().any(|had| had == line), "{line} is missing in: {second}");
    }
    assert!(!second.contains("ONLY_LAUNCH"), "{second}");

    let metadata = world.read("layers/config/metadata.toml");
    let metadata: cnb::metadata::Metadata = cnb::file::read("metadata.toml", metadata.as_bytes()).unwrap();
    let mut processes: Vec<_> =
        metadata.processes.iter().map(|p| format!("{}: {}", p.kind, p.command[0])).collect();
    processes.sort();
    assert_eq!(processes, ["job: job", "web: second"]);
    assert_eq!(metadata.buildpack_default_process_type, None, "whoever takes a process over decides anew");
    assert_eq!(metadata.labels[0].key, "k");
    assert!(world.path("layers/example_first/nobody.ignore").is_dir());
    assert!(!world.path("layers/example_first/nobody").exists());
}

#[test]
fn what_goes_wrong_in_a_build_has_its_own_status_and_names_the_buildpack() {
    for (build, status, words) in [
        ("echo 'no compiler here'; exit 7", 51, "example/x 1 ended with status 7"),
        ("kill -9 $$", 51, "example/x 1 was ended by signal 9"),
        ("echo 'launch = true' > \"$1/layer.toml\"", 52, "belong into the table [types]"),
        ("printf '[[unmet]]\\nname = \"y\"\\n' > \"$1/build.toml\"", 52, "`y`"),
        ("printf '[[processes]]\\ntype = \"a/b\"\\ncommand = [\"x\"]\\n' > \"$1/launch.toml\"", 52, "`a/b`"),
    ] {
        let world = World::new(&order(&["example/x"]));
        world.buildpack("example/x", "exit 0", build);
        let ended = world.run("detect-and-build");
        assert_eq!(ended.status, status, "{build}: {}", ended.said);
        assert!(ended.said.contains(words), "{build}: {}", ended.said);
        assert!(!world.path("layers/config/metadata.toml").exists());
    }
}

#[test]
fn the_lifecycle_refuses_what_it_was_not_made_for() {
    let world = World::new(&order(&["pass"]));
    world.buildpack("pass", "exit 0", "");
    for (api, status) in [("", 11), ("0.3", 11), ("0.12", 0), ("0.15", 0)] {
        let ended = world.run_with("detect", &[("CNB_PLATFORM_API", api)]);
        assert_eq!(ended.status, status, "{api}: {}", ended.said);
    }
    assert_eq!(world.run("dance").status, 3);
    let root =
        Command::new(world.path("lifecycle")).arg("detect").env("CNB_PLATFORM_API", "0.15").output().unwrap();
    assert!(!root.status.success());
    assert!(String::from_utf8_lossy(&root.stderr).contains("refusing to run as root"));
}
