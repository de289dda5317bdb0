//! Adaptive pooling: a given number of windows, which may overlap.

use netc_dialect::LowerError;
use netc_ir::{ElemType, Literal, Number, Padding, Pool, ValueId, Window};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("AdaptiveAveragePooling1D", |c| pool(c, Pool::Avg, 1), "The mean of each of `output_size` windows."),
    one("AdaptiveAveragePooling2D", |c| pool(c, Pool::Avg, 2), "The mean of each of `output_size` windows."),
    one("AdaptiveAveragePooling3D", |c| pool(c, Pool::Avg, 3), "The mean of each of `output_size` windows."),
    one("AdaptiveMaxPooling1D", |c| pool(c, Pool::Max, 1), "The largest element of each of `output_size` windows."),
    one("AdaptiveMaxPooling2D", |c| pool(c, Pool::Max, 2), "The largest element of each of `output_size` windows."),
    one("AdaptiveMaxPooling3D", |c| pool(c, Pool::Max, 3), "The largest element of each of `output_size` windows."),
];

/// Limit on the windows along an axis. Bounds the constants that a hostile configuration can ask for.
const MAX_WINDOWS: u64 = 1 << 16;

fn pool(c: &mut Call<'_, '_>, kind: Pool, n: usize) -> Result<ValueId> {
    let mut x = c.input()?;
    if c.rank(x)? != n + 2 {
        let note = format!("`{}` takes a tensor of rank {}, found {}", c.class(), n + 2, c.ty(x));
        return Err(LowerError::Operands(note));
    }
    if !c.elem(x).is_float() {
        return Err(c.unsupported(format!("elements of type {}", c.elem(x))));
    }
    for (axis, windows) in c.tuple("output_size", n)?.into_iter().enumerate() {
        if windows == 0 {
            return Err(c.bad("output_size", "integers of 1 or more"));
        }
        if windows > MAX_WINDOWS {
            return Err(c.unsupported_key("output_size"));
        }
        x = along(c, x, kind, (axis, n), windows)?;
    }
    Ok(x)
}

/// Pools along one of `n` spatial axes.
///
/// Windows have one of two lengths. All windows of both lengths are computed, and the wanted ones gathered.
fn along(c: &mut Call<'_, '_>, x: ValueId, kind: Pool, (axis, n): (usize, usize), windows: u64) -> Result<ValueId> {
    let layout = c.layout()?;
    let at = netc_ir::infer::first_spatial(layout) + axis;
    let extent = c.extent(x, at)?;
    let bounds = |i: u64| {
        let edge = |i: u64| u128::from(i) * u128::from(extent);
        let end = edge(i + 1).div_ceil(u128::from(windows));
        let start = edge(i) / u128::from(windows);
        (u64::try_from(start).unwrap_or(u64::MAX), u64::try_from(end).unwrap_or(u64::MAX))
    };
    let small = extent.div_ceil(windows);
    let is_long = |(start, end): (u64, u64)| end - start > small;
    let mut of_length = |length: u64| {
        let mut size = vec![1; n];
        if let Some(slot) = size.get_mut(axis) {
            *slot = length;
        }
        let window = Window { strides: vec![1; n], dilations: vec![1; n], padding: Padding::Valid, layout };
        c.b.pool(kind, x, size, window)
    };
    let short = of_length(small)?;
    let both = if (0..windows).map(bounds).any(is_long) {
        let long = of_length(small + 1)?;
        c.b.concat(&[short, long], at as u64)?
    } else {
        short
    };
    let behind = extent - small + 1;
    let places = (0..windows).map(bounds).map(|b| b.0.saturating_add(if is_long(b) { behind } else { 0 }));
    let places = Literal::dense(ElemType::I32, &[windows], places.map(|p| Number::Int(p.into())));
    let places = c.b.constant(places)?;
    Ok(c.b.gather(both, places, at as u64)?)
}
