//! From the tree that a build left to an image in the layer store.

mod report;
mod request;

pub use report::{CacheLayer, LayerKind, LayerRow, ProcessRow, Report};
pub use request::{BaseImage, BaseLayer, Previous, Request};
