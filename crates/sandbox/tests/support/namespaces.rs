//! Network namespaces for tests: each is held by a sleeping process and ends with it.

#![allow(clippy::unwrap_used, reason = "support of tests: they fail by panicking")]

use rustix::{
    process::{Pid, PidfdFlags, pidfd_open},
    thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces, unshare_unsafe},
};
use std::{
    io::Write,
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Output, Stdio},
    thread,
};

/// A network namespace of its own, with the process that holds it.
pub(crate) struct Namespace {
    keeper: Child,
    pub(crate) process: OwnedFd,
}

impl Namespace {
    /// A namespace with `lo` down and nothing else.
    pub(crate) fn new() -> Self {
        let keeper = thread::spawn(|| {
            #[expect(unsafe_code, reason = "a namespace for this thread alone")]
            // SAFETY: the flag leaves the descriptor table of this thread alone.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            Command::new("sleep").arg("3600").spawn().unwrap()
        });
        Self::of(keeper.join().unwrap())
    }

    /// The same, owned by a user namespace of its own, as a container's is.
    pub(crate) fn in_user_namespace() -> Self {
        let words = ["--user", "--map-root-user", "--net", "sleep", "3600"];
        let keeper = Command::new("unshare").args(words).spawn().unwrap();
        let name = format!("/proc/{}/comm", keeper.id());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
            thread::sleep(std::time::Duration::from_millis(2));
        }
        Self::of(keeper)
    }

    fn of(keeper: Child) -> Self {
        let pid = Pid::from_raw(i32::try_from(keeper.id()).unwrap()).unwrap();
        Self { process: pidfd_open(pid, PidfdFlags::empty()).unwrap(), keeper }
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_thread_name_spaces(self.process.as_fd(), ThreadNameSpaceType::NETWORK).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }

    /// Runs `work` inside for as long as the test lasts.
    pub(crate) fn serve(&self, work: impl FnOnce() + Send + 'static) {
        let process = self.process.try_clone().unwrap();
        thread::spawn(move || {
            move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::NETWORK).unwrap();
            work();
        });
    }

    /// Runs a program inside and gives what it said.
    pub(crate) fn program(&self, argv: &[&str], input: &str) -> Output {
        self.run(|| {
            let mut child = Command::new(argv[0])
                .args(&argv[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        })
    }

    /// Runs `ip` with a line of words, which must succeed.
    pub(crate) fn ip(&self, words: &str) {
        let argv: Vec<&str> = ["ip"].into_iter().chain(words.split_whitespace()).collect();
        let output = self.program(&argv, "");
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the process that holds the namespace.
    pub(crate) fn end(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }

    #[allow(dead_code, reason = "only the tests of tools join namespaces by it")]
    pub(crate) fn process_id(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
