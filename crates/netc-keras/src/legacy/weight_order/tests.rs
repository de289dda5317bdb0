//! Tests of the weight lists in HDF5 files.

use super::*;

fn layer(class: &str) -> Attr {
    Attr::Map(Attrs::new().with("class_name", class).with("config", Attrs::new().with("trainable", true)))
}

fn places_of(text: &str) -> Vec<Name> {
    text.split(' ').map(Name::from).collect()
}

#[test]
fn listed_weights_return_to_their_places() {
    let none = Attrs::new();
    let in_turn = Attrs::new().with("layer", layer("GRU"));
    let gated = Attrs::new().with("use_gate", true);
    for (class, config, text) in [
        ("Dense", &none, "vars/0 vars/1"),
        ("LSTM", &none, "cell/vars/0 cell/vars/1 cell/vars/2"),
        ("TimeDistributed", &Attrs::new().with("layer", layer("BatchNormalization")), "layer/vars/0 layer/vars/1"),
        ("Bidirectional", &in_turn, "forward_layer/cell/vars/0 backward_layer/cell/vars/0"),
        (
            "MultiHeadAttention",
            &gated,
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
        let listed = weight_list(&format!("keras.{class}"), config, KerasVersion::Legacy, &shuffled).unwrap();
        assert_eq!(listed.iter().map(|l| l.place.clone()).collect::<Vec<_>>(), places_of(text), "{class}");
        let names: Vec<String> = listed.iter().map(|l| format!("x/{}:0", l.name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = places(&format!("keras.{class}"), config, KerasVersion::Legacy, &names);
        assert_eq!(found.of_listed, places_of(text), "{class}");
    }
}

#[test]
fn trainable_weights_come_first() {
    let trained = |class: &str, config: &Attrs| {
        let listed = weight_list(class, config, KerasVersion::Keras3, &places_of("vars/0 vars/1 vars/2")).unwrap();
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
fn flags_of_the_innermost_layers_count_in_keras_3() {
    let frozen = Attrs::new().with("trainable", false);
    let trained = |class: &str, config: &Attrs, places: &str, version| {
        weight_list(class, config, version, &places_of(places))
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
        assert_eq!(trained(class, config, places, KerasVersion::Keras3), [in_keras_3], "{class}");
        assert_eq!(trained(class, config, places, KerasVersion::Legacy), [false], "{class}");
    }
}

#[test]
fn weights_that_keras_would_not_create_are_not_listed() {
    let three = places_of("vars/0 vars/1 vars/2");
    assert_eq!(weight_list("keras.Dense", &Attrs::new(), KerasVersion::Keras3, &three), None);
    let low_rank = Attrs::new().with("lora_rank", 2);
    assert_eq!(weight_list("keras.Dense", &low_rank, KerasVersion::Keras3, &places_of("vars/0 vars/1")), None);
}

#[test]
fn random_state_is_omitted_and_unknown_places_are_not_guessed() {
    let dropout =
        weight_list("keras.Dropout", &Attrs::new(), KerasVersion::Keras3, &places_of("seed_generator/vars/0"));
    assert_eq!(dropout, Some(Vec::new()));
    assert_eq!(weight_list("custom.Block", &Attrs::new(), KerasVersion::Keras3, &places_of("conv/vars/0")), None);
}

/// The places of weights with these names, and after `|` their second places.
fn places_in(class: &str, config: &Attrs, version: KerasVersion, names: &[&str]) -> String {
    let found = places(&format!("keras.{class}"), config, version, names);
    let twice = found.twice.into_iter().map(|(place, first)| format!(" | {place} is {first}"));
    found.of_listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + &twice.collect::<String>()
}

#[test]
fn places_match_those_of_keras_3() {
    // The names are those of tf_keras, the places those that Keras 3 saves for the same layers.
    let layer = |class: &str| Attrs::new().with("layer", Attr::Map(Attrs::new().with("class_name", class)));
    let none = Attrs::new();
    let of = |class: &str, config: &Attrs, names: &[&str]| places_in(class, config, KerasVersion::Legacy, names);
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

/// A layer's object. `trainable` in its configuration marks it as a layer.
fn object(class: &str, config: Attrs) -> Attr {
    let config = config.with("trainable", true);
    Attr::Map(Attrs::new().with("class_name", class).with("config", config))
}

fn list(objects: impl IntoIterator<Item = Attr>) -> Attr {
    Attr::List(objects.into_iter().collect())
}

#[test]
fn cells_have_groups_named_after_their_classes() {
    // The order is that of tf.keras 2.15, the groups are those of tf.keras 2.15 and Keras 3.15.
    let no_bias = Attrs::new().with("use_bias", false);
    let cells = [object("LSTMCell", Attrs::new()), object("LSTMCell", no_bias), object("GRUCell", Attrs::new())];
    let stacked = object("StackedRNNCells", Attrs::new().with("cells", list(cells)));
    let config = Attrs::new().with("cell", stacked);
    let expected = "cell/cells/lstm_cell/vars/0 cell/cells/lstm_cell/vars/1 cell/cells/lstm_cell/vars/2 \
                    cell/cells/lstm_cell_1/vars/0 cell/cells/lstm_cell_1/vars/1 \
                    cell/cells/gru_cell/vars/0 cell/cells/gru_cell/vars/1 cell/cells/gru_cell/vars/2";
    for version in [KerasVersion::Legacy, KerasVersion::Keras3] {
        assert_eq!(places_in("RNN", &config, version, &["w"; 8]), expected);
    }
}

#[test]
fn kernel_of_spectral_normalization_has_two_places() {
    let config = Attrs::new().with("layer", object("Dense", Attrs::new()));
    let frozen = config.clone().with("trainable", false);
    let twice = " | vars/0 is layer/vars/0";
    for version in [KerasVersion::Legacy, KerasVersion::Keras3] {
        let of = |config: &Attrs| places_in("SpectralNormalization", config, version, &["w"; 3]);
        assert_eq!(of(&config), format!("layer/vars/0 layer/vars/1 vars/1{twice}"));
        // Both Keras versions list frozen weights in creation order.
        assert_eq!(of(&frozen), format!("layer/vars/0 vars/1 layer/vars/1{twice}"));
    }
    let all = places_of("vars/0 vars/1 layer/vars/0 layer/vars/1");
    let listed = weight_list("keras.SpectralNormalization", &config, KerasVersion::Keras3, &all).unwrap();
    assert_eq!(listed.iter().map(|weight| &*weight.name).collect::<Vec<_>>(), ["kernel", "bias", "vector_u"]);
}

#[test]
fn wrapped_model_lists_trainable_weights_first() {
    let layers = ["Dense", "BatchNormalization", "Dropout", "Dense"].map(|class| object(class, Attrs::new()));
    let model = object("Sequential", Attrs::new().with("layers", list(layers)));
    let config = Attrs::new().with("layer", model);
    let bn = "layer/layers/batch_normalization/vars/";
    let dense = ["layer/layers/dense/vars/", "layer/layers/dense_1/vars/"];
    let [first, last] = dense.map(|group| format!("{group}0 {group}1"));
    let expected = format!("{first} {bn}0 {bn}1 {last} {bn}2 {bn}3");
    for version in [KerasVersion::Legacy, KerasVersion::Keras3] {
        assert_eq!(places_in("TimeDistributed", &config, version, &["w"; 8]), expected);
    }
}

#[test]
fn unknown_layers_get_the_remaining_weights() {
    let layers = [object("Dense", Attrs::new()), object("mine>Own", Attrs::new()), object("Flatten", Attrs::new())];
    let model = object("Sequential", Attrs::new().with("layers", list(layers)));
    let found = places_in("TimeDistributed", &Attrs::new().with("layer", model), KerasVersion::Legacy, &["w"; 5]);
    let own = "layer/layers/own/vars/";
    assert_eq!(found, format!("layer/layers/dense/vars/0 layer/layers/dense/vars/1 {own}0 {own}1 {own}2"));
}

#[test]
fn weights_of_inner_layers_of_a_custom_layer_are_numbered() {
    let named = Attrs::new().with("name", "mid");
    let of = |config: &Attrs, version, name: &str| places("custom.Twice", config, version, &[name]).of_listed.join(" ");
    assert_eq!(of(&named, KerasVersion::Keras3, "outer/mid/kernel"), "vars/0");
    assert_eq!(of(&named, KerasVersion::Keras3, "mid/inside/kernel"), "listed/0");
    assert_eq!(of(&named, KerasVersion::Keras3, "other/kernel"), "listed/0");
    let declared = named.clone().with("layer", layer("Dense"));
    assert_eq!(of(&declared, KerasVersion::Legacy, "mid/kernel:0"), "listed/0");
    assert_eq!(of(&declared, KerasVersion::Keras3, "mid/kernel"), "vars/0");
    let listed = weight_list("custom.Twice", &named, KerasVersion::Keras3, &places_of("listed/0 listed/1")).unwrap();
    assert_eq!(listed.iter().map(|l| &*l.place).collect::<Vec<_>>(), ["listed/0", "listed/1"]);
    // They keep their places when they are written and read again.
    for listed in listed {
        for version in [KerasVersion::Legacy, KerasVersion::Keras3] {
            assert_eq!(of(&named, version, &format!("mid/{}:0", listed.name)), "listed/0");
        }
    }
}

#[test]
fn quantized_and_lora_weights_are_identified_by_name() {
    let of = |key: &str, names: &[&str]| {
        places("keras.Dense", &Attrs::new().with(key, 2), KerasVersion::Keras3, names).of_listed
    };
    assert_eq!(of("quantization_config", &["d/bias", "d/kernel", "d/kernel_scale"]).join(" "), "vars/1 vars/0 vars/2");
    let adapted = of("lora_rank", &["d/bias", "d/lora_kernel_a", "d/lora_kernel_b", "d/kernel"]);
    assert_eq!(adapted.join(" "), "vars/1 listed/1 listed/2 vars/0");
}

#[test]
fn weights_of_many_layers_are_listed_in_time_in_proportion() {
    let n = 30_000;
    let layers = (0..n).map(|_| object("Dense", Attrs::new()));
    let model = object("Sequential", Attrs::new().with("layers", Attr::List(layers.collect())));
    let group = |i: usize| if i == 0 { "dense".to_string() } else { format!("dense_{i}") };
    let of_layer = |i| [0, 1].map(|weight| Name::from(format!("layer/layers/{}/vars/{weight}", group(i))));
    let all: Vec<Name> = (0..n).flat_map(of_layer).collect();
    let listed =
        weight_list("keras.TimeDistributed", &Attrs::new().with("layer", model), KerasVersion::Keras3, &all).unwrap();
    assert!(listed.iter().map(|weight| &weight.place).eq(&all));
}
