//! Exports of prepared trees into real layer stores. Needs root, as the worker is root of its range.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod images;
mod mounted;
mod overlay;
mod reuse;
mod world;
