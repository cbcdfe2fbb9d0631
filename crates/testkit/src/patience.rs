//! Stories that do not depend on how fast a machine is: states are waited for, and programs wait for the story.

use crate::World;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// For whatever a loaded machine does slowly. What takes longer does not happen.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Looks until it is so.
///
/// # Panics
/// When it is not so within [`PATIENCE`].
#[track_caller]
pub fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < until, "{what} did not happen in {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(50));
    }
}

/// A point at which a program of a tool stops until the story lets it go on: it runs `sleep` for this many seconds,
/// which are far more than any story lasts.
#[derive(Clone, Copy)]
pub struct Hold<'a> {
    world: &'a World,
    seconds: u32,
}

impl<'a> Hold<'a> {
    pub(crate) const fn new(world: &'a World, seconds: u32) -> Self {
        Self { world, seconds }
    }

    /// Host pids of all that stand at this point now.
    pub fn held(self) -> Vec<i32> {
        self.world.contained(&["sleep", &self.seconds.to_string()])
    }

    /// Waits until one has come to it; gives its host pid.
    #[track_caller]
    pub fn reached(self) -> i32 {
        let mut held = Vec::new();
        wait_for("the program's coming so far", || {
            held = self.held();
            !held.is_empty()
        });
        held[0]
    }

    /// Waits until one has come to it, and lets it go on.
    #[track_caller]
    pub fn let_go(self) {
        let pid = self.reached();
        end(pid, rustix::process::Signal::KILL);
    }

    /// The same; the program learns from the signal of its `sleep` that it shall go another way.
    #[track_caller]
    pub fn turn_away(self) {
        let pid = self.reached();
        end(pid, rustix::process::Signal::TERM);
    }

    /// Holds nobody up while `act` lasts.
    pub fn open_while<T>(self, act: impl FnOnce() -> T) -> T {
        /// Also when `act` panics, or the other thread would go on for ever.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for pid in self.held() {
                        end(pid, rustix::process::Signal::KILL);
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            });
            let _over = Over(&over);
            act()
        })
    }
}

fn end(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended this moment, with its container.
        let _ = rustix::process::kill_process(pid, signal);
    }
}
