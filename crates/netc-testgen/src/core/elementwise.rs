//! Ops that compute: elementwise ops, matrix products and reductions.

use netc_ir::{Compare, CoreOp, ElemType, Reduce, infer};

use super::Added;
use super::literal::literal;
use super::scope::{Draft, Value};
use super::types::{broadcasts, dims, fixed};
use crate::recipe::of;

impl Draft<'_> {
    pub(super) fn of_one(&mut self, op: CoreOp, read: u8) -> Added {
        let x = self.value(read, |v| infer(&self.module, &op, &[&v.ty]).is_ok())?;
        self.op(op, &[x])
    }

    /// Adds an op of a value and another one that broadcasts with it. If there is none, and sometimes otherwise, the
    /// other is a new constant.
    pub(super) fn of_two(&mut self, op: CoreOp, [a, b]: [u8; 2], form: u8) -> Added {
        let x = self.value(a, |v| infer(&self.module, &op, &[&v.ty, &v.ty]).is_ok())?;
        let known = self.beside(x, b, |v| self.combines(x, v)).filter(|_| form % 4 != 3);
        let y = known.or_else(|| self.beside_constant(x, form))?;
        let operands = if form.is_multiple_of(5) { [y, x] } else { [x, y] };
        self.op(op, &operands)
    }

    /// Whether `x` and `v` can be operands of one elementwise op.
    fn combines(&self, x: usize, v: &Value) -> bool {
        v.ty.elem == self.elem(x) && broadcasts(self.dims(x), dims(&v.ty))
    }

    /// Adds a constant with the shape of the last axes of `x`.
    fn beside_constant(&mut self, x: usize, form: u8) -> Added {
        let extents = fixed(self.dims(x));
        let axes = usize::from(form / 16) % (extents.len() + 1);
        let literal = literal(self.elem(x), &extents[extents.len() - axes..], form / 4, true);
        self.sure(CoreOp::Constant(literal), &[])
    }

    /// Adds a `select`. The condition is an existing boolean, or a new comparison if none fits.
    pub(super) fn select(&mut self, [c, a, b]: [u8; 3]) -> Added {
        let x = self.value(a, Value::is_ordered)?;
        let known = self.beside(x, c, |v| v.ty.elem == ElemType::Bool && broadcasts(self.dims(x), dims(&v.ty)));
        let condition = known.or_else(|| self.sure(CoreOp::Compare(Compare::Gt), &[x, x]))?;
        let fits = |v: &Value| self.combines(x, v) && broadcasts(self.dims(condition), dims(&v.ty));
        let y = self.beside(x, b, fits).unwrap_or(x);
        let [x, y] = if c.is_multiple_of(2) { [x, y] } else { [y, x] };
        self.op(CoreOp::Select, &[condition, x, y])
    }

    pub(super) fn cast(&mut self, read: u8, elem: u8) -> Added {
        let x = self.value(read, |_| true)?;
        self.op(CoreOp::Cast(of(&self.table.elems, elem)), &[x])
    }

    pub(super) fn reduce(&mut self, kind: Reduce, read: u8, axes: u8, keep: bool) -> Added {
        let x = self.value(read, Value::is_number)?;
        self.op(CoreOp::Reduce { kind, axes: self.axes(x, axes), keep }, &[x])
    }

    /// Adds a product with a new matrix, a batch of new matrices, another value, or the value itself, transposed.
    pub(super) fn matmul(&mut self, a: u8, b: u8, [form, columns, data]: [u8; 3]) -> Added {
        let x = self.value(a, |v| v.is_number() && v.ty.rank() >= Some(2))?;
        let (rows, columns) = (self.dims(x).last()?.clone(), 1 + u64::from(columns % 4));
        let y = match (form % 4, rows.known()) {
            (0, Some(rows)) => self.weight(self.elem(x), &[rows, columns], data)?,
            (1, Some(rows)) => self.weight(self.elem(x), &[1, rows, columns], data)?,
            (2, _) => self.transposed(x)?,
            _ => self.beside(x, b, |v| self.multiplies(x, v)).or_else(|| self.transposed(x))?,
        };
        self.op(CoreOp::MatMul, &[x, y])
    }

    fn multiplies(&self, x: usize, v: &Value) -> bool {
        let [batch @ .., _, inner] = self.dims(x) else { return false };
        match dims(&v.ty) {
            [other @ .., rows, _] => v.ty.elem == self.elem(x) && rows == inner && broadcasts(batch, other),
            _ => false,
        }
    }

    fn transposed(&mut self, x: usize) -> Added {
        let mut perm: Vec<u64> = (0..self.dims(x).len() as u64).collect();
        let last = perm.len().checked_sub(2)?;
        perm.swap(last, last + 1);
        self.op(CoreOp::Transpose(perm), &[x])
    }
}
