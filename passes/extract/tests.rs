//! Tests of `extract` on hand-written programs.

use crate::testing::run;

/// A residual block with an auxiliary output, a shared layer and a weight of `@main`.
const MODEL: &str = r#"netc 1
weight w0 "k" : f32[8] = 0.5
layer l0 "image" : keras.InputLayer {}
layer l1 "stem" : keras.Conv2D {}
layer l2 "branch" : keras.Conv2D {}
layer l3 "shared" : keras.Conv2D {}
layer l4 "sum" : keras.Add {}
layer l5 "aux" : keras.Dense {}
layer l6 "top" : keras.Dense {}
layer l7 "other" : keras.InputLayer {}
func @main(%x: f32[N,8] "image" l0, %o: f32[N,8] "other" l7) -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net", inputs = [1], outputs = [2]} {
  %stem = keras.Conv2D l1(%x) : f32[N,8] loc("stem")
  %branch = keras.Conv2D l2(%stem) : f32[N,16] loc("branch")
  %shared = keras.Conv2D l3(%branch) : f32[N,8] loc("shared")
  %shared_1 = keras.Conv2D l3(%shared) : f32[N,8] loc("shared"@1)
  %k = weight w0() : f32[8]
  %scaled = mul(%shared_1, %k) : f32[N,8]
  %sum = keras.Add l4(%stem, %scaled, %o) {args = [[$0, $1, $2]]} : f32[N,8] loc("sum")
  %aux = keras.Dense l5(%sum) : f32[N,2] loc("aux")
  %top = keras.Dense l6(%sum) : f32[N,4] loc("top")
}
"#;

#[test]
fn a_part_takes_further_inputs_and_remarks_on_them() {
    let (text, remarks) = run(MODEL, "extract=shared@0..sum").unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1
    weight w0 "k" : f32[8] = 0.5
    layer l0 "shared" : keras.Conv2D {}
    layer l1 "sum" : keras.Add {}
    layer l2 "other" : keras.InputLayer {}

    func @main(%o: f32[N,8] "other" l2, %stem: f32[N,8], %shared: f32[N,8] "shared_1") -> (%sum) attrs {class = "Functional", name = "net_part"} {
      %shared_1 = keras.Conv2D l0(%shared) : f32[N,8] loc("shared"@1)
      %k = weight w0() : f32[8]
      %scaled = mul(%shared_1, %k) : f32[N,8]
      %sum = keras.Add l1(%stem, %scaled, %o) {args = [[$0, $1, $2]]} : f32[N,8] loc("sum")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    extract: kept 4 of 9 ops
    extract: further input %o f32[N,8] (32 bytes per example): `sum` reads it, and it is an input of the model
    extract: further input %stem f32[N,8] (32 bytes per example): `sum` reads it, and it is not computed from `shared@0`
    "#);
}

/// The ops of the part, its parameters and its outputs, by name.
#[track_caller]
fn check(part: &str, params: &str, ops: &str, outputs: &str) {
    let (text, _) = run(MODEL, &format!("extract={part}")).unwrap();
    let module = netc_ir::parse(&text).unwrap();
    let main = module.main().unwrap();
    let names = |names: Vec<&str>| names.join(" ");
    assert_eq!(names(main.params.iter().map(|p| &*p.name).collect()), params);
    let first = |op: &netc_ir::Op| main[op.results[0]].name.clone().unwrap();
    assert_eq!(main.ops().map(|(_, op)| first(op).to_string()).collect::<Vec<_>>().join(" "), ops);
    assert_eq!(names(main.outputs.iter().map(|o| &*o.name).collect()), outputs);
}

#[test]
fn either_end_may_be_omitted() {
    check("..branch", "image", "stem branch", "branch");
    check("sum..", "sum", "aux top", "top aux_output");
    check("shared@1..", "other stem shared_1", "k scaled sum aux top", "top aux_output");
    check("..top", "image other", "stem branch shared shared_1 k scaled sum top", "top");
}

#[test]
fn ends_have_the_syntax_of_cuts() {
    check("before:branch..shared@1", "stem", "branch shared shared_1", "shared_1");
    check("#1..#2", "stem", "branch", "branch");
    check("stem+shared@1..sum", "other stem shared_1", "k scaled sum", "sum");
    check("sum..aux+top", "sum", "aux top", "aux_output top");
    check("branch..before:sum", "branch", "shared shared_1 k scaled", "scaled");
    check("stem..before:sum", "stem", "branch shared shared_1 k scaled", "scaled");
}

#[track_caller]
fn check_error(part: &str, expect: &str) {
    let found = run(MODEL, &format!("extract={part}")).map(|_| "no error".to_string());
    assert_eq!(found, Err(format!("pass `extract={part}`: {expect}")));
}

#[test]
fn errors_say_which_end_is_wrong() {
    let syntax = "is not a part: expected FROM..TO, as in `extract=mixed3..mixed9`, `..mixed9` or `mixed3..`";
    check_error("stem", &format!("`stem` {syntax}"));
    check_error("..", &format!("`..` {syntax}"));
    check_error("stam..top", "no such layer: `stam`; did you mean `stem` or `sum`?");
    check_error("stem..tup", "no such layer: `tup`; did you mean `top`?");
    check_error("sum..branch", "`branch` is not computed from `sum`");
    check_error("aux..top", "`top` is not computed from `aux`");
    check_error("stem..stem", "`stem` and `stem` are the same place: nothing is computed between them");
    check_error("top..", "no output of the model is computed from `top`");
    check_error("branch+sum..top", "`top` does not need all of `branch+sum`");
    check_error(
        "%k..top",
        "`%k` is a weight or a constant, which depends on no input: name a layer or a value that does",
    );
    check_error("..%k", "`%k` is a weight or a constant, which depends on no input: name a layer or a value that does");
    check_error("..before:stem", "nothing is computed up to `before:stem`");
    check_error("..image", "`image` is an input of the model: nothing is computed up to there");
    let begin = "to begin at the inputs, omit the first place, as in `..top`";
    check_error("image..top", &format!("`image` is an input of the model: {begin}"));
    check_error(
        "before:stem..top",
        &format!(
            "nothing is computed before `stem`: it reads only inputs of the model, weights and constants. To {}",
            begin.trim_start_matches("to ")
        ),
    );
    let no_main = run("netc 1", "extract=a..b");
    assert_eq!(no_main, Err("pass `extract=a..b`: the module has no function `@main`".into()));
}

#[test]
fn names_may_contain_dots() {
    let text = MODEL.replace("\"sum\"", "\"a..b\"").replace("\"stem\"", "\"s.\"");
    let (after, _) = run(&text, "extract=s...a..b").unwrap();
    assert!(after.contains("%stem: f32[N,8]) -> (%sum)"), "{after}");
}

#[test]
fn everything_that_the_part_does_not_use_is_removed() {
    let text = "netc 1
        weight w0 \"a\" : f32[2] = 0.5
        weight w1 \"b\" : f32[2] = 0.5
        weight w2 \"loose\" : f32[2] = 0.5
        layer l0 \"f\" : t.Model {}
        layer l1 \"g\" : t.Model {} weights {vars/0 = w1}
        layer l2 \"unused\" : t.A {}
        func @f(%x: f32[2]) -> (%z) { %w = weight w0() : f32[2] %z = add(%x, %w) : f32[2] }
        func @g(%x: f32[2]) -> (%z) { %z = relu(%x) : f32[2] }
        func @main(%x: f32[2]) -> (%b) { %a = call @f l0(%x) : f32[2] %b = call @g l1(%a) : f32[2] }";
    let (text, _) = run(text, "extract=f..g").unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1
    weight w0 "b" : f32[2] = 0.5
    weight w1 "loose" : f32[2] = 0.5
    layer l0 "g" : t.Model {} weights {vars/0 = w0}
    layer l1 "unused" : t.A {}

    func @g(%x: f32[2]) -> (%z) {
      %z = relu(%x) : f32[2]
    }

    func @main(%a: f32[2]) -> (%b) {
      %b = call @g l0(%a) : f32[2]
    }
    "#);
}

#[test]
fn remarks_list_a_limited_number_of_inputs() {
    let inputs: Vec<String> = (0..12).map(|i| format!("%x{i}")).collect();
    let params: Vec<String> = inputs.iter().map(|x| format!("{x}: f32[2]")).collect();
    let text = format!(
        "netc 1\nfunc @main({}) -> (%b) {{\n%a = relu(%x0) : f32[2]\n%b = t.Sum(%a, {}) : f32[2]\n}}",
        params.join(", "),
        inputs.join(", ")
    );
    let (_, remarks) = run(&text, "extract=a..b").unwrap();
    assert_eq!((remarks.len(), remarks[9].as_str()), (10, "extract: and 4 more further inputs"), "{remarks:?}");
}

#[test]
fn functions_and_weights_named_by_attributes_are_kept() {
    let text = r#"netc 1
weight w0 "unused" : f32[8] = 0.25
weight w1 "bias" : f32[8] = 0.5
weight w2 "inner" : f32[8] = 0.75
func @other(%x: f32[N,8]) -> (%y) {
  %w = weight w0() : f32[8]
  %y = add(%x, %w) : f32[N,8]
}
func @main(%x: f32[N,8]) -> (%c) {
  %a = call @other(%x) : f32[N,8] loc("a")
  %b = custom.Loop(%a) {body = @body, bias = w1} : f32[N,8] loc("b")
  %c = relu(%b) : f32[N,8] loc("c")
}
func @body(%x: f32[N,8]) -> (%z) {
  %w = weight w2() : f32[8]
  %y = mul(%x, %w) : f32[N,8]
  %z = call @step(%y) : f32[N,8]
}
func @step(%x: f32[N,8]) -> (%y) {
  %y = relu(%x) : f32[N,8]
}
"#;
    let (text, _) = run(text, "extract=a..c").unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1
    weight w0 "bias" : f32[8] = 0.5
    weight w1 "inner" : f32[8] = 0.75

    func @main(%a: f32[N,8]) -> (%c) {
      %b = custom.Loop(%a) {body = @body, bias = w0} : f32[N,8] loc("b")
      %c = relu(%b) : f32[N,8] loc("c")
    }

    func @body(%x: f32[N,8]) -> (%z) {
      %w = weight w1() : f32[8]
      %y = mul(%x, %w) : f32[N,8]
      %z = call @step(%y) : f32[N,8]
    }

    func @step(%x: f32[N,8]) -> (%y) {
      %y = relu(%x) : f32[N,8]
    }
    "#);
}
