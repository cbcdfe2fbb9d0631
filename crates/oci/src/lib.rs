//! OCI words: digests, media types, image manifests and configurations as the platform stores them.
