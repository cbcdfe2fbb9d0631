//! Images over layers of the store, and the base images.

use crate::tars::Tar;
use model::Paths;
use oci::ImageConfig;
use std::{fs, path::Path};
use windlass_layers::{Image, Store, UnpackLimits, base};

fn config() -> ImageConfig {
    let mut config =
        ImageConfig { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..ImageConfig::default() };
    config.set_env("PATH", "/bin");
    config
}

#[test]
fn an_image_is_read_back_as_written_and_equal_inputs_give_one_digest() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&Paths::new(home.path().join("data"), home.path())).unwrap();
    let layers: Vec<_> = [b"one", b"two"]
        .map(|content| {
            store.unpack_layer(&*Tar::default().file("a", content).end(), UnpackLimits::LAYER).unwrap()
        })
        .into();
    let image = store.write_image(config(), &layers).unwrap();
    assert_eq!(store.write_image(config(), &layers).unwrap(), image);
    assert_eq!(store.image(&image.digest).unwrap(), image);
    let found: Vec<_> = image.layers().map(|(diff_id, blob)| (diff_id, blob.digest, blob.size)).collect();
    let wanted: Vec<_> = layers.iter().map(|l| (l.diff_id, l.blob_digest, l.blob_bytes)).collect();
    assert_eq!(found, wanted);
    let json = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), image);
}

#[test]
fn a_damaged_or_missing_document_is_named() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::new(home.path().join("data"), home.path());
    let store = Store::open(&paths).unwrap();
    let image = store.write_image(config(), &[]).unwrap();
    fs::write(paths.blob(&image.manifest.config.digest), "{}").unwrap();
    let error = store.image(&image.digest).unwrap_err();
    assert!(format!("{error:?}").contains("Damaged"), "{error:?}");
    let absent = oci::digest_of(b"never written");
    assert!(format!("{:?}", store.image(&absent).unwrap_err()).contains("Missing"));
}

fn base_directory(path: &Path, stated: &str) {
    fs::create_dir_all(path).unwrap();
    let (run, build) = (Tar::default().file("run", b"1").end(), Tar::default().file("build", b"2").end());
    fs::write(path.join("run.tar"), &run).unwrap();
    fs::write(path.join("build.tar"), &build).unwrap();
    let layer = |name: &str, digest: String| format!(r#"{{"file":"{name}.tar","diffId":"{digest}"}}"#);
    let run_layer = layer("run", oci::digest_of(&run).to_string());
    let build_layer = layer(
        "build",
        if stated.is_empty() { oci::digest_of(&build).to_string() } else { stated.to_owned() },
    );
    for (name, layers) in [("run", run_layer.clone()), ("build", format!("{run_layer},{build_layer}"))] {
        let recipe = format!(
            r#"{{"layers":[{layers}],"created":"2026-01-01T00:00:00Z","config":{{"User":"1000:1000","Env":["CNB_USER_ID=1000"]}}}}"#
        );
        fs::write(path.join(format!("{name}.json")), recipe).unwrap();
    }
}

#[test]
fn the_build_image_stands_on_the_run_image_and_a_second_import_reads_no_layer() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&Paths::new(home.path().join("data"), home.path())).unwrap();
    let directory = home.path().join("base");
    base_directory(&directory, "");
    let images = base::import(&store, &directory).unwrap();
    assert_eq!(images.run.config.rootfs.diff_ids[..], images.build.config.rootfs.diff_ids[..1]);
    assert_eq!(images.build.layers().count(), 2);
    assert_eq!(images.run.config.env("CNB_USER_ID"), Some("1000"));
    assert_eq!(images.build.config.history.len(), 2);
    fs::remove_file(directory.join("run.tar")).unwrap();
    assert_eq!(base::import(&store, &directory).unwrap(), images);
}

#[test]
fn a_layer_that_is_not_the_one_described_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&Paths::new(home.path().join("data"), home.path())).unwrap();
    let directory = home.path().join("base");
    base_directory(&directory, &format!("sha256:{}", "0".repeat(64)));
    let error = base::import(&store, &directory).unwrap_err();
    assert!(error.to_string().contains("make the base images again"), "{error}");
    fs::remove_file(directory.join("run.json")).unwrap();
    assert!(base::import(&store, &directory).unwrap_err().to_string().contains("stacks/make-base.sh"));
}
