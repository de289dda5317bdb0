//! Dense layers, embeddings and matrix products.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Dense, Init};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions;
use netc_testgen::Step;

pub(super) fn dense(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let units = k.between(1, 6);
    let dense = Dense { units, use_bias: !k.flag(), activation: functions::name(k) };
    d.add("Dense", &[x], d.size(x) + 1.0, |m| vec![m.dense(x, dense)])
}

/// Equations by the rank of the input after the batch, with the indices of the bias.
const EQUATIONS: &[(usize, &str, &str)] = &[
    (1, "ab,bc->ac", "c"),
    (1, "ab,bcd->acd", "cd"),
    (2, "abc,cd->abd", "d"),
    // With more axes, Keras confuses the order of the axes in the dots.
    (2, "...x,xy->...y", "y"),
    (2, "abc,bd->adc", "dc"),
    (2, "abc,cde->abde", "de"),
    (2, "abc,bcd->ad", "d"),
    (2, "abc,bcd->abd", "bd"),
    (3, "abcd,de->abce", "e"),
];

pub(super) fn einsum_dense(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.find(step.reads[0], |extents| extents.len() <= 3)?;
    let extents = d.extents(x);
    let fitting: Vec<_> = EQUATIONS.iter().filter(|(axes, ..)| *axes == extents.len()).copied().collect();
    let (_, equation, bias) = k.of(&fitting);
    let (input, rest) = equation.split_once(',')?;
    let (kernel, output) = rest.split_once("->")?;
    let new = [k.between(1, 4), k.between(1, 3)];
    let last = *extents.last()?;
    // The extent of an index: the input's, or a new one.
    let extent = |index: char| match input.find(index) {
        _ if index == 'x' => last,
        Some(at) => extents[at - 1],
        None => new[kernel.chars().filter(|c| !input.contains(*c)).position(|c| c == index).unwrap_or(0)],
    };
    let of = |indices: &str| indices.chars().map(extent).collect::<Vec<u64>>();
    let shape = of(output.trim_start_matches("...").trim_start_matches('a'));
    let kernel = of(kernel);
    let fan: u64 = kernel.iter().product();
    let has_bias = !k.flag();
    let config = Attrs::new()
        .with("equation", equation)
        .with("output_shape", Attr::ints(shape))
        .with("activation", functions::spec(k))
        .with("bias_axes", if has_bias { Attr::str(bias) } else { Attr::Null });
    let declaration = Declaration::keras("EinsumDense", config).weights([(kernel, Init::glorot(fan, 0))]);
    let declaration = declaration.weights(has_bias.then(|| (of(bias), Init::offset())));
    d.layer(&declaration, &[x], d.size(x) + 1.0)
}

/// An embedding. Its indices are below the number of rows: an integer input, or floats scaled to fit.
pub(super) fn embedding(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (rows, features) = (k.between(8, 11), k.between(1, 4));
    let tokens = if k.flag() { d.tokens(step.reads[0]) } else { None };
    let x = match tokens {
        Some(tokens) => tokens,
        None => {
            let x = d.any(step.reads[0])?;
            let x = d.add("Activation", &[x], 0.0, |m| vec![m.activation(x, "hard_sigmoid")])?;
            d.op(("numpy", "Multiply"), Attrs::new(), vec![Attr::Operand(0), Attr::from(7.0)], &[x], 3.0)?
        }
    };
    // Only for sequences: masks are masks of steps.
    let masks = k.below(2) == 1 && d.axes(x) == 1 && d.makes_masks().is_some();
    let config =
        Attrs::new().with("input_dim", rows as i64).with("output_dim", features as i64).with("mask_zero", masks);
    let table = (vec![rows, features], Init::uniform(-1.0, 1.0));
    d.layer(&Declaration::keras("Embedding", config).weights([table]), &[x], 0.0)
}

/// Equations of two tensors of the same type, by their rank after the batch.
const PRODUCTS: &[(usize, &str)] = &[
    (1, "ab,ab->a"),
    (1, "ab,ac->abc"),
    (2, "abc,abd->acd"),
    (2, "...ij,...kj->...ik"),
    (2, "abc,adc->adb"),
    (2, "abc,abc->ab"),
    (3, "abcd,abce->abde"),
];

/// A product of two tensors of the same type, or of a tensor and a constant.
pub(super) fn product(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.find(step.reads[0], |extents| extents.len() <= 3)?;
    let y = d.same_type(step.reads[1], x)?;
    let extents = d.extents(x);
    let last = *extents.last()?;
    let both = vec![Attr::Operand(0), Attr::Operand(1)];
    let size = d.size(x) + d.size(y) + 2.0;
    match k.below(4) {
        0 => {
            let fitting: Vec<_> = PRODUCTS.iter().filter(|(axes, _)| *axes == extents.len()).copied().collect();
            let equation = k.of(&fitting).1;
            d.op(("numpy", "Einsum"), Attrs::new().with("subscripts", equation), both, &[x, y], size)
        }
        1 if extents.len() >= 2 => {
            let axes = [-1, -2].map(Attr::from);
            let config = Attrs::new().with("axis1", axes[0].clone()).with("axis2", axes[1].clone());
            let y = d.op_of(("numpy", "Swapaxes"), config, y, d.size(y))?;
            d.op(("numpy", "Matmul"), Attrs::new(), both, &[x, y], size)
        }
        kind => {
            let class = if kind == 3 { "Dot" } else { "Matmul" };
            let columns: &[u64] = if k.flag() { &[] } else { &[3] };
            let shape: Vec<u64> = std::iter::once(last).chain(columns.iter().copied()).collect();
            let constant = super::arrays::array(&shape, k.seed(), -1.0, 1.0);
            d.op(("numpy", class), Attrs::new(), vec![Attr::Operand(0), constant], &[x], d.size(x) + 2.0)
        }
    }
}
