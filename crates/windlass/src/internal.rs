//! Programs that only the platform starts: not in any help text, recognised by their name or first argument alone.

use crate::{settings::Settings, up::hand_over};
use git::hook::Stage;
use sandbox::worker::Entered;
use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs an internal program when this process was started as one.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = env::args();
    let called_as = arguments.next().unwrap_or_default();
    // git calls hooks by their file name.
    match Path::new(&called_as).file_name().and_then(|name| name.to_str()) {
        Some("pre-receive") => return Some(hook(Stage::PreReceive)),
        Some("proc-receive") => return Some(hook(Stage::ProcReceive)),
        Some("windlass-generator") => {
            return Some(crate::units::generate(Path::new(&arguments.next().unwrap_or_default())));
        }
        _ => {}
    }
    match arguments.next()?.as_str() {
        "shim" => Some(sandbox::shim::main()),
        "worker" => Some(worker(&arguments.next().unwrap_or_default())),
        "remove-instance" => Some(remove_instance(arguments)),
        hand_over::VERB => Some(would_take_over(arguments.next())),
        part => crate::parts::run(part, arguments),
    }
}

/// What `make clean` asks, `remove-instance <number> <run directory>`, and the package, `remove-instance <windlass.toml>`:
/// a platform that was killed, or whose units were stopped, left its tools running, with their network and groups.
fn remove_instance(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let first = arguments.next().unwrap_or_default();
    let named = match (first.parse(), arguments.next()) {
        (Ok(number), Some(run)) => Some((model::Instance(number), PathBuf::from(run))),
        _ => Settings::read(Path::new(&first)).ok().and_then(|settings| {
            let paths = settings.paths();
            Some((crate::lease::instance_of(&paths.data)?, paths.run))
        }),
    };
    let Some((instance, run)) = named else {
        eprintln!("windlass remove-instance: {first} names no platform of this machine");
        return ExitCode::from(2);
    };
    match crate::up::remove_instance(instance, &run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass remove-instance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a running `windlass up` asks the program that is to take its place.
fn would_take_over(file: Option<String>) -> ExitCode {
    match hand_over::answer(Path::new(&file.unwrap_or_default())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn hook(stage: Stage) -> ExitCode {
    match git::hook::main(stage) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("windlass: {error}");
            ExitCode::FAILURE
        }
    }
}

fn worker(kind: &str) -> ExitCode {
    if kind == "egress" {
        return match egress::worker::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    match sandbox::worker::enter() {
        Ok(Entered::UnpackLayer { data }) => layers::worker::unpack_layer(&data),
        Ok(Entered::UnpackScratch { data, id, owner, max_bytes, max_entries }) => {
            layers::worker::unpack_scratch(&data, id.as_str(), owner, max_bytes, max_entries)
        }
        Ok(Entered::ImportBase { data }) => layers::worker::import_base(&data),
        Ok(Entered::Maintain { data }) => layers::worker::maintain(&data),
        Ok(Entered::TidyRepository { repository }) => tidy(&repository),
        Ok(Entered::Export { data }) => lifecycle::worker::export(&data),
        Err(error) => failed(&error),
    }
}

fn tidy(repository: &std::path::Path) -> ExitCode {
    let told = sandbox::worker::tidy::tidy(repository)
        .and_then(|tidied| Ok(serde_json::to_writer(std::io::stdout().lock(), &tidied)?));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("windlass worker: {}", model::sentence::of(error));
    ExitCode::FAILURE
}
