//! Layers with 8-bit integer weights, as `Model.quantize("int8")` makes them.
//!
//! Their inputs are scaled and rounded to integers too (`AbsMaxQuantizer`), and the product is divided by both scales.

use netc_ir::{Attr, Dim, ElemType, Reduce, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::dense::matmul;
use crate::lower::ops::einsum::{self, einsum};
use crate::lower::result::Result;

/// How a quantised layer treats its inputs.
pub(crate) enum Inputs {
    /// They stay floats.
    Floats,
    /// They are scaled so that the largest magnitude becomes `high`, rounded, and clipped to `low..=high`.
    Integers { low: f64, high: f64, epsilon: f64 },
}

/// The layers that may have integer weights.
const LAYERS: &[&str] = &["Dense", "EinsumDense", "Embedding"];

/// The number of products of 8-bit integers whose sum is exact in `f32`, which has a significand of 24 bits.
const MAX_EXACT: u64 = (1 << 24) / (128 * 128);

impl Call<'_, '_> {
    /// The dtype policy that the layer had before 8-bit quantisation; `None` if it is not quantised.
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

    /// How a quantised layer treats its inputs; `None` if the layer is not quantised.
    pub(crate) fn quantization(&self) -> Result<Option<Inputs>> {
        let config = self.get("quantization_config").filter(|config| !config.is_null());
        match (self.quantized_from()?, config) {
            (None, None) => Ok(None),
            // A Keras without this key always quantises like this.
            (Some(_), None) => Ok(Some(Inputs::Integers { low: -127.0, high: 127.0, epsilon: 1e-7 })),
            (Some(_), Some(config)) => {
                inputs(config).map(Some).ok_or_else(|| self.unsupported_key("quantization_config"))
            }
            (None, Some(_)) => Err(self.unsupported_key("quantization_config")),
        }
    }
}

/// How an 8-bit quantisation with this configuration treats inputs; `None` if it is unsupported.
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
    /// `x` as the product reads it, and the scale that it was multiplied by, if any. The scale has extent 1 along
    /// `axes`, and the extents of `x` along the others.
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

    /// The factors in a type in which a product of integers with `terms` summands is exact.
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
            return Err(c.unsupported(format!("the equation \"{equation}\"")));
        };
        let axes: Vec<u64> = summed.iter().map(|axis| *axis as u64).collect();
        let (numbers, of_inputs) = self.scaled(c, x, &axes)?;
        let extents = c.dims(x)?;
        let mut terms = summed.iter().filter_map(|axis| extents.get(*axis)).map(Dim::known);
        let terms = terms.try_fold(1u64, |all, extent| all.checked_mul(extent?)).unwrap_or(u64::MAX);
        let (numbers, kernel) = self.factors(c, numbers, kernel, terms)?;
        let product = einsum(c, equation, numbers, kernel)?;
        // The scale has the axes of `x`; the result has others, in another order.
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

/// The product in the compute type `elem`, divided by the scales.
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

/// The rows of an integer table at `indices`, each divided by its scale.
pub(crate) fn rows(c: &mut Call<'_, '_>, table: ValueId, indices: ValueId) -> Result<ValueId> {
    let scales = c.weight("vars/1", "the scales of the rows")?;
    let rows = c.b.gather(table, indices, 0)?;
    let rows = c.b.cast(rows, c.elem(scales))?;
    let scales = c.b.gather(scales, indices, 0)?;
    let scales = c.expand(scales, c.rank(scales)?)?;
    c.div(rows, scales)
}
