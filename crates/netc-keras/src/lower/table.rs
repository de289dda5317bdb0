//! The table of all classes that have a lowering.

use netc_ir::Attr;

use crate::lower::call::mask::Attaches;
use crate::lower::conv::{self, adaptive, pool, resize, transpose};
use crate::lower::entry::Entry;
use crate::lower::ops::{elementwise, index, places, reduce, shape};
use crate::lower::rnn::{self, convolutional};
use crate::lower::{activation, attention, category, dense, identity, merge, norm, reshape, wrapper};

/// All layers that have a lowering, by kind.
pub const LAYERS: &[&[Entry]] = &[
    conv::LAYERS,
    transpose::LAYERS,
    pool::LAYERS,
    adaptive::LAYERS,
    dense::LAYERS,
    norm::LAYERS,
    activation::LAYERS,
    merge::LAYERS,
    reshape::LAYERS,
    resize::LAYERS,
    attention::LAYERS,
    rnn::LAYERS,
    convolutional::LAYERS,
    wrapper::LAYERS,
    identity::LAYERS,
    category::LAYERS,
];

/// All operations of `keras.ops` that have a lowering, by kind.
pub const OPS: &[&[Entry]] = &[
    elementwise::OPS,
    activation::OPS,
    reduce::OPS,
    shape::OPS,
    places::OPS,
    index::OPS,
    dense::OPS,
    conv::OPS,
    pool::OPS,
    resize::OPS,
    norm::OPS,
    identity::OPS,
];

/// The names of all source ops that have a lowering, each with a one-line description.
pub fn classes() -> impl Iterator<Item = (String, &'static str)> {
    let named = |prefix: &'static str, tables: &'static [&'static [Entry]]| {
        tables.iter().flat_map(|t| t.iter()).map(move |e| (format!("{prefix}{}", e.class), e.doc))
    };
    named("keras.", LAYERS).chain(named("keras.ops.", OPS))
}

/// The names of all supported activation functions.
pub fn activations() -> impl Iterator<Item = &'static str> {
    activation::FUNCTIONS.iter().map(|(name, _)| *name)
}

pub(crate) fn entry(name: &str) -> Option<&'static Entry> {
    let name = name.strip_prefix("keras.")?;
    let (class, tables) = match name.strip_prefix("ops.") {
        Some(class) => (class, OPS),
        None => (name, LAYERS),
    };
    tables.iter().flat_map(|t| t.iter()).find(|e| e.class == class)
}

/// Whether a layer of the class passes its input's mask to its result.
pub(crate) fn passes_mask(class: &str, config: Option<&Attr>) -> bool {
    match class.strip_prefix("keras.") {
        Some("LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Bidirectional") => {
            let inner = config.and_then(|config| config.get("layer")).and_then(|layer| layer.get("config"));
            let says = |config: &Attr| config.get("return_sequences").and_then(Attr::as_bool);
            inner.or(config).and_then(says) == Some(true)
        }
        Some(_) => entry(class).is_some_and(|entry| matches!(entry.attaches, Attaches::Given(_))),
        None => false,
    }
}
