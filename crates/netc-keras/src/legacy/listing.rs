//! In which order Keras lists the weights of a layer in an HDF5 file, and what it calls them there.

use netc_ir::{Attr, Attrs, Name};

use super::Era;
use super::places::{SCOPES, projections};
use crate::names::{dialect_class, snake_case};

/// A weight of a layer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its place in the layer's group of a `.keras` file.
    pub(crate) place: Name,
    /// Its name below the layer's, such as `kernel`.
    pub(crate) name: String,
    /// Whether training changes it; `None` if only the class knows.
    pub(crate) trained: Option<bool>,
}

/// The weights of the layer of a class that have these places, in Keras's order; `None` if netc does not know the order,
/// or Keras would make other weights. The states of random numbers are not listed.
pub(crate) fn listing(class: &str, config: &Attrs, era: Era, places: &[Name]) -> Option<Vec<Listed>> {
    let is_listed = |place: &&str| !place.split('/').any(|part| part == "seed_generator");
    let places: Vec<&str> = places.iter().map(|place| &**place).filter(is_listed).collect();
    let listed = of_layer(class, config, era, &places)?;
    (listed.len() == places.len()).then_some(listed)
}

fn of_layer(class: &str, config: &Attrs, era: Era, places: &[&str]) -> Option<Vec<Listed>> {
    let mut listed = own(class, config, places)?;
    for part in parts(class, config, era) {
        let below = |place: &&str| place.strip_prefix(part.group)?.strip_prefix('/').map(str::to_string);
        let below: Vec<String> = places.iter().filter_map(below).collect();
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let of_part = of_layer(&part.class, &part.config, era, &below)?.into_iter();
        listed.extend(of_part.map(|weight| Listed {
            place: format!("{}/{}", part.group, weight.place).into(),
            name: if part.scope.is_empty() { weight.name } else { format!("{}/{}", part.scope, weight.name) },
            // Keras 3 makes the layers in a layer anew, and only they know their own flags.
            trained: weight.trained.map(|trained| trained && (era == Era::Keras3 || trains(config))),
        }));
    }
    Some(listed)
}

/// Whether the configuration lets the layer be trained.
pub(crate) fn trains(config: &Attrs) -> bool {
    config.get("trainable").and_then(Attr::as_bool) != Some(false)
}

/// The weights that the layer itself has; `None` if they are others than it has by its class.
fn own(class: &str, config: &Attrs, places: &[&str]) -> Option<Vec<Listed>> {
    let count = places.iter().filter(|place| place.starts_with("vars/")).count();
    let known = variables(class, config);
    if known.as_ref().is_some_and(|known| count > known.len() || is_quantized(config)) {
        return None;
    }
    let weight = |i: usize| {
        let place = format!("vars/{i}");
        let (name, trained) = match &known {
            Some(known) => (known[i].0.to_string(), Some(known[i].1 && trains(config))),
            None => (format!("variable_{i}"), None),
        };
        places.contains(&&*place).then(|| Listed { place: place.into(), name, trained })
    };
    (0..count).map(weight).collect()
}

/// Whether the layer has other weights than its class: those of integers, or of low rank besides.
fn is_quantized(config: &Attrs) -> bool {
    let says = |key| config.get(key).is_some_and(|value| !value.is_null());
    let policy = config.get("dtype").and_then(|dtype| dtype.get("class_name")).and_then(Attr::as_str);
    says("lora_rank") || says("quantization_config") || policy.is_some_and(|class| class.starts_with("Quantized"))
}

/// The variables of a layer of Keras's, as it calls them, each with whether it trains it; `None` for other classes.
fn variables(class: &str, config: &Attrs) -> Option<Vec<(&'static str, bool)>> {
    let has = |key| config.get(key).and_then(Attr::as_bool) != Some(false);
    let trained = |names: &[&'static str]| Some(names.iter().map(|name| (*name, true)).collect());
    match class.strip_prefix("keras.")? {
        "BatchNormalization" => {
            let own = [("scale", "gamma"), ("center", "beta")].into_iter().filter(|(key, _)| has(*key));
            let own = own.map(|(_, name)| (name, true));
            Some(own.chain([("moving_mean", false), ("moving_variance", false)]).collect())
        }
        "LayerNormalization" | "GroupNormalization" if has("scale") => trained(&["gamma", "beta"]),
        "LayerNormalization" | "GroupNormalization" => trained(&["beta"]),
        "RMSNormalization" => trained(&["scale"]),
        "LayerScale" => trained(&["gamma"]),
        "Normalization" => Some(vec![("mean", false), ("variance", false), ("count", false)]),
        "Embedding" => trained(&["embeddings"]),
        "PReLU" => trained(&["alpha"]),
        "Attention" | "AdditiveAttention" => trained(&["scale", "concat_score_weight"]),
        "SeparableConv1D" | "SeparableConv2D" => trained(&["depthwise_kernel", "pointwise_kernel", "bias"]),
        "Dense" | "EinsumDense" | "Conv1D" | "Conv2D" | "Conv3D" | "Conv1DTranspose" | "Conv2DTranspose"
        | "Conv3DTranspose" | "DepthwiseConv1D" | "DepthwiseConv2D" => trained(&["kernel", "bias"]),
        cell if cell.ends_with("Cell") => trained(&["kernel", "recurrent_kernel", "bias"]),
        _ => None,
    }
}

/// A layer in a layer.
struct Part {
    /// Its group in that of the outer layer.
    group: &'static str,
    /// What the names of its weights begin with.
    scope: String,
    class: String,
    config: Attrs,
}

/// The layers in a layer, in Keras's order.
fn parts(class: &str, config: &Attrs, era: Era) -> Vec<Part> {
    let of_config = |group, key: &str, scope: &str| {
        let object = config.get(key).and_then(Attr::as_map).cloned().unwrap_or_default();
        let class = dialect_class(&object, era).to_string();
        let simple = class.rsplit('.').next().unwrap_or_default();
        let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        let name = config.get("name").and_then(Attr::as_str).map_or_else(|| snake_case(simple), str::to_string);
        let scope = if scope.is_empty() { String::new() } else { format!("{scope}_{name}") };
        Part { group, scope, class, config }
    };
    let part = |group, scope: &str, class: &str| Part {
        group,
        scope: scope.into(),
        class: class.into(),
        config: Attrs::new(),
    };
    match class.strip_prefix("keras.").unwrap_or_default() {
        name @ ("LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D") => {
            let mut cell = part("cell", &format!("{}_cell", snake_case(name)), &format!("{class}Cell"));
            cell.config.set("trainable", trains(config));
            vec![cell]
        }
        "TimeDistributed" => vec![of_config("layer", "layer", "")],
        "Bidirectional" => vec![
            of_config("forward_layer", "layer", "forward"),
            of_config(
                "backward_layer",
                if config.get("backward_layer").is_some() { "backward_layer" } else { "layer" },
                "backward",
            ),
        ],
        name => {
            let groups = projections(name).into_iter().flatten().zip(SCOPES);
            groups.map(|(group, scope)| part(group, scope, "keras.EinsumDense")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::places;

    fn layer(class: &str) -> Attr {
        Attr::Map(Attrs::new().with("class_name", class).with("config", Attrs::new().with("trainable", true)))
    }

    fn places_of(text: &str) -> Vec<Name> {
        text.split(' ').map(Name::from).collect()
    }

    #[test]
    fn what_is_listed_is_read_back_to_its_place() {
        let none = Attrs::new();
        let in_turn = Attrs::new().with("layer", layer("GRU"));
        for (class, config, text) in [
            ("Dense", &none, "vars/0 vars/1"),
            ("LSTM", &none, "cell/vars/0 cell/vars/1 cell/vars/2"),
            ("TimeDistributed", &Attrs::new().with("layer", layer("BatchNormalization")), "layer/vars/0 layer/vars/1"),
            ("Bidirectional", &in_turn, "forward_layer/cell/vars/0 backward_layer/cell/vars/0"),
            (
                "MultiHeadAttention",
                &none,
                "query_dense/vars/0 key_dense/vars/0 _gate_dense/vars/0 value_dense/vars/0 output_dense/vars/0",
            ),
            (
                "GroupQueryAttention",
                &none,
                "_query_dense/vars/0 _key_dense/vars/0 _value_dense/vars/0 _output_dense/vars/0",
            ),
        ] {
            let mut shuffled = places_of(text);
            shuffled.reverse();
            let listed = listing(&format!("keras.{class}"), config, Era::Before3, &shuffled).unwrap();
            assert_eq!(listed.iter().map(|l| l.place.clone()).collect::<Vec<_>>(), places_of(text), "{class}");
            let names: Vec<String> = listed.iter().map(|l| format!("x/{}:0", l.name)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(places(class, config, &names), places_of(text), "{class}");
        }
    }

    #[test]
    fn what_is_trained_stands_first_and_is_that_of_the_configuration() {
        let trained = |class: &str, config: &Attrs| {
            let listed = listing(class, config, Era::Keras3, &places_of("vars/0 vars/1 vars/2")).unwrap();
            listed.into_iter().map(|l| (l.name, l.trained)).collect::<Vec<_>>()
        };
        let known = |names: [&str; 3], trained: [bool; 3]| {
            names.map(String::from).into_iter().zip(trained.map(Some)).collect::<Vec<_>>()
        };
        let names = ["beta", "moving_mean", "moving_variance"];
        let config = Attrs::new().with("scale", false);
        assert_eq!(trained("keras.BatchNormalization", &config), known(names, [true, false, false]));
        let frozen = config.with("trainable", false);
        assert_eq!(trained("keras.BatchNormalization", &frozen), known(names, [false; 3]));
        let custom = ["variable_0", "variable_1", "variable_2"].map(|name| (name.to_string(), None));
        assert_eq!(trained("custom.Scale", &Attrs::new()), custom);
    }

    #[test]
    fn in_keras_3_the_flags_of_the_innermost_layers_count() {
        let frozen = Attrs::new().with("trainable", false);
        let trained = |class: &str, config: &Attrs, places: &str, era| {
            listing(class, config, era, &places_of(places))
                .unwrap()
                .into_iter()
                .map(|l| l.trained.unwrap())
                .collect::<Vec<_>>()
        };
        let wrapped = frozen.clone().with("layer", layer("Dense"));
        for (class, config, places, in_keras_3) in [
            ("keras.TimeDistributed", &wrapped, "layer/vars/0", true),
            ("keras.MultiHeadAttention", &frozen, "query_dense/vars/0", true),
            ("keras.LSTM", &frozen, "cell/vars/0", false),
        ] {
            assert_eq!(trained(class, config, places, Era::Keras3), [in_keras_3], "{class}");
            assert_eq!(trained(class, config, places, Era::Before3), [false], "{class}");
        }
    }

    #[test]
    fn weights_that_keras_would_not_make_are_not_listed() {
        let three = places_of("vars/0 vars/1 vars/2");
        assert_eq!(listing("keras.Dense", &Attrs::new(), Era::Keras3, &three), None);
        let low_rank = Attrs::new().with("lora_rank", 2);
        assert_eq!(listing("keras.Dense", &low_rank, Era::Keras3, &places_of("vars/0 vars/1")), None);
    }

    #[test]
    fn random_state_is_left_out_and_unknown_places_are_not_guessed() {
        let dropout = listing("keras.Dropout", &Attrs::new(), Era::Keras3, &places_of("seed_generator/vars/0"));
        assert_eq!(dropout, Some(Vec::new()));
        assert_eq!(listing("custom.Block", &Attrs::new(), Era::Keras3, &places_of("conv/vars/0")), None);
    }
}
