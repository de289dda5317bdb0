//! Shared layers, towers of shared layers, nested models, and dictionaries of outputs.

use netc_ir::{Attr, Attrs, MAIN, Module};
use netc_keras::build::Tensor;

use super::KerasClass;
use super::draft::{Added, Draft, Shape};
use netc_testgen::{Step, pick};

/// Classes that need numbers of a certain range, which other tensors may not have.
const PARTICULAR: &[&str] = &[
    "Embedding",
    "Power",
    "Exp",
    "Exp2",
    "Expm1",
    "Log",
    "Log1p",
    "Log2",
    "Log10",
    "Sqrt",
    "Rsqrt",
    "Reciprocal",
    "Tan",
    "Divide",
    "TrueDivide",
];

/// Applies the layer of an existing call again, to other tensors of the same types if there are any.
pub(super) fn again(d: &mut Draft, step: &Step<KerasClass>) -> Added {
    let calls: Vec<usize> = (0..d.made.len()).filter(|i| !d.made[*i].operands.is_empty()).collect();
    let call = pick(&calls, step.reads[0])?;
    let reads = [step.reads[1], step.reads[2], step.knobs[0]];
    let old = d.made[call].operands.clone();
    let operands = old.iter().zip(reads.into_iter().cycle()).map(|(x, read)| d.same_type(read, *x));
    let operands = operands.collect::<Option<Vec<Tensor>>>()?;
    apply_again(d, call, &operands)
}

/// Applies the chain of layers between two tensors to another tensor of the first one's type.
pub(super) fn tower(d: &mut Draft, step: &Step<KerasClass>) -> Added {
    let mut calls: Vec<usize> = Vec::new();
    let singles: Vec<usize> = (0..d.made.len()).filter(|i| d.made[*i].operands.len() == 1).collect();
    let mut next = pick(&singles, step.reads[0]);
    while let Some(call) = next.filter(|_| calls.len() <= usize::from(step.knobs[0] % 4)) {
        calls.push(call);
        let below = d.made[call].operands.first();
        next = singles.iter().copied().find(|i| below.is_some_and(|x| d.made[*i].results == [*x]));
    }
    let first = *d.made[*calls.last()?].operands.first()?;
    let mut x = d.same_type(step.reads[1], first)?;
    for call in calls.into_iter().rev() {
        x = apply_again(d, call, &[x])?;
    }
    Some(x)
}

fn apply_again(d: &mut Draft, call: usize, operands: &[Tensor]) -> Added {
    if d.in_chain() {
        return None;
    }
    let made = &d.made[call];
    if made.layer.rsplit_once('_').is_some_and(|(class, _)| PARTICULAR.contains(&class)) {
        return None;
    }
    let larger = made.operands.iter().zip(operands).map(|(old, new)| d.size(*new) - d.size(*old)).fold(0.0, f64::max);
    let size = made.results.first().map_or(0.0, |y| d.size(*y)) + larger;
    let (layer, handle) = (made.layer.clone(), made.handle);
    let results = d.model.apply_all(handle, operands);
    d.record(layer, operands.to_vec(), results, size)
}

/// Makes a model of `steps` with one or two inputs and outputs, and applies it.
pub(super) fn nested(d: &mut Draft, step: &Step<KerasClass>, steps: &[Step<KerasClass>]) -> Added {
    let [a, b, c] = step.reads;
    let shape = if step.class == KerasClass::Sequential { Shape::Chain } else { Shape::Graph };
    let single = shape == Shape::Chain || d.is_straight() || step.knobs[1].is_multiple_of(2);
    let mut operands = vec![d.any(a)?];
    operands.extend(d.any(b).filter(|_| !single));
    let name = format!("Model_{}", d.made.len());
    let mut inner = Draft::new(&name, d.made.len() as u64, shape, d.features);
    (inner.depth, inner.masks) = (d.depth + 1, d.masks);
    for x in &operands {
        let ty = d.ty(*x);
        inner.input(ty.elem, &d.extents(*x), d.size(*x));
    }
    inner.steps(steps);
    if inner.made.len() == operands.len() || !d.may_read(&operands) {
        return None;
    }
    // The second output may be an input.
    let all: Vec<Tensor> = inner.tensors().collect();
    let last = *all.last()?;
    let second = pick(&all, c).filter(|y| *y != last && !d.is_straight() && step.knobs[2].is_multiple_of(3));
    let size = inner.size(last);
    d.masks = inner.masks;
    let model = match shape {
        Shape::Graph => inner.finish_graph(&Vec::from_iter(std::iter::once(last).chain(second))),
        Shape::Chain => inner.finish_chain(),
    };
    let layer = d.model.model(model);
    let results = d.model.apply_all(layer, &operands);
    d.record(name, operands, results, size)
}

/// Turns the outputs of a model, if there are several, into a dictionary, or a dictionary with a list.
pub(super) fn name_outputs(module: &mut Module, form: u8) {
    let Some(main) = module.func_named(MAIN) else { return };
    let operands = |n: usize| (0u32..).take(n).map(Attr::Operand).collect::<Vec<Attr>>();
    let outputs = operands(module[main].outputs.len());
    let tree = match (&outputs[..], form % 4) {
        // Keras flattens dictionaries by key, whatever their order.
        ([a, b], 0) => {
            for (output, key) in module[main].outputs.iter_mut().zip(["p", "q"]) {
                output.name = key.into();
            }
            Attrs::new().with("q", b.clone()).with("p", a.clone())
        }
        ([a, rest @ ..], 1) if !rest.is_empty() => {
            Attrs::new().with("q", Attr::List(rest.to_vec())).with("p", a.clone())
        }
        _ => return,
    };
    let inputs = match &operands(module[main].params.len())[..] {
        [one] => one.clone(),
        several => Attr::List(several.to_vec()),
    };
    module[main].attrs.set("inputs", inputs);
    module[main].attrs.set("outputs", tree);
}
