//! The binary: CLI verbs for people, and the platform's own processes. The only crate that names backends.
//!
//! `cli/` holds what people type; `up`, `serve`, `helper_process` and `router_process` what the platform runs;
//! `internal` what the platform starts for itself (shim, workers, git hooks).

mod cli;
mod internal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The shim and the workers are started thousands of times and stay small: they never reach the CLI's parser.
    if let Some(status) = internal::run() {
        return status;
    }
    cli::run()
}
