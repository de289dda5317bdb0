//! Computed extents.

use netc_ir::{Binary, CoreOp, Dim, ElemType, Literal, Name, Reduce};

use super::Added;
use super::movement::INDICES;
use super::scope::{Draft, Value};
use crate::features::Feature;
use crate::recipe::of;

/// Maximum of a computed extent. The minimum is 1, as for other symbols.
const MOST: f64 = 5.0;

impl Draft<'_> {
    /// Adds a `dim`. Usually its result then bounds the tensor, so that the ops that computed the tensor stay live.
    pub(super) fn dim(&mut self, read: u8, [axis, form]: [u8; 2]) -> Added {
        let (x, axis) = self.axis(read, axis, |_| self.has(Feature::Scalars))?;
        let n = self.op(CoreOp::Dim(axis), &[x])?;
        if form % 4 == 0 || !self.get(x).is_number() {
            return Some(n);
        }
        let bound = self.sure(CoreOp::Cast(self.elem(x)), &[n])?;
        self.op(CoreOp::Binary(Binary::Min), &[x, bound])
    }

    /// Adds an `iota` whose extent comes from an axis or from an input. Usually a tensor is then broadcast to that
    /// extent, or bounded by the sum of the numbers.
    pub(super) fn iota(&mut self, read: u8, [axis, source, elem, form]: [u8; 4]) -> Added {
        let (x, axis) = self.axis(read, axis, |_| self.has(Feature::Scalars))?;
        let numbers = self.numbers(x, axis, source, elem)?;
        if form % 8 == 0 {
            return Some(numbers);
        }
        let repeated = [self.dims(numbers), self.dims(x)].concat();
        if let Some(repeated) = self.op(CoreOp::Broadcast(repeated), &[x]) {
            return Some(repeated);
        }
        if !self.get(x).is_number() {
            return Some(numbers);
        }
        let sum = self.total(numbers)?;
        let bound = self.sure(CoreOp::Cast(self.elem(x)), &[sum])?;
        self.op(CoreOp::Binary(Binary::Min), &[x, bound])
    }

    fn numbers(&mut self, x: usize, axis: u64, source: u8, elem: u8) -> Added {
        let elem = if self.has(Feature::Integers) { of(INDICES, elem) } else { ElemType::I64 };
        let input = if source.is_multiple_of(3) { self.input(source / 3) } else { None };
        if let Some(input) = input {
            let n = self.total(input)?;
            return self.computed(n, elem);
        }
        let extent = self.dims(x)[axis as usize].clone();
        let n = self.op(CoreOp::Dim(axis), &[x])?;
        if source % 3 == 1 {
            return self.computed(n, elem);
        }
        let n = self.sure(CoreOp::Cast(elem), &[n])?;
        let carrier = extent.known().is_none().then_some(x);
        self.op(CoreOp::Iota(extent), &[n].into_iter().chain(carrier).collect::<Vec<_>>())
    }

    /// An integer or boolean input. Floats would not do: rounding must not change extents.
    fn input(&self, read: u8) -> Added {
        let scope = self.scope();
        let whole = |v: &Value| v.ty.elem.is_int() || v.ty.elem == ElemType::Bool;
        let inputs: Vec<usize> = (0..scope.params).filter(|x| self.is_main() && whole(self.get(*x))).collect();
        (!inputs.is_empty()).then(|| of(&inputs, read))
    }

    /// Adds the sum of the elements, as a scalar.
    fn total(&mut self, x: usize) -> Added {
        let wide = self.sure(CoreOp::Cast(ElemType::I64), &[x])?;
        let axes = self.axes(wide, u8::MAX);
        self.sure(CoreOp::Reduce { kind: Reduce::Sum, axes, keep: false }, &[wide])
    }

    /// Adds an `iota` of the scalar `n`, clamped to the allowed extents.
    fn computed(&mut self, n: usize, elem: ElemType) -> Added {
        if !self.has(Feature::Symbols) {
            return None;
        }
        let least = self.sure(CoreOp::Constant(Literal::splat(ElemType::I64, &[], 1.0)), &[])?;
        let most = self.sure(CoreOp::Constant(Literal::splat(ElemType::I64, &[], MOST)), &[])?;
        let n = self.sure(CoreOp::Binary(Binary::Max), &[n, least])?;
        let n = self.sure(CoreOp::Binary(Binary::Min), &[n, most])?;
        let n = self.sure(CoreOp::Cast(elem), &[n])?;
        let extent = Dim::symbol(self.free_symbol());
        self.op(CoreOp::Iota(extent), &[n])
    }

    /// A symbol that is unused in the function. Other functions may use it; inlining renames symbols.
    pub(super) fn free_symbol(&self) -> Name {
        let dims = self.scope().values.iter().flat_map(|v| v.ty.dims.iter().flatten());
        let taken: std::collections::BTreeSet<Name> = dims.flat_map(Dim::symbols).collect();
        let mut names = (0..).map(|i| Name::from(format!("K{i}")));
        names.find(|name| !taken.contains(name)).unwrap_or_else(|| "K".into())
    }
}
