//! Recurrent layers, unrolled: a program to run has the ops of a step once per step. If only types and costs matter,
//! one step represents the others.
//!
//! The formulas and their order of operations are those of the cells in `keras.src.layers.rnn`.

pub(crate) mod convolutional;

use netc_dialect::{Purpose, Repeat};
use netc_ir::{Attr, CoreOp, Dim, ElemType, Literal, SliceAxis, Type, ValueId};

use crate::config::classes::dialect_class;
use crate::config::names::GroupNames;
use crate::config::version::KerasVersion;
use crate::lower::activation::activate_at;
use crate::lower::call::Call;
use crate::lower::dense::matmul;
use crate::lower::entry::{Entry, many};
use crate::lower::identity::any;
use crate::lower::result::{Result, bad};

pub(crate) const LAYERS: &[Entry] = &[
    many(
        "SimpleRNN",
        |c| recurrent(c, &SIMPLE),
        "A recurrent layer: `h = activation(x @ kernel + bias + h @ recurrent_kernel)`.",
    ),
    many(
        "GRU",
        |c| recurrent(c, &GRU),
        "A gated recurrent unit; the reset gate acts before or after the matrix product.",
    ),
    many("LSTM", |c| recurrent(c, &LSTM), "A long short-term memory."),
    many("RNN", of_cells, "A cell of Keras, or a stack of cells, applied step by step."),
];

/// Limit on the steps that a layer is unrolled to, times its cells. Bounds the size of the program.
pub(crate) const MAX_STEPS: u64 = 4096;

/// What one step computes.
struct Cell {
    /// The number of states; the first is the output.
    states: usize,
    step: Step,
}

/// Computes the states after a step from the input, already multiplied by the kernel, and the states before the step.
type Step = fn(&mut Call<'_, '_>, &Weights, ValueId, &[ValueId]) -> Result<Vec<ValueId>>;

const SIMPLE: Cell = Cell { states: 1, step: simple };

const GRU: Cell = Cell { states: 1, step: gru };

const LSTM: Cell = Cell { states: 2, step: lstm };

/// A cell of a layer.
struct Placed<'a> {
    cell: &'static Cell,
    /// Its own configuration; `None` if the layer's applies.
    config: Option<&'a Attr>,
    units: u64,
    /// The place of its weights in the layer's group.
    place: String,
}

impl<'a> Placed<'a> {
    /// Runs `f` with the configuration of the cell.
    fn of<'m, T>(&self, c: &mut Call<'a, 'm>, f: impl FnOnce(&mut Call<'a, 'm>) -> T) -> T {
        match self.config {
            Some(config) => c.with_config(config, f),
            None => f(c),
        }
    }
}

/// The weights of a cell.
struct Weights {
    kernel: ValueId,
    recurrent: ValueId,
    /// The bias of the product with the kernel, and of the product with the recurrent kernel.
    bias: [Option<ValueId>; 2],
    units: u64,
}

fn recurrent<'a>(c: &mut Call<'a, '_>, cell: &'static Cell) -> Result<Vec<ValueId>> {
    let units = c.count("units")?;
    steps_of(c, &[Placed { cell, config: None, units, place: "cell".into() }])
}

fn of_cells(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let key = "cell";
    let object = c.get(key).ok_or_else(|| c.bad(key, "the declaration of a cell"))?;
    let class = object.as_map().map(|object| dialect_class(object, KerasVersion::Keras3));
    let stacked = class.as_deref() == Some("keras.StackedRNNCells");
    if !stacked {
        let cell = placed(c, object, key.into())?;
        return steps_of(c, &[cell]);
    }
    let list = object.get("config").and_then(|config| config.get("cells"));
    let objects = list.and_then(Attr::as_list).ok_or_else(|| bad("cells", list, "a list of cells"))?;
    // Keras names the weight groups of the cells after their classes.
    let mut groups = GroupNames::default();
    let mut cells = Vec::new();
    for object in objects {
        let class = object.get("class_name").and_then(Attr::as_str).unwrap_or_default();
        cells.push(placed(c, object, format!("{key}/cells/{}", groups.next(class)))?);
    }
    steps_of(c, &cells)
}

fn placed<'a>(c: &mut Call<'a, '_>, object: &'a Attr, place: String) -> Result<Placed<'a>> {
    let entry = object.as_map().ok_or_else(|| bad("cell", Some(object), "the declaration of a cell"))?;
    let class = dialect_class(entry, KerasVersion::Keras3);
    let cell = match &*class {
        "keras.SimpleRNNCell" => &SIMPLE,
        "keras.GRUCell" => &GRU,
        "keras.LSTMCell" => &LSTM,
        _ => return Err(c.unsupported(format!("a cell of the class `{class}`"))),
    };
    let config = entry.get("config").ok_or_else(|| bad("cell", Some(object), "a cell with a configuration"))?;
    let elem = c.compute_type()?;
    let (units, own) =
        c.with_config(config, |c| Ok::<_, netc_dialect::LowerError>((c.count("units")?, c.compute_type()?)))?;
    // The default type is `float32`.
    if own.unwrap_or(ElemType::F32) != elem.unwrap_or(ElemType::F32) {
        return Err(c.unsupported("a cell whose compute type differs from the layer's"));
    }
    Ok(Placed { cell, config: Some(config), units, place })
}

fn steps_of<'a>(c: &mut Call<'a, '_>, cells: &[Placed<'a>]) -> Result<Vec<ValueId>> {
    let Sequence { x, states: given, mask } = sequence(c)?;
    let dims = c.dims(x)?;
    let [batch, length, _] = &dims[..] else { return Err(c.unsupported(format!("a tensor of type {}", c.ty(x)))) };
    let Some(last) = cells.last() else { return Err(c.unsupported("no cells")) };
    if let Err(error) = stateless(c) {
        return Err(error.giving(result_types(c, cells, last.units, [batch, length], c.elem(x))?));
    }
    let Some(steps) = length.known().filter(|n| (1..=MAX_STEPS / cells.len() as u64).contains(n)) else {
        let error = c.unsupported(format!("a sequence of {length} steps (the limits are 1 and {MAX_STEPS})"));
        return Err(error.giving(result_types(c, cells, last.units, [batch, length], c.elem(x))?));
    };
    let mut states: Vec<Vec<ValueId>> = match (given.len(), cells) {
        (0, _) => {
            let zero = |cell: &Placed<'_>| {
                Ok(vec![zeros(c, x, vec![batch.clone(), Dim::Known(cell.units)])?; cell.cell.states])
            };
            cells.iter().map(zero).collect::<Result<_>>()?
        }
        (_, [only]) if given.concat().len() == only.cell.states => vec![given.concat()],
        (_, [_, _, ..]) if given.iter().map(Vec::len).eq(cells.iter().map(|cell| cell.cell.states)) => given,
        (n, _) => return Err(c.unsupported(format!("{n} initial states"))),
    };
    let weights = cells.iter().map(|cell| cell.of(c, |c| weights(c, cell))).collect::<Result<Vec<_>>>()?;
    let Some(first) = weights.first() else { return Err(c.unsupported("no cells")) };
    let projected = matmul(c, x, first.kernel)?;
    let mask = mask.map(|mask| mask_of_steps(c, mask)).transpose()?;
    let outputs = each_step(c, steps, &mut states, |c, i, last, states| {
        let before = mask.map(|_| states.clone());
        let mut now = step_at(c, projected, i, steps)?;
        for (at, ((cell, weights), states)) in cells.iter().zip(&weights).zip(&mut *states).enumerate() {
            let read = if at == 0 { now } else { matmul(c, now, weights.kernel)? };
            *states = cell.of(c, |c| (cell.cell.step)(c, weights, read, states))?;
            now = states[0];
        }
        if let Some((mask, before)) = mask.zip(before) {
            let keep = step_at(c, mask, i, steps)?;
            now = output_or_last(c, keep, now, last, &before)?;
            *states = kept(c, keep, states, &before)?;
        }
        Ok(now)
    })?;
    results(c, &outputs, states.concat())
}

/// The output of a step, and the number of steps that it represents.
pub(crate) type Output = (ValueId, u64);

/// Runs `step` for every step, with the number of the step, the previous output and the states. It returns the output.
///
/// If only types matter, unrolling stops at a step that leaves the types of the output and the states unchanged,
/// because all later steps have the same types. The last step represents those. It is the last one so that a sequence
/// that is too short is still an error.
pub(crate) fn each_step<'a, 'm>(
    c: &mut Call<'a, 'm>,
    steps: u64,
    states: &mut Vec<Vec<ValueId>>,
    mut step: impl FnMut(&mut Call<'a, 'm>, u64, Option<ValueId>, &mut Vec<Vec<ValueId>>) -> Result<ValueId>,
) -> Result<Vec<Output>> {
    let mut outputs: Vec<Output> = Vec::new();
    let (mut done, mut times) = (0, 1);
    while done < steps {
        let (start, before, last) = (c.b.func().num_op_slots(), states.concat(), outputs.last().map(|(y, _)| *y));
        let output = step(c, done + times - 1, last, states)?;
        if times > 1 {
            c.repeats.push(Repeat { ops: start..c.b.func().num_op_slots(), times });
        }
        outputs.push((output, times));
        done += times;
        let is_same = |a: ValueId, b: ValueId| c.ty(a) == c.ty(b);
        let is_settled = last.is_some_and(|last| is_same(last, output))
            && before.iter().zip(states.iter().flatten()).all(|(before, after)| is_same(*before, *after));
        times = if c.purpose == Purpose::Types && is_settled { steps - done } else { 1 };
    }
    Ok(outputs)
}

/// The mask as booleans, with an axis after the steps that broadcasts over features.
fn mask_of_steps(c: &mut Call<'_, '_>, mask: ValueId) -> Result<ValueId> {
    let mask = c.truth(mask)?;
    match c.rank(mask)? {
        2 => c.expand(mask, 2),
        // A step is kept if any of its features is.
        3 if !c.flag("unroll", false)? => any(c, mask, &[2], true),
        _ => Err(c.unsupported(format!("a mask of type {}", c.ty(mask)))),
    }
}

/// The output of a step. Where the mask skips the step, the value that Keras puts in its place.
fn output_or_last(
    c: &mut Call<'_, '_>,
    keep: ValueId,
    output: ValueId,
    last: Option<ValueId>,
    before: &[Vec<ValueId>],
) -> Result<ValueId> {
    if c.flag("unroll", false)? {
        return match last {
            Some(last) => c.select(keep, output, last),
            None => c.select(keep, output, 0.0),
        };
    }
    // Keras takes the first state of the last cell as the previous output.
    let state = before.last().and_then(|states| states.first());
    match state.filter(|_| !c.flag("zero_output_for_mask", false).unwrap_or(false)) {
        Some(state) => c.select(keep, output, *state),
        None => c.select(keep, output, 0.0),
    }
}

/// The states after a step. Where the mask skips the step, the states before it.
fn kept(
    c: &mut Call<'_, '_>,
    keep: ValueId,
    after: &[Vec<ValueId>],
    before: &[Vec<ValueId>],
) -> Result<Vec<Vec<ValueId>>> {
    let of_cell = |(after, before): (&Vec<ValueId>, &Vec<ValueId>)| {
        after.iter().zip(before).map(|(after, before)| c.select(keep, *after, *before)).collect()
    };
    after.iter().zip(before).map(of_cell).collect()
}

/// The inputs of a recurrent layer.
pub(crate) struct Sequence {
    pub(crate) x: ValueId,
    /// The initial states, grouped as in the call; empty if they are zeros.
    pub(crate) states: Vec<Vec<ValueId>>,
    pub(crate) mask: Option<ValueId>,
}

/// Reads the inputs of a recurrent layer, and attaches the mask to its result if it returns sequences.
pub(crate) fn sequence(c: &mut Call<'_, '_>) -> Result<Sequence> {
    if c.flag("time_major", false)? {
        return Err(c.unsupported("`time_major` = true"));
    }
    let (x, states) = c.sequence_and_states()?;
    let mask = c.mask(2)?;
    if c.flag("return_sequences", false)? {
        let passed = match c.given_mask(2, "mask")? {
            Some(mask) => Some(mask),
            None => c.attached_to_first().first().copied().flatten(),
        };
        c.attach(0, passed);
    }
    Ok(Sequence { x, states, mask })
}

/// Rejects a stateful layer: its result depends on earlier calls.
pub(crate) fn stateless(c: &Call<'_, '_>) -> Result<()> {
    match c.flag("stateful", false)? {
        true => Err(c.unsupported("`stateful` = true (its result depends on earlier calls)")),
        false => Ok(()),
    }
}

/// The part of `sequence` that step `i` of `steps` reads.
pub(crate) fn step_at(c: &mut Call<'_, '_>, sequence: ValueId, i: u64, steps: u64) -> Result<ValueId> {
    let at = if c.flag("go_backwards", false)? { steps - 1 - i } else { i };
    let now = c.slice(sequence, 1, SliceAxis { start: at, end: Some(at + 1), step: 1 })?;
    c.squeeze(now, 1)
}

/// The results of the layer: the last output or all of them, then `states` if the layer returns them.
pub(crate) fn results(c: &mut Call<'_, '_>, outputs: &[Output], states: Vec<ValueId>) -> Result<Vec<ValueId>> {
    let Some((last, _)) = outputs.last() else { return Err(c.unsupported("no steps")) };
    let y = if c.flag("return_sequences", false)? { stack(c, outputs)? } else { *last };
    let returned = if c.flag("return_state", false)? { states } else { Vec::new() };
    Ok([vec![y], returned].concat())
}

fn result_types(
    c: &Call<'_, '_>,
    cells: &[Placed<'_>],
    units: u64,
    [batch, length]: [&Dim; 2],
    elem: ElemType,
) -> Result<Vec<Type>> {
    let state = |units: u64| Type::new(elem, [batch.clone(), Dim::Known(units)]);
    let sequence = Type::new(elem, [batch.clone(), length.clone(), Dim::Known(units)]);
    let mut types = vec![if c.flag("return_sequences", false)? { sequence } else { state(units) }];
    if c.flag("return_state", false)? {
        types.extend(cells.iter().flat_map(|cell| vec![state(cell.units); cell.cell.states]));
    }
    Ok(types)
}

fn weights(c: &mut Call<'_, '_>, cell: &Placed<'_>) -> Result<Weights> {
    let (place, units) = (&cell.place, cell.units);
    let kernel = c.weight(&format!("{place}/vars/0"), "the kernel")?;
    let recurrent = c.weight(&format!("{place}/vars/1"), "the recurrent kernel")?;
    c.require_extents(recurrent, "the recurrent kernel", 0, "units", 1)?;
    if !c.flag("use_bias", true)? {
        return Ok(Weights { kernel, recurrent, bias: [None, None], units });
    }
    let bias = c.weight(&format!("{place}/vars/2"), "the bias")?;
    if c.rank(bias)? == 1 {
        return Ok(Weights { kernel, recurrent, bias: [Some(bias), None], units });
    }
    let row = |c: &mut Call<'_, '_>, i: u64| -> Result<ValueId> {
        let row = c.slice(bias, 0, SliceAxis { start: i, end: Some(i + 1), step: 1 })?;
        c.squeeze(row, 0)
    };
    Ok(Weights { kernel, recurrent, bias: [Some(row(c, 0)?), Some(row(c, 1)?)], units })
}

/// An initial state of zeros, in the type of `x`.
pub(crate) fn zeros(c: &mut Call<'_, '_>, x: ValueId, dims: Vec<Dim>) -> Result<ValueId> {
    let zero = c.b.constant(Literal::splat(c.elem(x), &[], 0.0))?;
    Ok(c.b.broadcast(zero, dims)?)
}

/// The outputs of all steps along a new axis 1.
fn stack(c: &mut Call<'_, '_>, outputs: &[Output]) -> Result<ValueId> {
    let mut parts = Vec::new();
    for (y, times) in outputs {
        let mut part = c.expand(*y, 1)?;
        if *times > 1 {
            let mut dims = c.dims(part)?;
            dims[1] = Dim::Known(*times);
            part = c.b.broadcast(part, dims)?;
        }
        parts.push(part);
    }
    Ok(c.b.core(CoreOp::Concat(1), &parts)?)
}

fn simple(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Result<Vec<ValueId>> {
    let x = biased(c, x, w.bias[0])?;
    let h = matmul(c, states[0], w.recurrent)?;
    let y = c.add(x, h)?;
    Ok(vec![activate_at(c, "activation", y)?])
}

fn lstm(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Result<Vec<ValueId>> {
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

fn gru(c: &mut Call<'_, '_>, w: &Weights, x: ValueId, states: &[ValueId]) -> Result<Vec<ValueId>> {
    let x = biased(c, x, w.bias[0])?;
    let after = c.flag("reset_after", true)?;
    let gates = if after { w.recurrent } else { columns(c, w.recurrent, 0, 2 * w.units)? };
    let h = matmul(c, states[0], gates)?;
    let h = biased(c, h, w.bias[1])?;
    let both = |c: &mut Call<'_, '_>, i: u64| -> Result<ValueId> {
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

fn biased(c: &mut Call<'_, '_>, x: ValueId, bias: Option<ValueId>) -> Result<ValueId> {
    match bias {
        Some(bias) => c.add(x, bias),
        None => Ok(x),
    }
}

/// The part of gate `i` in a tensor computed for all gates at once.
fn part(c: &mut Call<'_, '_>, z: ValueId, units: u64, i: u64) -> Result<ValueId> {
    columns(c, z, i * units, (i + 1) * units)
}

fn gate(c: &mut Call<'_, '_>, z: ValueId, units: u64, i: u64) -> Result<ValueId> {
    let z = part(c, z, units, i)?;
    activate_at(c, "recurrent_activation", z)
}

fn columns(c: &mut Call<'_, '_>, x: ValueId, start: u64, end: u64) -> Result<ValueId> {
    c.slice(x, 1, SliceAxis { start, end: Some(end), step: 1 })
}

impl Call<'_, '_> {
    /// The sequence that a recurrent layer is called with, and its initial states, if any. They follow the sequence in
    /// a list, or are a separate argument.
    fn sequence_and_states(&mut self) -> Result<(ValueId, Vec<Vec<ValueId>>)> {
        let tensors = self.raw_inputs_beside(&["sequences", "sequence", "inputs"], &["initial_state", "mask"])?;
        let Some((x, rest)) = tensors.split_first() else { return Err(self.unsupported("no sequence")) };
        let mut states: Vec<Vec<ValueId>> = rest.iter().map(|state| vec![*state]).collect();
        match self.arg(1, "initial_state") {
            None => {}
            Some(state @ Attr::Operand(_)) => states.push(self.tensors(Some(state))?),
            Some(Attr::List(items)) => {
                for item in items {
                    states.push(self.tensors(Some(item))?);
                }
            }
            Some(
                Attr::Null
                | Attr::Bool(_)
                | Attr::Int(_)
                | Attr::Float(_)
                | Attr::Str(_)
                | Attr::Map(_)
                | Attr::NonJson(_),
            ) => {
                return Err(self.unsupported("an `initial_state` that is not a tensor"));
            }
        }
        for state in states.iter_mut().flatten() {
            *state = self.autocast(*state)?;
        }
        Ok((self.autocast(*x)?, states))
    }
}
