//! Convolutions and poolings over one to three spatial axes.

use netc_ir::infer::{channel_axis, first_spatial};
use netc_ir::{CoreOp, Dim, ElemType, Layout, Padding, Pool, Unary, Window};

use super::Added;
use super::scope::Draft;
use super::types::{dims, least};

/// Maximum extent of kernels.
const MAX_KERNEL: u64 = 3;

impl Draft<'_> {
    pub(super) fn conv(&mut self, read: u8, layout: Layout, [shape, steps, padding, form]: [u8; 4]) -> Added {
        let x = self.image(read, layout)?;
        let (window, mut kernel) = self.window(x, layout, [shape, steps, padding]);
        let channels = self.dims(x)[channel_axis(layout, self.dims(x).len())].known()?;
        let groups = match form / 2 % 4 {
            0 | 1 => 1,
            2 if channels.is_multiple_of(2) => 2,
            _ => channels,
        };
        kernel.extend([channels / groups, groups * (1 + u64::from(steps >> 6))]);
        let kernel = self.kernel(self.elem(x), &kernel, form)?;
        self.op(CoreOp::Conv { window, groups }, &[x, kernel])
    }

    /// Adds a kernel: a weight, or an op of a weight.
    fn kernel(&mut self, elem: ElemType, dims: &[u64], form: u8) -> Added {
        let kernel = self.weight(elem, dims, form)?;
        if elem.is_float() && form % 8 == 7 { self.sure(CoreOp::Unary(Unary::Tanh), &[kernel]) } else { Some(kernel) }
    }

    pub(super) fn pool(&mut self, read: u8, layout: Layout, kind: Pool, [shape, steps, padding]: [u8; 3]) -> Added {
        let x = self.image(read, layout)?;
        let (window, size) = self.window(x, layout, [shape, steps, padding]);
        let pool = CoreOp::Pool { kind, size: size.clone(), window: window.clone() };
        // A window entirely in padding gives an infinity or NaN; fall back to windows without padding.
        self.op(pool, &[x]).or_else(|| {
            let window = Window { padding: Padding::Valid, dilations: vec![1; size.len()], ..window };
            let size = vec![1; size.len()];
            self.op(CoreOp::Pool { kind, size, window }, &[x])
        })
    }

    /// A value for windows: it has channels, and no spatial axis is empty.
    fn image(&self, read: u8, layout: Layout) -> Added {
        self.value(read, |v| {
            let dims = dims(&v.ty);
            dims.len() >= 3
                && v.is_number()
                && spatial(layout, dims).iter().all(|d| least(d) > 0)
                && dims[channel_axis(layout, dims.len())].known() > Some(0)
        })
    }

    /// A window and its size that fit every spatial axis of `x`.
    fn window(&self, x: usize, layout: Layout, [shape, steps, padding]: [u8; 3]) -> (Window, Vec<u64>) {
        let extents: Vec<u64> = spatial(layout, self.dims(x)).iter().map(least).collect();
        let pads = |axis: usize| (bits(padding, axis + 2, 3), bits(padding, axis + 3, 3));
        let padding = match padding % 3 {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => Padding::Explicit((0..extents.len()).map(pads).collect()),
        };
        let (mut size, mut dilations) = (Vec::new(), Vec::new());
        for (axis, extent) in extents.iter().enumerate() {
            let room = match &padding {
                Padding::Valid => *extent,
                Padding::Same => u64::MAX,
                Padding::Explicit(pads) => extent + pads[axis].0 + pads[axis].1,
            };
            let taps = 1 + bits(shape, axis, MAX_KERNEL).min(room - 1);
            let dilation = 1 + bits(steps, axis + 3, 2);
            size.push(taps);
            dilations.push(if (taps - 1) * dilation < room { dilation } else { 1 });
        }
        let strides = (0..size.len()).map(|axis| 1 + bits(steps, axis, 3)).collect();
        (Window { strides, dilations, padding, layout }, size)
    }
}

/// A number below `n` from the bits of `knob`, starting at bit `place`.
fn bits(knob: u8, place: usize, n: u64) -> u64 {
    u64::from(knob >> place) % n
}

fn spatial(layout: Layout, dims: &[Dim]) -> &[Dim] {
    let first = first_spatial(layout);
    &dims[first..first + dims.len() - 2]
}
