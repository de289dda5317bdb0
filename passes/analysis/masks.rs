//! Which ops need each other for the masks that travel beside values.

use std::collections::BTreeSet;

use netc_ir::{MAIN, Module, OpId};
use netc_pass::{Dialects, Fuel};

use crate::lower::{MaskRead, OnError, lower_funcs};

/// The masks of `@main` that are read by other ops than made them.
///
/// No call mentions them, and models have no inputs for them: what makes a mask and what reads it must stay in one.
pub(crate) struct MaskReads(Vec<MaskRead>);

impl MaskReads {
    /// Finds them by lowering `module`, if there are masks in it.
    pub(crate) fn of(module: &Module, dialects: &Dialects) -> Self {
        if !dialects.makes_masks(module) {
            return Self(Vec::new());
        }
        // Keeping what cannot be lowered leaves nothing to fail.
        let lowered = lower_funcs(module, dialects, OnError::Keep, &mut Fuel::unlimited()).unwrap_or_default();
        let main = module.func_named(MAIN).and_then(|id| lowered.into_iter().nth(id.index()));
        Self(main.map_or_else(Vec::new, |lowered| lowered.reads))
    }

    /// The ops that make masks with those that are known to read them.
    pub(crate) fn certain(&self) -> impl Iterator<Item = (OpId, OpId)> + '_ {
        self.0.iter().filter(|read| read.certain).flat_map(|read| read.made_by.iter().map(|maker| (*maker, read.op)))
    }

    /// The first read, certain ones before others, whose op has another part than one that made the mask. Ops without
    /// a part read nothing.
    pub(crate) fn severed<P: PartialEq>(&self, part: impl Fn(OpId) -> Option<P>) -> Option<Severed> {
        let severed = |read: &MaskRead| {
            let reader = part(read.op)?;
            let makers: BTreeSet<OpId> =
                read.made_by.iter().copied().filter(|op| part(*op).as_ref() != Some(&reader)).collect();
            Some(Severed { reader: read.op, maker: *makers.first()?, certain: read.certain })
        };
        let all: Vec<Severed> = self.0.iter().filter_map(severed).collect();
        all.iter().find(|severed| severed.certain).or(all.first()).copied()
    }
}

/// That a mask is made in one part and read in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Severed {
    pub(crate) maker: OpId,
    pub(crate) reader: OpId,
    /// Whether the reader is known to read masks; a layer without a meaning may.
    pub(crate) certain: bool,
}

impl Severed {
    /// What is severed, in words. `name` gives the name of an op.
    pub(crate) fn text(self, name: impl Fn(OpId) -> String) -> String {
        let (reader, maker) = (name(self.reader), name(self.maker));
        let reads = if self.certain { "reads" } else { "has no meaning to netc and may read" };
        format!("`{reader}` {reads} the mask that `{maker}` attaches to its result, and no mask leaves a model")
    }
}
