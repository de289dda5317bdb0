//! Tests of the names of places.

use netc_ir::MAIN;
use netc_keras_testgen::dialects;

use super::*;

const MODEL: &str = r#"netc 1
    layer l0 "in" : keras.InputLayer {}
    layer l1 "a" : keras.Dense {}
    layer l2 "shared" : keras.Dense {}
    layer l3 "add" : keras.ops.Add {}
    layer l4 "odd/name@1+#2" : keras.Dense {}
    layer l5 "inner" : keras.Dense {}
    func @main(%x: f32[N,4] "in" l0) -> (%y) attrs {class = "Functional"} {
      %a = keras.Dense l1(%x) : f32[N,4]
      %s = keras.Dense l2(%a) : f32[N,4]
      %t = keras.Dense l2(%s) : f32[N,4]
      %5 = keras.ops.Add l3(%s, %t) : f32[N,4]
      %p, %q = custom.Split l4(%5) : f32[N,4], f32[N,4]
      %y = call @nested(%q) : f32[N,4]
    }
    func @nested(%x: f32[N,4]) -> (%y) { %y = keras.Dense l5(%x) : f32[N,4] }"#;

#[track_caller]
fn check(spec: &str, expect: &str) {
    let module = netc_ir::parse(MODEL).unwrap();
    let (main, id) = (module.main().unwrap(), module.func_named(MAIN).unwrap());
    let names = OpNames::of(&module, main);
    let found = match resolve(&module, id, spec, &dialects()) {
        Ok(points) => {
            let values = points.iter().map(|p| p.values.iter().map(|v| names.value(*v)).collect::<Vec<_>>());
            values.map(|v| v.join(" ")).collect::<Vec<_>>().join(" + ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expect);
}

#[test]
fn cuts_name_layers_and_values() {
    check("a", "%a");
    check("shared@0", "%s");
    check("shared@1", "%t");
    check("%t", "%t");
    check("t", "%t");
    check("%4", "%4");
    check("q", "%q");
    check("odd/name@1+#2", "%p %q");
}

#[test]
fn before_means_the_operands() {
    check("before:shared@1", "%s");
    check("before:add", "%s %t");
    check("before:a", "");
    check("before:odd/name@1+#2", "%4");
    check("before:y", "%q");
}

#[test]
fn plus_joins_several_places() {
    check("%s+before:y", "%s + %q");
    check("a+shared@1", "%a + %t");
}

#[test]
fn numbers_count_layers_as_keras_does() {
    check("#1", "%a");
    check("#2@1", "%t");
    check("before:#1", "");
    check("#3", "%p %q");
    check("#0", "`#0` is an input of the model: a cut there leaves nothing before it");
    check("#4", "`#4` is out of range: the model has 4 layers, `#0` to `#3`");
    let text = MODEL.replace("Functional", "Sequential");
    let module = netc_ir::parse(&text).unwrap();
    assert_eq!(model_layers(&module, module.main().unwrap(), &dialects()).len(), 3);
}

#[test]
fn errors() {
    check("in", "`in` is an input of the model: a cut there leaves nothing before it");
    check("before:in", "`in` is an input of the model: a cut there leaves nothing before it");
    check("x", "`x` is an input of the model: a cut there leaves nothing before it");
    check("shered", "no such layer: `shered`; did you mean `shared`?");
    check("shared", "layer `shared` is applied 2 times: choose one of `shared@0`, `shared@1`");
    check("shared@2", "no such application: `shared@2`; layer `shared` is applied 2 times: `shared@0`, `shared@1`");
    check("a+", "`a+` is not a cut: a name is missing, as in `a+b` or `before:a`");
    check("before:", "`before:` is not a cut: a name is missing, as in `a+b` or `before:a`");
    check("inner", "no such layer: `inner`; did you mean `in`?");
}

/// Each slash may end the name of a model. Trying them one by one takes 64 lookups rather than 2^64.
#[test]
fn a_name_of_only_slashes_is_rejected_quickly() {
    check(&"/".repeat(64), &format!("no such layer: `{}`", "/".repeat(64)));
}

#[test]
fn a_function_without_layers_names_its_values() {
    let module = netc_ir::parse(
        "netc 1
         weight w0 \"k\" : f32[4] = 0.5
         func @main(%x: f32[4]) -> (%left) {
           %w = weight w0() : f32[4]
           %right = relu(%x) : f32[4]
           %left = add(%right, %w) : f32[4]
         }",
    )
    .unwrap();
    let main = module.main().unwrap();
    let error = |spec| resolve(&module, FuncId::new(0), spec, &Dialects::new()).unwrap_err().to_string();
    assert_eq!(error("lift"), "no such value: `lift`; did you mean `left`?");
    assert_eq!(error("#1"), "`#1` counts layers, but the model declares none: name a value, as in `%y`");
    let before = resolve(&module, FuncId::new(0), "before:left", &Dialects::new()).unwrap();
    assert_eq!(before[0].values, main.ops().nth(1).unwrap().1.results, "weights are not part of a cut");
}

#[test]
fn every_name_resolves_to_its_op() {
    let module = netc_ir::parse(MODEL).unwrap();
    let main = module.main().unwrap();
    let names = OpNames::of(&module, main);
    for op in main.op_ids() {
        let points = resolve(&module, FuncId::new(0), &names.op(op), &Dialects::new()).unwrap();
        assert_eq!(points[0].op, op, "{}", names.op(op));
    }
}

#[test]
fn errors_list_a_limited_number_of_applications() {
    let all: Vec<String> = (0..8).map(|i| format!("`a@{i}`")).collect();
    assert_eq!(choices("a", 8), all.join(", "));
    assert_eq!(choices("a", 9), "`a@0`, `a@1`, ..., `a@8`");
}

#[test]
fn a_layer_name_may_begin_with_before() {
    let text = "netc 1
        layer l0 \"a\" : t.A {}
        layer l1 \"before:a\" : t.A {}
        func @main(%x: f32[2]) -> (%z) {
          %y = t.A l0(%x) : f32[2]
          %z = t.A l1(%y) : f32[2]
        }";
    let module = netc_ir::parse(text).unwrap();
    let main = module.main().unwrap();
    let points = resolve(&module, FuncId::new(0), "before:a", &Dialects::new()).unwrap();
    let values: Vec<_> =
        points.iter().flat_map(|point| &point.values).map(|v| main[*v].name.clone().unwrap()).collect();
    assert_eq!(values, ["z".into()]);
}

const NESTED: &str = r#"netc 1
    weight w0 "own" : f32[4] = 0.5
    weight w1 "k" : f32[4] = 0.5
    layer l0 "in" : keras.InputLayer {}
    layer l1 "tower" : keras.Functional {}
    layer l2 "block" : keras.Functional {}
    layer l3 "b1" : keras.Dense {}
    layer l4 "td" : keras.TimeDistributed {config = {layer = {config = {name = "dense"}}}}
    layer l5 "mine" : custom.Block {} weights {attention/query/vars/0 = w1}
    layer l6 "sealed" : keras.Functional {} weights {vars/0 = w0}
    layer l7 "s1" : keras.Dense {}
    layer l8 "a+b" : keras.Dense {}
    func @block(%x: f32[N,4]) -> (%z) { %y = keras.Dense l3(%x) : f32[N,4] %z = keras.Dense l8(%y) : f32[N,4] }
    func @tower(%x: f32[N,4]) -> (%y) { %t = keras.TimeDistributed l4(%x) : f32[N,4] %y = call @block l2(%t) : f32[N,4] }
    func @sealed(%x: f32[N,4]) -> (%y) { %y = keras.Dense l7(%x) : f32[N,4] }
    func @main(%x: f32[N,4] "in" l0) -> (%s) attrs {class = "Functional"} {
      %a = call @tower l1(%x) : f32[N,4]
      %b = call @tower l1(%a) : f32[N,4]
      %m = custom.Block l5(%b) : f32[N,4]
      %s = call @sealed l6(%m) : f32[N,4]
    }"#;

#[track_caller]
fn check_nested(spec: &str, expect: &str) {
    let module = netc_ir::parse(NESTED).unwrap();
    let dialects = dialects();
    let found = match Names::of(&module, module.func_named(MAIN).unwrap(), &dialects).parts(spec) {
        Ok(parts) => {
            let part = |p: &CutPart| format!("{}{}:{}", if p.before { "before " } else { "" }, p.calls.len(), p.op);
            parts.iter().map(part).collect::<Vec<_>>().join(" + ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expect);
}

#[test]
fn paths_lead_into_nested_models() {
    check_nested("tower@1/block/b1", "2:op0");
    check_nested("before:tower@0/td", "before 1:op0");
    check_nested("tower@0/block/a+b", "2:op1");
    check_nested("tower@0/block/a+b+mine+before:tower@1/block/a+b", "2:op1 + 0:op2 + before 2:op1");
    check_nested("tower/block/b1", "layer `tower` is applied 2 times: choose one of `tower@0`, `tower@1`");
}

#[test]
fn a_missing_path_gets_a_hint() {
    let meant = "Layers in nested models are named by path; did you mean";
    check_nested("b1", &format!("no such layer: `b1`. {meant} `tower@0/block/b1` or `tower@1/block/b1`?"));
    check_nested("block/b1", &format!("no such layer: `block/b1`. {meant} `tower@0/block/b1` or `tower@1/block/b1`?"));
    check_nested(
        "tower@0/block/b11",
        "no such layer: `tower@0/block/b11`; did you mean `tower@0/block/b1`, `tower@1/block/b1` or `tower@0/block`?",
    );
}

#[test]
fn a_path_with_a_wrong_outer_model_case_or_separator_gets_a_hint() {
    for text in ["tawer@0/td", "elsewhere/encoder/td", "Encoder/TD"] {
        let meant = "Layers in nested models are named by path; did you mean `tower@0/td` or `tower@1/td`?";
        check_nested(text, &format!("no such layer: `{text}`. {meant}"));
    }
    check_nested(
        "Tower@0.Block.b1",
        "no such layer: `Tower@0.Block.b1`. Layers in nested models are named by path; did you mean `tower@0/block/b1`?",
    );
    check_nested("MINE", "no such layer: `MINE`; did you mean `mine`?");
}

#[test]
fn errors_name_the_op_around_an_inner_layer() {
    let op = "which is applied as one op: cut before or after";
    check_nested("dense", &format!("`dense` is inside `tower@0/td` (TimeDistributed), {op} `tower@0/td`"));
    check_nested("mine/query", &format!("`mine/query` is inside `mine` (Block), {op} `mine`"));
    check_nested("query", &format!("`query` is inside `mine` (Block), {op} `mine`"));
    check_nested("s1", &format!("`s1` is inside `sealed` (Functional), {op} `sealed`"));
}
