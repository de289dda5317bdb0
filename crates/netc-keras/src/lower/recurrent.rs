//! Recurrent layers, step after step: their programs have the ops of one step as often as there are steps.
//!
//! The formulas are those of the cells in `keras.src.layers.rnn`, in their order of operations.

use netc_ir::{Attr, CoreOp, Dim, ElemType, Literal, SliceAxis, Type, ValueId};

use super::activation::activate_at;
use super::call::Call;
use super::dense::matmul;
use super::{Done, Entry, Lowered, One, many};

pub(super) const LAYERS: &[Entry] = &[
    many("SimpleRNN", |c| recurrent(c, &SIMPLE), "Steps of `activation(x @ kernel + bias + h @ recurrent_kernel)`."),
    many("GRU", |c| recurrent(c, &GRU), "Steps of a gated recurrent unit, which resets before or after the product."),
    many("LSTM", |c| recurrent(c, &LSTM), "Steps of a long short-term memory."),
];

/// More steps make programs that nobody wants to read or run.
const MAX_STEPS: u64 = 4096;

/// What one step computes.
struct Cell {
    /// How many states there are; the first is the output.
    states: usize,
    step: Step,
}

/// The states after a step, of the kernel's product with what the step reads and the states before.
type Step = fn(&mut Call<'_, '_>, &Weights, ValueId, &[ValueId]) -> Done<Vec<ValueId>>;

const SIMPLE: Cell = Cell { states: 1, step: simple };
const GRU: Cell = Cell { states: 1, step: gru };
const LSTM: Cell = Cell { states: 2, step: lstm };

/// The weights of a cell but for the kernel, which all steps are multiplied with at once.
struct Weights {
    recurrent: ValueId,
    /// What is added to the product with the kernel, and to that with the recurrent kernel.
    bias: [Option<ValueId>; 2],
    units: u64,
}

fn recurrent(c: &mut Call<'_, '_>, cell: &Cell) -> Lowered {
    c.unmasked()?;
    if c.flag("stateful", false)? {
        return Err(c.unsupported("`stateful`: what it computes depends on what it was given before,"));
    }
    if c.flag("time_major", false)? {
        return Err(c.unsupported("`time_major`"));
    }
    let mut tensors = c.sequence_and_states()?;
    let x = tensors.remove(0);
    let (dims, units) = (c.dims(x)?, c.count("units")?);
    let [batch, length, _] = &dims[..] else { return Err(c.unsupported(format!("a tensor of type {}", c.ty(x)))) };
    let Some(steps) = length.known().filter(|n| (1..=MAX_STEPS).contains(n)) else {
        let error = c.unsupported(format!("a sequence of {length} steps (1 to {MAX_STEPS} are)"));
        return Err(error.giving(result_types(c, cell, [batch, length], units, c.elem(x))?));
    };
    let mut states = match tensors.len() {
        0 => vec![zeros(c, x, batch, units)?; cell.states],
        n if n == cell.states => tensors,
        n => return Err(c.unsupported(format!("{n} initial states"))),
    };
    let kernel = c.weight("cell/vars/0", "the kernel")?;
    let weights = weights(c, units)?;
    let projected = matmul(c, x, kernel)?;
    let mut outputs = Vec::new();
    for i in 0..steps {
        let at = if c.flag("go_backwards", false)? { steps - 1 - i } else { i };
        let now = c.slice(projected, 1, SliceAxis { start: at, end: Some(at + 1), step: 1 })?;
        let now = c.squeeze(now, 1)?;
        states = (cell.step)(c, &weights, now, &states)?;
        outputs.push(states[0]);
    }
    let y = if c.flag("return_sequences", false)? { stack(c, &outputs)? } else { states[0] };
    let returned = if c.flag("return_state", false)? { states } else { Vec::new() };
    Ok([vec![y], returned].concat())
}

fn result_types(
    c: &Call<'_, '_>,
    cell: &Cell,
    [batch, length]: [&Dim; 2],
    units: u64,
    elem: ElemType,
) -> Done<Vec<Type>> {
    let state = Type::new(elem, [batch.clone(), Dim::Known(units)]);
    let sequence = Type::new(elem, [batch.clone(), length.clone(), Dim::Known(units)]);
    let mut types = vec![if c.flag("return_sequences", false)? { sequence } else { state.clone() }];
    if c.flag("return_state", false)? {
        types.extend(vec![state; cell.states]);
    }
    Ok(types)
}

fn weights(c: &mut Call<'_, '_>, units: u64) -> Done<Weights> {
    let recurrent = c.weight("cell/vars/1", "the recurrent kernel")?;
    if !c.flag("use_bias", true)? {
        return Ok(Weights { recurrent, bias: [None, None], units });
    }
    let bias = c.weight("cell/vars/2", "the bias")?;
    if c.rank(bias)? == 1 {
        return Ok(Weights { recurrent, bias: [Some(bias), None], units });
    }
    let row = |c: &mut Call<'_, '_>, i: u64| -> One {
        let row = c.slice(bias, 0, SliceAxis { start: i, end: Some(i + 1), step: 1 })?;
        c.squeeze(row, 0)
    };
    Ok(Weights { recurrent, bias: [Some(row(c, 0)?), Some(row(c, 1)?)], units })
}

/// The state before the first step.
fn zeros(c: &mut Call<'_, '_>, x: ValueId, batch: &Dim, units: u64) -> One {
    let zero = c.b.constant(Literal::splat(c.elem(x), &[], 0.0))?;
    Ok(c.b.broadcast(zero, vec![batch.clone(), Dim::Known(units)])?)
}

/// One after the other along a new axis 1.
fn stack(c: &mut Call<'_, '_>, steps: &[ValueId]) -> One {
    let steps = steps.iter().map(|y| c.expand(*y, 1)).collect::<Done<Vec<_>>>()?;
    Ok(c.b.core(CoreOp::Concat(1), &steps)?)
}

fn simple(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Done<Vec<ValueId>> {
    let x = biased(c, x, w.bias[0])?;
    let h = matmul(c, states[0], w.recurrent)?;
    let y = c.add(x, h)?;
    Ok(vec![activate_at(c, "activation", y)?])
}

fn lstm(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Done<Vec<ValueId>> {
    let h = matmul(c, states[0], w.recurrent)?;
    let z = c.add(x, h)?;
    let z = biased(c, z, w.bias[0])?;
    let input = gate(c, z, w.units, 0)?;
    let forget = gate(c, z, w.units, 1)?;
    let kept = c.mul(forget, states[1])?;
    let candidate = part(c, z, w.units, 2)?;
    let candidate = activate_at(c, "activation", candidate)?;
    let new = c.mul(input, candidate)?;
    let carry = c.add(kept, new)?;
    let output = gate(c, z, w.units, 3)?;
    let shown = activate_at(c, "activation", carry)?;
    Ok(vec![c.mul(output, shown)?, carry])
}

fn gru(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Done<Vec<ValueId>> {
    let x = biased(c, x, w.bias[0])?;
    let after = c.flag("reset_after", true)?;
    let gates = if after { w.recurrent } else { columns(c, w.recurrent, 0, 2 * w.units)? };
    let h = matmul(c, states[0], gates)?;
    let h = biased(c, h, w.bias[1])?;
    let both = |c: &mut Call<'_, '_>, i: u64| -> One {
        let (x, h) = (part(c, x, w.units, i)?, part(c, h, w.units, i)?);
        let sum = c.add(x, h)?;
        activate_at(c, "recurrent_activation", sum)
    };
    let (update, reset) = (both(c, 0)?, both(c, 1)?);
    let remembered = if after {
        let h = part(c, h, w.units, 2)?;
        c.mul(reset, h)?
    } else {
        let h = c.mul(reset, states[0])?;
        let last = columns(c, w.recurrent, 2 * w.units, 3 * w.units)?;
        matmul(c, h, last)?
    };
    let candidate = part(c, x, w.units, 2)?;
    let candidate = c.add(candidate, remembered)?;
    let candidate = activate_at(c, "activation", candidate)?;
    let kept = c.mul(update, states[0])?;
    let rest = c.sub(1.0, update)?;
    let new = c.mul(rest, candidate)?;
    Ok(vec![c.add(kept, new)?])
}

fn biased(c: &mut Call<'_, '_>, x: ValueId, bias: Option<ValueId>) -> One {
    match bias {
        Some(bias) => c.add(x, bias),
        None => Ok(x),
    }
}

/// Part `i` of what was computed for all gates at once.
fn part(c: &mut Call<'_, '_>, z: ValueId, units: u64, i: u64) -> One {
    columns(c, z, i * units, (i + 1) * units)
}

fn gate(c: &mut Call<'_, '_>, z: ValueId, units: u64, i: u64) -> One {
    let z = part(c, z, units, i)?;
    activate_at(c, "recurrent_activation", z)
}

fn columns(c: &mut Call<'_, '_>, x: ValueId, start: u64, end: u64) -> One {
    c.slice(x, 1, SliceAxis { start, end: Some(end), step: 1 })
}

impl Call<'_, '_> {
    /// The sequence that a recurrent layer is called with, and the states that it starts from, if they are given: behind
    /// it in a list, or as an argument of their own.
    fn sequence_and_states(&mut self) -> Done<Vec<ValueId>> {
        let mut tensors = self.raw_inputs_beside(&["sequence", "inputs"], &["initial_state"])?;
        match self.arg(1, "initial_state") {
            None => {}
            Some(states @ (Attr::Operand(_) | Attr::List(_))) => tensors.extend(self.tensors(Some(states))?),
            Some(Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Map(_)) => {
                return Err(self.unsupported("such an `initial_state`"));
            }
        }
        if tensors.is_empty() {
            return Err(self.unsupported("no sequence"));
        }
        tensors.into_iter().map(|x| self.autocast(x)).collect()
    }
}
