//! The command `netc` with the passes that come with it.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A model of many layers is millions of small texts, lists and types: with the allocator of most systems, making and
/// freeing them takes as long as all else.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    netc_cli::main(netc_passes::registry(), netc_cli::formats())
}
