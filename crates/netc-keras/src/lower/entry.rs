//! A class and its lowering.

use netc_ir::ValueId;

use crate::lower::call::Call;
use crate::lower::call::mask::Attaches;
use crate::lower::result::Result;

/// A class and its lowering.
pub struct Entry {
    /// The class, without `keras.` or `keras.ops.`.
    pub class: &'static str,
    /// What it computes, in one line.
    pub doc: &'static str,
    pub(crate) lower: Lower,
    pub(crate) attaches: Attaches,
}

impl Entry {
    /// The entry of a layer that attaches the mask of its first argument to its result.
    pub(crate) const fn passes_mask(self) -> Self {
        Self { attaches: Attaches::Given(None), ..self }
    }

    /// The entry of a layer that takes a mask, passed at `position` or attached to its input, and attaches it to its
    /// result.
    pub(crate) const fn passes_mask_at(self, position: usize) -> Self {
        Self { attaches: Attaches::Given(Some(position)), ..self }
    }
}

pub(crate) enum Lower {
    One(fn(&mut Call<'_, '_>) -> Result<ValueId>),
    Many(fn(&mut Call<'_, '_>) -> Result<Vec<ValueId>>),
}

pub(crate) const fn one(
    class: &'static str,
    lower: fn(&mut Call<'_, '_>) -> Result<ValueId>,
    doc: &'static str,
) -> Entry {
    Entry { class, doc, lower: Lower::One(lower), attaches: Attaches::Own }
}

pub(crate) const fn many(
    class: &'static str,
    lower: fn(&mut Call<'_, '_>) -> Result<Vec<ValueId>>,
    doc: &'static str,
) -> Entry {
    Entry { class, doc, lower: Lower::Many(lower), attaches: Attaches::Own }
}
