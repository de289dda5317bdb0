//! The command `netc` with one more pass: `my-netc model.keras --pass strip-dropout -o out.keras`.

mod strip_dropout;

fn main() -> std::process::ExitCode {
    netc_cli::main(netc_passes::registry().with(&strip_dropout::INFO))
}
