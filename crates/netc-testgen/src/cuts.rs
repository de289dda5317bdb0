//! Cuts as plain data.

use netc_data::Rng;
use netc_ir::{CoreOp, Module, Op, OpId, OpKind};
use netc_passes::analysis::{OpNames, live_ops, needed_by};
#[cfg(feature = "proptest")]
use proptest::prelude::*;

use crate::recipe::from_last;

/// Where to split a module: the arguments of `split` as plain data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cuts {
    /// The index of a live op, counted from the last, and whether the cut is before the op instead of after it. Weights
    /// and constants do not count.
    pub places: Vec<(u8, bool)>,
    /// Whether each cut also includes all earlier places. Such cuts are ordered in every graph.
    pub nested: bool,
}

impl Cuts {
    /// Derives cuts from a seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::for_part(seed, "cuts");
        let places = (0..=rng.below(3)).map(|_| (rng.below(256) as u8, rng.below(4) == 0)).collect();
        Self { places, nested: rng.below(2) == 0 }
    }

    /// Derives cuts from the first eight bytes. Missing bytes count as 0.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let byte = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let places = (0..=usize::from(byte(0)) % 3).map(|i| (byte(2 * i + 2), byte(2 * i + 3) % 4 == 3)).collect();
        Self { places, nested: byte(1) % 2 == 1 }
    }

    /// A strategy for one to three cuts.
    #[cfg(feature = "proptest")]
    pub fn strategy() -> impl Strategy<Value = Self> {
        let place = (any::<u8>(), prop::bool::weighted(0.25));
        (prop::collection::vec(place, 1..4), any::<bool>()).prop_map(|(places, nested)| Self { places, nested })
    }

    /// The cuts in the syntax of `split`. There are fewer, or none, if `@main` has too few ops.
    pub fn names(&self, module: &Module) -> Vec<String> {
        let Some(main) = module.main() else { return Vec::new() };
        let names = OpNames::of(module, main);
        let live = live_ops(main);
        let mut ops: Vec<OpId> = main.op_ids().filter(|op| live[op.index()] && !is_constant(&main[*op].kind)).collect();
        // A cut after the last op usually leaves nothing for the second stage.
        ops.pop();
        let mut places: Vec<String> = Vec::new();
        for (place, before) in &self.places {
            let Some(op) = from_last(&ops, *place) else { break };
            places.push(format!("{}{}", if *before { "before:" } else { "" }, names.op(op)));
            // In nested cuts, an op that this place depends on adds nothing to the cut.
            let needed = needed_by(main, main[op].results.iter().copied());
            ops.retain(|other| *other != op && !(self.nested && needed[other.index()]));
        }
        if self.nested { (1..=places.len()).map(|n| places[..n].join("+")).collect() } else { places }
    }

    /// A cut inside a nested model of `@main`, in the syntax of `split`; `None` if there is no nested model.
    pub fn inside(&self, module: &Module) -> Option<String> {
        let mut places = self.places.iter().cycle();
        let is_model = |op: &Op| matches!(op.kind, OpKind::Call(_)) && op.kind.layer().is_some();
        let mut func = module.main()?;
        let mut path = String::new();
        let mut choices: Vec<OpId> = func.ops().filter(|(_, op)| is_model(op)).map(|(id, _)| id).collect();
        loop {
            let (place, before) = places.next()?;
            let op = from_last(&choices, *place)?;
            path.push_str(&OpNames::of(module, func).op(op));
            let OpKind::Call(call) = &func[op].kind else {
                return Some(if *before { format!("before:{path}") } else { path });
            };
            func = &module[call.callee];
            path.push('/');
            choices = func.ops().filter(|(_, op)| op.kind.layer().is_some()).map(|(id, _)| id).collect();
        }
    }
}

fn is_constant(kind: &OpKind) -> bool {
    match kind {
        OpKind::Core(op) => matches!(op, CoreOp::Weight(_) | CoreOp::Constant(_)),
        OpKind::Source(_) | OpKind::Call(_) => false,
    }
}
