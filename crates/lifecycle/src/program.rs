//! The program `lifecycle`: which phase to run is its own name or its first argument, as the reference has it. Where
//! analyzer, restorer, exporter, creator and rebaser come, they get their place in [`Phase`].

use crate::{
    build::{self, BuildError},
    buildpack::BuildpackError,
    detect::{self, DetectError},
    environment::Variables,
    inputs::{InputError, Inputs},
    testing::{self, Kept, TestError, Tests},
};
use std::{env, error::Error, ffi::OsStr, path::Path, process::ExitCode};

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Detect,
    Build,
    /// Detector, then builder, in one process tree: our platform's own.
    DetectAndBuild,
    /// These two, then the source's tests.
    Test,
}

/// Exit statuses (platform specification, "Exit Codes"; the numbers of the reference).
mod status {
    pub(super) const ARGUMENTS: u8 = 3;
    pub(super) const PLATFORM_API: u8 = 11;
    pub(super) const BUILDPACK_API: u8 = 12;
    pub(super) const NOTHING_DETECTED: u8 = 20;
    pub(super) const DETECT_BUILDPACK: u8 = 21;
    pub(super) const DETECT: u8 = 22;
    pub(super) const BUILD_BUILDPACK: u8 = 51;
    pub(super) const BUILD: u8 = 52;
    /// Ours: the tests could not be run.
    pub(super) const TEST: u8 = 93;
}

/// Runs the phase that this process was started for.
pub fn main() -> ExitCode {
    let arguments: Result<Vec<String>, _> = env::args_os().map(std::ffi::OsString::into_string).collect();
    let Ok(arguments) = arguments else {
        return fail("start", &"an argument is not UTF-8 text", status::ARGUMENTS);
    };
    let Some((phase, rest)) = phase(&arguments) else {
        let text = "say which phase: lifecycle detect|build|detect-and-build|test [flags]";
        return fail("start", &text, status::ARGUMENTS);
    };
    if rest
        .iter()
        .any(|argument| matches!(argument.trim_start_matches('-'), "version") && argument.starts_with('-'))
    {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let variables: Variables = env::vars_os().collect();
    let (flags, command) = match rest.iter().position(|argument| argument == "--") {
        Some(end) if phase == Phase::Test => (&rest[..end], &rest[end + 1..]),
        _ => (rest, [].as_slice()),
    };
    let inputs = match Inputs::read(flags, &variables) {
        Ok(inputs) => inputs,
        Err(error) => return tell("start", &error, input_status(&error, status::ARGUMENTS)),
    };
    if rustix::process::geteuid().is_root() {
        return fail("start", &"refusing to run as root", status::ARGUMENTS);
    }
    if phase != Phase::Build
        && let Err(error) = detect(&inputs)
    {
        return tell("detect", &error, detect_status(&error));
    }
    let before = if phase == Phase::Test { Kept::now(&inputs) } else { Kept::default() };
    if phase != Phase::Detect {
        let environment = match build::run(&inputs) {
            Ok((_, environment)) => environment,
            Err(error) => return tell("build", &error, build_status(&error)),
        };
        if phase == Phase::Test {
            return match test(&inputs, command, &variables, environment, &before) {
                Ok(status) => ExitCode::from(status),
                Err(error) => tell("test", &error, status::TEST),
            };
        }
    }
    ExitCode::SUCCESS
}

fn test(
    inputs: &Inputs,
    command: &[String],
    told: &Variables,
    environment: Variables,
    before: &Kept,
) -> Result<u8, TestError> {
    let tests = Tests::of(command, told)?;
    if told.contains_key(OsStr::new(testing::STOP_WHEN_MADE)) && Kept::now(inputs).is_new(before) {
        return Ok(testing::MADE);
    }
    Ok(tests.run(inputs, environment)?.unwrap_or(0))
}

fn detect(inputs: &Inputs) -> Result<(), DetectError> {
    let detected = detect::run(inputs)?;
    if inputs.debug {
        for probe in &detected.probes {
            println!("{probe}\n{}", probe.said);
        }
    }
    detect::write(inputs, &detected)
}

fn phase(arguments: &[String]) -> Option<(Phase, &[String])> {
    let named = |name: &str| match name {
        "detect" | "detector" => Some(Phase::Detect),
        "build" | "builder" => Some(Phase::Build),
        "detect-and-build" => Some(Phase::DetectAndBuild),
        "test" => Some(Phase::Test),
        _ => None,
    };
    let (program, rest) = arguments.split_first()?;
    let own_name = Path::new(program).file_name()?.to_str()?;
    if let Some(phase) = named(own_name) {
        return Some((phase, rest));
    }
    let (first, rest) = rest.split_first()?;
    Some((named(first)?, rest))
}

fn detect_status(error: &DetectError) -> u8 {
    match error {
        DetectError::Nothing(nothing) if nothing.error => status::DETECT_BUILDPACK,
        DetectError::Nothing(_) => status::NOTHING_DETECTED,
        DetectError::Buildpack(BuildpackError::Api { .. }) => status::BUILDPACK_API,
        DetectError::Input(error) => input_status(error, status::DETECT),
        _ => status::DETECT,
    }
}

fn build_status(error: &BuildError) -> u8 {
    match error {
        BuildError::Buildpack { .. } => status::BUILD_BUILDPACK,
        BuildError::Load(BuildpackError::Api { .. }) => status::BUILDPACK_API,
        BuildError::Input(error) => input_status(error, status::BUILD),
        _ => status::BUILD,
    }
}

fn input_status(error: &InputError, other: u8) -> u8 {
    match error {
        InputError::NoPlatformApi | InputError::PlatformApi(_) => status::PLATFORM_API,
        InputError::Arguments(_) | InputError::NotText(_) => status::ARGUMENTS,
        _ => other,
    }
}

/// An error with all its causes.
fn tell(phase: &str, error: &dyn Error, status: u8) -> ExitCode {
    fail(phase, &model::sentence::of(error), status)
}

fn fail(phase: &str, text: &dyn std::fmt::Display, status: u8) -> ExitCode {
    eprintln!("ERROR: failed to {phase}: {text}");
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_the_programs_name_or_the_first_argument() {
        for (line, expected) in [
            ("/cnb/lifecycle/detector -app /x", Some((Phase::Detect, 2))),
            ("builder", Some((Phase::Build, 0))),
            ("/cnb/lifecycle/lifecycle detect-and-build", Some((Phase::DetectAndBuild, 0))),
            ("lifecycle build -app /x", Some((Phase::Build, 2))),
            ("lifecycle", None),
            ("lifecycle test -- bash", Some((Phase::Test, 2))),
            ("lifecycle dance", None),
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(phase(&arguments).map(|(phase, rest)| (phase, rest.len())), expected, "{line}");
        }
    }
}
