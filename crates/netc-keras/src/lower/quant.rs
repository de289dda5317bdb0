//! Layers whose weights are integers of eight bits, as `Model.quantize("int8")` leaves them.
//!
//! What such a layer reads is scaled and rounded to integers too (`AbsMaxQuantizer`), and the product is divided by both
//! scales.

use netc_ir::{Attr, Dim, ElemType, Reduce, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::dense::matmul;
use crate::lower::ops::einsum::{self, einsum};
use crate::lower::result::Result;

/// How the inputs of a quantised layer become integers.
pub(crate) enum Inputs {
    /// They stay floats.
    Floats,
    /// They are scaled so that the largest magnitude becomes `high`, rounded, and clipped to `low` to `high`.
    Integers { low: f64, high: f64, epsilon: f64 },
}

/// The layers that have weights of integers.
const LAYERS: &[&str] = &["Dense", "EinsumDense", "Embedding"];

/// Products of integers of eight bits whose sum is exact in a float of 24 bits.
const MAX_EXACT: u64 = (1 << 24) / (128 * 128);

impl Call<'_, '_> {
    /// The name of the policy that the layer would have if it were not quantised to eight bits; `None` if it is not.
    pub(crate) fn quantized_from(&self) -> Result<Option<&str>> {
        let Some(policy) = self.get("dtype") else { return Ok(None) };
        let (mode, source) = match policy.as_str() {
            Some(name) => match name.split_once("_from_") {
                Some((mode, source)) => (Some(mode), Some(source)),
                None => return Ok(None),
            },
            None if policy.get("class_name").and_then(Attr::as_str) == Some("QuantizedDTypePolicy") => {
                let text = |key| policy.get("config").and_then(|config| config.get(key)).and_then(Attr::as_str);
                (text("mode"), text("source_name"))
            }
            None => return Ok(None),
        };
        match (mode, source) {
            (Some("int8"), Some(source)) if LAYERS.contains(&self.class()) => Ok(Some(source)),
            _ => Err(self.unsupported_key("dtype")),
        }
    }

    /// What a quantised layer does with its inputs; `None` if the layer is not quantised.
    pub(crate) fn quantization(&self) -> Result<Option<Inputs>> {
        let config = self.get("quantization_config").filter(|config| !config.is_null());
        match (self.quantized_from()?, config) {
            (None, None) => Ok(None),
            // Before there was such a configuration, all were quantised alike.
            (Some(_), None) => Ok(Some(Inputs::Integers { low: -127.0, high: 127.0, epsilon: 1e-7 })),
            (Some(_), Some(config)) => {
                inputs(config).map(Some).ok_or_else(|| self.unsupported_key("quantization_config"))
            }
            (None, Some(_)) => Err(self.unsupported_key("quantization_config")),
        }
    }
}

/// What the configuration of a quantisation to eight bits says of inputs; `None` if netc does not know it.
fn inputs(config: &Attr) -> Option<Inputs> {
    let is = |object: &Attr, class| object.get("class_name").and_then(Attr::as_str) == Some(class);
    let quantizer =
        config.get("config")?.get("activation_quantizer").filter(|_| is(config, "Int8QuantizationConfig"))?;
    if quantizer.is_null() {
        return Some(Inputs::Floats);
    }
    let own = quantizer.get("config").filter(|_| is(quantizer, "AbsMaxQuantizer"))?;
    let elem = own.get("output_dtype").map_or(Some("int8"), Attr::as_str);
    let [low, high] = own.get("value_range")?.as_list()? else { return None };
    let (low, high, epsilon) = (low.as_f64()?, high.as_f64()?, own.get("epsilon")?.as_f64()?);
    let fits = elem == Some("int8") && low >= f64::from(i8::MIN) && high <= f64::from(i8::MAX);
    fits.then_some(Inputs::Integers { low, high, epsilon })
}

impl Inputs {
    /// The numbers that take part in the product, and what they were multiplied with: as many along each axis as `x` has,
    /// and one along those of `axes`.
    fn scaled(&self, c: &mut Call<'_, '_>, x: ValueId, axes: &[u64]) -> Result<(ValueId, Option<ValueId>)> {
        let Self::Integers { low, high, epsilon } = *self else { return Ok((x, None)) };
        let magnitude = c.unary(Unary::Abs, x)?;
        let largest = c.reduce(Reduce::Max, magnitude, axes, true)?;
        let largest = c.add(largest, epsilon)?;
        let scale = c.div(high, largest)?;
        let scaled = c.mul(x, scale)?;
        let rounded = c.unary(Unary::Round, scaled)?;
        let rounded = c.max(rounded, low)?;
        Ok((c.min(rounded, high)?, Some(scale)))
    }

    /// The factors of a product of `terms` summands each in a type in which it is exact, where both are of integers.
    fn factors(&self, c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, terms: u64) -> Result<(ValueId, ValueId)> {
        let elem = match self {
            Self::Floats => c.elem(x),
            Self::Integers { .. } if terms <= MAX_EXACT => ElemType::F32,
            Self::Integers { .. } => ElemType::F64,
        };
        Ok((c.b.cast(x, elem)?, c.b.cast(kernel, elem)?))
    }

    /// `x @ kernel` of a `Dense`, without its bias.
    pub(crate) fn dense(&self, c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, scale: ValueId) -> Result<ValueId> {
        let last = c.rank(x)?.saturating_sub(1) as u64;
        let (numbers, of_inputs) = self.scaled(c, x, &[last])?;
        let terms = c.extent(kernel, 0)?;
        let (numbers, kernel) = self.factors(c, numbers, kernel, terms)?;
        let product = matmul(c, numbers, kernel)?;
        divided(c, product, c.elem(x), scale, of_inputs)
    }

    /// The product of an `EinsumDense`, without its bias.
    pub(crate) fn einsum(&self, c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, scale: ValueId) -> Result<ValueId> {
        let equation = c.text("equation")?;
        let Some((summed, result)) = einsum::axes_of_first(equation, c.rank(x)?, c.rank(kernel)?) else {
            return Err(c.unsupported("the equation"));
        };
        let axes: Vec<u64> = summed.iter().map(|axis| *axis as u64).collect();
        let (numbers, of_inputs) = self.scaled(c, x, &axes)?;
        let extents = c.dims(x)?;
        let mut terms = summed.iter().filter_map(|axis| extents.get(*axis)).map(Dim::known);
        let terms = terms.try_fold(1u64, |all, extent| all.checked_mul(extent?)).unwrap_or(u64::MAX);
        let (numbers, kernel) = self.factors(c, numbers, kernel, terms)?;
        let product = einsum(c, equation, numbers, kernel)?;
        // The scale has an axis for each of `x`, and is divided out of the result, whose axes are others.
        let of_inputs = match of_inputs {
            Some(of_inputs) => {
                let kept: Vec<usize> = result.iter().copied().flatten().collect();
                let turned = c.transpose(of_inputs, &[&kept[..], &summed[..]].concat())?;
                let extent =
                    |axis: &Option<usize>| axis.and_then(|a| extents.get(a).cloned()).unwrap_or_else(|| 1.into());
                Some(c.reshape(turned, result.iter().map(extent).collect())?)
            }
            None => None,
        };
        divided(c, product, c.elem(x), scale, of_inputs)
    }
}

/// The product in the type that the layer computes with, without the scales.
fn divided(
    c: &mut Call<'_, '_>,
    product: ValueId,
    elem: ElemType,
    scale: ValueId,
    of_inputs: Option<ValueId>,
) -> Result<ValueId> {
    let product = c.b.cast(product, elem)?;
    let scale = match of_inputs {
        Some(of_inputs) => c.mul(scale, of_inputs)?,
        None => scale,
    };
    c.div(product, scale)
}

/// The rows of a table of integers, each divided by its scale.
pub(crate) fn rows(c: &mut Call<'_, '_>, table: ValueId, indices: ValueId) -> Result<ValueId> {
    let scales = c.weight("vars/1", "the scales of the rows")?;
    let rows = c.b.gather(table, indices, 0)?;
    let rows = c.b.cast(rows, c.elem(scales))?;
    let scales = c.b.gather(scales, indices, 0)?;
    let scales = c.expand(scales, c.rank(scales)?)?;
    c.div(rows, scales)
}
