//! Constants and weights.

use netc_ir::{CoreOp, ElemType, F64, Literal, Number, Type, Weight, WeightData, WeightId};

use super::Added;
use super::scope::Draft;
use super::types::fixed;
use crate::features::Feature;
use crate::recipe::of;

const FINITE: &[f64] = &[0.5, -1.25, 3.0, 0.1, -0.0, 1e-3, 2.0];

const NON_FINITE: &[f64] = &[f64::INFINITY, 1.0, f64::NAN, -0.5, f64::NEG_INFINITY];

impl Draft<'_> {
    /// Adds an existing weight, or a new one with the shape of a value's last axes or of a table entry.
    pub(super) fn new_weight(&mut self, read: u8, [form, entry, axes, data]: [u8; 4]) -> Added {
        let known = self.module.weights.len();
        if known > 0 && form % 3 == 2 {
            return self.sure(CoreOp::Weight(WeightId::new(usize::from(entry) % known)), &[]);
        }
        let ty = self.like(read, entry, axes);
        self.weight(ty.elem, &fixed(ty.dims.as_deref()?), data)
    }

    pub(super) fn new_constant(&mut self, read: u8, [entry, axes, form]: [u8; 3]) -> Added {
        let ty = self.like(read, entry, axes);
        let finite = form < 240 || !self.has(Feature::NonFinite);
        self.sure(CoreOp::Constant(literal(ty.elem, &fixed(ty.dims.as_deref()?), form, finite)), &[])
    }

    /// A type with the last axes of a value, or a table entry.
    fn like(&self, read: u8, entry: u8, axes: u8) -> Type {
        let Some(x) = self.value(read, |_| true).filter(|_| entry % 2 == 1) else { return self.table.ty(entry / 2) };
        let (elem, dims) = (self.elem(x), self.dims(x));
        let axes = usize::from(axes) % (dims.len() + 1);
        Type::new(elem, dims[dims.len() - axes..].iter().cloned())
    }

    /// Adds a new weight: random, a splat, dense, or in a file.
    pub(super) fn weight(&mut self, elem: ElemType, dims: &[u64], form: u8) -> Added {
        let ty = Type::fixed(elem, dims);
        let data = if self.has(Feature::Abstract) && form.is_multiple_of(7) {
            let file = self.module.intern_file("weights/\u{fc}.h5");
            WeightData::File { file, offset: form.into(), len: ty.num_bytes()? }
        } else if elem.is_float() && form < 160 {
            WeightData::Random { seed: form.into(), low: F64::new(-1.0), high: F64::new(1.0) }
        } else {
            WeightData::Inline(literal(elem, dims, form, true))
        };
        let name = format!("{}{}", self.word(form), self.module.weights.len()).into();
        let id = self.module.add_weight(Weight { name, ty, data });
        self.sure(CoreOp::Weight(id), &[])
    }
}

/// A constant: a splat or dense.
pub(super) fn literal(elem: ElemType, dims: &[u64], form: u8, finite: bool) -> Literal {
    let floats = if finite { FINITE } else { NON_FINITE };
    let number = |i: u64| match elem.is_float() {
        true => Number::Float(of(floats, form.wrapping_add(i as u8))),
        false if elem.is_signed_int() => Number::Int(i128::from((u64::from(form) + i) % 7) - 2),
        false => Number::Int(((u64::from(form) + i) % 5).into()),
    };
    match form % 3 {
        0 => Literal::splat_number(elem, dims, number(0)),
        _ => Literal::dense(elem, dims, (0..dims.iter().product()).map(number)),
    }
}
