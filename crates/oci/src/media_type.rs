//! The media types that the platform writes or accepts (OCI image specification, media-types.md).

/// An image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer: a tar compressed with gzip. The only form the platform writes: old clients read no other.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
