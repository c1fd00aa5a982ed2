//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    rapport::cli::main()
}
