//! The examples at the end of `--help`.

use netc_testgen::Feature;

/// The examples of `netc`.
pub(super) const NETC: &str = "\
Examples:
  netc model.keras --pass split=mixed9 -o out/       cut after the layer mixed9 and write the stages
  netc model.keras --pass split=mixed3,mixed7        cut into three stages; report only
  netc model.keras --pass split=a+b --verify         cut two branches and compare the outputs
  netc cuts model.keras                              list the places where one tensor crosses
  netc run out/manifest.json --input x.npy -o y.npz  run the stages in order
  netc diff model.keras out/manifest.json            compare the model with its stages
  netc merge out/manifest.json -o model.keras        merge the stages into one model
  netc zoo:resnet50 -o resnet50.keras                write a built-in model to a file

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 outputs differ.";

/// The examples of `netc gen`.
const GEN: &str = "\
Examples:
  netc gen --seed 7 --ops 40                       print a random program of core ops
  netc gen --seed 7 --features branches,nested     print one with only these features
  netc gen --seed 7 --level layers -o g.nir        write a model of layers as .nir
  netc gen --seed 7 --ops 12 -o g.keras            write a Keras file
  netc gen --features shared,branches -o g.keras   write one with only these features
  netc gen --features nested,custom -o g.keras     write one with custom layers
  netc gen | netc - --pass dce --verify            try a pass on a random program

Features:
";

/// The examples of `netc gen`, and its features.
pub(super) fn of_gen() -> String {
    let feature = |f: &Feature| format!("  {:<14} {}\n", f.name(), f.doc());
    format!("{GEN}{}", Feature::ALL.iter().map(feature).collect::<String>())
}
