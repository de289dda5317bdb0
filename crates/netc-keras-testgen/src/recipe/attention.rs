//! Attention layers.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Init, Tensor, Variable};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use netc_testgen::Step;

/// Query, value and key: sequences with the same number of features. Value and key have the same length.
fn inputs(d: &Draft, step: &Step<KerasClass>) -> Option<[Tensor; 3]> {
    let [a, b, c] = step.reads;
    let query = d.of_rank(a, 2)?;
    let features = *d.extents(query).last()?;
    let value = d.find(b, |extents| extents.len() == 2 && extents[1] == features)?;
    Some([query, value, d.same_type(c, value)?])
}

/// Adds an optional argument that all attention layers take. At most one, because the scores of several heads would
/// carry a mask.
fn with_options(declaration: Declaration, k: &mut Choice) -> Declaration {
    match k.below(4) {
        0 | 1 => declaration,
        2 => declaration.kwarg("use_causal_mask", true),
        _ => declaration.kwarg("return_attention_scores", true),
    }
}

pub(super) fn attention(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let all = inputs(d, step)?;
    let operands = &all[..if k.flag() { 3 } else { 2 }];
    let use_scale = !k.flag();
    let features = *d.extents(all[0]).last()?;
    let config = Attrs::new().with("use_scale", use_scale).with("dropout", k.of(&[0.0, 0.5])).with("seed", Attr::Null);
    let scalar = || (vec![], Init::factor());
    let declaration = if k.below(3) == 0 {
        let scale = use_scale.then(|| (vec![features], Init::factor()));
        Declaration::keras("AdditiveAttention", config).weights(scale)
    } else {
        let concat = k.flag();
        let config = config.with("score_mode", if concat { "concat" } else { "dot" });
        Declaration::keras("Attention", config).weights(use_scale.then(scalar)).weights(concat.then(scalar))
    };
    let size = all.iter().map(|x| d.size(*x)).fold(0.0, f64::max);
    d.layer(&with_options(declaration.merging(operands.len()), k), operands, size)
}

pub(super) fn multi_head(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let tensors = inputs(d, step)?;
    if k.below(3) == 2 {
        return group_query(d, tensors, k);
    }
    let [query, value, key] = tensors;
    let [heads, key_dim] = [k.between(1, 2), k.between(1, 3)];
    let use_bias = !k.flag();
    let gated = k.below(3) == 2;
    let dropout = k.of(&[0.0, 0.5]);
    // Keras multiplies values by the gate, which has the extent of the keys. Without dropout, values must have that
    // extent as well.
    let value_dim = if gated || dropout == 0.0 { key_dim } else { k.between(1, 3) };
    let features = *d.extents(query).last()?;
    let out = if k.flag() { k.between(1, 4) } else { features };
    let projection = |from: &[u64], to: &[u64]| projection(from, to, use_bias);
    let config = Attrs::new()
        .with("num_heads", heads as i64)
        .with("key_dim", key_dim as i64)
        .with("value_dim", value_dim as i64)
        .with("dropout", dropout)
        .with("use_bias", use_bias)
        .with("use_gate", gated)
        .with("output_shape", if out == features { Attr::Null } else { Attr::ints([out]) })
        .with("attention_axes", if k.flag() { Attr::ints([1]) } else { Attr::Null });
    let mut declaration = Declaration::keras("MultiHeadAttention", config)
        .shapeless()
        .sublayer("query_dense", projection(&[features], &[heads, key_dim]))
        .sublayer("key_dense", projection(&[features], &[heads, key_dim]))
        .sublayer("value_dense", projection(&[features], &[heads, value_dim]))
        .sublayer("output_dense", projection(&[heads, value_dim], &[out]));
    if gated {
        declaration = declaration.sublayer("_gate_dense", projection(&[features], &[heads, value_dim]));
    }
    several_heads(d, declaration, [query, value, key], k)
}

/// The kernel of a projection, and its bias if it has one.
fn projection(from: &[u64], to: &[u64], use_bias: bool) -> Vec<Variable> {
    let fan = from.iter().chain(to).product();
    let bias = use_bias.then(|| (to.to_vec(), Init::offset()));
    std::iter::once(([from, to].concat(), Init::glorot(fan, 0))).chain(bias).collect()
}

fn group_query(d: &mut Draft, tensors: [Tensor; 3], k: &mut Choice) -> Added {
    let [pairs, each, dim] = [k.between(1, 2), k.between(1, 2), k.between(1, 3)];
    let heads = pairs * each;
    let use_bias = !k.flag();
    let gated = k.below(3) == 2;
    let features = *d.extents(tensors[0]).last()?;
    let to = |heads: u64| projection(&[features], &[heads, dim], use_bias);
    let config = Attrs::new()
        .with("head_dim", dim as i64)
        .with("num_query_heads", heads as i64)
        .with("num_key_value_heads", pairs as i64)
        .with("use_bias", use_bias)
        .with("use_gate", gated)
        .with("dropout", k.of(&[0.0, 0.5]));
    let declaration = Declaration::keras("GroupQueryAttention", config)
        .shapeless()
        .sublayer("_query_dense", to(heads))
        .sublayer("_key_dense", to(pairs))
        .sublayer("_value_dense", to(pairs))
        .sublayer("_gate_dense", if gated { to(heads) } else { Vec::new() })
        .sublayer("_output_dense", projection(&[heads, dim], &[features], use_bias));
    several_heads(d, declaration, tensors, k)
}

/// Applies a layer that takes query, value and optionally key as separate arguments.
fn several_heads(
    d: &mut Draft,
    mut declaration: Declaration,
    [query, value, key]: [Tensor; 3],
    k: &mut Choice,
) -> Added {
    let args = vec![Attr::Operand(0), Attr::Operand(1)];
    let operands = match k.below(3) {
        0 => vec![query, value],
        1 => vec![query, query],
        _ => vec![query, value, key],
    };
    if operands.len() == 3 {
        declaration = declaration.kwarg("key", Attr::Operand(2));
    }
    let size = operands.iter().map(|x| d.size(*x)).fold(0.0, f64::max) + 1.0;
    d.layer(&with_options(Declaration { args, ..declaration }, k), &operands, size)
}
