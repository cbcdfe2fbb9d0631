//! The layer store as its callers use it, on real directories; needs root, as its workers are root of their range.

mod hostile;
mod images;
mod namespace;
mod publishing;
mod tars;
mod unpacking;
