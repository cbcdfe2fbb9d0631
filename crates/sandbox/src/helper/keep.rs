//! One thread per sandbox that waits for its end: nothing polls, and no exit status is lost.

use super::place::{Place, write_whole};
use super::{State, spawn};
use crate::cgroup::Group;
use crate::request::{Ended, KilledBy, SandboxSpec};
use crate::shim::state::{self as shim, Ask, Reply};
use std::io;
use std::net::Ipv4Addr;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// These threads only wait.
const STACK_BYTES: usize = 256 * 1024;
/// A shim and an egress worker end within milliseconds of their sandbox; at most five seconds are given.
const CHILD_LOOK: Duration = Duration::from_millis(2);
const CHILD_LOOKS: u32 = 2500;
/// Status of a process that SIGKILL ended.
const KILLED_STATUS: i32 = 128 + 9;

/// A sandbox that the helper knows.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) spec: SandboxSpec,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) place: Place,
    /// As config.json names it.
    pub(crate) cgroup: String,
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
}

impl Kept {
    pub(crate) fn new(spec: SandboxSpec, address: Option<Ipv4Addr>, place: Place, cgroup: String) -> Self {
        Self { spec, address, place, cgroup, ended: Mutex::new(None), changed: Condvar::new() }
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits so long for its end.
    pub(crate) fn wait(&self, longest: Duration) -> Option<Ended> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, longest, |ended| ended.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn set_ended(&self, ended: Ended) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        self.changed.notify_all();
    }

    /// Has the whole tree killed at once; the shim writes down why.
    pub(crate) fn ask_to_end(&self, because: KilledBy) {
        if let Err(error) = self.ask(Ask::Kill { grace_milliseconds: 0, because }) {
            tracing::warn!(sandbox = %self.spec.id, %error, "the shim does not take a kill");
        }
    }

    /// Asks the shim.
    pub(crate) fn ask(&self, ask: Ask) -> io::Result<Reply> {
        shim::ask(&self.place.run, ask)
    }
}

/// Starts the thread that waits for the sandbox's end and then cleans up behind it. `children` are reaped with it.
pub(crate) fn keep(state: &Arc<State>, kept: &Arc<Kept>, children: Vec<Child>) -> io::Result<()> {
    let (state, kept) = (Arc::clone(state), Arc::clone(kept));
    thread::Builder::new()
        .name(format!("keep {}", kept.spec.id))
        .stack_size(STACK_BYTES)
        .spawn(move || wait_for_end(&state, &kept, children))?;
    Ok(())
}

fn wait_for_end(state: &State, kept: &Kept, children: Vec<Child>) {
    while let Err(error) = shim::wait_gone(&kept.place.run) {
        tracing::error!(sandbox = %kept.spec.id, %error, "cannot wait for the shim; trying again");
        thread::sleep(Duration::from_secs(1));
    }
    // Nobody makes or removes a sandbox of this name until all of the old one is gone.
    let _busy = state.occupy(&kept.spec.id);
    let ended = match shim::ended(&kept.place.run) {
        Ok(Some(ended)) => ended,
        Ok(None) => lost(kept),
        Err(error) => {
            tracing::error!(sandbox = %kept.spec.id, %error, "the exit status is damaged");
            lost(kept)
        }
    };
    // The egress worker writes its last rows before its sandbox counts as ended.
    for child in children {
        reap(child);
    }
    kept.set_ended(ended);
    state.end_container(&kept.spec.id, &kept.cgroup);
}

/// Waits for a child that is about to end, and ends it when it does not.
fn reap(mut child: Child) {
    for _ in 0..CHILD_LOOKS {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        thread::sleep(CHILD_LOOK);
    }
    spawn::end(&mut child);
}

/// The shim is gone without a word: whatever still runs has lost its output and is ended.
fn lost(kept: &Kept) -> Ended {
    tracing::error!(sandbox = %kept.spec.id, "the shim was lost; its sandbox is ended");
    let group = Group::new(&kept.cgroup);
    let usage = group.usage().ok();
    if let Err(error) = group.kill_all() {
        tracing::error!(sandbox = %kept.spec.id, %error, "processes of a lost sandbox are still there");
    }
    let ended = Ended {
        status: KILLED_STATUS,
        killed_by: Some(KilledBy::Platform),
        memory_peak_bytes: usage.map_or(0, |usage| usage.memory_peak_bytes),
        memory_kills: usage.map_or(0, |usage| usage.memory_kills),
        cpu_microseconds: usage.map_or(0, |usage| usage.cpu_microseconds),
        wall_microseconds: 0,
    };
    let written = serde_json::to_vec(&ended)
        .map_err(io::Error::from)
        .and_then(|bytes| write_whole(&kept.place.run.join(shim::EXIT_FILE), &bytes));
    if let Err(error) = written {
        tracing::error!(sandbox = %kept.spec.id, %error, "the end of a lost sandbox cannot be written down");
    }
    ended
}

impl State {
    /// Ends whatever is left of a container and takes its group and network away. Nothing to do when it is all gone.
    pub(crate) fn end_container(&self, id: &crate::request::SandboxId, cgroup: &str) {
        let group = Group::new(cgroup);
        if let Err(error) = group.kill_all() {
            tracing::error!(sandbox = %id, %error, "processes of an ended sandbox are still there");
        }
        let deleted = spawn::command(&self.config.runtime)
            .arg("--root")
            .arg(self.runtime_root())
            .args(["delete", "--force", "--"])
            .arg(self.container(id))
            .output();
        match deleted {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                tracing::debug!(sandbox = %id, %text, "the runtime had nothing to delete");
            }
            Err(error) => tracing::error!(sandbox = %id, %error, "the runtime cannot be started"),
        }
        if let Err(error) = group.remove() {
            tracing::error!(sandbox = %id, %error, "a control group is still there");
        }
        if let Err(error) = self.layout.clear(self.config.instance, id) {
            tracing::error!(sandbox = %id, %error, "a scope is still there");
        }
        if let Err(error) = self.network.remove(id) {
            tracing::error!(sandbox = %id, %error, "a network interface is still there");
        }
    }
}
