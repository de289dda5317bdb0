//! The encoder of BERT-base (Devlin et al., "BERT: pre-training of deep bidirectional transformers for language
//! understanding", 2018), from embedded tokens to the last hidden states.

use netc_ir::{Attr, Attrs, Module};
use netc_keras::build::{BuildError, Declaration, Dense, Init, ModelBuilder, Tensor};

/// The number of tokens.
const LENGTH: u64 = 128;

/// The extent of the hidden states.
const HIDDEN: u64 = 768;

/// The number of attention heads, and the extent of each.
const HEADS: [i64; 2] = [12, 64];

/// The extent between the two dense layers of a block.
const FEED_FORWARD: u64 = 3072;

/// The number of blocks.
const BLOCKS: u32 = 12;

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("bert", seed);
    let mut x = m.named("embeddings").input(&[LENGTH, HIDDEN]);
    for i in 0..BLOCKS {
        x = block(&mut m, x, &format!("layer_{i}"));
    }
    m.finish(&[(&format!("layer_{}_output_norm", BLOCKS - 1), x)])
}

fn block(m: &mut ModelBuilder, x: Tensor, name: &str) -> Tensor {
    let attention = attention(m, x, &format!("{name}_attention"));
    let x = residual(m, x, attention, &format!("{name}_attention"));
    let wide = Dense { units: FEED_FORWARD, activation: "gelu", ..Dense::default() };
    let inner = m.named(format!("{name}_intermediate")).dense(x, wide);
    let narrow = m.named(format!("{name}_output")).dense(inner, hidden());
    residual(m, x, narrow, &format!("{name}_output"))
}

/// Scaled dot-product attention of all heads at once.
fn attention(m: &mut ModelBuilder, x: Tensor, name: &str) -> Tensor {
    let query = heads(m, x, &format!("{name}_query"), [2, 1, 3]);
    let key = heads(m, x, &format!("{name}_key"), [2, 3, 1]);
    let value = heads(m, x, &format!("{name}_value"), [2, 1, 3]);
    let scores = matmul(m, query, key, &format!("{name}_scores"));
    let scale = Attr::from(1.0 / (HEADS[1] as f64).sqrt());
    let scaled = m.named(format!("{name}_scaled"));
    let scores = scaled.op("numpy", "Multiply", Attrs::new(), vec![Attr::Operand(0), scale], &[scores]);
    let shares = m.named(format!("{name}_shares")).softmax(scores);
    let context = matmul(m, shares, value, &format!("{name}_context"));
    let context = permute(m, context, &format!("{name}_context_permuted"), [2, 1, 3]);
    let context = m.named(format!("{name}_context_joined")).reshape(context, &[LENGTH as i64, HIDDEN as i64]);
    m.named(format!("{name}_dense")).dense(context, hidden())
}

/// A projection of `x`, split into heads. `axes` is the order of tokens, heads and the extent of a head, which are axes
/// 1, 2 and 3.
fn heads(m: &mut ModelBuilder, x: Tensor, name: &str, axes: [u64; 3]) -> Tensor {
    let projected = m.named(name).dense(x, hidden());
    let [heads, extent] = HEADS;
    let split = m.named(format!("{name}_heads")).reshape(projected, &[LENGTH as i64, heads, extent]);
    permute(m, split, &format!("{name}_permuted"), axes)
}

/// The normalized sum of `x` and the result `made` of a sublayer.
fn residual(m: &mut ModelBuilder, x: Tensor, made: Tensor, name: &str) -> Tensor {
    let sum = m.named(format!("{name}_add")).add(&[x, made]);
    let config = Attrs::new().with("axis", -1).with("epsilon", 1e-12).with("center", true).with("scale", true);
    let affine = [(vec![HIDDEN], Init::factor()), (vec![HIDDEN], Init::offset())];
    m.named(format!("{name}_norm")).layer(&Declaration::keras("LayerNormalization", config).weights(affine), &[sum])
}

fn matmul(m: &mut ModelBuilder, a: Tensor, b: Tensor, name: &str) -> Tensor {
    let both = vec![Attr::Operand(0), Attr::Operand(1)];
    m.named(name).op("numpy", "Matmul", Attrs::new(), both, &[a, b])
}

fn permute(m: &mut ModelBuilder, x: Tensor, name: &str, axes: [u64; 3]) -> Tensor {
    let config = Attrs::new().with("dims", Attr::ints(axes));
    m.named(name).layer(&Declaration::keras("Permute", config).shapeless(), &[x])
}

fn hidden() -> Dense {
    Dense { units: HIDDEN, ..Dense::default() }
}
