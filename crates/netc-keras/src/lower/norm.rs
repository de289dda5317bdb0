//! Normalisation and scaling.

use netc_dialect::LowerError;
use netc_ir::{Attr, Dim, ElemType, Literal, Reduce, Unary, ValueId};

use crate::lower::call::literal::literal;
use crate::lower::call::{Call, normal_axes};
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("BatchNormalization", batch_norm_layer, "`x` scaled and shifted by the moving statistics of each channel.")
        .passes_mask_at(2),
    one("LayerNormalization", layer_norm_layer, "`x` scaled and shifted by its own statistics over `axis`.")
        .passes_mask(),
    one(
        "GroupNormalization",
        group_norm_layer,
        "`x` scaled and shifted by its own statistics over groups of channels.",
    )
    .passes_mask(),
    one("RMSNormalization", rms_norm_layer, "`x` divided by its root mean square over `axis`, scaled."),
    one("UnitNormalization", unit_norm_layer, "`x` divided by its Euclidean norm over `axis`.").passes_mask(),
    one("Normalization", normalization, "`(x - mean) / sqrt(variance)` with the statistics of a data set.")
        .passes_mask(),
    one("Rescaling", rescaling, "`x * scale + offset`.").passes_mask(),
    one("LayerScale", layer_scale, "`x` times a factor for each channel."),
];

pub(crate) const OPS: &[Entry] = &[
    one("BatchNorm", batch_norm_op, "`x` scaled and shifted by given statistics along `axis`."),
    one("LayerNorm", layer_norm_op, "`x` scaled and shifted by its own statistics over `axis`."),
    one("RMSNorm", rms_norm_op, "`x` divided by its root mean square over `axis`, scaled."),
    one("Normalize", normalize_op, "`x` divided by its Euclidean norm over `axis`."),
];

/// `keras.config.epsilon()`, which keeps quotients finite.
const EPSILON: f64 = 1e-7;

/// `x * inv + (beta - mean * inv)`, where `inv = gamma / sqrt(variance + epsilon)`.
struct Affine {
    mean: ValueId,
    variance: ValueId,
    gamma: Option<ValueId>,
    beta: Option<ValueId>,
    epsilon: f64,
}

impl Affine {
    fn apply(self, c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
        let variance = c.add(self.variance, self.epsilon)?;
        let mut inv = c.unary(Unary::Rsqrt, variance)?;
        if let Some(gamma) = self.gamma {
            inv = c.mul(inv, gamma)?;
        }
        let minus_mean = c.unary(Unary::Neg, self.mean)?;
        let mut shift = c.mul(minus_mean, inv)?;
        if let Some(beta) = self.beta {
            shift = c.add(shift, beta)?;
        }
        let scaled = c.mul(x, inv)?;
        let y = c.add(scaled, shift)?;
        if c.dims(y)? == c.dims(x)? {
            return Ok(y);
        }
        // Keras rejects parameters that would broadcast `x`.
        let note = format!("the tensor is {}, but its scale and offset are for {}", c.ty(x), c.ty(y));
        Err(LowerError::Operands(note))
    }
}

/// Reads the weights of a layer in the order of its file.
struct Weights(u64);

impl Weights {
    fn next(&mut self, c: &mut Call<'_, '_>, what: &str) -> Result<ValueId> {
        let place = format!("vars/{}", self.0);
        self.0 += 1;
        c.raw_weight(&place, what)
    }

    fn next_if(&mut self, c: &mut Call<'_, '_>, present: bool, what: &str) -> Result<Option<ValueId>> {
        if present { self.next(c, what).map(Some) } else { Ok(None) }
    }
}

/// `x` cast to the compute type, integers included.
pub(crate) fn to_compute_type(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    match c.compute_type()? {
        Some(elem) => Ok(c.b.cast(x, elem)?),
        None => Ok(x),
    }
}

fn batch_norm_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    // In inference mode a mask changes nothing.
    c.only_args(3, &["inputs", "mask"])?;
    let x = match c.tensors(c.arg(0, "inputs"))?[..] {
        [x] => c.autocast(x)?,
        _ => return Err(LowerError::Operands("`BatchNormalization` takes one tensor".into())),
    };
    let x = c.at_least_f32(x)?;
    let rank = c.rank(x)?;
    let axis = c.axis("axis", rank, -1)?;
    let mut weights = Weights(0);
    let gamma = weights.next_if(c, c.flag("scale", true)?, "the scale `gamma`")?;
    let beta = weights.next_if(c, c.flag("center", true)?, "the offset `beta`")?;
    let mean = weights.next(c, "the moving mean")?;
    let variance = weights.next(c, "the moving variance")?;
    let epsilon = c.float_or("epsilon", 1e-3)?;
    let y = channelwise(c, x, axis, Affine { mean, variance, gamma, beta, epsilon })?;
    to_compute_type(c, y)
}

fn batch_norm_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let (mean, variance) = (c.tensor(1, "mean")?, c.tensor(2, "variance")?);
    let optional =
        |c: &mut Call<'_, '_>, i, name| if c.arg(i, name).is_some() { c.tensor(i, name).map(Some) } else { Ok(None) };
    let beta = optional(c, 3, "offset")?;
    let gamma = optional(c, 4, "scale")?;
    let axis = c.axis("axis", c.rank(x)?, -1)?;
    let epsilon = c.float_or("epsilon", 1e-3)?;
    channelwise(c, x, axis, Affine { mean, variance, gamma, beta, epsilon })
}

/// Applies `affine`, whose vectors run along `axis` of `x`, in the type of `x`.
fn channelwise(c: &mut Call<'_, '_>, x: ValueId, axis: usize, affine: Affine) -> Result<ValueId> {
    let rank = c.rank(x)?;
    let elem = c.elem(x);
    let mut along = |v: ValueId| {
        let v = c.b.cast(v, elem)?;
        c.along(v, axis, rank)
    };
    let affine = Affine {
        mean: along(affine.mean)?,
        variance: along(affine.variance)?,
        gamma: affine.gamma.map(&mut along).transpose()?,
        beta: affine.beta.map(&mut along).transpose()?,
        epsilon: affine.epsilon,
    };
    affine.apply(c, x)
}

fn layer_norm_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    if c.flag("rms_scaling", false)? {
        return Err(c.unsupported_key("rms_scaling"));
    }
    let x = c.raw_input()?;
    let mut weights = Weights(0);
    let gamma = weights.next_if(c, c.flag("scale", true)?, "the scale `gamma`")?;
    let beta = weights.next_if(c, c.flag("center", true)?, "the offset `beta`")?;
    let epsilon = c.float_or("epsilon", 1e-3)?;
    let y = layer_norm(c, x, gamma, beta, epsilon)?;
    to_compute_type(c, y)
}

fn layer_norm_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    if c.flag("rms_scaling", false)? {
        return Err(c.unsupported_key("rms_scaling"));
    }
    let x = c.tensor(0, "x")?;
    let gamma = c.arg(1, "gamma").map(|_| c.tensor(1, "gamma")).transpose()?;
    let beta = c.arg(2, "beta").map(|_| c.tensor(2, "beta")).transpose()?;
    let epsilon = c.float_or("epsilon", EPSILON)?;
    layer_norm(c, x, gamma, beta, epsilon)
}

/// Computes in at least `f32`; the result has the type of `x`.
fn layer_norm(
    c: &mut Call<'_, '_>,
    x: ValueId,
    gamma: Option<ValueId>,
    beta: Option<ValueId>,
    epsilon: f64,
) -> Result<ValueId> {
    let narrow = c.elem(x);
    let x = c.at_least_f32(x)?;
    let axes = axes_or_last(c, x)?;
    let (mean, variance) = c.moments(x, &axes)?;
    let dims = c.dims(x)?;
    let shape: Vec<Dim> =
        (0u64..).zip(&dims).map(|(i, d)| if axes.contains(&i) { d.clone() } else { Dim::Known(1) }).collect();
    let is_last = axes.len() == 1 && axes.first().is_some_and(|a| *a + 1 == dims.len() as u64);
    let elem = c.elem(x);
    let mut place = |v: ValueId| {
        let v = c.b.cast(v, elem)?;
        if is_last { Ok(v) } else { c.reshape(v, shape.clone()) }
    };
    let gamma = gamma.map(&mut place).transpose()?;
    let beta = beta.map(&mut place).transpose()?;
    let y = Affine { mean, variance, gamma, beta, epsilon }.apply(c, x)?;
    Ok(c.b.cast(y, narrow)?)
}

fn axes_or_last(c: &Call<'_, '_>, x: ValueId) -> Result<Vec<u64>> {
    let rank = c.rank(x)?;
    let axes = match c.axes("axis", rank)? {
        Some(axes) => Some(axes),
        None => normal_axes(&Attr::Int(-1), rank),
    };
    axes.ok_or_else(|| c.bad("axis", "axes of the tensor"))
}

fn group_norm_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.raw_input()?;
    let narrow = c.elem(x);
    let dims = c.dims(x)?;
    let axis = c.axis("axis", dims.len(), -1)?;
    let channels = c.extent(x, axis)?;
    let groups = match c.int_or("groups", 32)? {
        -1 => Some(channels),
        n => u64::try_from(n).ok().filter(|n| *n > 0 && channels % n == 0),
    };
    let groups = groups.ok_or_else(|| c.bad("groups", &format!("a divisor of the {channels} channels, or -1")))?;
    if axis == 0 {
        return Err(c.unsupported_key("axis"));
    }
    let split = |dims: &[Dim]| {
        let pair = [Dim::Known(groups), Dim::Known(channels / groups.max(1))];
        [&dims[..axis], &pair, &dims[axis + 1..]].concat()
    };
    let grouped = c.reshape(x, split(&dims))?;
    let grouped = c.at_least_f32(grouped)?;
    let axes: Vec<u64> = (1..=dims.len() as u64).filter(|i| *i != axis as u64).collect();
    let (mean, variance) = c.moments(grouped, &axes)?;
    let mut weights = Weights(0);
    let gamma = weights.next_if(c, c.flag("scale", true)?, "the scale `gamma`")?;
    let beta = weights.next_if(c, c.flag("center", true)?, "the offset `beta`")?;
    let elem = c.elem(grouped);
    let shape = split(&vec![Dim::Known(1); dims.len()]);
    let mut place = |v: ValueId| {
        let v = c.reshape(v, shape.clone())?;
        Ok::<_, LowerError>(c.b.cast(v, elem)?)
    };
    let gamma = gamma.map(&mut place).transpose()?;
    let beta = beta.map(&mut place).transpose()?;
    let epsilon = c.float_or("epsilon", 1e-3)?;
    let y = Affine { mean, variance, gamma, beta, epsilon }.apply(c, grouped)?;
    let y = c.b.cast(y, narrow)?;
    let y = c.reshape(y, dims)?;
    to_compute_type(c, y)
}

fn rms_norm_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let scale = c.weight("vars/0", "the scale")?;
    let epsilon = c.float_or("epsilon", 1e-6)?;
    rms_norm(c, x, Some(scale), epsilon)
}

fn rms_norm_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let scale = c.arg(1, "scale").map(|_| c.tensor(1, "scale")).transpose()?;
    let epsilon = c.float_or("epsilon", EPSILON)?;
    rms_norm(c, x, scale, epsilon)
}

/// Computes in at least `f32`; the result has the type of `x`. Keras aligns `scale` with the last axis, whatever `axis`
/// is.
fn rms_norm(c: &mut Call<'_, '_>, x: ValueId, scale: Option<ValueId>, epsilon: f64) -> Result<ValueId> {
    let narrow = c.elem(x);
    let x = c.at_least_f32(x)?;
    let axes = axes_or_last(c, x)?;
    let square = c.square(x)?;
    let mean = c.mean(square, &axes, true)?;
    let shifted = c.add(mean, epsilon)?;
    let inv = c.unary(Unary::Rsqrt, shifted)?;
    let mut y = c.mul(x, inv)?;
    if let Some(scale) = scale {
        let scale = c.b.cast(scale, c.elem(x))?;
        y = c.mul(y, scale)?;
    }
    Ok(c.b.cast(y, narrow)?)
}

fn unit_norm_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let axes = axes_or_last(c, x)?;
    unit(c, x, &axes, 1e-12)
}

fn normalize_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    if c.int_or("order", 2)? != 2 {
        return Err(c.unsupported_key("order"));
    }
    let x = c.tensor(0, "x")?;
    let axes = axes_or_last(c, x)?;
    let epsilon = c.float_or("epsilon", EPSILON)?;
    unit(c, x, &axes, epsilon)
}

/// `x` divided by its Euclidean norm, or by `epsilon` where that is larger.
pub(crate) fn unit(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64], epsilon: f64) -> Result<ValueId> {
    let square = c.square(x)?;
    let total = c.total(Reduce::Sum, square, axes, true)?;
    let inv = c.unary(Unary::Rsqrt, total)?;
    let inv = c.min(inv, 1.0 / epsilon)?;
    c.mul(x, inv)
}

fn normalization(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.raw_input()?;
    let x = to_compute_type(c, x)?;
    let dims = c.dims(x)?;
    // Without axes, one mean and one variance apply to all elements.
    let axes = c.axes("axis", dims.len())?.unwrap_or_default();
    let (mean, variance) = if c.has("mean") || c.has("variance") {
        (constant(c, "mean", &axes, dims.len())?, constant(c, "variance", &axes, dims.len())?)
    } else {
        let shape: Vec<Dim> =
            (0u64..).zip(dims).map(|(i, d)| if axes.contains(&i) { d } else { Dim::Known(1) }).collect();
        let mean = c.raw_weight("vars/0", "the mean of the data")?;
        let variance = c.raw_weight("vars/1", "the variance of the data")?;
        (c.reshape(mean, shape.clone())?, c.reshape(variance, shape)?)
    };
    let (mean, variance) = (c.b.cast(mean, c.elem(x))?, c.b.cast(variance, c.elem(x))?);
    let root = c.unary(Unary::Sqrt, variance)?;
    let deviation = c.max(root, EPSILON)?;
    if c.flag("invert", false)? {
        let scaled = c.mul(x, deviation)?;
        return c.add(mean, scaled);
    }
    let centred = c.sub(x, mean)?;
    c.div(centred, deviation)
}

/// The constant at `key`, with its axes aligned with the last of `axes`.
fn constant(c: &mut Call<'_, '_>, key: &str, axes: &[u64], rank: usize) -> Result<ValueId> {
    let value = c.get(key).map_or_else(|| Err(c.bad(key, "a constant")), |attr| literal(key, attr))?;
    let Some(first) = axes.len().checked_sub(value.dims.len()) else {
        return Err(c.bad(key, &format!("a constant of at most {} axes", axes.len())));
    };
    let mut shape = vec![Dim::Known(1); rank];
    for (axis, extent) in axes[first..].iter().zip(&value.dims) {
        if let Some(dim) = usize::try_from(*axis).ok().and_then(|i| shape.get_mut(i)) {
            *dim = Dim::Known(*extent);
        }
    }
    let value = c.b.constant(value)?;
    c.reshape(value, shape)
}

fn rescaling(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.raw_input()?;
    let x = to_compute_type(c, x)?;
    let scale = number_or_list(c, "scale", 1.0, x)?;
    let offset = number_or_list(c, "offset", 0.0, x)?;
    let y = c.mul(x, scale)?;
    c.add(y, offset)
}

/// A layer of ConvNeXt.
fn layer_scale(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let gamma = c.weight("vars/0", "the scale `gamma`")?;
    c.mul(x, gamma)
}

/// The constant at `key`, in the type of `like`. A list has one number per channel of channels-last data.
fn number_or_list(c: &mut Call<'_, '_>, key: &str, default: f64, like: ValueId) -> Result<ValueId> {
    let elem = c.elem(like);
    let value = match c.get(key) {
        None => Literal::splat(ElemType::F32, &[], default),
        Some(attr) => literal(key, attr)?,
    };
    Ok(c.b.constant(Literal::dense(elem, &value.dims, value.numbers()))?)
}
