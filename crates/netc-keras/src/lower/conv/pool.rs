//! Pooling.

use netc_dialect::LowerError;
use netc_ir::{Layout, Padding, Pool, Reduce, ValueId, Window};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("MaxPooling1D", |c| pool(c, Pool::Max, 1), "The largest element of each window over one spatial axis."),
    one("MaxPooling2D", |c| pool(c, Pool::Max, 2), "The largest element of each window over two spatial axes."),
    one("MaxPooling3D", |c| pool(c, Pool::Max, 3), "The largest element of each window over three spatial axes."),
    one(
        "AveragePooling1D",
        |c| pool(c, Pool::Avg, 1),
        "The mean of each window over one spatial axis; padding does not count.",
    ),
    one(
        "AveragePooling2D",
        |c| pool(c, Pool::Avg, 2),
        "The mean of each window over two spatial axes; padding does not count.",
    ),
    one(
        "AveragePooling3D",
        |c| pool(c, Pool::Avg, 3),
        "The mean of each window over three spatial axes; padding does not count.",
    ),
    one("GlobalMaxPooling1D", |c| global(c, Reduce::Max, 1), "The largest element of each channel."),
    one("GlobalMaxPooling2D", |c| global(c, Reduce::Max, 2), "The largest element of each channel."),
    one("GlobalMaxPooling3D", |c| global(c, Reduce::Max, 3), "The largest element of each channel."),
    one("GlobalAveragePooling1D", |c| global(c, Reduce::Mean, 1), "The mean of each channel."),
    one("GlobalAveragePooling2D", |c| global(c, Reduce::Mean, 2), "The mean of each channel."),
    one("GlobalAveragePooling3D", |c| global(c, Reduce::Mean, 3), "The mean of each channel."),
];

pub(crate) const OPS: &[Entry] = &[
    one("MaxPool", |c| pool_op(c, Pool::Max), "The largest element of each window."),
    one("AveragePool", |c| pool_op(c, Pool::Avg), "The mean of each window; padding does not count."),
];

fn pool(c: &mut Call<'_, '_>, kind: Pool, n: usize) -> Result<ValueId> {
    let x = c.input()?;
    windows(c, x, kind, n)
}

fn pool_op(c: &mut Call<'_, '_>, kind: Pool) -> Result<ValueId> {
    let x = c.tensor(0, "inputs")?;
    let n = c.rank(x)?.saturating_sub(2);
    windows(c, x, kind, n)
}

fn windows(c: &mut Call<'_, '_>, x: ValueId, kind: Pool, n: usize) -> Result<ValueId> {
    if !c.elem(x).is_float() {
        return Err(c.unsupported(format!("elements of type {}", c.elem(x))));
    }
    let size = c.tuple("pool_size", n)?;
    let strides = if c.has("strides") { c.tuple("strides", n)? } else { size.clone() };
    let padding = match c.one_of("padding", &["valid", "same"])? {
        "same" => Padding::Same,
        _ => Padding::Valid,
    };
    let window = Window { strides, dilations: vec![1; n], padding, layout: c.layout()? };
    Ok(c.b.pool(kind, x, size, window)?)
}

fn global(c: &mut Call<'_, '_>, kind: Reduce, n: u64) -> Result<ValueId> {
    let (x, mask) = if (kind, n) == (Reduce::Mean, 1) { c.input_with_mask()? } else { (c.input()?, None) };
    if c.ty(x).rank().is_some_and(|r| r as u64 != n + 2) {
        return Err(LowerError::Operands(format!(
            "`{}` takes a tensor of rank {}, found {}",
            c.class(),
            n + 2,
            c.ty(x)
        )));
    }
    let first = match c.layout()? {
        Layout::ChannelsLast => 1,
        Layout::ChannelsFirst => 2,
    };
    let axes: Vec<u64> = (first..first + n).collect();
    let keep = c.flag("keepdims", false)?;
    if let Some(mask) = mask {
        return masked_mean(c, x, mask, first, keep);
    }
    if kind == Reduce::Mean { c.mean(x, &axes, keep) } else { c.reduce(kind, x, &axes, keep) }
}

/// The mean along `axis` of the steps that the mask keeps.
fn masked_mean(c: &mut Call<'_, '_>, x: ValueId, mask: ValueId, axis: u64, keep: bool) -> Result<ValueId> {
    let keeps = c.mask_along(mask, if axis == 1 { 2 } else { 1 })?;
    let x = c.select(keeps, x, 0.0)?;
    let count = c.b.cast(keeps, c.elem(x))?;
    let sum = c.total(Reduce::Sum, x, &[axis], keep)?;
    let count = c.total(Reduce::Sum, count, &[axis], keep)?;
    c.div(sum, count)
}
