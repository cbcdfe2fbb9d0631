//! What the image is.

use crate::world::{World, remove, rows};
use std::{fs, os::unix::fs::MetadataExt as _};
use windlass_lifecycle::{export::LayerKind, restore};

#[test]
fn a_build_becomes_an_image_that_starts_its_web_process() {
    let world = World::new();
    let report = world.export().unwrap();
    let names: Vec<_> = report.layers.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        ["example/python:python", "example/pip:packages", "app", "launcher", "config", "process types"]
    );
    assert_eq!(report.cache_layers.len(), 1);
    assert_eq!(report.cache_layers[0].name, "example/pip:wheels");
    assert_eq!(report.default_process.as_deref(), Some("web"));
    assert_eq!(report.buildpacks, ["example/python@1.0.0", "example/pip@2.1.0"]);

    let image = world.store.image(&report.digest).unwrap();
    assert_eq!(image.manifest.config.digest, report.config);
    assert_eq!(image.manifest.config.size, report.config_bytes);
    assert_eq!(world.store.read_blob(&report.digest, 1 << 20).unwrap().len() as u64, report.manifest_bytes);
    let diff_ids: Vec<_> = world
        .request
        .run_image
        .layers
        .iter()
        .map(|layer| layer.diff_id)
        .chain(report.layers.iter().map(|row| row.diff_id))
        .collect();
    assert_eq!(image.config.rootfs.diff_ids, diff_ids);
    assert_eq!(report.total_bytes, image.manifest.layers.iter().map(|layer| layer.size).sum::<u64>());
    assert_eq!(report.new_bytes, report.layers.iter().map(|row| row.blob_bytes).sum::<u64>());

    let config = image.config;
    assert_eq!(config.created.as_deref(), Some("1980-01-01T00:00:01Z"));
    assert_eq!(config.env("PATH"), Some("/cnb/process:/cnb/lifecycle:/usr/bin:/bin"));
    assert_eq!(config.env("LANG"), Some("C.UTF-8"));
    assert_eq!(config.env("CNB_LAYERS_DIR"), Some("/layers"));
    assert_eq!(config.env("CNB_APP_DIR"), Some("/workspace"));
    assert_eq!(config.env("CNB_PLATFORM_API"), Some("0.15"));
    assert_eq!(config.config.entrypoint.as_deref(), Some(&["/cnb/process/web".to_owned()][..]));
    assert_eq!(config.config.cmd, None);
    assert_eq!(config.config.working_dir, "/workspace");
    assert_eq!(config.config.user, "1000:1000");
    assert_eq!(config.history.len(), diff_ids.len());
    assert_eq!(config.history[1].created_by, "Layer: 'python', Created by buildpack: example/python@1.0.0");
}

#[test]
fn labels_say_what_is_in_the_image() {
    let world = World::new();
    let report = world.export().unwrap();
    let config = world.store.image(&report.digest).unwrap().config;
    assert_eq!(config.label("org.example.framework"), Some("flask"), "a buildpack's word counts");
    let json = |name: &str| serde_json::from_str::<serde_json::Value>(config.label(name).unwrap()).unwrap();

    let lifecycle = json("io.buildpacks.lifecycle.metadata");
    let python = &lifecycle["buildpacks"][0];
    assert_eq!(python["key"], "example/python");
    assert_eq!(python["store"]["metadata"]["seen"], 1);
    assert_eq!(python["layers"]["python"]["data"]["version"], "3.13.5");
    assert_eq!(python["layers"]["python"]["sha"], report.layers[0].diff_id.0.to_string());
    let pip = lifecycle["buildpacks"][1]["layers"].as_object().unwrap();
    assert_eq!(pip.keys().collect::<Vec<_>>(), ["packages"], "only layers of the image");
    assert!(pip["packages"]["data"].is_null());
    assert_eq!(lifecycle["app"][0]["sha"], report.layers[2].diff_id.0.to_string());
    assert_eq!(lifecycle["runImage"]["image"], "windlass/run:debian-13");
    let base = &world.request.run_image;
    assert_eq!(lifecycle["runImage"]["topLayer"], base.layers[0].diff_id.0.to_string());

    let build = json("io.buildpacks.build.metadata");
    assert_eq!(build["processes"][0]["type"], "web");
    assert_eq!(build["processes"][0]["buildpackID"], "example/pip");
    assert_eq!(build["buildpack-default-process-type"], "web");
    assert_eq!(json("io.buildpacks.project.metadata")["source"]["version"]["commit"], "0123abc");
}

#[test]
fn layers_hold_what_they_should_and_belong_to_who_they_should() {
    let world = World::new();
    let report = world.export().unwrap();
    let app = world.tree(rows(&report, LayerKind::App)[0]).join("workspace/app.py");
    assert_eq!(fs::read_to_string(&app).unwrap(), "print('hello')\n");
    assert_eq!((fs::metadata(&app).unwrap().uid(), fs::metadata(&app).unwrap().gid()), (1000, 1000));

    let launcher = world.tree(rows(&report, LayerKind::Launcher)[0]).join("cnb/lifecycle/launcher");
    let stat = fs::metadata(&launcher).unwrap();
    assert_eq!((stat.uid(), stat.mode() & 0o7777), (0, 0o755));

    let types = world.tree(rows(&report, LayerKind::ProcessTypes)[0]).join("cnb/process");
    for kind in ["web", "worker"] {
        let target = fs::read_link(types.join(kind)).unwrap();
        assert_eq!(target.to_str(), Some("/cnb/lifecycle/launcher"));
    }
    let config = world.tree(rows(&report, LayerKind::Config)[0]).join("layers/config/metadata.toml");
    assert!(config.is_file());
    for row in &report.layers {
        assert!(!world.tree(row).join("layers/example_pip/tools").exists(), "{} has a build layer", row.name);
        assert!(!world.tree(row).join("layers/example_pip/wheels").exists(), "{} has the cache", row.name);
    }
}

#[test]
fn the_default_process_is_the_one_asked_for_then_web_then_the_only_one() {
    let mut world = World::new();
    world.request.default_process = Some("worker".to_owned());
    let report = world.export().unwrap();
    let entrypoint = world.store.image(&report.digest).unwrap().config.config.entrypoint.unwrap();
    assert_eq!(entrypoint, ["/cnb/process/worker"]);

    world.request.default_process = Some("cron".to_owned());
    let error = world.export().unwrap_err();
    assert!(error.contains("`cron`") && error.contains("web, worker"), "{error}");

    world.request.default_process = None;
    let process = |kind: &str| {
        format!(
            "[[processes]]\ntype = \"{kind}\"\ncommand = [\"x\"]\ndirect = true\nbuildpack-id = \"a\"\nargs = []\n"
        )
    };
    for (kinds, expected) in
        [(&["web", "a"][..], Some("web")), (&["a", "b"], None), (&["a"], Some("a")), (&[], None)]
    {
        let text: String = kinds.iter().map(|kind| process(kind)).collect();
        world.write("/layers/config/metadata.toml", &format!("buildpacks = []\n{text}"));
        let report = world.export().unwrap();
        assert_eq!(report.default_process.as_deref(), expected, "{kinds:?}");
        if expected.is_none() {
            let config = world.store.image(&report.digest).unwrap().config;
            assert_eq!(config.config.entrypoint.unwrap(), ["/cnb/lifecycle/launcher"]);
        }
        assert_eq!(rows(&report, LayerKind::ProcessTypes).len(), usize::from(!kinds.is_empty()));
    }
}

#[test]
fn the_next_build_mounts_what_is_cached() {
    let world = World::new();
    let report = world.export().unwrap();
    let mounted = restore::mounted_layers(&report.next);
    let expected = [report.layers[0].diff_id, report.layers[1].diff_id, report.cache_layers[0].diff_id];
    assert_eq!(mounted.len(), 3);
    assert!(expected.iter().all(|diff_id| mounted.contains(diff_id)), "{mounted:?}");
    for diff_id in mounted {
        assert!(world.paths.layer(&diff_id).join("tree/layers").is_dir());
    }
}

#[test]
fn an_unfinished_build_is_no_image() {
    for (path, expected) in [
        ("/layers/config/metadata.toml", "did not come to its end"),
        ("/cnb/lifecycle/launcher", "no launcher"),
        ("/workspace", "removed the app directory"),
    ] {
        let world = World::new();
        remove(&world, path);
        let error = world.export().unwrap_err();
        assert!(error.contains(path) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_run_image_whose_config_speaks_of_other_layers_is_refused() {
    let mut world = World::new();
    world.request.run_image.layers.clear();
    let error = world.export().unwrap_err();
    assert!(error.contains("the run image is inconsistent"), "{error}");
}
