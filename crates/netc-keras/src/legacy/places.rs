//! Where Keras 3 puts the weights that older files list by layer.

use netc_ir::{Attr, Attrs, Name};

/// The place in the layer's group of a `.keras` file of each weight that the layer of a class lists, in order. `names`
/// are what the file calls them.
pub(crate) fn places(class: &str, config: &Attrs, names: &[&str]) -> Vec<Name> {
    let paths = below(class, config, names);
    paths.into_iter().map(Name::from).collect()
}

fn below(class: &str, config: &Attrs, names: &[&str]) -> Vec<String> {
    match class {
        "LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" => under("cell", own(names.len())),
        "TimeDistributed" => under("layer", inner(config, "layer", names)),
        "Bidirectional" => {
            let (forward, backward) = names.split_at(names.len() / 2);
            let forward = under("forward_layer", inner(config, "layer", forward));
            [forward, under("backward_layer", inner(config, "layer", backward))].concat()
        }
        _ => projections(class).map_or_else(|| own(names.len()), |groups| of_projections(names, &groups)),
    }
}

/// The weights of the layer itself.
fn own(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("vars/{i}")).collect()
}

fn under(part: &str, places: Vec<String>) -> Vec<String> {
    places.into_iter().map(|place| format!("{part}/{place}")).collect()
}

/// The weights of the layer that stands at `key` of the configuration.
fn inner(config: &Attrs, key: &str, names: &[&str]) -> Vec<String> {
    let object = config.get(key);
    let class = object.and_then(|o| o.get("class_name")).and_then(Attr::as_str).unwrap_or_default();
    let config = object.and_then(|o| o.get("config")).and_then(Attr::as_map).cloned().unwrap_or_default();
    below(class, &config, names)
}

/// The projections of an attention as the names of their weights have them, `.../query/kernel:0`, in Keras's order.
pub(super) const SCOPES: [&str; 5] = ["query", "key", "gate", "value", "attention_output"];

/// The groups of the projections, if the class has such.
pub(super) fn projections(class: &str) -> Option<[&'static str; 5]> {
    match class {
        "MultiHeadAttention" => Some(["query_dense", "key_dense", "_gate_dense", "value_dense", "output_dense"]),
        "GroupQueryAttention" => Some(["_query_dense", "_key_dense", "_gate_dense", "_value_dense", "_output_dense"]),
        _ => None,
    }
}

/// The places of the weights of projections, which are told apart by their names.
fn of_projections(names: &[&str], groups: &[&'static str]) -> Vec<String> {
    let part = |name: &str| {
        let part = name.rsplit('/').nth(1).unwrap_or_default();
        SCOPES.iter().zip(groups).find(|(scope, _)| **scope == part).map(|(_, group)| *group)
    };
    let parts: Option<Vec<&str>> = names.iter().map(|name| part(name)).collect();
    let Some(parts) = parts else { return own(names.len()) };
    let number = |i: usize| parts[..i].iter().filter(|p| **p == parts[i]).count();
    (0..parts.len()).map(|i| format!("{}/vars/{}", parts[i], number(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_places_that_keras_3_gives_them() {
        // The names as tf_keras writes them, the places as Keras 3 saves the same layers.
        let layer = |class: &str| Attrs::new().with("layer", Attr::Map(Attrs::new().with("class_name", class)));
        let of = |class: &str, config: &Attrs, names: &[&str]| {
            places(class, config, names).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let none = Attrs::new();
        assert_eq!(of("Dense", &none, &["d/kernel:0", "d/bias:0"]), "vars/0 vars/1");
        assert_eq!(of("GRU", &none, &["g/c/kernel:0", "g/c/bias:0"]), "cell/vars/0 cell/vars/1");
        assert_eq!(of("TimeDistributed", &layer("Dense"), &["t/kernel:0"]), "layer/vars/0");
        assert_eq!(
            of("Bidirectional", &layer("LSTM"), &["f/k", "f/b", "b/k", "b/b"]),
            "forward_layer/cell/vars/0 forward_layer/cell/vars/1 backward_layer/cell/vars/0 backward_layer/cell/vars/1"
        );
        assert_eq!(
            of("MultiHeadAttention", &none, &["m/query/kernel:0", "m/query/bias:0", "m/attention_output/kernel:0"]),
            "query_dense/vars/0 query_dense/vars/1 output_dense/vars/0"
        );
    }
}
