//! Giving up root.

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
