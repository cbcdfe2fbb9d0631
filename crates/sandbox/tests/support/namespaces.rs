//! Network namespaces for tests: each is held by a sleeping process and ends with it.

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
pub struct Namespace {
    keeper: Child,
    pub process: OwnedFd,
}

impl Namespace {
    /// A namespace with `lo` down and nothing else.
    pub fn new() -> Self {
        let keeper = thread::spawn(|| {
            #[expect(unsafe_code, reason = "a namespace for this thread alone")]
            // SAFETY: the flag leaves the descriptor table of this thread alone.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            Command::new("sleep").arg("120").spawn().unwrap()
        });
        let keeper = keeper.join().unwrap();
        let pid = Pid::from_raw(i32::try_from(keeper.id()).unwrap()).unwrap();
        Self { process: pidfd_open(pid, PidfdFlags::empty()).unwrap(), keeper }
    }

    /// Runs `work` on a thread inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_thread_name_spaces(self.process.as_fd(), ThreadNameSpaceType::NETWORK).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }

    /// Runs `work` inside for as long as the test lasts.
    pub fn serve(&self, work: impl FnOnce() + Send + 'static) {
        let process = self.process.try_clone().unwrap();
        thread::spawn(move || {
            move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::NETWORK).unwrap();
            work();
        });
    }

    /// Runs a program inside and gives what it said.
    pub fn program(&self, argv: &[&str], input: &str) -> Output {
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
    pub fn ip(&self, words: &str) {
        let argv: Vec<&str> = ["ip"].into_iter().chain(words.split_whitespace()).collect();
        let output = self.program(&argv, "");
        assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the process that holds the namespace.
    pub fn end(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }

    #[allow(dead_code, reason = "only the tests of tools join namespaces by it")]
    pub fn process_id(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
