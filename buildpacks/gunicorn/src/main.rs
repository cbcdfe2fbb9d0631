//! The default server: when no Procfile names a `web` process and the application has a WSGI object, gunicorn serves
//! it. The pack installs nothing by itself: it asks whoever provides `python-packages` for gunicorn.

use libcnb::{
    Buildpack, Error,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::{
        build_plan::{BuildPlan, BuildPlanBuilder, Require},
        launch::{Launch, LaunchBuilder, ProcessBuilder},
        process_type,
    },
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
};
use pipeline::{
    default_server::{self, AppObject, Found},
    procfile,
};
use std::path::Path;
use thiserror::Error;

/// What is installed when the application's own packages do not bring gunicorn.
const GUNICORN: &str = "gunicorn==27.0.1";

struct GunicornBuildpack;

#[derive(Debug, Error)]
enum GunicornError {
    #[error(transparent)]
    Read(#[from] buildpack_kit::ReadError),
    #[error("detection passed, but the application has no WSGI object")]
    NoObject,
    #[error("cannot write the build plan")]
    Plan(#[from] toml::ser::Error),
}

impl Buildpack for GunicornBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = GunicornError;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, GunicornError> {
        match wanted(&context.app_dir)? {
            Some(_) => DetectResultBuilder::pass().build_plan(build_plan()?).build(),
            None => DetectResultBuilder::fail().build(),
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, GunicornError> {
        let app = wanted(&context.app_dir)?.ok_or(GunicornError::NoObject)?;
        buildpack_kit::summary(&format!("web: {} ({})", app.gunicorn().join(" "), app.file));
        BuildResultBuilder::new().launch(launch(&app)).build()
    }

    fn on_error(&self, error: Error<GunicornError>) {
        match error {
            Error::BuildpackError(error) => {
                buildpack_kit::tell_cause("the gunicorn buildpack failed", &error);
            }
            error => buildpack_kit::tell_cause("the gunicorn buildpack failed", &error),
        }
    }
}

impl From<GunicornError> for Error<GunicornError> {
    fn from(error: GunicornError) -> Self {
        Self::BuildpackError(error)
    }
}

/// The object to serve, unless a Procfile says what `web` is. A Procfile that cannot be read is the procfile pack's
/// to tell.
fn wanted(app_dir: &Path) -> Result<Option<AppObject>, GunicornError> {
    let source = buildpack_kit::read_source(app_dir)?;
    let named = match source.known.get("Procfile").map(|bytes| procfile::parse(bytes)) {
        Some(Ok(processes)) => processes.iter().any(|process| process.process_type.as_str() == "web"),
        Some(Err(_)) => true,
        None => false,
    };
    match default_server::find(&source) {
        Found::App(app) if !named => Ok(Some(app)),
        _ => Ok(None),
    }
}

fn build_plan() -> Result<BuildPlan, GunicornError> {
    let mut packages = Require::new("python-packages");
    let mut metadata = toml::Table::new();
    metadata.insert("install".to_owned(), toml::Value::Array(vec![GUNICORN.into()]));
    packages.metadata(metadata)?;
    Ok(BuildPlanBuilder::new().requires("python").requires(packages).build())
}

fn launch(app: &AppObject) -> Launch {
    let web = ProcessBuilder::new(process_type!("web"), app.gunicorn()).default(true).build();
    LaunchBuilder::new().process(web).build()
}

buildpack_main!(GunicornBuildpack);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_flask_application_without_a_procfile_is_served() {
        let app = tempfile::tempdir().unwrap();
        assert!(wanted(app.path()).unwrap().is_none());
        fs::write(app.path().join("app.py"), "from flask import Flask\napp = Flask(__name__)\n").unwrap();
        let launch = launch(&wanted(app.path()).unwrap().unwrap());
        assert_eq!(launch.processes[0].command, ["gunicorn", "app:app"]);
        assert!(launch.processes[0].default);
    }

    #[test]
    fn a_web_line_or_a_broken_procfile_silences_the_default() {
        let app = tempfile::tempdir().unwrap();
        fs::write(app.path().join("app.py"), "app = 1\n").unwrap();
        for (procfile, serves) in [("worker: x", true), ("web: x", false), ("nonsense", false)] {
            fs::write(app.path().join("Procfile"), procfile).unwrap();
            assert_eq!(wanted(app.path()).unwrap().is_some(), serves, "{procfile}");
        }
    }

    #[test]
    fn gunicorn_is_asked_for_with_its_version() {
        let plan = build_plan().unwrap();
        let packages = plan.requires.iter().find(|require| require.name == "python-packages").unwrap();
        assert_eq!(packages.metadata["install"].as_array().unwrap()[0].as_str(), Some(GUNICORN));
    }
}
