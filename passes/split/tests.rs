//! Splits of hand-written programs.

use netc_dialect::Dialects;
use netc_ir::parse;

use super::*;
use crate::testing::run;

/// A residual block between two layers, with an auxiliary output, a dead op and a shared layer.
const RESIDUAL: &str = r#"netc 1
layer l0 "image" : keras.InputLayer {}
layer l1 "stem" : keras.Conv2D {}
layer l2 "branch" : keras.Conv2D {}
layer l3 "shared" : keras.Conv2D {}
layer l4 "sum" : keras.Add {}
layer l5 "aux" : keras.Dense {}
layer l6 "top" : keras.Dense {}
layer l7 "unused" : keras.Dense {}
func @main(%x: f32[N,8] "image" l0) -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net", inputs = [1], outputs = [2]} {
  %stem = keras.Conv2D l1(%x) : f32[N,8] loc("stem")
  %branch = keras.Conv2D l2(%stem) : f32[N,16] loc("branch")
  %2 = keras.Dense l7(%branch) : f32[N,4] loc("unused")
  %shared = keras.Conv2D l3(%branch) : f32[N,8] loc("shared")
  %shared_1 = keras.Conv2D l3(%shared) {mask = null} : f32[N,8] loc("shared"@1)
  %sum = keras.Add l4(%stem, %shared_1) {args = [[$0, $1]]} : f32[N,8] loc("sum")
  %aux = keras.Dense l5(%sum) : f32[N,2] loc("aux")
  %top = keras.Dense l6(%sum) : f32[N,4] loc("top")
}
"#;

#[track_caller]
fn check_error(text: &str, at: &str, expect: &str) {
    let found = run(text, &format!("split={at}")).map(|_| "no error".to_string());
    let call = if at.contains(',') { format!("split=[{at}]") } else { format!("split={at}") };
    assert_eq!(found, Err(format!("pass `{call}`: {expect}")));
}

/// Splits [`RESIDUAL`]. Returns the functions, without the unchanged declarations, and the remarks.
#[track_caller]
fn split_residual(at: &str) -> (String, Vec<String>) {
    let (text, remarks) = run(RESIDUAL, &format!("split={at}")).unwrap();
    assert_eq!(text.find("func"), RESIDUAL.find("func").map(|i| i + 1), "declarations stay");
    (text[text.find("func").unwrap()..].into(), remarks)
}

#[test]
fn a_cut_in_a_branch_passes_all_crossing_tensors() {
    let (text, remarks) = split_residual("shared@0");
    insta::assert_snapshot!(text, @r#"
    func @main(%x: f32[N,8] "image" l0) -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net", inputs = [1], outputs = [2]} {
      %stem, %shared = call @stage0(%x) : f32[N,8], f32[N,8]
      %top, %aux = call @stage1(%stem, %shared) : f32[N,4], f32[N,2]
    }

    func @stage0(%x: f32[N,8] "image" l0) -> (%stem, %shared) attrs {class = "Functional", name = "net_stage0"} {
      %stem = keras.Conv2D l1(%x) : f32[N,8] loc("stem")
      %branch = keras.Conv2D l2(%stem) : f32[N,16] loc("branch")
      %shared = keras.Conv2D l3(%branch) : f32[N,8] loc("shared")
    }

    func @stage1(%stem: f32[N,8], %shared: f32[N,8] "shared_1") -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net_stage1"} {
      %shared_1 = keras.Conv2D l3(%shared) {mask = null} : f32[N,8] loc("shared"@1)
      %sum = keras.Add l4(%stem, %shared_1) {args = [[$0, $1]]} : f32[N,8] loc("sum")
      %aux = keras.Dense l5(%sum) : f32[N,2] loc("aux")
      %top = keras.Dense l6(%sum) : f32[N,4] loc("top")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    split: boundary `shared@0`: 2 tensors cross: %stem, %shared; nearest one-tensor cuts: after `stem`, after `sum`
    split: dropped 1 op that no output needs
    "#);
}

#[test]
fn a_value_can_skip_a_stage() {
    let (text, remarks) = split_residual("stem,shared@1");
    insta::assert_snapshot!(text, @r#"
    func @main(%x: f32[N,8] "image" l0) -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net", inputs = [1], outputs = [2]} {
      %stem = call @stage0(%x) : f32[N,8]
      %shared_1 = call @stage1(%stem) : f32[N,8]
      %top, %aux = call @stage2(%stem, %shared_1) : f32[N,4], f32[N,2]
    }

    func @stage0(%x: f32[N,8] "image" l0) -> (%stem) attrs {class = "Functional", name = "net_stage0"} {
      %stem = keras.Conv2D l1(%x) : f32[N,8] loc("stem")
    }

    func @stage1(%stem: f32[N,8]) -> (%shared_1) attrs {class = "Functional", name = "net_stage1"} {
      %branch = keras.Conv2D l2(%stem) : f32[N,16] loc("branch")
      %shared = keras.Conv2D l3(%branch) : f32[N,8] loc("shared")
      %shared_1 = keras.Conv2D l3(%shared) {mask = null} : f32[N,8] loc("shared"@1)
    }

    func @stage2(%stem: f32[N,8], %shared_1: f32[N,8]) -> (%top, %aux "aux_output") attrs {class = "Functional", name = "net_stage2"} {
      %sum = keras.Add l4(%stem, %shared_1) {args = [[$0, $1]]} : f32[N,8] loc("sum")
      %aux = keras.Dense l5(%sum) : f32[N,2] loc("aux")
      %top = keras.Dense l6(%sum) : f32[N,4] loc("top")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    split: boundary `stem`: 1 tensor crosses: %stem
    split: boundary `shared@1`: 2 tensors cross: %stem, %shared_1; nearest one-tensor cuts: after `stem`, after `sum`
    split: dropped 1 op that no output needs
    "#);
}

#[test]
fn a_crossing_value_may_also_be_an_output() {
    let (text, _) = run(
        "netc 1
         func @main(%x: f32[2], %unread: f32[2]) -> (%a \"first\", %b, %a \"again\", %x \"input\") {
           %a = relu(%x) : f32[2]
           %b = add(%a, %x) : f32[2]
         }",
        "split=a",
    )
    .unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%x: f32[2], %unread: f32[2]) -> (%a "first", %b, %a "again", %x "input") {
      %a = call @stage0(%x) : f32[2]
      %b = call @stage1(%x, %a) : f32[2]
    }

    func @stage0(%x: f32[2]) -> (%a "first") {
      %a = relu(%x) : f32[2]
    }

    func @stage1(%x: f32[2], %a: f32[2]) -> (%b) {
      %b = add(%a, %x) : f32[2]
    }
    "#);
}

#[test]
fn a_nested_model_is_one_cut() {
    let (text, _) = run(
        r#"netc 1
        layer l0 "encoder" : keras.Functional {}
        layer l1 "inner" : keras.ReLU {}
        func @main(%x: f32[N,2]) -> (%y) {
          %h = call @encoder l0(%x) : f32[N,2] loc("encoder")
          %y = relu(%h) : f32[N,2]
        }
        func @encoder(%x: f32[N,2]) -> (%y) { %y = keras.ReLU l1(%x) : f32[N,2] loc("encoder/inner") }"#,
        "split=encoder",
    )
    .unwrap();
    insta::assert_snapshot!(&text[text.find("func").unwrap()..], @r#"
    func @main(%x: f32[N,2]) -> (%y) {
      %h = call @stage0(%x) : f32[N,2]
      %y = call @stage1(%h) : f32[N,2]
    }

    func @encoder(%x: f32[N,2]) -> (%y) {
      %y = keras.ReLU l1(%x) : f32[N,2] loc("encoder/inner")
    }

    func @stage0(%x: f32[N,2]) -> (%h) {
      %h = call @encoder l0(%x) : f32[N,2] loc("encoder")
    }

    func @stage1(%h: f32[N,2]) -> (%y) {
      %y = relu(%h) : f32[N,2]
    }
    "#);
}

#[test]
fn a_nested_model_may_have_the_name_of_a_stage() {
    let (text, _) = run(
        r#"netc 1
        layer l0 "stage0" : keras.Functional {}
        func @main(%x: f32[2]) -> (%y) {
          %h = call @stage0 l0(%x) : f32[2] loc("stage0")
          %y = call @stage0_1 l0(%h) : f32[2]
        }
        func @stage0(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }
        func @stage0_1(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }"#,
        "split=%h",
    )
    .unwrap();
    insta::assert_snapshot!(&text[text.find("func").unwrap()..], @r#"
    func @main(%x: f32[2]) -> (%y) {
      %h = call @stage0_2(%x) : f32[2]
      %y = call @stage1(%h) : f32[2]
    }

    func @stage0(%x: f32[2]) -> (%y) {
      %y = relu(%x) : f32[2]
    }

    func @stage0_1(%x: f32[2]) -> (%y) {
      %y = relu(%x) : f32[2]
    }

    func @stage0_2(%x: f32[2]) -> (%h) {
      %h = call @stage0 l0(%x) : f32[2] loc("stage0")
    }

    func @stage1(%h: f32[2]) -> (%y) {
      %y = call @stage0_1 l0(%h) : f32[2]
    }
    "#);
}

#[test]
fn weights_and_constants_are_in_every_stage_that_reads_them() {
    let (text, remarks) = run(
        r#"netc 1
        weight w0 "k" : f32[2] = 0.5
        weight w1 "r" : f32[3] = 0.5
        func @main(%x: f32[2]) -> (%c, %k, %r) {
          %a = relu(%x) : f32[2]
          %half = constant() {value = 0.5} : f32[]
          %k = weight w0() : f32[2] loc("k")
          %r = weight w1() : f32[3]
          %a1 = add(%a, %k) : f32[2]
          %b = mul(%a1, %half) : f32[2]
          %b1 = mul(%b, %half) : f32[2]
          %c = add(%b1, %k) : f32[2]
        }"#,
        "split=a,b",
    )
    .unwrap();
    insta::assert_snapshot!(&text[text.find("func").unwrap()..], @r#"
    func @main(%x: f32[2]) -> (%c, %k, %r) {
      %a = call @stage0(%x) : f32[2]
      %k, %b = call @stage1(%a) : f32[2], f32[2]
      %c, %r = call @stage2(%b) : f32[2], f32[3]
    }

    func @stage0(%x: f32[2]) -> (%a) {
      %a = relu(%x) : f32[2]
    }

    func @stage1(%a: f32[2]) -> (%k, %b) {
      %half = constant() {value = 0.5} : f32[]
      %k = weight w0() : f32[2] loc("k")
      %a1 = add(%a, %k) : f32[2]
      %b = mul(%a1, %half) : f32[2]
    }

    func @stage2(%b: f32[2]) -> (%c, %r) {
      %half = constant() {value = 0.5} : f32[]
      %k = weight w0() : f32[2] loc("k")
      %r = weight w1() : f32[3]
      %b1 = mul(%b, %half) : f32[2]
      %c = add(%b1, %k) : f32[2]
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    split: boundary `a`: 1 tensor crosses: %a
    split: boundary `b`: 1 tensor crosses: %b
    "#);
}

#[test]
fn unnamed_values_get_names_if_they_cross() {
    let (text, _) = run(
        "netc 1
         func @main(%0: f32[2] \"x\") -> (%3) {
           %1 = relu(%0) : f32[2]
           %2 = relu(%1) : f32[2]
           %3 = add(%1, %2) : f32[2]
         }",
        "split=%2",
    )
    .unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%0: f32[2] "x") -> (%3 "3") {
      %1, %2 = call @stage0(%0) : f32[2], f32[2]
      %3 = call @stage1(%1, %2) : f32[2]
    }

    func @stage0(%0: f32[2] "x") -> (%1 "v1", %2 "v2") {
      %1 = relu(%0) : f32[2]
      %2 = relu(%1) : f32[2]
    }

    func @stage1(%0: f32[2] "v1", %1: f32[2] "v2") -> (%2 "3") {
      %2 = add(%0, %1) : f32[2]
    }
    "#);
}

#[test]
fn cuts_in_any_order_give_the_same() {
    let (forward, _) = split_residual("stem,sum");
    let (backward, remarks) = split_residual("sum,stem");
    assert_eq!(forward, backward);
    assert_eq!(remarks[0], "split: reordered the cuts as in the model: `stem`, `sum`");
}

#[test]
fn several_values_form_one_cut() {
    let text = "netc 1
        func @main(%x: f32[2]) -> (%y) {
          %a = relu(%x) : f32[2]
          %b = neg(%x) : f32[2]
          %y = add(%a, %b) : f32[2]
        }";
    let (split, remarks) = run(text, "split=a+b").unwrap();
    assert_eq!(run(text, "split=before:y").map(|r| r.0), Ok(split));
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    split: boundary `a+b`: 2 tensors cross: %a, %b; nearest one-tensor cut: after `%b`
    "#);
}

#[test]
fn a_place_that_another_depends_on_adds_nothing() {
    for (both, one) in [("stem+shared@0", "shared@0"), ("sum+stem+branch", "sum"), ("sum+sum", "sum")] {
        let ((both_text, both_remarks), (one_text, one_remarks)) = (split_residual(both), split_residual(one));
        assert_eq!(both_text, one_text);
        let after_spec = |remarks: &[String]| remarks[0].split_once("`:").unwrap().1.to_string();
        assert_eq!(after_spec(&both_remarks), after_spec(&one_remarks));
    }
    check_error(RESIDUAL, "sum,stem+sum", "`sum` and `stem+sum` are the same cut: nothing is computed between them");
}

#[test]
fn an_op_may_have_no_operands_and_several_results() {
    let (text, _) = run(
        "netc 1
         func @main(%x: f32[2]) -> (%y, %y \"again\", %q \"odd\") {
           %p, %q, %unread = t.Source() : f32[2], f32[2], f32[2]
           %y, %z = t.Two(%p, %q) : f32[2], f32[2]
         }",
        "split=%p",
    )
    .unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%x: f32[2]) -> (%y, %y "again", %q "odd") {
      %p, %q = call @stage0() : f32[2], f32[2]
      %y = call @stage1(%p, %q) : f32[2]
    }

    func @stage0() -> (%p, %q "odd") {
      %p, %q, %unread = t.Source() : f32[2], f32[2], f32[2]
    }

    func @stage1(%p: f32[2], %q: f32[2]) -> (%y) {
      %y, %z = t.Two(%p, %q) : f32[2], f32[2]
    }
    "#);
}

#[test]
fn remarks_list_a_limited_number_of_tensors() {
    let mut text = String::from("netc 1\nfunc @main(%x: f32[N,3]) -> (%y) {\n");
    for i in 0..20 {
        text += &format!("  %a{i} = relu(%x) : f32[N,3]\n");
    }
    let all: Vec<String> = (0..20).map(|i| format!("%a{i}")).collect();
    text += &format!("  %y = t.Sum({}) : any[*]\n}}\n", all.join(", "));
    let (_, remarks) = run(&text, "split=before:y").unwrap();
    assert!(remarks[0].ends_with("%a7, and 12 more; nearest one-tensor cut: after `%a19`"), "{remarks:?}");
    let mut module = parse(&text).unwrap();
    let plan = plan(&module, &["a0+a1".into()], &Dialects::new()).unwrap();
    apply(&mut module, &plan);
    assert!(plan.to_string().starts_with("stage0: ops 2, inputs 1, outputs 2\nstage1: ops 19, inputs 3, outputs 1\n"));
}

#[test]
fn errors_name_the_cut() {
    check_error(RESIDUAL, "brunch", "no such layer: `brunch`; did you mean `branch`?");
    check_error(RESIDUAL, "unused", "cannot cut at `unused`: no output of the model needs it");
    check_error(RESIDUAL, "image", "`image` is an input of the model: a cut there leaves nothing before it");
    check_error(
        RESIDUAL,
        "before:stem",
        "nothing is computed before `stem`: it reads only inputs of the model, weights and constants",
    );
    let constant = "netc 1 func @main(%x: f32[2]) -> (%y) {
        %k = constant() {value = 0.5} : f32[2] %a = relu(%x) : f32[2] %y = add(%a, %k) : f32[2] }";
    let nothing = "cannot cut at `%k`: it is a weight or a constant, and every stage that reads it has its own";
    check_error(constant, "%k", nothing);
    check_error(
        RESIDUAL,
        "aux+top",
        "nothing is computed after `aux+top`: every output of the model is already computed there",
    );
    check_error(RESIDUAL, "stem,stem", "the cut `stem` is given twice");
    check_error(
        RESIDUAL,
        "stem,before:branch",
        "`stem` and `before:branch` are the same cut: nothing is computed between them",
    );
    check_error(
        RESIDUAL,
        "stem,top,aux",
        "`top` and `aux` are on parallel branches: neither is computed from the other. \
         To cut through both at once, write `split=top+aux`",
    );
}

#[test]
fn errors_about_the_module() {
    let (split, _) = run(RESIDUAL, "split=stem").unwrap();
    check_error(
        &split,
        "%stem",
        "the model is already split; its first stage is `stage0`. Merge it first with `--pass merge`, \
         or with `netc merge manifest.json -o FILE`",
    );
    check_error("netc 1", "a", "the module has no function `@main`");
    assert_eq!(run(RESIDUAL, "split"), Err("pass `split` needs the option `at`, as in `split=CUT,...`".into()));
}

#[test]
fn values_captured_by_a_body_cross_the_cut() {
    let text = r#"netc 1
func @main(%flag: bool[], %x: f32[N]) -> (%y) {
  %scale = exp(%x) : f32[N] loc("scale")
  %middle = relu(%x) : f32[N] loc("middle")
  %y = onnx.If(%flag, %middle, %scale) {then_branch = @then, else_branch = @else} : f32[N] loc("if")
}
func @then(%x: f32[N], %scale: f32[N]) -> (%y) {
  %y = mul(%x, %scale) : f32[N]
}
func @else(%x: f32[N], %scale: f32[N]) -> (%x) {
}
"#;
    let (split, _) = run(text, "split=scale").unwrap();
    insta::assert_snapshot!(split, @r#"
    netc 1

    func @main(%flag: bool[], %x: f32[N]) -> (%y) {
      %scale = call @stage0(%x) : f32[N]
      %y = call @stage1(%flag, %x, %scale) : f32[N]
    }

    func @then(%x: f32[N], %scale: f32[N]) -> (%y) {
      %y = mul(%x, %scale) : f32[N]
    }

    func @else(%x: f32[N], %scale: f32[N]) -> (%x) {
    }

    func @stage0(%x: f32[N]) -> (%scale) {
      %scale = exp(%x) : f32[N] loc("scale")
    }

    func @stage1(%flag: bool[], %x: f32[N], %scale: f32[N]) -> (%y) {
      %middle = relu(%x) : f32[N] loc("middle")
      %y = onnx.If(%flag, %middle, %scale) {then_branch = @then, else_branch = @else} : f32[N] loc("if")
    }
    "#);
    let (merged, _) = run(&split, "merge").unwrap();
    insta::assert_snapshot!(merged, @r#"
    netc 1

    func @main(%flag: bool[], %x: f32[N]) -> (%y) {
      %middle = relu(%x) : f32[N] loc("middle")
      %scale = exp(%x) : f32[N] loc("scale")
      %y = onnx.If(%flag, %middle, %scale) {then_branch = @then, else_branch = @else} : f32[N] loc("if")
    }

    func @then(%x: f32[N], %scale: f32[N]) -> (%y) {
      %y = mul(%x, %scale) : f32[N]
    }

    func @else(%x: f32[N], %scale: f32[N]) -> (%x) {
    }
    "#);
}
