//! One isolated process tree on this machine, asked for in typed terms.
//!
//! [`request`] is the whole language between serve and the helper; [`client`] speaks it; `helper/` is its root side;
//! `shim/` keeps one container. Nothing here takes a path from a caller.

pub mod cgroup;
pub mod client;
#[doc(hidden)]
pub mod fuzzing;
pub mod helper;
pub mod mounts;
pub mod network;
pub mod request;
pub mod seccomp;
pub mod shim;
mod wire;
pub mod worker;
