//! The parsers of outside bytes, each as a function that takes any bytes and holds what the parser promises: it ends,
//! keeps to its bounds, reads back what was written, and lets nothing out of its place. A broken promise is a panic.
//!
//! `make fuzz` runs them under libFuzzer, guided by coverage; `tests/seeds.rs` replays `corpus/` in the default lane.

#![allow(clippy::unwrap_used, reason = "a broken promise is a panic: that is what the fuzzer looks for")]

mod descriptors;
mod dns;
mod git_door;
mod helper_wire;
mod http_head;
mod image;
mod launcher;
mod log_rows;
mod names;
mod pkt_line;
mod plan;
mod router_head;
mod tar;
mod tls_hello;
mod unpack;

/// One fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics when these bytes break a promise.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "descriptors", run: descriptors::run },
    Target { name: "dns", run: dns::run },
    Target { name: "git-door", run: git_door::run },
    Target { name: "helper-wire", run: helper_wire::run },
    Target { name: "http-head", run: http_head::run },
    Target { name: "image", run: image::run },
    Target { name: "launcher", run: launcher::run },
    Target { name: "log-rows", run: log_rows::run },
    Target { name: "names", run: names::run },
    Target { name: "pkt-line", run: pkt_line::run },
    Target { name: "plan", run: plan::run },
    Target { name: "router-head", run: router_head::run },
    Target { name: "tar", run: tar::run },
    Target { name: "tls-hello", run: tls_hello::run },
    Target { name: "unpack", run: unpack::run },
];

/// The target of this name.
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// The bytes after the first, and which of `choices` the first one means. Letters count from `a`, so that seeds are
/// text where their format is.
fn choose(bytes: &[u8], choices: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    Some((first.wrapping_sub(b'a') % choices, rest))
}

/// Text that may stand in one line on somebody's terminal.
#[track_caller]
fn is_harmless(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "controls in {text:?}");
}
