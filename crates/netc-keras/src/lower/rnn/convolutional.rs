//! Convolutional recurrent layers, unrolled as [recurrent layers](super) are.

use netc_ir::{Dim, ElemType, Padding, SliceAxis, Type, ValueId, Window};

use crate::lower::activation::activate_at;
use crate::lower::call::Call;
use crate::lower::conv::window;
use crate::lower::entry::{Entry, many};
use crate::lower::result::Result;
use crate::lower::rnn::{MAX_STEPS, Sequence, each_step, results, sequence, stateless, step_at, zeros};

pub(crate) const LAYERS: &[Entry] = &[
    many("ConvLSTM1D", |c| conv_lstm(c, 1), "A convolutional long short-term memory over one spatial axis."),
    many("ConvLSTM2D", |c| conv_lstm(c, 2), "A convolutional long short-term memory over two spatial axes."),
    many("ConvLSTM3D", |c| conv_lstm(c, 3), "A convolutional long short-term memory over three spatial axes."),
];

fn conv_lstm(c: &mut Call<'_, '_>, n: usize) -> Result<Vec<ValueId>> {
    let Sequence { x, states: given, mask } = sequence(c)?;
    let dims = c.dims(x)?;
    let (Some(length), true) = (dims.get(1), dims.len() == n + 3) else {
        return Err(c.unsupported(format!("a tensor of type {}", c.ty(x))));
    };
    let window = window(c, n)?;
    let axis = netc_ir::infer::channel_axis(window.layout, n + 2);
    let same = Window { strides: vec![1; n], dilations: vec![1; n], padding: Padding::Same, layout: window.layout };
    let read = projected(c, x, window, axis)?;
    let mut dims_of_state = c.dims(read)?;
    dims_of_state.remove(1);
    if let Some(channels) = dims_of_state.get_mut(axis) {
        *channels = Dim::Known(c.count("filters")?);
    }
    let steps = match (stateless(c), length.known().filter(|n| (1..=MAX_STEPS).contains(n))) {
        (Ok(()), Some(steps)) if mask.is_none() => steps,
        (stateless, steps) => {
            let error = match (stateless, steps) {
                (Err(error), _) => error,
                (Ok(()), Some(_)) => c.unsupported("a mask"),
                (Ok(()), None) => {
                    c.unsupported(format!("a sequence of {length} steps (the limits are 1 and {MAX_STEPS})"))
                }
            };
            return Err(error.giving(result_types(c, c.elem(x), dims_of_state, length)?));
        }
    };
    let recurrent = c.weight("cell/vars/1", "the recurrent kernel")?;
    let given = given.concat();
    let mut states = match given[..] {
        [] => vec![vec![zeros(c, x, dims_of_state)?; 2]],
        [_, _] => vec![given],
        _ => return Err(c.unsupported(format!("{} initial states", given.len()))),
    };
    let outputs = each_step(c, steps, &mut states, |c, i, _, states| {
        let now = step_at(c, read, i, steps)?;
        let h = c.b.conv(states[0][0], recurrent, same.clone(), 1)?;
        let [h, carry] = step(c, now, h, states[0][1], axis)?;
        *states = vec![vec![h, carry]];
        Ok(h)
    })?;
    results(c, &outputs, states.concat())
}

/// The result types of a layer whose states have the extents `state`.
fn result_types(c: &Call<'_, '_>, elem: ElemType, state: Vec<Dim>, length: &Dim) -> Result<Vec<Type>> {
    let mut sequence = state.clone();
    sequence.insert(1, length.clone());
    let state = Type::new(elem, state);
    let of_sequence = c.flag("return_sequences", false)?;
    let mut types = vec![if of_sequence { Type::new(elem, sequence) } else { state.clone() }];
    if c.flag("return_state", false)? {
        types.extend([state.clone(), state]);
    }
    Ok(types)
}

/// The convolution of the input for all gates and steps at once, with the bias. The batch axis holds the steps.
fn projected(c: &mut Call<'_, '_>, x: ValueId, window: Window, axis: usize) -> Result<ValueId> {
    let kernel = c.weight("cell/vars/0", "the kernel")?;
    let dims = c.dims(x)?;
    let [batch, length, rest @ ..] = &dims[..] else { return Ok(x) };
    let flat = c.reshape(x, [&[batch.times(length)], rest].concat())?;
    let mut y = c.b.conv(flat, kernel, window, 1)?;
    if c.flag("use_bias", true)? {
        let bias = c.weight("cell/vars/2", "the bias")?;
        let bias = c.along(bias, axis, c.rank(y)?)?;
        y = c.add(y, bias)?;
    }
    let behind = c.dims(y)?;
    let behind = behind.get(1..).unwrap_or_default();
    c.reshape(y, [&[batch.clone(), length.clone()], behind].concat())
}

/// The states after a step: output and carry.
fn step(c: &mut Call<'_, '_>, x: ValueId, h: ValueId, carry: ValueId, axis: usize) -> Result<[ValueId; 2]> {
    let filters = c.count("filters")?;
    let sum = c.add(x, h)?;
    let gate = |c: &mut Call<'_, '_>, i: u64, key: &str| -> Result<ValueId> {
        let (start, end) = (filters.saturating_mul(i), filters.saturating_mul(i + 1));
        let part = c.slice(sum, axis, SliceAxis { start, end: Some(end), step: 1 })?;
        activate_at(c, key, part)
    };
    let input = gate(c, 0, "recurrent_activation")?;
    let forget = gate(c, 1, "recurrent_activation")?;
    let kept = c.mul(forget, carry)?;
    let candidate = gate(c, 2, "activation")?;
    let new = c.mul(input, candidate)?;
    let carry = c.add(kept, new)?;
    let output = gate(c, 3, "recurrent_activation")?;
    let shown = activate_at(c, "activation", carry)?;
    Ok([c.mul(output, shown)?, carry])
}
