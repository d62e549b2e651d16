//! The command `watchbell`.

use std::process::ExitCode;

fn main() -> ExitCode {
    watchbell::cli::main()
}
