//! Affine chains, as from batch normalization, and adjacent products.

use netc_ir::{Binary, CoreOp, ElemType, Layout, Literal};

use super::Added;
use super::literal::literal;
use super::scope::Draft;
use crate::features::Feature;
use crate::recipe::of;

/// The ops of a link, on a tensor and a constant.
const LINKS: &[Binary] = &[Binary::Mul, Binary::Add, Binary::Sub, Binary::Div];

/// Exclusive upper bound of the links of a chain.
const MAX_LINKS: u8 = 4;

impl Draft<'_> {
    /// Adds a chain of ops with constants along one axis, with a product before it, after it, on both sides or on
    /// neither.
    pub(super) fn affine(&mut self, [a, b, c]: [u8; 3], [form, links, shape, data]: [u8; 4]) -> Added {
        let layout = of(Layout::ALL, form / 4);
        let product = |draft: &mut Self, read: u8| match form / 8 % 2 {
            0 => draft.conv(read, layout, [shape, b, c, data]),
            _ => draft.matmul(read, b, [data % 2, shape, data]),
        };
        let before = if form % 4 % 2 == 1 { product(self, a) } else { None };
        let start = before.or_else(|| self.value(a, |v| v.ty.elem.is_float() && v.ty.rank() != Some(0)))?;
        let rank = self.dims(start).len();
        // The channel axis: the last or the second.
        let axis = if form / 4 % 2 == 0 { rank - 1 } else { 1.min(rank - 1) };
        let mut x = start;
        for i in 0..=links % MAX_LINKS {
            x = self.link(x, axis, links.rotate_left(2 * u32::from(i)), data.wrapping_add(i))?;
        }
        let after = if form % 4 / 2 == 1 { product(self, 0) } else { None };
        after.or(Some(x))
    }

    /// Adds one op of `x` and a constant or a weight, either a vector along the axis or a scalar.
    fn link(&mut self, x: usize, axis: usize, form: u8, data: u8) -> Added {
        let dims = self.dims(x);
        let extent = dims[axis].known().filter(|_| form % 8 != 7);
        let behind = dims.len() - axis - 1;
        let shape = match extent {
            None if self.has(Feature::Scalars) => Vec::new(),
            extent => [vec![extent.unwrap_or(1)], vec![1; behind]].concat(),
        };
        let elem = self.elem(x);
        let link = of(LINKS, form);
        let constant = match form / 8 % 2 {
            _ if link == Binary::Div => self.sure(CoreOp::Constant(divisor(elem, &shape, data)), &[])?,
            0 => self.weight(elem, &shape, data)?,
            _ => self.sure(CoreOp::Constant(literal(elem, &shape, data, true)), &[])?,
        };
        let constant_first = form / 16 % 4 == 3 && link != Binary::Div;
        let operands = if constant_first { [constant, x] } else { [x, constant] };
        self.op(CoreOp::Binary(link), &operands)
    }
}

/// A constant far from zero.
fn divisor(elem: ElemType, dims: &[u64], data: u8) -> Literal {
    Literal::splat(elem, dims, of(&[2.0, 0.5, -1.25, 3.0], data))
}
