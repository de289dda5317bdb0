//! Tests of `freeze` on hand-written programs.

use netc_keras_testgen::dialects;

use crate::testing::run_with;

const MODEL: &str = r#"netc 1
weight w0 "k" : f32[2,3] = 0.5
weight w1 "s" : f32[5] = 0.5
layer l0 "x" : keras.InputLayer {config = {name = "x"}}
layer l1 "a" : keras.Dense {config = {name = "a", trainable = true}} weights {vars/0 = w0}
layer l2 "wrap" : keras.TimeDistributed {config = {trainable = true, layer = {config = {trainable = true, list = [{trainable = true}]}}}}
layer l3 "enc" : keras.Functional {config = {trainable = true}}
layer l4 "in" : keras.InputLayer {config = {name = "in"}}
layer l5 "inside" : keras.Dense {config = {trainable = true}}
layer l6 "other" : custom.Scale {config = {axis = 1}} weights {vars/0 = w1}
layer l7 "top" : keras.Dense {config = {trainable = false}}
layer l8 "b" : keras.Dense {config = {trainable = true}}
func @enc(%in: f32[N,2] l4) -> (%y, %z) {
  %y = keras.Dense l5(%in) : f32[N,2]
  %z = keras.Dense l5(%y) : f32[N,2]
}
func @main(%x: f32[N,2] l0) -> (%top) attrs {object = {config = {trainable = false, name = "m"}}} {
  %a = keras.Dense l1(%x) : f32[N,2]
  %wrap = keras.TimeDistributed l2(%a) : f32[N,2]
  %other = custom.Scale l6(%wrap) : f32[N,2]
  %p, %q = call @enc l3(%other) : f32[N,2], f32[N,2]
  %b = keras.Dense l8(%p) : f32[N,2]
  %a.1 = keras.Dense l1(%b) : f32[N,2]
  %top = keras.Dense l7(%a.1, %q) : f32[N,2]
}
"#;

/// The layers declared as frozen, the layers declared as trainable, and the remarks.
#[track_caller]
fn check(call: &str, frozen: &str, trainable: &str, remarks: &[&str]) {
    let (text, found) = run_with(MODEL, call, &dialects()).unwrap();
    let says = |to: &str| {
        let lines = text.lines().filter(|l| l.starts_with("layer") && l.contains(&format!("trainable = {to}")));
        lines.filter_map(|l| l.split('"').nth(1)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((says("false").as_str(), says("true").as_str()), (frozen, trainable));
    assert_eq!(found, remarks);
    assert!(!text.contains("layer = {config = {trainable = true") || !frozen.contains("wrap"), "{text}");
}

#[test]
fn layers_below_the_cut_are_frozen() {
    check(
        "freeze=wrap",
        "a wrap top",
        "enc inside b",
        &["freeze: 2 layers with 6 parameters are frozen; 3 layers with 0 parameters are trainable"],
    );
    check(
        "freeze=before:wrap",
        "a top",
        "wrap enc inside b",
        &["freeze: 1 layer with 6 parameters is frozen; 4 layers with 0 parameters are trainable"],
    );
}

#[test]
fn the_name_of_a_shared_layer_means_all_applications() {
    let silent = "freeze: cannot freeze the layer `other`: its declaration does not say whether it is trainable";
    let counts = "freeze: 5 layers with 6 parameters are frozen; 0 layers with 0 parameters are trainable";
    check("freeze=a", "a wrap enc inside top b", "", &[counts, silent]);
    let counts = "freeze: 1 layer with 6 parameters is frozen; 4 layers with 0 parameters are trainable";
    check("freeze=a@0", "a top", "wrap enc inside b", &[counts]);
}

#[test]
fn a_nested_model_is_frozen_as_a_whole() {
    let silent = "freeze: cannot freeze the layer `other`: its declaration does not say whether it is trainable";
    let counts = "freeze: 4 layers with 6 parameters are frozen; 1 layer with 0 parameters is trainable";
    check("freeze=%p", "a wrap enc inside top", "b", &[counts, silent]);
}

#[test]
fn unfreeze_makes_all_other_layers_trainable() {
    let counts = "freeze: 2 layers with 6 parameters are frozen; 4 layers with 0 parameters are trainable";
    check("freeze{at=wrap,unfreeze}", "a wrap", "enc inside top b", &[counts]);
    let (text, _) = run_with(MODEL, "freeze{at=wrap,unfreeze}", &dialects()).unwrap();
    assert!(text.contains("{object = {config = {trainable = true, name = \"m\"}}}"), "{text}");
}

#[test]
fn an_unknown_cut_is_an_error() {
    let error = "pass `freeze=wrop`: no such layer: `wrop`; did you mean `wrap` or `top`?";
    assert_eq!(run_with(MODEL, "freeze=wrop", &dialects()), Err(error.into()));
}

#[test]
fn freezing_in_a_nested_model_freezes_the_layers_below() {
    let text = MODEL.replace("  %z = keras.Dense l5(%y) : f32[N,2]\n", "  %z = keras.Dense l9(%y) : f32[N,2]\n");
    let text = text.replace("func @enc", "layer l9 \"last\" : keras.Dense {config = {trainable = true}}\nfunc @enc");
    let (after, remarks) = run_with(&text, "freeze=enc/inside", &dialects()).unwrap();
    let says = |to: &str| {
        let lines = after.lines().filter(|l| l.starts_with("layer") && l.contains(&format!("trainable = {to}")));
        lines.filter_map(|l| l.split('"').nth(1)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((says("false").as_str(), says("true").as_str()), ("a wrap inside top", "enc b last"), "{remarks:?}");
    assert!(after.contains("call @enc"), "the model stays nested");
}
