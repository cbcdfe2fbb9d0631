//! What runs inside a build's sandbox: see `windlass_lifecycle::program`.

fn main() -> std::process::ExitCode {
    windlass_lifecycle::program::main()
}
