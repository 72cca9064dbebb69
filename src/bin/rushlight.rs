//! The program `rushlight` of `cargo install rushlight --features server`. The Python package has a program with more commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    rushlight::server::cli::main(std::env::args_os().skip(1))
}
