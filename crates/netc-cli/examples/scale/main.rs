//! How time and memory grow with the size of a model: `cargo run --release -p netc-cli --example scale`.
//!
//! `scale passes` measures passes alone, `scale reading` the command on files that it makes. `scale graph N` prints the
//! graph of `N` ops that is simplified, for `netc GRAPH.nir --pipeline @simplify --timing`, which computes its constants.

#![allow(clippy::print_stdout)]

mod passes;
mod reading;

use std::env;
use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The command allocates with it too, so the figures are the same.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if reading::is_command() {
        return reading::command();
    }
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["graph", n] => match n.parse().map(passes::normalized) {
            Ok(Ok(module)) => print!("{}", netc_ir::print(&module)),
            Ok(Err(_)) | Err(_) => return failed("there is no such graph"),
        },
        ["passes"] => measure_passes(),
        ["reading"] => return measure_reading(),
        [] => {
            measure_passes();
            println!();
            return measure_reading();
        }
        _ => return failed("usage: scale [passes | reading | graph N]"),
    }
    ExitCode::SUCCESS
}

fn measure_passes() {
    passes::splits();
    println!();
    passes::simplifications();
}

fn measure_reading() -> ExitCode {
    match reading::table() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(note: &str) -> ExitCode {
    eprintln!("{note}");
    ExitCode::FAILURE
}
