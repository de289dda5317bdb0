//! The examples below the options of commands.

use netc_testgen::Feature;

/// Those of `netc`.
pub(super) const NETC: &str = "\
Examples:
  netc model.keras --pass split=mixed9 -o out/       cut after the layer mixed9, write the stages
  netc model.keras --pass split=mixed3,mixed7        three stages, report only
  netc model.keras --pass split=a+b --verify         one cut through two branches, proven equal
  netc cuts model.keras                              where can it be cut through one tensor?
  netc run out/manifest.json --input x.npy -o y.npz  run the stages one after the other
  netc diff model.keras out/manifest.json            compare whole and stages
  netc merge out/manifest.json -o model.keras        make one model of the stages again
  netc zoo:resnet50 -o resnet50.keras                write a built-in architecture as a file

Exit codes: 0 done, 1 the input cannot be done, 2 usage, 3 verification failed.";

/// Those of `netc gen`.
const GEN: &str = "\
Examples:
  netc gen --seed 7 --ops 40                       print a random program of core ops
  netc gen --seed 7 --features branches,nested     print one with these features alone
  netc gen --seed 7 --level layers -o g.nir        write a model of layers as a program
  netc gen --seed 7 --ops 12 -o g.keras            write it as a Keras file
  netc gen --features shared,branches -o g.keras   with these features alone
  netc gen --features nested,custom -o g.keras     with layers of the user too
  netc gen | netc - --pass dce --verify            try a pass on a random program

Features:
";

/// The examples of `netc gen`, and its features.
pub(super) fn of_gen() -> String {
    let feature = |f: &Feature| format!("  {:<14} {}\n", f.name(), f.doc());
    format!("{GEN}{}", Feature::ALL.iter().map(feature).collect::<String>())
}
