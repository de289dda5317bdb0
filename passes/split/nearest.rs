//! Finds the one-tensor cuts nearest to a wider cut.

use netc_dialect::Dialects;
use netc_ir::{Module, OpId};

use super::plan::Boundary;
use crate::analysis::{OneTensorCuts, Opened, Slot};
use crate::flatten_submodels::Flattened;

/// The one-tensor cuts of a module, related to a copy in which some nested models are dissolved.
pub(super) struct Nearest<'a, 'm> {
    flattened: &'a Flattened<'m>,
    opened: Option<Opened<'m>>,
    cuts: Option<OneTensorCuts>,
}

impl<'a, 'm> Nearest<'a, 'm> {
    pub(super) fn of(module: &'m Module, flattened: &'a Flattened<'m>, dialects: &Dialects) -> Self {
        // Slots are comparable only if both count the same models, which holds if the cuts are in models that can be
        // opened.
        let opened = Opened::of(module, dialects);
        let opened = opened.filter(|opened| opened.models.num_slots() == flattened.origins().models.num_slots());
        let cuts = opened.as_ref().map(|opened| OneTensorCuts::of(opened, dialects));
        Self { flattened, opened, cuts }
    }

    /// The names of the last one-tensor cut `before` the boundary, and of the first one after it that encloses all its
    /// values.
    pub(super) fn to(&self, boundary: &Boundary, before: impl Fn(OpId) -> bool) -> [Option<String>; 2] {
        let (Some(opened), Some(cuts), Some(main)) = (&self.opened, &self.cuts, self.flattened.module.main()) else {
            return [None, None];
        };
        let (models, origins) = (&opened.models, self.flattened.origins());
        let (flat, ops) = (&origins.flat, &origins.ops);
        let closed = flat.closed_around(models);
        let is_before = |slot: Slot| flat.computing(models, &closed, slot).is_some_and(|op| before(ops[op as usize]));
        let ends: Vec<Slot> =
            boundary.at.iter().filter_map(|value| Some(self.flattened.slot(main.producer(*value)?))).collect();
        let closed_in: Vec<Vec<Slot>> = cuts.graphs.iter().map(|graph| graph.flat.closed_around(models)).collect();
        let last = cuts.found.iter().rev().find(|found| is_before(found.slot));
        let first = cuts.found.iter().filter(|found| !is_before(found.slot)).find(|found| {
            let graph = &cuts.graphs[found.graph];
            let node = |slot| graph.tree.node(graph.flat.computing(models, &closed_in[found.graph], slot)?);
            ends.iter().all(|end| node(*end).is_some_and(|end| graph.tree.common(found.node, end) == found.node))
        });
        [last, first].map(|found| found.map(|found| found.name.clone()))
    }
}
