//! Log streams: append-only rows with offsets, written by shims, router and stations, tailed by serve.
//!
//! A stream is one file. Its writers (a shim, an egress worker, serve) each append whole rows with one `write` on a
//! descriptor opened with `O_APPEND`, so rows never mix. The byte position of a row is its offset for ever: permalink
//! and event id. Old rows go by punching a hole; a side file says where the stream starts now.
//! No async and no threads: the shim uses this as it is.

mod clean;
mod keep;
mod reader;
mod row;
mod splitter;
mod tail;
mod writer;

pub use clean::clean;
pub use keep::{Recovered, drop_before, recover, start, trim};
pub use reader::{Entry, ReadError, Reader};
pub use row::{Decoded, Flags, MAX_ROW_BYTES, Row, Stream, decode, encode};
pub use splitter::Splitter;
pub use tail::Tail;
pub use writer::Writer;
