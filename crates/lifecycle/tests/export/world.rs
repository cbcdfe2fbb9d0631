//! A build that ended: its tree, what it wrote, a layer store with a run image, and the answer of the last export.

use layers::{Owner, Published, Store};
use model::Paths;
use oci::{Execution, ImageConfig};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};
use windlass_lifecycle::export::{self, BaseImage, BaseLayer, LayerKind, LayerRow, Report, Request, View};

pub(crate) const METADATA: &str = r#"
buildpack-default-process-type = "web"

[[buildpacks]]
id = "example/python"
version = "1.0.0"
api = "0.10"
homepage = "https://python.example"

[[buildpacks]]
id = "example/pip"
version = "2.1.0"
api = "0.10"

[[labels]]
key = "org.example.framework"
value = "flask"

[[processes]]
type = "web"
command = ["gunicorn", "app:app"]
args = ["--workers", "2"]
direct = true
buildpack-id = "example/pip"

[[processes]]
type = "worker"
command = ["python", "-m", "worker"]
args = []
direct = true
buildpack-id = "example/pip"
"#;

pub(crate) struct World {
    home: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) paths: Paths,
    pub(crate) request: Request,
}

impl World {
    /// A first build: everything is in the upper.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(home.path().join("data"), home.path());
        let store = Store::open(&paths).unwrap();
        let run_image = run_image(&store);
        let request = Request {
            layers_only: false,
            run_image,
            previous: None,
            app_dir: "/workspace".to_owned(),
            user_id: 1000,
            group_id: 1000,
            default_process: None,
            env: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
            labels: [("org.example.framework".to_owned(), "none".to_owned())].into(),
            project: Some(cnb::project_metadata::ProjectMetadata::git("0123abc", "refs/heads/main")),
        };
        let world = Self { home, store, paths, request };
        fs::create_dir_all(world.upper("/")).unwrap();
        fs::create_dir_all(world.view("/")).unwrap();
        world.write("/cnb/lifecycle/launcher", "the launcher's bytes");
        world.write("/workspace/app.py", "print('hello')\n");
        world.write("/layers/config/metadata.toml", METADATA);
        world.layer("example_python/python", "launch = true\nbuild = true\ncache = true", Some("3.13.5"));
        world.write("/layers/example_python/python/bin/python", "\x7fELF");
        world.write("/layers/example_python/store.toml", "[metadata]\nseen = 1\n");
        world.layer("example_pip/packages", "launch = true\ncache = true", None);
        world.write("/layers/example_pip/packages/flask.py", "import nothing\n");
        world.layer("example_pip/wheels", "cache = true", None);
        world.write("/layers/example_pip/wheels/flask.whl", "PK");
        world.layer("example_pip/tools", "build = true", None);
        world.write("/layers/example_pip/tools/cc", "only for the build");
        world
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn view(&self, path: &str) -> PathBuf {
        self.home.path().join("view").join(path.trim_start_matches('/'))
    }

    pub(crate) fn upper(&self, path: &str) -> PathBuf {
        self.home.path().join("upper").join(path.trim_start_matches('/'))
    }

    /// What the build writes: it stands in the merged tree and in the upper.
    pub(crate) fn write(&self, path: &str, content: &str) {
        for at in [self.view(path), self.upper(path)] {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, content).unwrap();
        }
    }

    pub(crate) fn layer(&self, name: &str, types: &str, version: Option<&str>) {
        let metadata = version.map(|version| format!("[metadata]\nversion = \"{version}\"\n"));
        let text = format!("[types]\n{types}\n{}", metadata.unwrap_or_default());
        self.write(&format!("/layers/{name}.toml"), &text);
        fs::create_dir_all(self.view(&format!("/layers/{name}"))).unwrap();
        fs::create_dir_all(self.upper(&format!("/layers/{name}"))).unwrap();
    }

    pub(crate) fn export(&self) -> Result<Report, String> {
        let view = View::open(&self.view("/"), Some(&self.upper("/"))).unwrap();
        export::run(&self.request, &view, &self.store).map_err(|error| chain(&error))
    }

    /// The next build of the same tool: the layers of the one before are mounted, nothing is written yet.
    pub(crate) fn next_build(&mut self, report: &Report) {
        self.request.previous = Some(report.next.clone());
        fs::remove_dir_all(self.upper("/")).unwrap();
        for path in ["/workspace/app.py", "/layers/config/metadata.toml"] {
            let content = fs::read_to_string(self.view(path)).unwrap();
            self.write(path, &content);
        }
        for name in ["example_python/python", "example_pip/packages", "example_pip/wheels"] {
            let path = format!("/layers/{name}.toml");
            let content = fs::read_to_string(self.view(&path)).unwrap();
            self.write(&path, &content);
        }
    }

    /// The tree that a layer was unpacked to.
    pub(crate) fn tree(&self, row: &LayerRow) -> PathBuf {
        self.paths.layer(&row.diff_id).join("tree")
    }
}

pub(crate) fn rows(report: &Report, kind: LayerKind) -> Vec<&LayerRow> {
    report.layers.iter().filter(|row| row.kind == kind).collect()
}

/// Names of the layers that the build before did not have.
pub(crate) fn new_names(report: &Report) -> Vec<&str> {
    let image = report.layers.iter().map(|row| (row.reused, row.name.as_str()));
    let cache = report.cache_layers.iter().map(|row| (row.reused, row.name.as_str()));
    image.chain(cache).filter(|(reused, _)| !reused).map(|(_, name)| name).collect()
}

fn run_image(store: &Store) -> BaseImage {
    let layer: Published = store
        .publish(|layer| {
            layer.directory("/etc", 0o755, Owner::ROOT)?;
            layer.file("/etc/os-release", 0o644, Owner::ROOT, b"ID=debian\n")
        })
        .unwrap();
    let config = ImageConfig {
        created: Some("2026-01-01T00:00:00Z".to_owned()),
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: Execution {
            env: Some(vec!["PATH=/usr/bin:/bin".to_owned(), "LANG=C".to_owned()]),
            cmd: Some(vec!["sh".to_owned()]),
            ..Execution::default()
        },
        ..ImageConfig::default()
    };
    let image = store.write_image(config, std::slice::from_ref(&layer)).unwrap();
    BaseImage {
        digest: image.digest,
        name: "windlass/run:debian-13".to_owned(),
        config: serde_json::to_value(&image.config).unwrap(),
        layers: vec![BaseLayer {
            diff_id: layer.diff_id,
            blob: layer.blob_digest,
            blob_bytes: layer.blob_bytes,
        }],
    }
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Removes the tree below a path of both views.
pub(crate) fn remove(world: &World, path: &str) {
    for at in [world.view(path), world.upper(path)] {
        if Path::is_dir(&at) {
            fs::remove_dir_all(at).unwrap();
        } else {
            fs::remove_file(at).unwrap();
        }
    }
}
