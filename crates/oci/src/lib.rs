//! OCI words: descriptors, image manifests and image configurations as the platform stores them.
//!
//! Own structs instead of a crate's: the same image must serialise to the same bytes every time (its digest is its
//! name), so maps are sorted and the order of fields stands here; and what strangers send may hold keys we do not know.

mod config;
mod manifest;
pub mod media_type;

pub use config::{Execution, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, ImageManifest};

use model::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The digest of these bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The one serialisation of a document that the platform makes: compact JSON, fields in their declared order,
/// maps sorted by key. Its digest names the document.
pub fn canonical_json<T: Serialize>(document: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(document)
}
