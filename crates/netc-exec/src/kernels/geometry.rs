//! Geometry of sliding windows: for every output element, which window elements fall inside the input.

use netc_ir::{MAX_RANK, Padding, Window};

use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::allocate;

/// The windows over the spatial axes of a channels-last tensor.
pub(super) struct Geometry {
    axes: Vec<Axis>,
    /// The batch size.
    pub(super) batch: usize,
    /// Elements of the input per batch entry and channel.
    pub(super) inputs: usize,
    /// Elements of the output per batch entry and channel.
    pub(super) outputs: usize,
}

/// The windows along one axis.
struct Axis {
    /// Elements of the input.
    extent: usize,
    /// Elements of the window.
    taps: usize,
    dilation: usize,
    /// One span per output element.
    spans: Vec<Span>,
}

/// The elements of one window that fall inside the input.
#[derive(Clone, Copy)]
struct Span {
    /// The first such element.
    tap: usize,
    /// The number of such elements.
    count: usize,
    /// The input position of the first.
    at: usize,
}

impl Geometry {
    /// Windows of the extents `taps` over an input of the channels-last shape `dims`, for a result of shape `out`.
    pub(super) fn new(dims: &[usize], taps: &[u64], window: &Window, out: &[usize]) -> Result<Self> {
        let (batch, spatial) = (dims[0], &dims[1..dims.len() - 1]);
        let out = &out[1..out.len() - 1];
        let axes = (0..spatial.len()).map(|i| axis(spatial[i], taps[i], window, i, out[i])).collect::<Result<_>>()?;
        Ok(Self { axes, batch, inputs: spatial.iter().product(), outputs: out.iter().product() })
    }

    /// Whether every output element sees exactly the input element at its own position.
    pub(super) fn is_identity(&self) -> bool {
        let own = |(i, s): (usize, &Span)| s.count == 1 && s.at == i;
        self.axes.iter().all(|a| a.taps == 1 && a.spans.len() == a.extent && a.spans.iter().enumerate().all(own))
    }

    /// Visits the window of the output element `place`: calls `f` with the index of each window element inside the
    /// input and its input position. Both are row-major over the spatial axes.
    pub(super) fn for_each_tap(&self, place: usize, mut f: impl FnMut(usize, usize)) {
        let step = self.step();
        self.for_each_run(place, |tap, at, n| (0..n).for_each(|i| f(tap.wrapping_add(i), at + i * step)));
    }

    /// Like [`for_each_tap`](Self::for_each_tap), but in runs along the last axis: calls `f` with the index and
    /// position of the first element and the length of the run. The positions of a run are [`step`](Self::step) apart.
    pub(super) fn for_each_run(&self, place: usize, mut f: impl FnMut(usize, usize, usize)) {
        match self.axes.len() {
            0..=FEW_SPATIAL => self.runs::<FEW_SPATIAL>(place, &mut f),
            _ => self.runs::<MAX_RANK>(place, &mut f),
        }
    }

    /// The number of elements of a window.
    pub(super) fn taps(&self) -> usize {
        self.axes.iter().fold(1, |all, axis| all.saturating_mul(axis.taps))
    }

    /// The distance between neighbouring window elements along the last axis.
    pub(super) fn step(&self) -> usize {
        self.axes.last().map_or(1, |axis| axis.dilation)
    }

    fn runs<const N: usize>(&self, place: usize, f: &mut impl FnMut(usize, usize, usize)) {
        let mut spans = [Span { tap: 0, count: 1, at: 0 }; N];
        let mut rest = place;
        for (axis, span) in self.axes.iter().zip(&mut spans).rev() {
            let n = axis.spans.len().max(1);
            *span = axis.spans[rest % n];
            rest /= n;
        }
        self.visit(&self.axes, &spans, 0, 0, f);
    }

    fn visit<F: FnMut(usize, usize, usize)>(&self, axes: &[Axis], spans: &[Span], tap: usize, at: usize, f: &mut F) {
        let ([axis, axes @ ..], [span, spans @ ..]) = (axes, spans) else { return f(tap, at, 1) };
        let (tap, at) = (tap.wrapping_mul(axis.taps).wrapping_add(span.tap), at * axis.extent + span.at);
        if axes.is_empty() {
            return f(tap, at, span.count);
        }
        for i in 0..span.count {
            self.visit(axes, spans, tap.wrapping_add(i), at + i * axis.dilation, f);
        }
    }
}

/// Number of spatial axes that covers nearly all windows.
const FEW_SPATIAL: usize = 3;

fn axis(extent: usize, taps: u64, window: &Window, i: usize, out: usize) -> Result<Axis> {
    let (stride, dilation) = (i128::from(window.strides[i]), i128::from(window.dilations[i]));
    let (n, k) = (extent as i128, i128::from(taps));
    let low = match &window.padding {
        Padding::Valid => 0,
        Padding::Explicit(pads) => i128::from(pads[i].0),
        // An odd element of padding goes to the end.
        Padding::Same => ((out as i128 - 1) * stride + (k - 1) * dilation + 1 - n).max(0) / 2,
    };
    let span = |place: usize| {
        let base = place as i128 * stride - low;
        let first = if base < 0 { (-base + dilation - 1) / dilation } else { 0 };
        let end = if n > base { (n - base + dilation - 1) / dilation } else { 0 }.min(k);
        if end <= first {
            return Span { tap: 0, count: 0, at: 0 };
        }
        // Both ends are inside the input, whose extent is a `usize`.
        Span { tap: first as usize, count: (end - first) as usize, at: (base + first * dilation) as usize }
    };
    let mut spans = allocate(out, &netc_ir::Type::fixed(netc_ir::ElemType::U64, &[out as u64]))?;
    spans.extend((0..out).map(span));
    let taps = usize::try_from(taps).map_err(|_| KernelError::Memory { ty: format!("window of {taps}") })?;
    Ok(Axis { extent, taps, dilation: window.dilations[i] as usize, spans })
}
