//! Manifests and configurations of images: one document, one serialisation, one digest.

use oci::{ImageConfig, ImageManifest, canonical_json, digest_of};

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(bytes) {
        let written = canonical_json(&manifest).unwrap();
        let again: ImageManifest = serde_json::from_slice(&written).unwrap();
        assert_eq!(again, manifest);
        assert_eq!(digest_of(&canonical_json(&again).unwrap()), digest_of(&written));
        for layer in &manifest.layers {
            assert_eq!(layer.digest.to_string().parse(), Ok(layer.digest));
        }
    }
    if let Ok(mut config) = serde_json::from_slice::<ImageConfig>(bytes) {
        let written = canonical_json(&config).unwrap();
        let again: ImageConfig = serde_json::from_slice(&written).unwrap();
        assert_eq!(canonical_json(&again).unwrap(), written);
        config.set_env("PORT", "8000");
        config.set_label("a", "b");
        assert_eq!((config.env("PORT"), config.label("a")), (Some("8000"), Some("b")));
    }
}
