//! The command `netc` with its standard passes and formats.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A large model consists of millions of small strings, lists and types. With most system allocators half of the time is
/// spent allocating and freeing them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    netc_cli::main(netc_passes::registry(), netc_cli::formats())
}
