//! What comes back for the next build, layer type by layer type (platform specification, "Layer Types").

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cnb::{
    label::lifecycle::{BuildpackLayers, LayerMetadata},
    layer::Types,
};
use windlass_lifecycle::{export::Previous, restore};

/// What the build before left: one layer of these types, `aaa…` in the image and `in_cache` in the cache.
fn previous(types: Types, in_cache: &str) -> Previous {
    let Types { launch, build, cache } = types;
    let layer = |digit: &str| LayerMetadata {
        sha: format!("sha256:{}", digit.repeat(64)).parse().unwrap(),
        data: serde_json::json!({ "version": "3.13" }),
        build,
        launch,
        cache,
    };
    let entry = |layer: LayerMetadata, wanted: bool| BuildpackLayers {
        key: "example/python".to_owned(),
        version: "1".to_owned(),
        layers: wanted.then(|| ("python".to_owned(), layer)).into_iter().collect(),
        store: None,
    };
    let mut previous = Previous::default();
    previous.image.buildpacks = vec![entry(layer("a"), launch)];
    previous.cache.buildpacks = vec![entry(layer(in_cache), cache)];
    previous
}

#[test]
fn each_type_of_layer_comes_back_as_the_specification_says() {
    // (build, launch, cache), its description, its contents
    for (types, described, mounted) in [
        ((true, true, true), true, true),
        ((true, false, true), true, true),
        ((true, true, false), false, false),
        ((true, false, false), false, false),
        ((false, true, true), true, true),
        ((false, false, true), true, true),
        ((false, true, false), true, false),
        ((false, false, false), false, false),
    ] {
        let (build, launch, cache) = types;
        let previous = previous(Types { launch, build, cache }, "a");
        let files = restore::scratch_files(&previous);
        assert_eq!(files.len(), usize::from(described), "{types:?}: {files:?}");
        assert_eq!(restore::mounted_layers(&previous).len(), usize::from(mounted), "{types:?}");
        for file in files {
            assert_eq!(file.path, "/layers/example_python/python.toml");
            let layer = cnb::layer::Layer::read("python.toml", &file.bytes).unwrap();
            assert_eq!(layer.types, Types::default(), "its buildpack has to claim it again");
            assert_eq!(layer.data(), serde_json::json!({ "version": "3.13" }));
        }
    }
}

#[test]
fn a_layer_about_which_image_and_cache_disagree_does_not_come_back() {
    let previous = previous(Types { launch: true, build: false, cache: true }, "b");
    assert!(restore::mounted_layers(&previous).is_empty());
    assert!(restore::scratch_files(&previous).is_empty());
}

#[test]
fn what_a_buildpack_remembers_comes_back_whatever_became_of_its_layers() {
    let mut previous = previous(Types { launch: true, build: true, cache: false }, "a");
    let store = cnb::store::Store::read("store.toml", b"[metadata]\nseen = [\"3.12\", \"3.13\"]\n").unwrap();
    previous.image.buildpacks[0].store = Some(store.clone());
    let files = restore::scratch_files(&previous);
    assert_eq!(files[0].path, "/layers/example_python/store.toml");
    assert_eq!(cnb::store::Store::read("store.toml", &files[0].bytes).unwrap(), store);
}
