//! The binary: CLI verbs for people, and the platform's own processes. The only crate that names backends.
//!
//! `cli/` holds what people type; `up` starts the platform, `parts` are what it starts, `serve` the part with the
//! most in it; `internal` tells by name or first argument what else this process may be (shim, workers, git hooks).

mod cli;
mod internal;
mod lease;
mod parts;
mod serve;
mod settings;
mod units;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The shim and the workers are started thousands of times and stay small: they never reach the CLI's parser.
    if let Some(status) = internal::run() {
        return status;
    }
    cli::run()
}
