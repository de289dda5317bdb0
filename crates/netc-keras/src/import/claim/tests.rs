//! Tests of how weights in lists are assigned to layers.

use netc_ir::{ElemType, Literal, Type};

use super::*;
use crate::config::json;
use crate::container::variable::Bytes;
use crate::import::owners::owners;

fn model(text: &str) -> Attrs {
    json::parsed(text).as_map().unwrap().clone()
}

fn list(names: &[&str]) -> Vec<(String, Variable)> {
    let literal = || Literal::splat(ElemType::F32, &[], 0.0);
    let variable = || Variable { ty: Type::fixed(ElemType::F32, &[]), bytes: Bytes::Read(literal()) };
    names.iter().map(|name| ((*name).to_string(), variable())).collect()
}

#[test]
fn wrapper_owns_the_weights_of_its_model() {
    let dense = |name: &str| format!(r#"{{"class_name": "Dense", "config": {{"name": "{name}"}}}}"#);
    let chain = format!(r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{}]}}}}"#, dense("a"));
    let mid = format!(r#"{{"class_name": "TimeDistributed", "config": {{"name": "mid", "layer": {chain}}}}}"#);
    let idle = r#"{"class_name": "Activation", "config": {"name": "a"}}"#;
    let config = model(&format!(r#"{{"layers": [{idle}, {mid}, {}]}}"#, dense("b")));
    let owners = owners(&config, KerasVersion::Legacy).unwrap();
    assert_eq!([owners.of("a/kernel"), owners.of("b/kernel")], [Some("mid"), Some("b")]);
}

#[test]
fn separate_lists_go_to_layers_with_weights_in_order() {
    let layer = |class: &str, name: &str| format!(r#"{{"class_name": "{class}", "config": {{"name": "{name}"}}}}"#);
    let layers = [layer("Dense", "dense"), layer("ReLU", "relu"), layer("Dense", "dense_1")].join(", ");
    let config = model(&format!(r#"{{"layers": [{layers}]}}"#));
    let order = ["dense_1", "re_lu_7", "dense_2"].map(String::from);
    let mut lists = WeightLists::new();
    lists.insert("dense_1".into(), list(&["dense_1/kernel"]));
    lists.insert("re_lu_7".into(), Vec::new());
    lists.insert("dense_2".into(), list(&["dense_2/kernel"]));
    let renamed = give_in_order(&mut lists, &order, &config, KerasVersion::Legacy);
    assert_eq!(renamed, [("dense".into(), "dense_1".into()), ("dense_1".into(), "dense_2".to_string())]);
    let first = |layer: &str| lists[layer][0].0.clone();
    assert_eq!([first("dense"), first("dense_1")], ["dense_1/kernel", "dense_2/kernel"]);
}

#[test]
fn layers_claim_their_weights_from_a_long_list_in_any_order() {
    let n = 20_000;
    let layer = |i: usize| {
        let config = Attrs::new().with("name", &*format!("d{i}"));
        Attr::Map(Attrs::new().with("class_name", "Dense").with("config", config))
    };
    let config = Attrs::new().with("layers", Attr::List((0..n).map(layer).collect()));
    let names: Vec<String> = (0..n).map(|i| format!("d{i}/kernel")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["rest/kernel"]).collect();
    let mut table = WeightTable::Lists([("m".to_string(), list(&names))].into());
    let version = KerasVersion::Keras3;
    let listed = table.listed(&config, "keras.Functional", version, "m", "m").unwrap();
    for i in (1..n).rev() {
        let (name, path) = (format!("d{i}"), format!("m/d{i}"));
        let claim = Claim {
            group: "m",
            name: &name,
            class: "keras.Dense",
            config: None,
            nested: false,
            path: &path,
            listed: &listed,
            version,
        };
        assert_eq!(table.claim(&claim).len(), 1, "{name}");
    }
    table.give_back("m", &listed);
    assert_eq!(table.unclaimed(), ["rest/kernel", "d0/kernel"]);
}
