//! The layer store as its callers use it, on real directories; needs root, as its workers are root of their range.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod full;
mod hostile;
mod images;
mod namespace;
mod publishing;
mod scrub;
mod tars;
mod unpacking;
