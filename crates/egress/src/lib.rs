//! A build's only way out: resolver and relay by allow-list, one log line per connection.

pub mod policy;

pub use policy::{HostRule, Policy};
