//! A fixture of the tests: the egress worker alone, as `windlass worker egress` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    match egress::worker::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}
