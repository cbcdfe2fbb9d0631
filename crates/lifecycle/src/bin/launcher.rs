//! `/cnb/lifecycle/launcher`: becomes one of the image's processes. `/cnb/process/<type>` are links to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass_lifecycle::launch::main()
}
