//! The command `netc` with the passes that come with it.

use std::process::ExitCode;

fn main() -> ExitCode {
    netc_cli::main(netc_passes::registry())
}
