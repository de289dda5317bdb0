//! Constants as Keras writes them.

use netc_data::Rng;
use netc_ir::{Attr, Attrs};

/// An array of floats between `low` and `high`, multiples of 1/16.
pub(super) fn array(dims: &[u64], seed: u64, low: f64, high: f64) -> Attr {
    let mut rng = Rng::new(seed);
    numpy("float32", nested(dims, &mut || Attr::from((rng.uniform(low, high) * 16.0).round() / 16.0)))
}

/// A vector of integers.
pub(super) fn indices(items: &[i64]) -> Attr {
    numpy("int32", Attr::ints(items.iter().copied()))
}

fn numpy(dtype: &str, value: Attr) -> Attr {
    let config = Attrs::new().with("value", value).with("dtype", dtype);
    Attrs::new().with("class_name", "__numpy__").with("config", config).into()
}

fn nested(dims: &[u64], number: &mut impl FnMut() -> Attr) -> Attr {
    match dims {
        [] => number(),
        [n, rest @ ..] => Attr::List((0..*n).map(|_| nested(rest, number)).collect()),
    }
}
