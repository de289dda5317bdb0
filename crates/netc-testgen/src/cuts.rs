//! Places to cut at, as plain data.

use netc_data::Rng;
use netc_ir::{Module, OpId};
use netc_passes::analysis::{OpNames, live_ops};
use proptest::prelude::*;

use crate::recipe::from_last;

/// Where to split a module: the arguments of `split`, as plain data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuts {
    /// Each is an op that an output needs, counted from the last, and whether the cut is before it.
    pub places: Vec<(u8, bool)>,
    /// Whether each cut also goes through all places before: such cuts have an order, whatever the graph.
    pub nested: bool,
}

impl Cuts {
    /// The cuts that a seed gives.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::for_part(seed, "cuts");
        let places = (0..=rng.below(3)).map(|_| (rng.below(256) as u8, rng.below(4) == 0)).collect();
        Self { places, nested: rng.below(2) == 0 }
    }

    /// One to three cuts.
    pub fn strategy() -> impl Strategy<Value = Self> {
        let place = (any::<u8>(), prop::bool::weighted(0.25));
        (prop::collection::vec(place, 1..4), any::<bool>()).prop_map(|(places, nested)| Self { places, nested })
    }

    /// The cuts as `split` reads them; none if `@main` has no op that an output needs.
    pub fn names(&self, module: &Module) -> Vec<String> {
        let Some(main) = module.main() else { return Vec::new() };
        let names = OpNames::of(module, main);
        let live = live_ops(main);
        let ops: Vec<OpId> = main.op_ids().filter(|op| live[op.index()]).collect();
        let name = |(place, before): &(u8, bool)| {
            let op = from_last(&ops, *place)?;
            Some(format!("{}{}", if *before { "before:" } else { "" }, names.op(op)))
        };
        let places: Vec<String> = self.places.iter().filter_map(name).collect();
        if self.nested { (1..=places.len()).map(|n| places[..n].join("+")).collect() } else { places }
    }
}
