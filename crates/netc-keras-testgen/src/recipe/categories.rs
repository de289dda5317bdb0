//! Layers that encode categories.

use netc_ir::{Attr, Attrs};
use netc_keras::build::Declaration;

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use netc_testgen::Step;

pub(super) fn category(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    if k.flag() {
        let x = d.tokens(step.reads[0])?;
        let modes = ["multi_hot", "one_hot", "count"];
        let config = Attrs::new().with("num_tokens", k.between(1, 9) as i64).with("output_mode", k.of(&modes));
        return d.layer(&Declaration::keras("CategoryEncoding", config).shapeless(), &[x], 1.0);
    }
    let x = d.any(step.reads[0])?;
    let x = d.apart(x)?;
    let bounds: Vec<Attr> = (0..=k.below(3)).map(|i| Attr::from(i as f64 - 1.0)).collect();
    let config = Attrs::new()
        .with("bin_boundaries", Attr::List(bounds))
        .with("num_bins", Attr::Null)
        .with("epsilon", 0.01)
        .with("output_mode", k.of(&["int", "one_hot", "multi_hot", "count"]))
        .with("sparse", false);
    d.layer(&Declaration::keras("Discretization", config).shapeless(), &[x], 3.0)
}
