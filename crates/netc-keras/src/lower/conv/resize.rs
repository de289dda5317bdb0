//! Image resizing.
//!
//! Along each axis the result is a product with a matrix of interpolation weights, computed as `jax.image.resize` does.
//! The program computes the matrix, so extents may be symbolic.

use netc_dialect::LowerError;
use netc_ir::{Compare, CoreOp, Dim, ElemType, Literal, PadMode, Reduce, SliceAxis, Unary, ValueId};

use crate::config::version::KerasVersion;
use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::norm::to_compute_type;
use crate::lower::ops::einsum::einsum;
use crate::lower::reshape::image;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("UpSampling2D", up_sampling, "Images enlarged by a whole factor along each spatial axis."),
    one("Resizing", resizing, "Images resized to a given height and width."),
    one("CenterCrop", center_crop, "The middle of each image; images that are too small are resized."),
];

pub(crate) const OPS: &[Entry] = &[one("Resize", resize_op, "Images resized to a given height and width.")];

/// The interpolation method.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Nearest,
    Linear,
    Cubic,
    /// With this radius.
    Lanczos(f64),
}

const METHODS: &[(&str, Method)] = &[
    ("bilinear", Method::Linear),
    ("nearest", Method::Nearest),
    ("bicubic", Method::Cubic),
    ("lanczos3", Method::Lanczos(3.0)),
    ("lanczos5", Method::Lanczos(5.0)),
];

/// The method at `interpolation`; all layers write the key.
fn method(c: &Call<'_, '_>) -> Result<Method> {
    let names: Vec<&'static str> = METHODS.iter().map(|(name, _)| *name).collect();
    let name = c.one_of("interpolation", &names)?;
    Ok(METHODS.iter().find(|(n, _)| *n == name).map_or(Method::Linear, |(_, method)| *method))
}

fn up_sampling(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (mut x, first) = image(c, 2)?;
    let sizes = c.tuple_or("size", 2, 2)?;
    let method = if c.has("interpolation") { method(c)? } else { Method::Nearest };
    if sizes.contains(&0) {
        return Err(c.bad("size", "integers of 1 or more"));
    }
    if method != Method::Nearest && !c.elem(x).is_float() {
        return Err(c.unsupported(format!("elements of type {}", c.elem(x))));
    }
    for (axis, size) in (first..).zip(sizes) {
        x = if method == Method::Nearest {
            c.repeat(x, axis, size)?
        } else {
            let to = c.dims(x)?.get(axis).map_or(Dim::Known(1), |d| d.times(&Dim::Known(size)));
            resample(c, x, axis, to, (method, false))?
        };
    }
    Ok(x)
}

fn resizing(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    resized(c, x, [c.count("height")?, c.count("width")?])
}

fn resize_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "images")?;
    let size = c.tuple("size", 2)?;
    let [height, width] = size[..] else { return Err(c.bad("size", "two integers")) };
    if height == 0 || width == 0 {
        return Err(c.bad("size", "two integers of 1 or more"));
    }
    if !c.elem(x).is_float() {
        return Err(c.unsupported(format!("elements of type {}", c.elem(x))));
    }
    resized(c, x, [height, width])
}

/// The first spatial axis of a batch of images. A single image, without a batch axis, is unsupported.
fn first_axis(c: &Call<'_, '_>, x: ValueId) -> Result<usize> {
    if c.rank(x)? != 4 {
        return Err(c.unsupported(format!("images of type {}", c.ty(x))));
    }
    Ok(netc_ir::infer::first_spatial(c.layout()?))
}

/// `x` resized to the height and width `to`. For integer images the result is rounded to integers.
fn resized(c: &mut Call<'_, '_>, x: ValueId, to: [u64; 2]) -> Result<ValueId> {
    let (method, antialias) = (method(c)?, c.flag("antialias", false)?);
    let elem = c.elem(x);
    let first = first_axis(c, x)?;
    let x = framed(c, x, first, to)?;
    if elem.is_float() {
        return both_axes(c, x, first, to, (method, antialias));
    }
    if KerasVersion::of(&c.b.module().attrs) == KerasVersion::Legacy {
        // Keras 2 returns floats.
        return Err(c.unsupported(format!("elements of type {elem}")));
    }
    if method == Method::Nearest {
        return both_axes(c, x, first, to, (method, antialias));
    }
    // `f32` cannot represent the bounds of larger integers.
    let (low, high) = match elem {
        ElemType::U8 => (0.0, 255.0),
        ElemType::I8 => (-128.0, 127.0),
        ElemType::U16 => (0.0, 65535.0),
        ElemType::I16 => (-32768.0, 32767.0),
        ElemType::Bool
        | ElemType::U32
        | ElemType::U64
        | ElemType::I32
        | ElemType::I64
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => return Err(c.unsupported(format!("elements of type {elem}"))),
    };
    let x = c.b.cast(x, ElemType::F32)?;
    let y = both_axes(c, x, first, to, (method, antialias))?;
    let y = c.unary(Unary::Round, y)?;
    let y = c.max(y, low)?;
    let y = c.min(y, high)?;
    Ok(c.b.cast(y, elem)?)
}

fn both_axes(c: &mut Call<'_, '_>, x: ValueId, first: usize, to: [u64; 2], how: (Method, bool)) -> Result<ValueId> {
    let y = resample(c, x, first, Dim::Known(to[0]), how)?;
    resample(c, y, first + 1, Dim::Known(to[1]), how)
}

/// `x` cropped or padded to the aspect ratio of `to`, if the configuration says so.
fn framed(c: &mut Call<'_, '_>, x: ValueId, first: usize, to: [u64; 2]) -> Result<ValueId> {
    let (crop, pad) = (c.flag("crop_to_aspect_ratio", false)?, c.flag("pad_to_aspect_ratio", false)?);
    match (crop, pad) {
        (false, false) => Ok(x),
        (true, true) => Err(c.bad("pad_to_aspect_ratio", "false, because `crop_to_aspect_ratio` is true")),
        (true, false) => cropped(c, x, first, to),
        (false, true) => padded(c, x, first, to),
    }
}

fn cropped(c: &mut Call<'_, '_>, x: ValueId, first: usize, to: [u64; 2]) -> Result<ValueId> {
    let from = [c.extent(x, first)?, c.extent(x, first + 1)?];
    let [height, width] = ratio(from, to);
    let x = middle(c, x, first, height.min(from[0]).max(1))?;
    middle(c, x, first + 1, width.min(from[1]).max(1))
}

fn padded(c: &mut Call<'_, '_>, x: ValueId, first: usize, to: [u64; 2]) -> Result<ValueId> {
    c.one_of("fill_mode", &["constant"])?;
    if c.elem(x) != ElemType::F32 {
        return Err(c.unsupported(format!("`pad_to_aspect_ratio` and elements of type {}", c.elem(x))));
    }
    let from = [c.extent(x, first)?, c.extent(x, first + 1)?];
    let wanted = ratio(from, to);
    let value = c.float_or("fill_value", 0.0)?;
    let [high, wide] = [0, 1].map(|i| wanted[i].saturating_sub(from[i]) / 2);
    let mut amounts = vec![(0, 0); c.rank(x)?];
    // Keras pads one axis at most.
    let (axis, amount) = if high > 0 { (first, high) } else { (first + 1, wide) };
    if let Some(slot) = amounts.get_mut(axis) {
        *slot = (amount, amount);
    }
    if amount == 0 { Ok(x) } else { Ok(c.b.pad(x, amounts, PadMode::Constant, value)?) }
}

/// The height that fits the width, and the width that fits the height, at the aspect ratio of `to`.
fn ratio([height, width]: [u64; 2], to: [u64; 2]) -> [u64; 2] {
    let scaled = |n: u64, times: u64, by: u64| {
        let wide = u128::from(n) * u128::from(times) / u128::from(by.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    };
    [scaled(width, to[0], to[1]), scaled(height, to[1], to[0])]
}

/// The middle `n` elements of an axis, which has at least as many.
fn middle(c: &mut Call<'_, '_>, x: ValueId, axis: usize, n: u64) -> Result<ValueId> {
    let extent = c.extent(x, axis)?;
    let start = extent.saturating_sub(n) / 2;
    if n == extent { Ok(x) } else { c.slice(x, axis, SliceAxis { start, end: Some(start.saturating_add(n)), step: 1 }) }
}

fn center_crop(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.raw_input()?;
    let x = to_compute_type(c, x)?;
    let to = [c.count("height")?, c.count("width")?];
    let first = first_axis(c, x)?;
    if c.extent(x, first)? >= to[0] && c.extent(x, first + 1)? >= to[1] {
        let x = middle(c, x, first, to[0])?;
        return middle(c, x, first + 1, to[1]);
    }
    let x = cropped(c, x, first, to)?;
    both_axes(c, x, first, to, (Method::Linear, false))
}

/// `x` resampled to `to` elements along `axis`.
fn resample(
    c: &mut Call<'_, '_>,
    x: ValueId,
    axis: usize,
    to: Dim,
    (method, antialias): (Method, bool),
) -> Result<ValueId> {
    let dims = c.dims(x)?;
    let Some(from) = dims.get(axis) else {
        return Err(LowerError::Operands(format!("{} has no axis {axis}", c.ty(x))));
    };
    if *from == to {
        return Ok(x);
    }
    if method == Method::Nearest {
        let places = nearest(c, from, &to)?;
        return Ok(c.b.gather(x, places, axis as u64)?);
    }
    let weights = weights(c, from, &to, method, antialias)?;
    let weights = c.b.cast(weights, c.elem(x))?;
    let letters: String = ('a'..='z').take(dims.len()).collect();
    let along = letters.get(axis..=axis).unwrap_or_default();
    einsum(c, &format!("{letters},{along}z->{}", letters.replace(along, "z")), x, weights)
}

/// For each element of the result, the index of the nearest element of the operand.
fn nearest(c: &mut Call<'_, '_>, from: &Dim, to: &Dim) -> Result<ValueId> {
    let (from, all) = (number(c, from)?, number(c, to)?);
    let place = count_up(c, to)?;
    let centre = c.add(place, 0.5)?;
    let scaled = c.mul(centre, from)?;
    let scaled = c.div(scaled, all)?;
    let place = c.unary(Unary::Floor, scaled)?;
    Ok(c.b.cast(place, ElemType::I32)?)
}

/// The weight of each element of the operand (the row) in each element of the result (the column).
fn weights(c: &mut Call<'_, '_>, from: &Dim, to: &Dim, method: Method, antialias: bool) -> Result<ValueId> {
    let scale = scale(c, from, to)?;
    let inverse = c.div(1.0, scale)?;
    let places = count_up(c, to)?;
    let centres = c.add(places, 0.5)?;
    let centres = c.mul(centres, inverse)?;
    let centres = c.sub(centres, 0.5)?;
    let rows = count_up(c, from)?;
    let rows = c.expand(rows, 1)?;
    let apart = c.sub(centres, rows)?;
    let mut apart = c.unary(Unary::Abs, apart)?;
    if antialias {
        let wider = c.max(inverse, 1.0)?;
        apart = c.div(apart, wider)?;
    }
    let weights = match method {
        Method::Nearest | Method::Linear => {
            let rest = c.sub(1.0, apart)?;
            c.max(rest, 0.0)?
        }
        Method::Cubic => cubic(c, apart)?,
        Method::Lanczos(radius) => lanczos(c, apart, radius)?,
    };
    // At the ends some weights are cut off, so the sum is not 1.
    let total = c.reduce(Reduce::Sum, weights, &[0], true)?;
    c.div(weights, total)
}

/// The cubic convolution kernel of Keys with `a = -0.5`.
fn cubic(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let near = horner(c, x, &[1.5, -2.5, 0.0, 1.0])?;
    let far = horner(c, x, &[-0.5, 2.5, -4.0, 2.0])?;
    let is_far = c.compare(Compare::Ge, x, 1.0)?;
    let y = c.select(is_far, far, near)?;
    let is_out = c.compare(Compare::Ge, x, 2.0)?;
    c.select(is_out, 0.0, y)
}

/// Evaluates the polynomial with these coefficients, the highest degree first.
fn horner(c: &mut Call<'_, '_>, x: ValueId, coefficients: &[f64]) -> Result<ValueId> {
    let [first, rest @ .., last] = coefficients else { return Ok(x) };
    let mut y = c.mul(x, *first)?;
    for coefficient in rest {
        if *coefficient != 0.0 {
            y = c.add(y, *coefficient)?;
        }
        y = c.mul(y, x)?;
    }
    c.add(y, *last)
}

fn lanczos(c: &mut Call<'_, '_>, x: ValueId, radius: f64) -> Result<ValueId> {
    let angle = c.mul(x, std::f64::consts::PI)?;
    let sine = c.unary(Unary::Sin, angle)?;
    let slow = c.div(angle, radius)?;
    let slow = c.unary(Unary::Sin, slow)?;
    let y = c.mul(sine, radius)?;
    let y = c.mul(y, slow)?;
    let square = c.square(x)?;
    let square = c.mul(square, std::f64::consts::PI * std::f64::consts::PI)?;
    let is_apart = c.compare(Compare::Gt, x, 1e-3)?;
    let divisor = c.select(is_apart, square, 1.0)?;
    let y = c.div(y, divisor)?;
    let y = c.select(is_apart, y, 1.0)?;
    let is_out = c.compare(Compare::Gt, x, radius)?;
    c.select(is_out, 0.0, y)
}

/// The ratio of `to` to `from`, as a scalar.
fn scale(c: &mut Call<'_, '_>, from: &Dim, to: &Dim) -> Result<ValueId> {
    let times = match (from.known(), to.known(), to.exact_div(from)) {
        (Some(m), Some(n), _) => Some(n as f64 / m as f64),
        (_, _, Some(times)) => times.known().map(|n| n as f64),
        _ => None,
    };
    match times {
        Some(times) => Ok(c.b.constant(Literal::splat(ElemType::F32, &[], times))?),
        None => {
            let (from, to) = (number(c, from)?, number(c, to)?);
            c.div(to, from)
        }
    }
}

/// An extent as a scalar of type `f32`.
fn number(c: &mut Call<'_, '_>, dim: &Dim) -> Result<ValueId> {
    if let Some(n) = dim.known() {
        return Ok(c.b.constant(Literal::splat(ElemType::F32, &[], n as f64))?);
    }
    let ones = ones(c, dim)?;
    c.reduce(Reduce::Sum, ones, &[0], false)
}

/// `0, 1, ...` up to an extent, which is excluded.
fn count_up(c: &mut Call<'_, '_>, dim: &Dim) -> Result<ValueId> {
    if let Some(n) = dim.known() {
        return c.iota(ElemType::F32, n);
    }
    let ones = ones(c, dim)?;
    let counted = c.b.core(CoreOp::CumSum(0), &[ones])?;
    c.sub(counted, 1.0)
}

fn ones(c: &mut Call<'_, '_>, dim: &Dim) -> Result<ValueId> {
    let one = c.b.constant(Literal::splat(ElemType::F32, &[], 1.0))?;
    Ok(c.b.broadcast(one, vec![dim.clone()])?)
}
