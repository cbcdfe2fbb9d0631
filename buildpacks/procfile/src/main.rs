//! Makes each line of `Procfile` a process type of the image. Commands run as Heroku runs them, by `bash -c`, so that
//! `$PORT` and the like expand when the process starts. `release` becomes a type as well; the platform runs it once
//! before a release goes live.

use libcnb::{
    Buildpack, Error,
    build::{BuildContext, BuildResult, BuildResultBuilder},
    buildpack_main,
    data::launch::{Launch, LaunchBuilder, ProcessBuilder, ProcessType, ProcessTypeError},
    detect::{DetectContext, DetectResult, DetectResultBuilder},
    generic::{GenericMetadata, GenericPlatform},
};
use pipeline::procfile::{self, Process};
use std::{fs, io, path::Path};
use thiserror::Error;

struct ProcfileBuildpack;

#[derive(Debug, Error)]
enum ProcfileError {
    #[error("cannot read Procfile")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Problem(#[from] model::Problem),
    #[error("a process type cannot stand in an image")]
    ProcessType(#[from] ProcessTypeError),
}

impl Buildpack for ProcfileBuildpack {
    type Platform = GenericPlatform;
    type Metadata = GenericMetadata;
    type Error = ProcfileError;

    fn detect(&self, context: DetectContext<Self>) -> libcnb::Result<DetectResult, ProcfileError> {
        if context.app_dir.join("Procfile").is_file() {
            DetectResultBuilder::pass().build()
        } else {
            DetectResultBuilder::fail().build()
        }
    }

    fn build(&self, context: BuildContext<Self>) -> libcnb::Result<BuildResult, ProcfileError> {
        let processes = read(&context.app_dir)?;
        let names: Vec<&str> = processes.iter().map(|process| process.process_type.as_str()).collect();
        buildpack_kit::summary(&format!("processes {} (Procfile)", names.join(", ")));
        BuildResultBuilder::new().launch(launch(&processes)?).build()
    }

    fn on_error(&self, error: Error<ProcfileError>) {
        match error {
            Error::BuildpackError(ProcfileError::Problem(problem)) => buildpack_kit::tell(&problem),
            Error::BuildpackError(error) => {
                buildpack_kit::tell_cause("the procfile buildpack failed", &error);
            }
            error => buildpack_kit::tell_cause("the procfile buildpack failed", &error),
        }
    }
}

impl From<ProcfileError> for Error<ProcfileError> {
    fn from(error: ProcfileError) -> Self {
        Self::BuildpackError(error)
    }
}

fn read(app_dir: &Path) -> Result<Vec<Process>, ProcfileError> {
    let bytes = fs::read(app_dir.join("Procfile")).map_err(ProcfileError::Read)?;
    Ok(procfile::parse(&bytes)?)
}

fn launch(processes: &[Process]) -> Result<Launch, ProcfileError> {
    let mut launch = LaunchBuilder::new();
    for process in processes {
        let process_type: ProcessType = process.process_type.as_str().parse()?;
        let is_web = process.process_type == model::ProcessType::web();
        let command = ["bash", "-c", process.command.as_str()];
        launch.process(ProcessBuilder::new(process_type, command).default(is_web).build());
    }
    Ok(launch.build())
}

buildpack_main!(ProcfileBuildpack);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_becomes_a_process_and_web_is_the_default() {
        let app = tempfile::tempdir().unwrap();
        fs::write(app.path().join("Procfile"), "web: gunicorn -b :$PORT app:app\nrelease: ./migrate\n")
            .unwrap();
        let launch = launch(&read(app.path()).unwrap()).unwrap();
        let shown: Vec<_> =
            launch.processes.iter().map(|p| (p.r#type.as_str(), p.command.join(" "), p.default)).collect();
        assert_eq!(
            shown,
            [
                ("web", "bash -c gunicorn -b :$PORT app:app".to_owned(), true),
                ("release", "bash -c ./migrate".to_owned(), false)
            ]
        );
    }

    #[test]
    fn a_procfile_that_cannot_be_read_is_the_authors_problem_with_its_line() {
        let app = tempfile::tempdir().unwrap();
        fs::write(app.path().join("Procfile"), "web gunicorn\n").unwrap();
        assert!(read(app.path()).unwrap_err().to_string().contains("Procfile line 1"));
        assert!(matches!(read(&app.path().join("no")), Err(ProcfileError::Read(_))));
    }
}
