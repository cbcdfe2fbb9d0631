//! What one sandbox may use.

use serde::{Deserialize, Serialize};

/// Limits of one sandbox. Every field is enforced by the kernel, except `writable_bytes` of builds, which is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of the whole tree, in bytes; no swap on top.
    pub memory_bytes: u64,
    /// CPU time per second, in thousandths of a core: 1500 = one and a half cores.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes that may be written to the sandbox's own file system.
    pub writable_bytes: u64,
    /// Wall clock in seconds until everything is ended; `None` for services.
    pub wall_seconds: Option<u64>,
    /// Bytes of log rows that the shim writes before it drops the rest with one marker row.
    pub log_bytes: u64,
}

/// One mebibyte in bytes.
pub const MIB: u64 = 1024 * 1024;

impl Limits {
    /// A build or test: generous but ended after 30 minutes.
    pub const BUILD: Self = Self {
        memory_bytes: 2048 * MIB,
        cpu_millis: 2000,
        pids: 512,
        writable_bytes: 4096 * MIB,
        wall_seconds: Some(1800),
        log_bytes: 16 * MIB,
    };
    /// One running process of a tool.
    pub const SERVICE: Self = Self {
        memory_bytes: 512 * MIB,
        cpu_millis: 1000,
        pids: 256,
        writable_bytes: 1024 * MIB,
        wall_seconds: None,
        log_bytes: 64 * MIB,
    };
    /// A release command: as a service, ended after ten minutes.
    pub const TASK: Self = Self { wall_seconds: Some(600), log_bytes: 16 * MIB, ..Self::SERVICE };
}
