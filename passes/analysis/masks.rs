//! Finds ops that must stay in one model: makers and readers of implicit masks, and layers that share weights.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::Dialects;
use netc_ir::{LayerId, MAIN, Module, OpId, OpKind};

use super::calls::callees_first;
use crate::lower::{MaskRead, lower_funcs};

/// The reads of masks in `@main`, and the layers that hold other layers.
///
/// Calls do not mention implicit masks, and models have no inputs for them, so the maker and the reader of a mask must
/// stay in one model. So must a layer and another layer that holds it.
pub(crate) struct MaskReads {
    masks: Vec<MaskRead>,
    /// Pairs of ops: one applies a layer that holds another layer, the other applies that layer.
    ties: Vec<(OpId, OpId)>,
}

impl MaskReads {
    /// Finds them by lowering `module`, if it has masks.
    pub(crate) fn of(module: &Module, dialects: &Dialects) -> Self {
        let ties = ties(module, dialects);
        if !dialects.makes_masks(module) {
            return Self { masks: Vec::new(), ties };
        }
        // This lowering never fails.
        let lowered = lower_funcs(module, dialects);
        let main = module.func_named(MAIN).and_then(|id| lowered.into_iter().nth(id.index()));
        Self { masks: main.map_or_else(Vec::new, |lowered| lowered.reads), ties }
    }

    /// Pairs of ops that must stay together: makers of masks with their certain readers, and held layers with their
    /// holders.
    pub(crate) fn certain(&self) -> impl Iterator<Item = (OpId, OpId)> + '_ {
        let certain = self.masks.iter().filter(|read| read.certain);
        let masks = certain.flat_map(|read| read.made_by.iter().map(|maker| (*maker, read.op)));
        masks.chain(self.ties.iter().map(|(holder, held)| (*held, *holder)))
    }

    /// The first pair that is in two parts: certain reads first, then layers, then uncertain reads. Ops without a part
    /// do not count.
    pub(crate) fn severed<P: PartialEq>(&self, part: impl Fn(OpId) -> Option<P>) -> Option<Severed> {
        let severed = |read: &MaskRead| {
            let reader = part(read.op)?;
            let makers: BTreeSet<OpId> =
                read.made_by.iter().copied().filter(|op| part(*op).as_ref() != Some(&reader)).collect();
            Some(Severed { reader: read.op, maker: *makers.first()?, certain: read.certain, what: What::Mask })
        };
        let all: Vec<Severed> = self.masks.iter().filter_map(severed).collect();
        let tie = self.ties.iter().find_map(|(holder, held)| {
            let apart = part(*holder).is_some_and(|own| part(*held).as_ref() != Some(&own));
            apart.then_some(Severed { reader: *holder, maker: *held, certain: true, what: What::Layer })
        });
        all.iter().find(|severed| severed.certain).copied().or(tie).or(all.first().copied())
    }
}

/// The pairs of ops of `@main` that apply a layer that holds another one, and that other layer. A nested model counts
/// as an op that applies all layers in it.
fn ties(module: &Module, dialects: &Dialects) -> Vec<(OpId, OpId)> {
    let ties = dialects.weight_ties(module);
    let Some(main) = module.func_named(MAIN).filter(|_| !ties.is_empty()) else { return Vec::new() };
    let tied: BTreeSet<LayerId> = ties.iter().flat_map(|(holder, held)| [*holder, *held]).collect();
    let mut ops: BTreeMap<LayerId, Vec<OpId>> = BTreeMap::new();
    // The tied layers in each function and in those that it calls.
    let mut inside: Vec<BTreeSet<LayerId>> = vec![BTreeSet::new(); module.funcs.len()];
    for id in callees_first(module) {
        let mut layers = BTreeSet::new();
        for (op, kind) in module[id].ops().map(|(op, entry)| (op, &entry.kind)) {
            let mut of_op: BTreeSet<LayerId> = kind.layer().filter(|layer| tied.contains(layer)).into_iter().collect();
            if let OpKind::Call(call) = kind {
                of_op.extend(&inside[call.callee.index()]);
            }
            if id == main {
                of_op.iter().for_each(|layer| ops.entry(*layer).or_default().push(op));
            }
            layers.extend(of_op);
        }
        inside[id.index()] = layers;
    }
    let of = |layer: &LayerId| ops.get(layer).map_or(&[][..], Vec::as_slice);
    let mut pairs = Vec::new();
    for (holder, held) in &ties {
        let (holders, held) = (of(holder), of(held));
        // All ops of both layers must be in one part, so each is paired with one op of the other layer.
        if let ([first, ..], [one, ..]) = (holders, held) {
            pairs.extend(holders.iter().map(|op| (*op, *one)).chain(held.iter().map(|op| (*first, *op))));
        }
    }
    pairs.retain(|(holder, held)| holder != held);
    pairs
}

/// A mask that is made in one part and read in another, or two layers that share weights in two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Severed {
    pub(crate) maker: OpId,
    pub(crate) reader: OpId,
    /// Whether the reader surely reads it. An unsupported layer only may.
    pub(crate) certain: bool,
    pub(crate) what: What,
}

/// The kind of thing that a cut severs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A mask from its reader.
    Mask,
    /// A layer from another that holds it.
    Layer,
}

impl What {
    /// The object of "the cut severs ...".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Mask => "a mask",
            Self::Layer => "two layers that share weights",
        }
    }
}

impl Severed {
    /// Describes what is severed. `name` returns the name of an op.
    pub(crate) fn text(self, name: impl Fn(OpId) -> String) -> String {
        let (reader, maker) = (name(self.reader), name(self.maker));
        if self.what == What::Layer {
            return format!("`{reader}` and `{maker}` share weights, which are saved only with `{maker}`");
        }
        let reads = if self.certain { "reads" } else { "is unsupported and may read" };
        format!("`{reader}` {reads} the mask that `{maker}` attaches to its result, and masks cannot leave a model")
    }
}
