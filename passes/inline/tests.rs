//! Tests of `inline` on hand-written programs.

use netc_dialect::Dialects;
use netc_ir::{callees, parse};
use netc_pass::{Context, Fuel, Manager, PassCall, Pipeline};

use crate::testing::{run, run_with};

/// A nested model that is called twice, with names that are also used outside.
const NESTED: &str = r#"netc 1
layer l0 "x" : keras.InputLayer {}
layer l1 "enc" : keras.Functional {config = {name = "enc"}}
layer l2 "in" : keras.InputLayer {}
layer l3 "dense" : keras.Dense {config = {name = "dense", units = 2}, name = "dense"}
layer l4 "act" : keras.ReLU {}
layer l5 "dense" : keras.Dense {config = {name = "dense"}, name = "dense"}
func @main(%x: f32[N,2] l0) -> (%dense "y") attrs {class = "Functional", name = "net"} {
  %enc = call @enc l1(%x) {args = [$0], kwargs = {mask = null, training = false}} : f32[N,2] loc("enc")
  %enc.1 = call @enc l1(%enc) {args = [$0]} : f32[N,2] loc("enc"@1)
  %dense = keras.Dense l5(%enc.1) : f32[N,2] loc("dense")
}
func @enc(%in: f32[M,2] l2) -> (%act.1) {
  %dense = keras.Dense l3(%in) : f32[M,2] loc("enc/dense")
  %act = keras.ReLU l4(%dense) : f32[M,2] loc("act")
  %act.1 = keras.ReLU l4(%act) : f32[M,2] loc("act"@1)
}
"#;

#[test]
fn a_nested_model_is_replaced_by_its_layers() {
    let (text, remarks) = run_with(NESTED, "inline", &netc_keras_testgen::dialects()).unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1
    layer l0 "x" : keras.InputLayer {}
    layer l1 "dense_1" : keras.Dense {config = {name = "dense_1", units = 2}, name = "dense_1"}
    layer l2 "act" : keras.ReLU {}
    layer l3 "dense" : keras.Dense {config = {name = "dense"}, name = "dense"}

    func @main(%x: f32[N,2] l0) -> (%dense "y") attrs {class = "Functional", name = "net"} {
      %dense_1 = keras.Dense l1(%x) : f32[N,2] loc("enc/dense")
      %act = keras.ReLU l2(%dense_1) : f32[N,2] loc("enc/act")
      %act.1 = keras.ReLU l2(%act) : f32[N,2] loc("enc/act"@1)
      %dense_2 = keras.Dense l1(%act.1) : f32[N,2] loc("enc/dense"@1)
      %act_1 = keras.ReLU l2(%dense_2) : f32[N,2] loc("enc/act"@2)
      %act.1_1 = keras.ReLU l2(%act_1) : f32[N,2] loc("enc/act"@3)
      %dense = keras.Dense l3(%act.1_1) : f32[N,2] loc("dense")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    inline: enc: the call's arguments `training` do not reach the layers inside
    inline: renamed the layer `dense` to `dense_1`, because its name is taken
    "#);
}

/// Functions that call one another.
const CALLS: &str = "netc 1
func @main(%x: f32[N]) -> (%z) {
  %y, %again = call @f(%x) : f32[N], f32[N]
  %z = call @g(%y) : f32[3,N]
}
func @f(%x: f32[K]) -> (%b, %x \"again\") {
  %a = neg(%x) : f32[K]
  %b = neg(%a) : f32[K]
}
func @g(%x: f32[L]) -> (%y) { %y = broadcast(%x) : f32[3,L] }
func @apart(%x: f32[L]) -> (%y) { %y = call @g(%x) : f32[3,L] }
func @outer(%x: f32[L]) -> (%y, %x) { %y, %x.1 = call @f(%x) : f32[L], f32[L] }
";

#[test]
fn symbols_are_substituted_and_uncalled_functions_removed() {
    let text = CALLS.replace("%x: f32[N]", "%x: f32[5]").replace("[N]", "[5]").replace("[3,N]", "[3,5]");
    let (text, remarks) = run(&text.replace("call @f(%x) : f32[5]", "call @outer(%x) : f32[5]"), "inline").unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%x: f32[5]) -> (%y "z") {
      %a = neg(%x) : f32[5]
      %b = neg(%a) : f32[5]
      %y = broadcast(%b) : f32[3,5]
    }

    func @g(%x: f32[L]) -> (%y) {
      %y = broadcast(%x) : f32[3,L]
    }

    func @apart(%x: f32[L]) -> (%y) {
      %y = call @g(%x) : f32[3,L]
    }
    "#);
    assert!(remarks.is_empty());
}

#[test]
fn only_named_functions_are_inlined() {
    let (text, _) = run(CALLS, "inline=f").unwrap();
    assert!(text.contains("%z = call @g(%b)") && !text.contains("call @f(%x) : f32[N]"), "{text}");
    assert!(text.contains("func @f(") && text.contains("call @f(%x) : f32[L], f32[L]"), "unreached functions stay");
    assert_eq!(run(CALLS, "inline=f,@g"), run(CALLS, "inline"));
    let unknown = "pass `inline=h`: no such function: `@h`";
    assert_eq!(run(CALLS, "inline=h"), Err(unknown.into()));
}

#[test]
fn each_call_is_a_rewrite() {
    let dialects = Dialects::new();
    let calls_left = |fuel| {
        let mut module = parse(CALLS).unwrap();
        let mut context = Context::new(&dialects).with_fuel(Fuel::of(fuel));
        let pipeline = Pipeline::from(PassCall::new("inline"));
        Manager::new(&crate::registry()).run(&mut module, &pipeline, &mut context).unwrap();
        (callees(module.main().unwrap()).count(), module.funcs.len(), context.fuel.burnt())
    };
    assert_eq!([0, 1, 2, 9].map(calls_left), [(2, 5, 0), (1, 5, 1), (0, 5, 2), (0, 5, 2)]);
}

#[test]
fn exponential_growth_is_an_error() {
    let mut text = String::from("netc 1\nfunc @f0(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }\n");
    for i in 1..40 {
        let (name, callee) = (if i == 39 { "main".into() } else { format!("f{i}") }, i - 1);
        text += &format!(
            "func @{name}(%x: f32[2]) -> (%z) {{ %y = call @f{callee}(%x) : f32[2] %z = call @f{callee}(%y) : f32[2] }}\n"
        );
    }
    assert_eq!(run(&text, "inline"), Err("pass `inline`: inlining gives `@f22` more than 2097152 ops".into()));
}

#[test]
fn a_body_that_does_not_fit_the_call_is_an_error() {
    let text = "netc 1
        func @main(%x: f32[3], %y: f32[4]) -> (%z) { %z = call @f(%x, %y) : f32[4] }
        func @f(%x: f32[A], %y: f32[B]) -> (%z) { %z = add(%x, %y) : f32[B] }";
    let error = run(text, "inline").unwrap_err();
    assert!(error.starts_with("pass `inline`: the op at unknown place does not fit"), "{error}");
}

#[test]
fn a_nested_model_with_its_own_weights_is_not_inlined() {
    let text = NESTED.replace("netc 1\n", "netc 1\nweight w0 \"w\" : f32[2] = 0.5\n");
    let text = text.replace(
        "layer l1 \"enc\" : keras.Functional {config = {name = \"enc\"}}",
        "layer l1 \"enc\" : keras.Functional {} weights {vars/0 = w0}",
    );
    let (after, remarks) = run(&text, "inline").unwrap();
    assert_eq!(after.matches("call @enc").count(), 2);
    assert_eq!(remarks[0], "inline: the nested model `enc` has weights of its own, so it is not inlined");
}
