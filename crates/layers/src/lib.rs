//! The layer store: every layer unpacked once into a directory by diffID, beside its blob.
//!
//! Start with [`Store`]. A layer enters as a tar, from a stranger ([`Store::unpack_layer`]) or written here
//! ([`Store::publish`]), and always through the same unpacker, so that a directory is what its blob unpacks to.
//! [`LayerWriter`] writes tars as the reference lifecycle does; [`Tree`] reads directories of strangers.

pub mod base;
#[doc(hidden)]
pub mod fuzzing;
mod gzip;
mod image;
#[cfg(test)]
mod kills;
mod limits;
mod maintenance;
mod reader;
mod scrub;
mod step;
mod store;
mod trash;
mod tree;
mod unpack;
pub mod worker;
mod writer;

pub use image::{Image, ImageError};
pub use limits::UnpackLimits;
pub use maintenance::{Answer, Order};
pub use reader::TarError;
pub use scrub::{Checked, Outcome};
pub use store::{Published, Store, StoreError, Unpacked};
pub use tree::{EntryKind, Stat, Tree, TreeError};
pub use unpack::UnpackError;
pub use writer::{LayerWriter, Owner, PublishError, WriteError, diff_id_of};
