//! The command `netc` with an additional pass and format: `my-netc model.keras --pass strip-dropout -o out.keras`.

mod steps;
mod strip_dropout;

fn main() -> std::process::ExitCode {
    let passes = netc_passes::registry().with(&strip_dropout::INFO);
    netc_cli::main(passes, netc_cli::formats().with(&steps::FRAMEWORK))
}
