//! One isolated process tree on this machine, asked for in typed terms.
//!
//! [`request`] is the whole language between serve and the helper; [`client`] speaks it; `helper/` is its root side;
//! `shim/` keeps one container. Nothing here takes a path from a caller.

pub mod mounts;
pub mod request;
pub mod shim;
