//! Converts layer calls of older Keras to Keras 3.

use netc_ir::{Attr, Attrs, Layer};

use crate::config::message;
use crate::legacy::old_call::{self, BARE};

/// Layers that Keras 2 calls with a list of the sequence and the initial states.
pub(super) const RECURRENT: &[&str] = &[
    "keras.Bidirectional",
    "keras.ConvLSTM1D",
    "keras.ConvLSTM2D",
    "keras.ConvLSTM3D",
    "keras.GRU",
    "keras.LSTM",
    "keras.RNN",
    "keras.SimpleRNN",
];

/// Keys for the constants of a recurrent layer, in calls and configurations.
const CONSTANTS: &[&str] = &["constants", "num_constants"];

/// Whether the class is a recurrent layer.
pub(super) fn is_recurrent(class: &str) -> bool {
    RECURRENT.iter().any(|of| of.strip_prefix("keras.") == Some(class))
}

/// The build configuration of a recurrent layer, for the sequence only. If the layer was built for a list, the sequence
/// is its first item.
pub(super) fn of_sequence(built: &Attr) -> Attr {
    let Some(Attr::List(shapes)) = built.get("input_shape") else { return built.clone() };
    match shapes.first() {
        Some(first @ Attr::List(_)) => Attrs::new().with("input_shape", first.clone()).into(),
        Some(_) | None => built.clone(),
    }
}

/// The Keras 3 call of a layer that is not a TensorFlow operation.
pub(super) fn layer_call(layer: &Layer, call: &Attrs) -> Result<Attrs, String> {
    let call = if RECURRENT.contains(&&*layer.class) { recurrent(layer, call)? } else { call.clone() };
    Ok(plain(call))
}

/// The call without the marks of constants and of bare tensors.
fn plain(mut call: Attrs) -> Attrs {
    call.remove(BARE);
    if let Some(args) = call.get("args").map(without_marks) {
        call.set("args", args);
    }
    call
}

fn without_marks(tree: &Attr) -> Attr {
    match old_call::constant_of(tree) {
        Some(value) => value.clone(),
        None => tree.map_children(without_marks),
    }
}

/// The call of a recurrent layer, with its initial states as a separate argument.
fn recurrent(layer: &Layer, call: &Attrs) -> Result<Attrs, String> {
    let (mut call, config) = (call.clone(), layer.config.get("config"));
    let mut named = call.get("kwargs").and_then(Attr::as_map).cloned().unwrap_or_default();
    let says = |map: Option<&Attrs>, key| map.and_then(|map| map.get(key)).is_some_and(|value| !value.is_null());
    if CONSTANTS.iter().any(|key| says(Some(&named), key) || says(config.and_then(Attr::as_map), key)) {
        return Err("`constants`, which Keras 3 does not have".into());
    }
    named.remove("constants");
    if !says(Some(&named), "initial_state") {
        named.remove("initial_state");
    }
    if let Some([Attr::List(items)]) = call.get("args").and_then(Attr::as_list)
        && let Some((sequence, states)) = items.split_first().filter(|(_, states)| !states.is_empty())
    {
        named.set("initial_state", Attr::List(states.to_vec()));
        call.set("args", Attr::List(vec![sequence.clone()]));
    }
    if let Some(states) = named.get("initial_state").filter(|states| !is_of_tensors(states)) {
        return Err(format!("`initial_state` = {}", message::shown(states)));
    }
    Ok(call.with("kwargs", named))
}

/// Whether an argument contains only tensors.
fn is_of_tensors(argument: &Attr) -> bool {
    match argument {
        Attr::Operand(_) => true,
        Attr::List(items) => items.iter().all(is_of_tensors),
        Attr::Map(map) => map.iter().all(|(_, value)| is_of_tensors(value)),
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::NonJson(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::call::call_attrs;
    use crate::config::version::KerasVersion;
    use crate::legacy::tensorflow::NoTwin;
    use crate::legacy::upgrade::upgrade_call;

    /// The Keras 3 call of a layer of class `class` called with `args` and `kwargs`.
    fn called(class: &str, config: Attrs, args: Vec<Attr>, kwargs: Attrs) -> Result<Attrs, NoTwin> {
        let declared = Attrs::new().with("class_name", class).with("config", config);
        let class = format!("keras.{class}").into();
        let layer = Layer { name: "l".into(), class, config: declared, weights: Vec::new(), assets: Vec::new() };
        let call = call_attrs(Attr::List(args), Attr::Map(kwargs));
        upgrade_call(&layer, &call, &[], KerasVersion::Legacy).map(|upgraded| upgraded.call.into_owned())
    }

    fn tensors(range: std::ops::Range<u32>) -> Attr {
        Attr::List(range.map(Attr::Operand).collect())
    }

    #[test]
    fn initial_states_become_an_argument() {
        let null = Attrs::new().with("initial_state", Attr::Null).with("constants", Attr::Null);
        for (class, kwargs) in [("LSTM", Attrs::new()), ("ConvLSTM2D", Attrs::new()), ("Bidirectional", null)] {
            let call = called(class, Attrs::new(), vec![tensors(0..3)], kwargs).unwrap();
            assert_eq!(call.get("args"), Some(&tensors(0..1)), "{class}");
            assert_eq!(call.get("kwargs"), Some(&Attrs::new().with("initial_state", tensors(1..3)).into()), "{class}");
        }
    }

    #[test]
    fn other_lists_of_tensors_are_unchanged() {
        let call = called("Add", Attrs::new(), vec![tensors(0..3)], Attrs::new()).unwrap();
        assert_eq!(call.get("args"), Some(&Attr::List(vec![tensors(0..3)])));
    }

    #[test]
    fn constants_of_cells_are_rejected() {
        let refused = |config, kwargs| {
            let call = called("RNN", config, vec![tensors(0..3)], kwargs);
            assert!(matches!(&call, Err(NoTwin::With(note)) if note.contains("`constants`")), "{call:?}");
        };
        refused(Attrs::new().with("num_constants", Attr::Int(1)), Attrs::new());
        refused(Attrs::new(), Attrs::new().with("constants", tensors(2..3)));
    }
}
