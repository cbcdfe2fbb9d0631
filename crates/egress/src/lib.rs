//! A build's only way out: resolver and relay by allow-list, one log row per host that was fetched from.
//!
//! [`policy`] says what a build may reach; [`worker`] is the process that serves the listeners which the helper made
//! inside the build's network namespace. [`hello`] and [`head`] read the first bytes of strangers, [`address`] knows
//! which addresses are public.

pub mod address;
mod dns;
#[doc(hidden)]
pub mod fuzzing;
pub mod handover;
pub mod head;
pub mod hello;
mod lookup;
pub mod name;
pub mod policy;
mod relay;
mod report;
pub mod worker;

pub use handover::{Handover, HandoverError};
pub use policy::{HostRule, Policy, PolicyError};
