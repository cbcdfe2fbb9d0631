//! Runs tests of this binary as the platform runs its workers: as root of a user namespace of one id range.

use std::{
    fs,
    os::unix::fs::chown,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// Set in the processes inside.
const MARK: &str = "WINDLASS_TEST_IN_NAMESPACE";
/// Above every range of an instance (190 instances of 256 ranges from 1 000 000 000 on).
const FIRST_ID: u32 = 4_200_000_000;

pub(crate) fn is_inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Holds the namespace; ends with the value.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the tests whose names begin with `prefix` in a namespace and passes on what failed.
pub(crate) fn run_tests_inside(prefix: &str) {
    let home = tempfile::tempdir().unwrap();
    chown(home.path(), Some(FIRST_ID), Some(FIRST_ID)).unwrap();
    let holder = Holder(Command::new("unshare").args(["--user", "sleep", "3600"]).spawn().unwrap());
    let process = holder.0.id();
    let ours = fs::read_link("/proc/self/ns/user").unwrap();
    let start = Instant::now();
    while fs::read_link(format!("/proc/{process}/ns/user")).unwrap() == ours {
        assert!(start.elapsed() < Duration::from_secs(60), "unshare made no namespace");
        std::thread::sleep(Duration::from_millis(5));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{process}/{map}"), format!("0 {FIRST_ID} 65536")).unwrap();
    }
    // A copy, because the way to the binary may be open to the real root only.
    let binary = home.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let output = Command::new("nsenter")
        .args(["--user", "--target", &process.to_string(), "--setuid", "0", "--setgid", "0", "--"])
        .arg(&binary)
        .arg(prefix)
        .env(MARK, "1")
        .env("TMPDIR", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("running 0 tests"), "{text}");
}
