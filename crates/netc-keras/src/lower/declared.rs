//! Result types of layers that netc cannot run.

use netc_dialect::LowerError;
use netc_ir::{Attr, Dim, ElemType, Layer, Module, Type};

use crate::lower::call::Call;
use crate::lower::call::promote::dtype;

/// Turns `error` into "unsupported" if the layer has quantized weights. Their places and types may differ from those of
/// the class, so the file is not at fault.
pub(crate) fn of_integers(module: &Module, layer: Option<&Layer>, error: LowerError) -> LowerError {
    let (LowerError::Config { .. } | LowerError::Weight { .. } | LowerError::Operands(_) | LowerError::Infer(_)) =
        error
    else {
        return error;
    };
    let found = layer.and_then(|layer| {
        let of_integers = |elem: ElemType| matches!(elem, ElemType::I8 | ElemType::U8);
        let weight = layer.weights.iter().find(|(_, id)| of_integers(module[*id].ty.elem))?;
        Some((layer.class.rsplit('.').next().unwrap_or_default(), weight))
    });
    match found {
        Some((class, (place, id))) => LowerError::Unsupported {
            class: class.into(),
            what: format!("a quantized weight `{place}` of type {}", module[*id].ty),
            types: Vec::new(),
        },
        None => error,
    }
}

/// The result types that follow from the configuration; empty if they are unknown.
pub(crate) fn types(c: &Call<'_, '_>) -> Vec<Type> {
    known(c).unwrap_or_default()
}

fn known(c: &Call<'_, '_>) -> Option<Vec<Type>> {
    let given = c.b.ty(*c.operands.first()?).clone();
    let mut dims = given.dims.clone()?;
    let elem = elem(c, &given)?;
    match c.class() {
        "Dense" => *dims.last_mut()? = Dim::Known(c.count("units").ok()?),
        "Embedding" => dims.push(Dim::Known(c.count("output_dim").ok()?)),
        "MultiHeadAttention" | "GroupQueryAttention" => {
            if let Some(extents) = c.get("output_shape").and_then(Attr::as_list) {
                let [Attr::Int(last)] = extents else { return None };
                *dims.last_mut()? = Dim::Known(u64::try_from(*last).ok()?);
            }
            // The configuration does not determine the type of the scores.
            if c.flag_arg(7, "return_attention_scores").ok()? {
                return None;
            }
        }
        _ => return None,
    }
    Some(vec![Type::new(elem, dims)])
}

/// The compute type of the layer, by the policy that it had before it was quantized.
fn elem(c: &Call<'_, '_>, given: &Type) -> Option<ElemType> {
    let Some(policy) = c.get("dtype") else {
        return Some(if given.elem.is_float() { given.elem } else { ElemType::F32 });
    };
    let text = |key| policy.get("config").and_then(|config| config.get(key)).and_then(Attr::as_str);
    let name = policy.as_str().or_else(|| text("source_name")).or_else(|| text("name"))?;
    let name = name.split_once("_from_").map_or(name, |(_, source)| source);
    match name {
        "mixed_float16" => Some(ElemType::F16),
        "mixed_bfloat16" => Some(ElemType::BF16),
        _ => dtype(name),
    }
}
