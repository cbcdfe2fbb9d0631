//! Fixtures of both interfaces, and a real group on this machine.

use super::*;
use std::process::{Child, Command};

fn fixture(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn version_1_is_read_from_one_directory_per_controller() {
    let root = fixture(&[
        ("memory/wl0/a/memory.usage_in_bytes", "4096\n"),
        ("memory/wl0/a/memory.max_usage_in_bytes", "8192\n"),
        ("memory/wl0/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        ("cpuacct/wl0/a/cpuacct.usage", "1500000\n"),
        ("pids/wl0/a/pids.current", "7\n"),
        ("pids/wl0/a/cgroup.procs", "10\n20\n"),
        ("pids/wl0/a/below/cgroup.procs", "30\n"),
    ]);
    let group = Group::at(root.path(), Version::V1, "/wl0/a");
    let expected = Usage {
        memory_bytes: 4096,
        memory_peak_bytes: 8192,
        memory_kills: 3,
        cpu_microseconds: 1500,
        pids: 7,
    };
    assert_eq!(group.usage().unwrap(), expected);
    let pids: Vec<i32> = group.pids().unwrap().into_iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    assert_eq!(pids, [10, 20, 30]);
}

#[test]
fn version_2_is_read_from_one_directory() {
    let root = fixture(&[
        ("wl0/a/memory.current", "4096\n"),
        ("wl0/a/memory.peak", "8192\n"),
        ("wl0/a/memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 2\noom_group_kill 1\n"),
        ("wl0/a/cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
        ("wl0/a/pids.current", "7\n"),
    ]);
    let group = Group::at(root.path(), Version::V2, "/wl0/a");
    let expected = Usage {
        memory_bytes: 4096,
        memory_peak_bytes: 8192,
        memory_kills: 2,
        cpu_microseconds: 1500,
        pids: 7,
    };
    assert_eq!(group.usage().unwrap(), expected);
    std::fs::remove_file(root.path().join("wl0/a/memory.peak")).unwrap();
    assert_eq!(group.usage().unwrap().memory_peak_bytes, 4096, "a kernel without memory.peak");
}

#[test]
fn a_file_that_holds_no_number_is_named() {
    let root = fixture(&[("wl0/a/memory.current", "max\n")]);
    let error = Group::at(root.path(), Version::V2, "/wl0/a").usage().unwrap_err();
    assert!(error.to_string().contains("memory.current has no number"), "{error}");
    let error = Group::at(root.path(), Version::V2, "/wl0/b").usage().unwrap_err();
    assert!(matches!(error, CgroupError::File { .. }), "{error}");
}

/// A real group, with every directory that a runtime would make; removed when dropped.
struct RealGroup(Group);

const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpuacct", "freezer"];

impl RealGroup {
    fn new(root: &Path, version: Version) -> Self {
        let group = Group::at(root, version, &format!("/windlass-test-{}-{version:?}", std::process::id()));
        for controller in CONTROLLERS {
            std::fs::create_dir_all(group.directory(controller)).unwrap();
        }
        Self(group)
    }

    /// A shell in the group that starts a new sleeper whenever one ends: only ending all together stops that.
    fn busy(&self) -> Child {
        let script = "read line; while :; do sleep 0.01 & sleep 1000 & wait %1; done";
        let mut command = Command::new("/bin/sh");
        let mut child = command.args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
        for controller in CONTROLLERS {
            let path = self.0.directory(controller).join("cgroup.procs");
            std::fs::write(path, child.id().to_string()).unwrap();
        }
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(self.0.pids().unwrap().len() > 2);
        child
    }

    fn ends_and_goes(&self, mut busy: Child) {
        self.0.kill_all().unwrap();
        busy.wait().unwrap();
        assert!(self.0.pids().unwrap().is_empty());
        self.0.remove().unwrap();
        assert!(!self.0.directory("pids").exists());
        self.0.remove().unwrap();
        self.0.kill_all().unwrap();
    }
}

impl Drop for RealGroup {
    fn drop(&mut self) {
        let _ = self.0.kill_all();
        let _ = self.0.remove();
    }
}

#[test]
fn everything_in_a_real_group_is_ended_and_the_group_goes() {
    let group = RealGroup::new(Path::new(ROOT), version());
    let busy = group.busy();
    let usage = group.0.usage().unwrap();
    assert!(usage.pids > 2 && usage.memory_peak_bytes > 0 && usage.cpu_microseconds > 0, "{usage:?}");
    group.ends_and_goes(busy);
}

/// A hybrid machine has a version 2 tree without controllers: enough to end and remove groups in.
#[test]
fn everything_in_a_real_version_2_group_is_ended_and_the_group_goes() {
    let unified = Path::new(ROOT).join("unified");
    let root = if unified.exists() { unified } else { ROOT.into() };
    let group = RealGroup::new(&root, Version::V2);
    let busy = group.busy();
    group.ends_and_goes(busy);
}
