//! Attention layers. Masks say which values a query may attend to.

use netc_dialect::LowerError;
use netc_ir::{Attr, Compare, Dim, ElemType, Reduce, Unary, ValueId};

use crate::lower::activation::sigmoid;
use crate::lower::activation::softmax::{masked_softmax, softmax};
use crate::lower::call::Call;
use crate::lower::entry::{Entry, many};
use crate::lower::ops::einsum::einsum;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    many("MultiHeadAttention", multi_head, "Multi-head attention over projections of the inputs."),
    many("GroupQueryAttention", group_query, "Multi-head attention in which groups of heads share keys and values."),
    many("Attention", |c| attention(c, scores), "The mean of the values, weighted by the softmax of query times key."),
    many(
        "AdditiveAttention",
        |c| attention(c, additive_scores),
        "The mean of the values, weighted by the softmax of the sum of `tanh(query + key)`.",
    ),
];

fn multi_head(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let [x, y, z] = multi_head_inputs(c)?;
    let query = project(c, x, "query_dense", "abc,cde->abde")?;
    let key = project(c, z, "key_dense", "abc,cde->abde")?;
    let value = project(c, y, "value_dense", "abc,cde->abde")?;
    let scale = 1.0 / (c.count("key_dim")? as f64).sqrt();
    // Keras reads the mask attached to the query even if the call passes `query_mask`. Keras 3 also removes the masks
    // of the tensors that it reads.
    let of_query = c.attached_to(0, "query");
    if !c.is_legacy() {
        c.unmask(&[(0, "query"), (1, "value"), (2, "key")]);
    }
    let (mixed, weights) = mixed(c, [query, value, key], of_query, scale)?;
    c.attach(0, of_query);
    let mixed = gated(c, mixed, x)?;
    let out = project(c, mixed, "output_dense", "abcd,cde->abe")?;
    Ok([vec![out], Vec::from_iter(weights)].concat())
}

fn group_query(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let [x, y, z] = multi_head_inputs(c)?;
    let (heads, pairs) = (c.count("num_query_heads")?, c.count("num_key_value_heads")?);
    if heads % pairs != 0 {
        return Err(c.bad("num_key_value_heads", &format!("a divisor of the {heads} heads")));
    }
    let query = project(c, x, "_query_dense", "abc,cde->abde")?;
    let key = project(c, z, "_key_dense", "abc,cde->abde")?;
    let value = project(c, y, "_value_dense", "abc,cde->abde")?;
    let key = c.repeat(key, 2, heads / pairs)?;
    let value = c.repeat(value, 2, heads / pairs)?;
    let scale = 1.0 / (c.count("head_dim")? as f64).sqrt();
    let of_query = match c.given_mask(3, "query_mask")? {
        Some(mask) => Some(mask),
        None => c.attached_to(0, "query"),
    };
    let (mixed, weights) = mixed(c, [query, value, key], of_query, scale)?;
    c.attach(0, c.attached_to(0, "query"));
    let mixed = gated(c, mixed, x)?;
    let out = project(c, mixed, "_output_dense", "abcd,cde->abe")?;
    Ok([vec![out], Vec::from_iter(weights)].concat())
}

/// The weighted mean of the values for each head, and the weights if the call asks for them.
fn mixed(
    c: &mut Call<'_, '_>,
    of: [ValueId; 3],
    of_query: Option<ValueId>,
    scale: f64,
) -> Result<(ValueId, Option<ValueId>)> {
    let [query, value, key] = of;
    let with_scores = c.flag_arg(7, "return_attention_scores")?;
    // Keras has two implementations, which round differently.
    if c.float_or("dropout", 0.0)? > 0.0 || with_scores || c.is_legacy() {
        let query = c.mul(query, scale)?;
        let logits = einsum(c, "BSNH,BTNH->BNTS", key, query)?;
        let keep = attention_mask(c, logits, of_query)?;
        // The `Softmax` layer passes its mask on to the scores.
        c.attach(1, keep.filter(|_| with_scores));
        let weights = match keep {
            Some(keep) if c.is_legacy() => {
                let logits = lowered_outside(c, logits, keep)?;
                softmax(c, logits, &[3])?
            }
            Some(keep) => masked_softmax(c, logits, keep, |c, x| softmax(c, x, &[3]))?,
            None => softmax(c, logits, &[3])?,
        };
        Ok((einsum(c, "BNTS,BSNH->BTNH", weights, value)?, with_scores.then_some(weights)))
    } else {
        let (wide_query, wide_key) = (c.at_least_f32(query)?, c.at_least_f32(key)?);
        let logits = einsum(c, "BTNH,BSNH->BNTS", wide_query, wide_key)?;
        let logits = c.mul(logits, scale)?;
        let logits = match attention_mask(c, logits, of_query)? {
            Some(keep) => c.select(keep, logits, -0.7 * f64::from(f32::MAX))?,
            None => logits,
        };
        let logits = c.b.cast(logits, ElemType::F32)?;
        let weights = softmax(c, logits, &[3])?;
        let weights = c.b.cast(weights, c.elem(key))?;
        Ok((einsum(c, "BNTS,BSNH->BTNH", weights, value)?, None))
    }
}

/// The mask of the `logits` of all heads: the conjunction of the masks that the call passes and those attached to its
/// tensors.
fn attention_mask(c: &mut Call<'_, '_>, logits: ValueId, of_query: Option<ValueId>) -> Result<Option<ValueId>> {
    let of_value = match c.given_mask(4, "value_mask")? {
        Some(mask) => Some(mask),
        None => c.attached_to(1, "value"),
    };
    let of_key = match c.given_mask(5, "key_mask")? {
        Some(mask) => Some(mask),
        None => c.attached_to(2, "key"),
    };
    let mut keep = None;
    for (mask, axis) in [(of_query, 2), (of_value, 1), (of_key, 1)] {
        if let Some(mask) = mask {
            let along = c.mask_along(mask, axis)?;
            keep = Some(c.both(keep, along)?);
        }
    }
    if c.flag_arg(9, "use_causal_mask")? {
        let past = past(c, logits)?;
        let past = c.expand(past, 0)?;
        keep = Some(c.both(keep, past)?);
    }
    if let Some(given) = c.given_mask(6, "attention_mask")? {
        let given = c.truth(given)?;
        keep = Some(c.both(keep, given)?);
    }
    let Some(mut mask) = keep else { return Ok(None) };
    for _ in c.rank(mask)?..4 {
        mask = c.expand(mask, c.rank(mask)?.saturating_sub(2))?;
    }
    Ok(Some(mask))
}

/// `mixed` times a gate that the query controls, if the layer has one.
fn gated(c: &mut Call<'_, '_>, mixed: ValueId, query: ValueId) -> Result<ValueId> {
    if !c.flag("use_gate", false)? {
        return Ok(mixed);
    }
    let gate = project(c, query, "_gate_dense", "abc,cde->abde")?;
    let gate = sigmoid(c, gate)?;
    c.mul(mixed, gate)
}

const MULTI_HEAD_ARGUMENTS: &[&str] = &[
    "query",
    "value",
    "key",
    "query_mask",
    "value_mask",
    "key_mask",
    "attention_mask",
    "return_attention_scores",
    "use_causal_mask",
];

/// Query, value and key.
fn multi_head_inputs(c: &mut Call<'_, '_>) -> Result<[ValueId; 3]> {
    c.only_args(10, MULTI_HEAD_ARGUMENTS)?;
    if c.has("sliding_window") {
        return Err(c.unsupported_key("sliding_window"));
    }
    if !matches!(c.get("output_shape").map(Attr::as_list), None | Some(Some([_]))) {
        return Err(c.unsupported_key("output_shape"));
    }
    let one = |c: &mut Call<'_, '_>, i: usize, name: &str| match c.tensors(c.arg(i, name))?[..] {
        [x] => c.autocast(x),
        _ => Err(LowerError::Operands(format!("`{}` takes one tensor as `{name}`", c.class()))),
    };
    let query = one(c, 0, "query")?;
    let value = one(c, 1, "value")?;
    let key = if c.arg(2, "key").is_some() { one(c, 2, "key")? } else { value };
    for x in [query, value, key] {
        if c.rank(x)? != 3 {
            return Err(c.unsupported(format!("an input of type {}", c.ty(x))));
        }
    }
    let axes = c.axes("attention_axes", 3)?;
    if axes.is_some_and(|a| a != [1]) { Err(c.unsupported_key("attention_axes")) } else { Ok([query, value, key]) }
}

fn project(c: &mut Call<'_, '_>, x: ValueId, part: &str, equation: &str) -> Result<ValueId> {
    let kernel = c.weight(&format!("{part}/vars/0"), "the kernel of a projection")?;
    let y = einsum(c, equation, x, kernel)?;
    if !c.flag("use_bias", true)? {
        return Ok(y);
    }
    let bias = c.weight(&format!("{part}/vars/1"), "the bias of a projection")?;
    c.add(y, bias)
}

/// The causal mask of `logits`: true where the key (last axis) is not after the query (last but one).
fn past(c: &mut Call<'_, '_>, logits: ValueId) -> Result<ValueId> {
    let rank = c.rank(logits)?;
    let (rows, columns) = (c.extent(logits, rank.saturating_sub(2))?, c.extent(logits, rank.saturating_sub(1))?);
    let row = c.iota(ElemType::I32, rows)?;
    let row = c.reshape(row, vec![Dim::Known(rows), Dim::Known(1)])?;
    let column = c.iota(ElemType::I32, columns)?;
    c.compare(Compare::Ge, row, column)
}

fn attention(
    c: &mut Call<'_, '_>,
    scores: fn(&mut Call<'_, '_>, ValueId, ValueId) -> Result<ValueId>,
) -> Result<Vec<ValueId>> {
    c.only_args(5, &["inputs", "mask", "return_attention_scores", "use_causal_mask"])?;
    let mut inputs = c.tensors(c.arg(0, "inputs"))?;
    for x in &mut inputs {
        *x = c.autocast(*x)?;
    }
    let (query, value, key) = match inputs[..] {
        [q, v] => (q, v, v),
        [q, v, k] => (q, v, k),
        _ => {
            return Err(LowerError::Operands(format!(
                "`{}` takes two or three tensors: query, value and optionally key",
                c.class()
            )));
        }
    };
    let masks = c.masks_of_list(1)?;
    let (of_query, of_value) = (masks.first().copied().flatten(), masks.get(1).copied().flatten());
    let mut logits = scores(c, query, key)?;
    if let Some(keep) = score_mask(c, logits, of_value)? {
        logits = lowered_outside(c, logits, keep)?;
    }
    let last = c.rank(logits)?.saturating_sub(1) as u64;
    let weights = softmax(c, logits, &[last])?;
    let mut out = c.b.matmul(weights, value)?;
    if let Some(mask) = of_query {
        let keep = c.mask_along(mask, c.rank(mask)?)?;
        out = c.select(keep, out, 0.0)?;
    }
    c.attach(0, of_query);
    Ok(if c.flag_arg(3, "return_attention_scores")? { vec![out, weights] } else { vec![out] })
}

/// `logits`, lowered by a large number where the mask is false. A row without any kept element keeps its softmax.
fn lowered_outside(c: &mut Call<'_, '_>, logits: ValueId, keep: ValueId) -> Result<ValueId> {
    let low = c.sub(logits, if c.elem(logits) == ElemType::F16 { 65504.0 } else { 1e9 })?;
    c.select(keep, logits, low)
}

/// The mask of the scores: the mask of the values, and the causal mask if the call asks for it.
fn score_mask(c: &mut Call<'_, '_>, logits: ValueId, of_value: Option<ValueId>) -> Result<Option<ValueId>> {
    let keep = match of_value {
        Some(mask) => Some(c.mask_along(mask, c.rank(mask)?.saturating_sub(1))?),
        None => None,
    };
    if !c.flag_arg(4, "use_causal_mask")? {
        return Ok(keep);
    }
    let past = past(c, logits)?;
    Ok(Some(c.both(keep, past)?))
}

fn scores(c: &mut Call<'_, '_>, query: ValueId, key: ValueId) -> Result<ValueId> {
    let use_scale = c.flag("use_scale", false)?;
    let mode = c.one_of("score_mode", &["dot", "concat"])?;
    let scale = if use_scale { Some(c.weight("vars/0", "the scale")?) } else { None };
    if mode == "dot" {
        let rank = c.rank(key)?;
        let mut perm: Vec<usize> = (0..rank).collect();
        if rank >= 2 {
            perm.swap(rank - 2, rank - 1);
        }
        let columns = c.transpose(key, &perm)?;
        let y = c.b.matmul(query, columns)?;
        return scale.map_or(Ok(y), |s| c.mul(y, s));
    }
    let mut sum = every_pair(c, query, key)?;
    if let Some(scale) = scale {
        sum = c.mul(scale, sum)?;
    }
    let weight = c.weight(if use_scale { "vars/1" } else { "vars/0" }, "the weight of the scores")?;
    let tanh = c.unary(Unary::Tanh, sum)?;
    let last = c.rank(tanh)?.saturating_sub(1) as u64;
    let y = c.total(Reduce::Sum, tanh, &[last], false)?;
    c.mul(weight, y)
}

fn additive_scores(c: &mut Call<'_, '_>, query: ValueId, key: ValueId) -> Result<ValueId> {
    let sum = every_pair(c, query, key)?;
    let mut tanh = c.unary(Unary::Tanh, sum)?;
    if c.flag("use_scale", true)? {
        let scale = c.weight("vars/0", "the scale")?;
        tanh = c.mul(scale, tanh)?;
    }
    let last = c.rank(tanh)?.saturating_sub(1) as u64;
    c.total(Reduce::Sum, tanh, &[last], false)
}

/// The sum of every row of the query with every row of the key.
fn every_pair(c: &mut Call<'_, '_>, query: ValueId, key: ValueId) -> Result<ValueId> {
    let (rank_q, rank_k) = (c.rank(query)?, c.rank(key)?);
    let (Some(q_at), Some(k_at)) = (rank_q.checked_sub(1), rank_k.checked_sub(2)) else {
        return Err(LowerError::Operands(format!("`{}` takes tensors of rank 2 or more", c.class())));
    };
    let query = c.expand(query, q_at)?;
    let key = c.expand(key, k_at)?;
    c.add(query, key)
}
