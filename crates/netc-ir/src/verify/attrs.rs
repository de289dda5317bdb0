//! The rules about attributes: their depth and their references.

use super::{Place, Verifier};
use crate::attr::{Attrs, MAX_LEVELS, NonJson};
use crate::op::{Op, OpKind};

impl Verifier<'_> {
    /// V14: the attributes are shallow enough to print. Returns false if they are too deep to walk.
    pub(super) fn attrs(&mut self, place: Place<'_>, attrs: &Attrs) -> bool {
        let holds = attrs.is_printable();
        self.require(14, holds, place, || format!("its attributes nest deeper than {MAX_LEVELS} levels"));
        holds
    }

    /// V17: the attributes, which do not belong to a source op, name no weights and functions.
    pub(super) fn plain_attrs(&mut self, place: Place<'_>, attrs: &Attrs) {
        let holds = !self.attrs(place, attrs) || !attrs.has_references();
        self.require(17, holds, place, || {
            "its attributes name weights or functions, as only those of a source op can".into()
        });
    }

    /// V3, V8 and V17: references in the attributes of an op are valid.
    pub(super) fn references(&mut self, here: Place<'_>, op: &Op, attrs: &Attrs) {
        let (mut worst, operands) = (None, op.operands.len());
        attrs.iter().for_each(|(_, a)| a.for_each_operand(&mut |i| worst = worst.max(Some(i))));
        self.require(8, worst.is_none_or(|i| (i as usize) < operands), here, || {
            format!("refers to operand ${}, but has {operands} operands", worst.unwrap_or(0))
        });
        let is_source = matches!(op.kind, OpKind::Source(_));
        attrs.for_each_non_json(&mut |it| match it {
            NonJson::Bytes(_) => {}
            NonJson::Weight(id) => {
                self.require(17, is_source, here, || format!("its attributes name {id}"));
                let exists = id.index() < self.module.weights.len();
                self.require(3, exists, here, || format!("there is no weight {id}"));
            }
            NonJson::Func(id) => {
                self.require(17, is_source, here, || format!("its attributes name {id}"));
                let exists = id.index() < self.module.funcs.len();
                self.require(3, exists, here, || format!("there is no function {id}"));
                self.calls.last_mut().into_iter().for_each(|calls| calls.push(*id));
            }
        });
    }
}

/// Whether the relative path stays inside its folder on every operating system.
pub fn is_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']))
}
