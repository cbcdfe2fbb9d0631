//! Giving up root, and staying to the end.

use super::ShimError;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Becomes `id` for good, keeping one capability: to end the container, whose processes have other users. Reading
/// the cgroup's counters needs none, and every file that is still written is open.
pub(super) fn drop_to(id: u32) -> Result<(), ShimError> {
    let user = Uid::from_raw(id);
    let group = Gid::from_raw(id);
    let kill = CapabilitySets {
        effective: CapabilitySet::KILL,
        permitted: CapabilitySet::KILL,
        inheritable: CapabilitySet::empty(),
    };
    let dropped = || {
        rustix::thread::set_keep_capabilities(true)?;
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
        rustix::thread::set_capabilities(None, kill)?;
        rustix::thread::set_no_new_privs(true)
    };
    dropped().map_err(|error| ShimError::Kernel("give up root", error.into()))
}

/// systemd sends SIGTERM to every process of a scope that it stops. It is meant for the tool: the shim stays until the
/// tool has ended, and tells how.
pub(super) fn outlive_terminate() {
    extern "C" fn nothing(_: libc::c_int) {}
    // A handler, since programs that the shim starts would inherit that a signal is ignored.
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: the handler does nothing; a wait that it interrupts is waited for again.
    #[expect(unsafe_code, reason = "a handler of a signal is a bare function")]
    unsafe {
        libc::signal(libc::SIGTERM, handler as libc::sighandler_t);
    }
}
