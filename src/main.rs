//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    rapport::backend::keep_freed_memory();
    rapport::cli::main()
}
