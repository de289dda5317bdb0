//! Rules for convolutions and poolings.

use netc_ir::infer::first_spatial;
use netc_ir::{CoreOp, Dim, Padding, Pool, Window};

use super::site::{Rewrite, Rule, Site};

pub(super) const RULES: &[Rule] = &[
    // Padding that adds no elements is removed.
    Rule {
        name: "padding-nothing",
        apply: |s| {
            let windows = Windows::of(s)?;
            let pads_nothing = windows.window.padding != Padding::Valid && windows.pads_nothing(s)?;
            pads_nothing.then(|| windows.with(s, |w| w.padding = Padding::Valid))
        },
    },
    // Along an axis where the window has one element, dilation has no effect.
    Rule {
        name: "dilation-of-one",
        apply: |s| {
            let windows = Windows::of(s)?;
            let spaced: Vec<u64> = windows.spaced()?;
            (spaced != windows.window.dilations).then(|| windows.with(s, |w| w.dilations = spaced))
        },
    },
    // Pooling windows of one element gives x. Not a mean of floats: it starts from 0, so it turns -0 into 0.
    Rule {
        name: "pool-one",
        apply: |s| {
            let (CoreOp::Pool { kind, size, window }, x) = (s.op, s.operand()?) else { return None };
            let exact = match kind {
                Pool::Max => true,
                Pool::Avg => s.ty(x).elem.is_int(),
            };
            let ones = size.iter().chain(&window.strides).all(|n| *n == 1);
            (exact && ones && window.padding == Padding::Valid).then_some(Rewrite::Value(x))
        },
    },
];

/// The window of a convolution or a pooling.
struct Windows<'a> {
    window: &'a Window,
    /// The extents of a window.
    taps: Vec<Dim>,
}

impl<'a> Windows<'a> {
    fn of(s: &Site<'a>) -> Option<Self> {
        match (s.op, s.operands) {
            (CoreOp::Conv { window, .. }, [_, kernel]) => {
                let [taps @ .., _, _] = s.dims(*kernel)? else { return None };
                Some(Self { window, taps: taps.to_vec() })
            }
            (CoreOp::Pool { size, window, .. }, [_]) => {
                Some(Self { window, taps: size.iter().copied().map(Dim::Known).collect() })
            }
            _ => None,
        }
    }

    /// The op with another window.
    fn with(&self, s: &Site<'_>, change: impl FnOnce(&mut Window)) -> Rewrite {
        let mut op = s.op.clone();
        if let CoreOp::Conv { window, .. } | CoreOp::Pool { window, .. } = &mut op {
            change(window);
        }
        Rewrite::Op(op, s.operands.to_vec())
    }

    /// The dilations, with 1 along axes where the window has one element.
    fn spaced(&self) -> Option<Vec<u64>> {
        let axes = self.window.dilations.iter().zip(&self.taps);
        Some(axes.map(|(dilation, taps)| if taps.is(1) { 1 } else { *dilation }).collect())
    }

    /// Whether no window reaches past an edge of the input.
    fn pads_nothing(&self, s: &Site<'_>) -> Option<bool> {
        let (input, output) = (s.dims(*s.operands.first()?)?, s.dims(s.result)?);
        let first = first_spatial(self.window.layout);
        let fits = |axis: usize| match &self.window.padding {
            Padding::Valid => Some(true),
            Padding::Explicit(pads) => Some(pads.get(axis)? == &(0, 0)),
            Padding::Same if self.taps[axis].is(1) => Some(true),
            Padding::Same => {
                let (n, out) = (input.get(first + axis)?.known()?, output.get(first + axis)?.known()?);
                let steps = out.checked_sub(1)?.checked_mul(*self.window.strides.get(axis)?)?;
                let reach = self.taps[axis].known()?.checked_sub(1)?.checked_mul(*self.window.dilations.get(axis)?)?;
                Some(steps.checked_add(reach)? < n)
            }
        };
        (0..self.taps.len()).try_fold(true, |all, axis| Some(all && fits(axis)?))
    }
}
