//! A build whose egress worker is lost could only fail with words that blame its code: it is ended at once instead, as
//! the platform's fault.

use super::keep::Kept;
use crate::request::KilledBy;
use crate::shim::state::PID_FILE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::thread;

/// These threads only wait.
const STACK_BYTES: usize = 128 * 1024;

/// Watches the worker until the build has ended. `worker` is its pid as it was written down; a process of that number
/// that does not run as `egress_id` is another one.
pub(crate) fn watch(kept: &Arc<Kept>, worker: i32, egress_id: u32) -> io::Result<()> {
    let text = fs::read_to_string(kept.place.run.join(PID_FILE)).unwrap_or_default();
    // Without a first process there is no build any more.
    let Some(first) = text.trim().parse().ok().and_then(open) else { return Ok(()) };
    let is_ours = fs::metadata(format!("/proc/{worker}")).is_ok_and(|process| process.uid() == egress_id);
    let worker = if is_ours { open(worker) } else { None };
    let kept = Arc::clone(kept);
    thread::Builder::new().name(format!("way out {}", kept.spec.id)).stack_size(STACK_BYTES).spawn(
        move || {
            if is_lost(&first, worker.as_ref()) {
                tracing::error!(sandbox = %kept.spec.id, "the egress worker was lost; its build is ended");
                kept.ask_to_end(KilledBy::Platform);
            }
        },
    )?;
    Ok(())
}

fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Whether the worker went before the build's first process, after which it goes by itself.
fn is_lost(first: &OwnedFd, worker: Option<&OwnedFd>) -> bool {
    if let Some(worker) = worker {
        let mut processes = [PollFd::new(first, PollFlags::IN), PollFd::new(worker, PollFlags::IN)];
        while matches!(poll(&mut processes, None), Err(rustix::io::Errno::INTR)) {}
    }
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(first, PollFlags::IN)], Some(&now)).is_ok_and(|ended| ended == 0)
}
