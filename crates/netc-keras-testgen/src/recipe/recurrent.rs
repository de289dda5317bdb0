//! Recurrent layers, and layers that wrap another layer.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Init, Tensor};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use netc_testgen::Step;

/// Each class, and its number of gates.
const CELLS: &[(&str, u64)] = &[("SimpleRNN", 1), ("GRU", 3), ("LSTM", 4)];

/// Activations with results from -1 to 1, so that states stay small.
const BOUNDED: &[&str] = &["tanh", "sigmoid", "softsign"];

const GATES: &[&str] = &["sigmoid", "hard_sigmoid"];

/// A recurrent layer, declared by itself or in another layer.
struct Cell {
    class: &'static str,
    config: Attrs,
    weights: Vec<(Vec<u64>, Init)>,
}

fn cell(features: u64, k: &mut Choice) -> Cell {
    let (class, gates) = k.of(CELLS);
    let units = k.between(1, 3);
    let use_bias = !k.flag();
    let reset_after = !k.flag();
    let mut config = Attrs::new().with("units", units as i64).with("activation", k.of(BOUNDED));
    if class != "SimpleRNN" {
        config.set("recurrent_activation", k.of(GATES));
    }
    if class == "GRU" {
        config.set("reset_after", reset_after);
    }
    for (key, value) in [("use_bias", use_bias), ("return_sequences", k.flag()), ("go_backwards", k.flag())] {
        config.set(key, value);
    }
    let columns = gates * units;
    let rows = if class == "GRU" && reset_after { vec![2, columns] } else { vec![columns] };
    let kernels = [features, units].map(|n| (vec![n, columns], Init::glorot(n, columns)));
    let weights = kernels.into_iter().chain(use_bias.then(|| (rows, Init::offset()))).collect();
    Cell { class, config, weights }
}

/// An `RNN` of one Keras cell, or of two cells of different classes, because groups of weights are named after the
/// classes.
fn of_cells(d: &mut Draft, x: Tensor, features: u64, k: &mut Choice) -> Added {
    let groups = |class: &str| match class {
        "SimpleRNN" => "simple_rnn_cell",
        "GRU" => "gru_cell",
        _ => "lstm_cell",
    };
    let own = |config: Attrs| {
        let kept = config.iter().filter(|(key, _)| !["return_sequences", "go_backwards"].contains(&&**key));
        kept.fold(Attrs::new(), |all, (key, value)| all.with(key.clone(), value.clone()))
    };
    let layer = Attrs::new()
        .with("return_sequences", k.flag())
        .with("return_state", !d.in_chain() && k.flag())
        .with("go_backwards", k.flag());
    let first = cell(features, k);
    if k.flag() {
        let config = layer.with("cell", inner(&format!("{}Cell", first.class), own(first.config)));
        return d.layer(&Declaration::keras("RNN", config).sublayer("cell", first.weights), &[x], 0.0);
    }
    let units = first.config.get("units").and_then(Attr::as_int).unwrap_or(1);
    let second = cell(units.unsigned_abs(), k);
    if first.class == second.class {
        return None;
    }
    let cells = [first, second];
    let objects = cells.iter().map(|c| inner(&format!("{}Cell", c.class), own(c.config.clone()))).collect();
    let stacked = inner("StackedRNNCells", Attrs::new().with("cells", Attr::List(objects)));
    let declaration = cells.into_iter().fold(Declaration::keras("RNN", layer.with("cell", stacked)), |all, cell| {
        all.sublayer(&format!("cell/cells/{}", groups(cell.class)), cell.weights)
    });
    d.layer(&declaration, &[x], 0.0)
}

pub(super) fn conv_lstm(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.find(step.reads[0], |extents| (3..=5).contains(&extents.len()) && extents[0] <= 6)?;
    d.refuses_masks()?;
    let mut spatial = d.extents(x).split_off(1);
    let first = k.below(3) == 2;
    let channels = if first { spatial.remove(0) } else { spatial.pop()? };
    let n = spatial.len();
    let size: Vec<u64> = spatial.iter().map(|extent| k.between(1, (*extent).min(2))).collect();
    let filters = k.between(1, 2);
    let use_bias = !k.flag();
    let config = Attrs::new()
        .with("return_sequences", k.flag())
        .with("return_state", !d.in_chain() && k.flag())
        .with("go_backwards", k.flag())
        .with("filters", filters as i64)
        .with("kernel_size", Attr::ints(size.iter().copied()))
        .with("strides", Attr::ints(vec![k.between(1, 2); n]))
        .with("padding", k.of(&["valid", "same"]))
        .with("data_format", if first { "channels_first" } else { "channels_last" })
        .with("dilation_rate", Attr::ints(vec![1; n]))
        .with("activation", k.of(BOUNDED))
        .with("recurrent_activation", k.of(GATES))
        .with("use_bias", use_bias);
    let kernels = [channels, filters].map(|n| ([&size[..], &[n, 4 * filters]].concat(), Init::glorot(n, filters)));
    let weights = kernels.into_iter().chain(use_bias.then(|| (vec![4 * filters], Init::offset())));
    d.layer(&Declaration::keras(&format!("ConvLSTM{n}D"), config).sublayer("cell", weights), &[x], 0.0)
}

/// A sequence, and its number of features.
fn sequence(d: &mut Draft, step: &Step<KerasClass>) -> Option<(Tensor, u64)> {
    let x = d.of_rank(step.reads[0], 2)?;
    Some((x, *d.extents(x).last()?))
}

pub(super) fn recurrent(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (x, features) = sequence(d, step)?;
    if k.below(3) == 2 {
        return of_cells(d, x, features, k);
    }
    let Cell { class, config, weights } = cell(features, k);
    let config = config.with("return_state", !d.in_chain() && k.flag());
    d.layer(&Declaration::keras(class, config).sublayer("cell", weights), &[x], 0.0)
}

pub(super) fn bidirectional(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (x, features) = sequence(d, step)?;
    let Cell { class, config, weights } = cell(features, k);
    let merge_mode = k.of(&["concat", "sum", "mul", "ave"]);
    // Keras rejects a forward layer with `go_backwards`.
    let layer = inner(class, config.with("go_backwards", false));
    let config = Attrs::new().with("merge_mode", merge_mode).with("layer", layer);
    let declaration = Declaration::keras("Bidirectional", config)
        .sublayer("forward_layer/cell", weights.iter().cloned())
        .sublayer("backward_layer/cell", weights);
    d.layer(&declaration, &[x], 1.0)
}

pub(super) fn time_distributed(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (x, features) = sequence(d, step)?;
    let units = k.between(1, 4);
    let use_bias = !k.flag();
    let dense = Attrs::new().with("units", units as i64).with("activation", k.of(BOUNDED)).with("use_bias", use_bias);
    let kernel = (vec![features, units], Init::glorot(features, units));
    let weights = std::iter::once(kernel).chain(use_bias.then(|| (vec![units], Init::offset())));
    let config = Attrs::new().with("layer", inner("Dense", dense));
    if k.below(4) == 3 {
        let config = config.with("power_iterations", 1);
        // The kernel is one variable, which a .keras file stores for both layers. The numbers of a random weight depend
        // on its name, so only a constant is the same in both.
        let constant = Init::uniform(0.25, 0.25);
        let own = [(vec![features, units], constant), (vec![1, units], Init::glorot(features, units))];
        let weights =
            weights.map(|(extents, init)| if extents.len() == 2 { (extents, constant) } else { (extents, init) });
        let declaration = Declaration::keras("SpectralNormalization", config).weights(own).sublayer("layer", weights);
        return d.layer(&declaration, &[x], 0.0);
    }
    d.layer(&Declaration::keras("TimeDistributed", config).sublayer("layer", weights), &[x], 0.0)
}

/// A layer in the configuration of another.
fn inner(class: &str, config: Attrs) -> Attr {
    let object = Attrs::new()
        .with("module", "keras.layers")
        .with("class_name", class)
        .with("config", config.with("name", "inner"))
        .with("registered_name", Attr::Null);
    Attr::Map(object)
}
