//! Images in the store: a configuration and a manifest, each a blob, over published layers.

use crate::store::{Published, Store, StoreError};
use model::{DiffId, Digest};
use oci::{Descriptor, ImageConfig, ImageManifest, media_type};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest manifest and configuration that is read: what registries accept.
const MAX_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// An image whose documents are in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Digest of the manifest: the image's name.
    pub digest: Digest,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
}

/// An image could not be read or written.
#[derive(Debug, Error)]
pub enum ImageError {
    #[error("cannot read or write a document of the image")]
    Store(#[from] StoreError),
    #[error("the {what} of image {digest} is not what it should be")]
    Document { what: &'static str, digest: Digest, source: serde_json::Error },
    #[error("image {digest} names {blobs} blobs for {layers} layers")]
    Uneven { digest: Digest, blobs: usize, layers: usize },
    #[error("cannot write the image's documents as JSON")]
    Json(#[from] serde_json::Error),
}

impl Image {
    /// The layers, bottom layer first: what each unpacks to, and its blob.
    pub fn layers(&self) -> impl Iterator<Item = (DiffId, &Descriptor)> {
        self.config.rootfs.diff_ids.iter().copied().zip(&self.manifest.layers)
    }
}

impl Store {
    /// Writes the documents of an image with these layers, bottom layer first. The configuration's `rootfs` is set.
    pub fn write_image(&self, mut config: ImageConfig, layers: &[Published]) -> Result<Image, ImageError> {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let config_bytes = oci::canonical_json(&config)?;
        let config_digest = self.write_blob(&config_bytes)?;
        let manifest = ImageManifest::new(
            Descriptor::new(media_type::CONFIG, config_digest, config_bytes.len() as u64),
            layers
                .iter()
                .map(|layer| Descriptor::new(media_type::LAYER_GZIP, layer.blob_digest, layer.blob_bytes))
                .collect(),
        );
        let digest = self.write_blob(&oci::canonical_json(&manifest)?)?;
        Ok(Image { digest, manifest, config })
    }

    /// Reads an image by the digest of its manifest.
    pub fn image(&self, digest: &Digest) -> Result<Image, ImageError> {
        let manifest: ImageManifest = serde_json::from_slice(&self.read_blob(digest, MAX_DOCUMENT_BYTES)?)
            .map_err(|source| ImageError::Document { what: "manifest", digest: *digest, source })?;
        let config: ImageConfig =
            serde_json::from_slice(&self.read_blob(&manifest.config.digest, MAX_DOCUMENT_BYTES)?)
                .map_err(|source| ImageError::Document { what: "configuration", digest: *digest, source })?;
        let (blobs, layers) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if blobs != layers {
            return Err(ImageError::Uneven { digest: *digest, blobs, layers });
        }
        Ok(Image { digest: *digest, manifest, config })
    }
}
