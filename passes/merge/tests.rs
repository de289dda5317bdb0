//! Tests of `merge` on hand-written stages.

use crate::testing::run;

/// Two stages as read from files: each has its own declarations, nested models and inputs.
const STAGES: &str = r#"netc 1
file file0 = "a"
weight w0 "tower/vars/0" : f32[2] = bytes(file0, 0, 8)
weight w1 "tower/vars/0" : f32[2] = bytes(file0, 0, 8)
layer l0 "x" : keras.InputLayer {name = "x"}
layer l1 "tower" : keras.Dense {name = "tower"} weights {vars/0 = w0}
layer l2 "inner" : keras.Functional {name = "inner"}
layer l3 "in" : keras.InputLayer {}
layer l4 "tower" : keras.ReLU {}
layer l5 "x" : keras.InputLayer {name = "x"}
layer l6 "tower.1" : keras.InputLayer {}
layer l7 "tower" : keras.Dense {name = "tower"} weights {vars/0 = w1}
layer l8 "inner" : keras.Functional {name = "inner"}
layer l9 "in" : keras.InputLayer {}
layer l10 "tower" : keras.ReLU {}
func @stage0/inner(%in: f32[N,s0_d1] l3) -> (%tower) { %tower = keras.ReLU l4(%in) : f32[N,s0_d1] loc("inner/tower") }
func @stage0(%x: f32[N,s0_d1] l0) -> (%inner "inner") attrs {class = "Functional", name = "net_stage0"} {
  %tower = keras.Dense l1(%x) : any[*] loc("tower")
  %inner = call @stage0/inner l2(%tower) : f32[N,s0_d1] loc("inner")
}
func @stage1/inner(%in: f32[N,s1_d1] l9) -> (%tower) { %tower = keras.ReLU l10(%in) : f32[N,s1_d1] loc("inner/tower") }
func @stage1(%x: f32[N,s1_d1] l5, %h: f32[N,2] l6) -> (%inner) attrs {class = "Functional", name = "net_stage1"} {
  %tower = keras.Dense l7(%x) : any[*] loc("tower"@1)
  %inner.1 = call @stage1/inner l8(%tower) : f32[N,s1_d1] loc("inner"@1)
  %inner = keras.ops.Add(%h, %inner.1) : f32[N,2] loc("add")
}
func @main(%x: f32[N,s0_d1]) -> (%y "out") {
  %inner = call @stage0(%x) : f32[N,s0_d1]
  %y = call @stage1(%x, %inner) : f32[N,2]
}
"#;

#[test]
fn declarations_in_several_stages_are_joined() {
    let (text, remarks) = run(STAGES, "merge").unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1
    file file0 = "a"
    weight w0 "tower/vars/0" : f32[2] = bytes(file0, 0, 8)
    layer l0 "x" : keras.InputLayer {name = "x"}
    layer l1 "tower" : keras.Dense {name = "tower"} weights {vars/0 = w0}
    layer l2 "inner" : keras.Functional {name = "inner"}
    layer l3 "in" : keras.InputLayer {}
    layer l4 "tower" : keras.ReLU {}

    func @inner(%in: f32[N,s0_d1] l3) -> (%tower) {
      %tower = keras.ReLU l4(%in) : f32[N,s0_d1] loc("inner/tower")
    }

    func @main(%x: f32[N,s0_d1] l0) -> (%inner_1 "out") attrs {class = "Functional", name = "net"} {
      %tower = keras.Dense l1(%x) : any[*] loc("tower")
      %tower_1 = keras.Dense l1(%x) : any[*] loc("tower"@1)
      %inner = call @inner l2(%tower) : f32[N,2] loc("inner")
      %inner.1 = call @inner l2(%tower_1) : f32[N,s0_d1] loc("inner"@1)
      %inner_1 = keras.ops.Add(%inner, %inner.1) : f32[N,2] loc("add")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    merge: merged 2 stages; joined 4 shared layers
    "#);
}

#[track_caller]
fn check_conflict(line: &str, with: &str, note: &str) {
    let text = STAGES.replacen(line, with, 1);
    assert_ne!(text, STAGES);
    assert_eq!(
        run(&text, "merge"),
        Err(format!("pass `merge`: the layer `tower` differs between `@stage0` and `@stage1`: {note}"))
    );
}

#[test]
fn a_layer_that_differs_is_an_error() {
    check_conflict(
        "layer l7 \"tower\" : keras.Dense {name",
        "layer l7 \"tower\" : keras.Dense {units = 3, name",
        "the configurations differ",
    );
    check_conflict(
        "vars/0\" : f32[2] = bytes(file0, 0, 8)\nlayer",
        "vars/0\" : f32[2] = bytes(file0, 8, 8)\nlayer",
        "its weights `vars/0` differ",
    );
    check_conflict(" weights {vars/0 = w1}", "", "it has 1 weights in one and 0 in the other");
    check_conflict(" weights {vars/0 = w1}", " weights {vars/1 = w1}", "its weights `vars/0` differ");
    let inner = STAGES.replacen("layer l10 \"tower\" : keras.ReLU {}", "layer l10 \"tower\" : keras.ReLU {max = 6}", 1);
    let error = run(&inner, "merge").unwrap_err();
    assert!(error.ends_with("the layer `tower` differs between `@stage0` and `@stage1`: the configurations differ"));
}

#[test]
fn a_nested_model_that_differs_is_an_error() {
    let text = STAGES.replacen("(%in: f32[N,s1_d1] l9) -> (%tower)", "(%in: f32[N,s1_d1] l9) -> (%in)", 1);
    let error = run(&text, "merge").unwrap_err();
    assert!(error.ends_with("the layer `inner` differs between `@stage0` and `@stage1`: the graphs inside differ"));
}

#[test]
fn merging_an_unsplit_module_is_an_error() {
    let text = "netc 1 func @main(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }";
    let error = "pass `merge`: the module is not split: `@main` does more than call functions";
    assert_eq!(run(text, "merge"), Err(error.into()));
    assert_eq!(run("netc 1", "merge"), Err("pass `merge`: the module has no function `@main`".into()));
}

#[test]
fn a_function_called_twice_is_copied_twice() {
    let (text, _) = run(
        "netc 1
         func @main(%x: f32[2]) -> (%b) { %a = call @f(%x) : f32[2] %b = call @f(%a) : f32[2] }
         func @f(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }",
        "merge",
    )
    .unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%x: f32[2]) -> (%y_1 "b") {
      %y = relu(%x) : f32[2]
      %y_1 = relu(%y) : f32[2]
    }
    "#);
}
