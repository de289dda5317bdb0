//! Tests of deeply nested models.

use netc_ir::Module;
use netc_keras::build::{Dense, ModelBuilder};
use serde_json::{Value, json};

use crate::bad_input::member;
use crate::support::{Folder, keras_file, zip};

const EQUAL: &str = "outputs are equal bit for bit";

/// A model with `levels` nested levels. Each level has a layer before and after its nested model.
fn nested(levels: usize) -> Module {
    let mut inner: Option<Module> = None;
    for level in (0..=levels).rev() {
        let mut m = ModelBuilder::new(format!("m{level}"), level as u64);
        let dense = Dense { units: 2, ..Dense::default() };
        let mut x = m.named("x").input(&[2]);
        x = m.named("a").dense(x, dense);
        if let Some(inner) = inner.take() {
            let inner = m.model(inner);
            x = m.apply(inner, &[x]);
        }
        x = m.named("b").dense(x, dense);
        inner = Some(m.finish(&[("y", x)]).unwrap());
    }
    inner.unwrap()
}

#[test]
fn two_hundred_levels_work() {
    let folder = Folder::new().with("n.keras", keras_file(&nested(200)));
    assert!(folder.netc(&["inspect", "n.keras"]).done().contains("Dense"));
    folder.netc(&["n.keras", "-o", "copy.keras"]).done();
    assert_eq!(folder.read("copy.keras"), folder.read("n.keras"));
    folder.netc(&["n.keras", "--pass", "split=a", "-o", "out"]).done();
    let deep: Vec<String> = (1..=100).map(|level| format!("m{level}")).collect();
    let cut = format!("split={}/a", deep.join("/"));
    folder.netc(&["n.keras", "--pass", &cut, "-o", "deep"]).done();
    assert!(folder.netc(&["diff", "n.keras", "deep/manifest.json"]).done().contains(EQUAL));
    folder.netc(&["merge", "out/manifest.json", "-o", "merged.keras"]).done();
    assert_eq!(folder.read("merged.keras"), folder.read("n.keras"));
    folder.netc(&["n.keras", "-o", "n.json"]).done();
    folder.netc(&["n.json", "--weights", "n.keras", "-o", "n.h5"]).done();
    assert!(folder.netc(&["diff", "n.keras", "n.h5"]).done().contains(EQUAL));
    folder.netc(&["n.keras", "--pass", "inline", "--pass", "lower", "--verify"]).done();
}

/// The configuration of a model with `levels` nested levels.
fn config(levels: usize) -> Value {
    let tensor = |layer: &str| {
        let config = json!({"shape": [null, 2], "dtype": "float32", "keras_history": [layer, 0, 0]});
        json!([{"args": [{"class_name": "__keras_tensor__", "config": config}], "kwargs": {}}])
    };
    let input = json!({"class_name": "InputLayer", "module": "keras.layers", "name": "x", "inbound_nodes": [],
        "config": {"name": "x", "batch_shape": [null, 2], "dtype": "float32"}});
    let mut layer = json!({"class_name": "ReLU", "module": "keras.layers", "config": {"name": "y"}});
    for level in 0..=levels {
        layer["name"] = json!("y");
        layer["inbound_nodes"] = tensor("x");
        let call = usize::from(level > 0);
        layer = json!({"class_name": "Functional", "module": "keras", "config": {"name": "y",
            "layers": [input, layer], "input_layers": ["x", 0, 0], "output_layers": ["y", call, 0]}});
    }
    layer
}

#[test]
fn models_nest_up_to_256_levels() {
    let folder = Folder::new().with("fits.json", config(256).to_string()).with("deep.json", config(257).to_string());
    assert!(folder.netc(&["fits.json", "-o", "copy.json"]).done().contains("Functional"));
    folder.refuses(&["deep.json", "-o", "x.json"], &["deep.json", "models nest deeper than 256 levels"]);
}

#[test]
fn deep_models_run_on_a_small_stack() {
    let folder = Folder::new().with("n.keras", keras_file(&nested(200)));
    for command in ["inspect n.keras", "cuts n.keras --top 1", "n.keras -o copy.keras", "run n.keras 2>/dev/null"] {
        folder.shell(&format!("ulimit -s 1024; \"$NETC\" {command}")).done();
    }
    folder.netc(&["n.keras", "-o", "n.json"]).done();
    folder.shell("ulimit -s 1024; \"$NETC\" n.json -o copy.json").done();
    assert_eq!(folder.read("copy.keras"), folder.read("n.keras"));
}

#[test]
fn extremely_deep_json_is_an_error() {
    let tiny = crate::support::tiny();
    let open = r#"{"class_name": "Functional", "config": {"name": "m", "layers": ["#;
    for (text, part) in [
        ("[".repeat(100_000), "nested deeper than 1024 levels"),
        (open.repeat(100_000), "nested deeper than 1024 levels"),
        (open.repeat(100_000) + &"]}}".repeat(100_000), "nested deeper than 1024 levels"),
    ] {
        let archive =
            zip(&[("config.json", text.as_bytes()), ("model.weights.h5", &member(&tiny, "model.weights.h5"))]);
        let folder = Folder::new().with("deep.json", text).with("deep.keras", archive);
        folder.refuses(&["inspect", "deep.json"], &["deep.json", part]);
        folder.refuses(&["inspect", "deep.keras"], &["deep.keras", "`config.json`", part]);
    }
}

#[test]
fn a_configuration_too_deep_for_a_layer_names_the_layer() {
    let mut deep = config(0);
    let nest = (0..130).fold(json!(1), |inner, _| json!([inner]));
    deep["config"]["layers"][1]["config"]["deep"] = nest;
    let folder = Folder::new().with("deep.json", deep.to_string());
    folder.refuses(&["inspect", "deep.json"], &["deep.json", "y: its configuration nests deeper than the 128 levels"]);
}

/// A Keras 2 `TimeDistributed` of a model with `levels` nested levels, each of which calls the next one twice.
fn wrapped(levels: usize) -> Value {
    let input = |name: &str, shape: Value| {
        let config = json!({"name": name, "batch_input_shape": shape, "dtype": "float32"});
        json!({"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []})
    };
    let model = |layer: Value, call: usize| {
        let config = json!({"name": "m", "layers": [input("a", json!([null, 4])), layer],
            "input_layers": [["a", 0, 0]], "output_layers": [["m", call, 0]]});
        json!({"class_name": "Functional", "config": config})
    };
    let relu =
        json!({"class_name": "ReLU", "name": "m", "config": {"name": "m"}, "inbound_nodes": [[["a", 0, 0, {}]]]});
    let mut inner = model(relu, 0);
    for _ in 0..levels {
        inner["name"] = json!("m");
        inner["inbound_nodes"] = json!([[["a", 0, 0, {}]], [["m", 1, 0, {}]]]);
        inner = model(inner, 2);
    }
    let wrapper = json!({"class_name": "TimeDistributed", "name": "td", "config": {"name": "td", "layer": inner},
        "inbound_nodes": [[["x", 0, 0, {}]]]});
    let config = json!({"name": "whole", "layers": [input("x", json!([null, 3, 4])), wrapper],
        "input_layers": [["x", 0, 0]], "output_layers": [["td", 0, 0]]});
    json!({"class_name": "Functional", "config": config, "keras_version": "2.15.0"})
}

#[test]
fn exponential_calls_inside_a_wrapper_are_not_followed() {
    let folder = Folder::new().with("few.json", wrapped(3).to_string()).with("many.json", wrapped(20).to_string());
    let types = |file: &str| {
        let out = folder.netc(&["inspect", file]).out;
        out.lines().find(|line| line.starts_with("td")).unwrap().split_whitespace().nth(2).unwrap().to_string()
    };
    assert_eq!(types("few.json"), "f32[N,3,4]");
    assert_eq!(types("many.json"), "any[*]", "more than a million calls are not followed");
}
