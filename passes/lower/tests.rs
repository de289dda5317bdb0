//! Tests of lowering whole modules.

use netc_ir::verify;
use netc_testgen::property::config;
use proptest::prelude::*;

use super::*;
use crate::testing::{dialects, random_module, run_with};

#[track_caller]
fn lowered(text: &str) -> (String, Vec<String>) {
    let (text, remarks) = run_with(text, "lower", &dialects()).unwrap();
    (text[text.find("func").unwrap()..].into(), remarks)
}

#[test]
fn names_and_locations_stay_and_types_become_known() {
    let (text, remarks) = lowered(
        r#"netc 1
        weight w0 "k" : f32[4,3] = 0.5
        layer l0 "in" : keras.InputLayer {}
        layer l1 "dense" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[N,4] "in" l0) -> (%z "out") attrs {class = "Functional"} {
          %in = t.Same(%x) : any[*]
          %y = t.Dense l1(%in) : any[*] loc("dense")
          %z = relu(%y) : any[*] loc("act")
        }"#,
    );
    insta::assert_snapshot!(text, @r#"
    func @main(%x: f32[N,4] "in" l0) -> (%z "out") attrs {class = "Functional"} {
      %1 = weight w0() : f32[4,3] loc("dense")
      %y = matmul(%x, %1) : f32[N,3] loc("dense")
      %z = relu(%y) : f32[N,3] loc("act")
    }
    "#);
    assert!(remarks.is_empty());
}

#[test]
fn an_unsupported_layer_stays_and_is_reported_once() {
    let (text, remarks) = lowered(
        r#"netc 1
        layer l0 "a" : custom.Odd {}
        layer l1 "b" : custom.Odd {}
        func @main(%x: f32[N,4]) -> (%b) {
          %a = custom.Odd l0(%x) : any[*] loc("a")
          %s = t.Same(%a) : any[*] loc("s")
          %b = custom.Odd l1(%s) {args = [$0]} : f32[N,7] loc("b")
        }"#,
    );
    insta::assert_snapshot!(text, @r#"
    func @main(%x: f32[N,4]) -> (%b) {
      %a = custom.Odd l0(%x) : any[*] loc("a")
      %b = custom.Odd l1(%a) {args = [$0]} : f32[N,7] loc("b")
    }
    "#);
    insta::assert_snapshot!(remarks.join("\n"), @r#"
    lower: a: `a` (custom.Odd) is unsupported and stays as it is; to run it, define it in a file and pass `--layers FILE.nir`
    "#);
}

#[test]
fn a_call_takes_its_types_from_the_lowered_callee() {
    let (text, _) = lowered(
        r#"netc 1
        weight w0 "k" : f32[4,3] = 0.5
        layer l0 "inner" : keras.Functional {}
        layer l1 "dense" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[B,7,4], %z: f32[B,T,4]) -> (%y, %w) {
          %y = call @inner l0(%x) {training = false} : any[*] loc("inner")
          %w = call @inner l0(%z) : f32[B,9,3] loc("inner"@1)
        }
        func @inner(%x: f32[N,T,4]) -> (%y) { %y = t.Dense l1(%x) : any[*] loc("inner/dense") }"#,
    );
    insta::assert_snapshot!(text, @r#"
    func @main(%x: f32[B,7,4], %z: f32[B,T,4]) -> (%y, %w) {
      %y = call @inner l0(%x) {training = false} : f32[B,7,3] loc("inner")
      %w = call @inner l0(%z) : f32[B,9,3] loc("inner"@1)
    }

    func @inner(%x: f32[N,T,4]) -> (%y) {
      %1 = weight w0() : f32[4,3] loc("inner/dense")
      %y = matmul(%x, %1) : f32[N,T,3] loc("inner/dense")
    }
    "#);
}

#[test]
fn errors_name_the_layer() {
    let error = |op: &str| {
        let text =
            format!("netc 1\nlayer l0 \"l\" : t.Bad {{}}\nfunc @main(%x: f32[N,4], %z: f32[3]) -> (%y) {{ {op} }}");
        run_with(&text, "lower", &dialects()).unwrap_err()
    };
    let expect = |text: &str| format!("pass `lower`: {text}");
    assert_eq!(
        error("%y = t.Bad(%x) : any[*] loc(\"block/bad\"@1)"),
        expect("layer `block/bad@1` (t.Bad): `k` is 3, expected 4")
    );
    assert_eq!(error("%y = t.Bad l0(%x) : any[*]"), expect("layer `l` (t.Bad): `k` is 3, expected 4"));
    assert_eq!(error("%y = t.Bad(%x) : any[*]"), expect("`t.Bad`: `k` is 3, expected 4"));
    assert_eq!(
        error("%y, %b = t.Same(%x) : any[*], any[*]"),
        expect("`t.Same`: its lowering yields 1 tensors, but the call has 2")
    );
    assert_eq!(
        error("%s = t.Same(%x) : any[*] %y = add(%s, %z) : f32[*] loc(\"sum\")"),
        expect("layer `sum`: `add` breaks constraint C2: extents 4 and 3 do not broadcast ([N, 4] and [3])")
    );
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn only_unsupported_layers_are_left(module in random_module()) {
        let lowered = lower_module(&module, &dialects()).unwrap();
        prop_assert_eq!(verify(&lowered), Ok(()));
        prop_assert!(unknown_layers(&lowered).iter().all(|l| l.name.as_deref() == Some("two2")));
        let again = lower_module(&lowered, &dialects()).unwrap();
        prop_assert_eq!(again, lowered);
    }
}

#[test]
fn lowering_to_too_many_ops_is_an_error() {
    let text = "netc 1
        weight w0 \"k\" : f32[4,4] = 0.5
        layer l0 \"dense\" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[N,4]) -> (%z) {
          %y = t.Dense l0(%x) : any[*] loc(\"dense\")
          %z = t.Dense l0(%y) : any[*] loc(\"dense\"@1)
        }";
    let (module, dialects) = (netc_ir::parse(text).unwrap(), dialects());
    assert_eq!(lower_module_within(&module, &dialects, 4).unwrap().num_ops(), 4);
    let error = lower_module_within(&module, &dialects, 3).unwrap_err().to_string();
    assert!(error.starts_with("layer `dense` would make the program larger than 3 ops"), "{error}");
}

#[test]
fn layers_left_for_lack_of_fuel_are_not_reported_as_unsupported() {
    let text = "netc 1\nfunc @main(%x: f32[N,4]) -> (%z) { %y = t.Same(%x) : f32[N,4] %z = t.Same(%y) : f32[N,4] }";
    let (mut module, dialects) = (netc_ir::parse(text).unwrap(), dialects());
    let mut context = Context::new(&dialects).with_fuel(Fuel::of(1));
    Lower.run(&mut module, &mut context).unwrap();
    assert_eq!((unknown_layers(&module).len(), context.remarks.len()), (1, 0), "{:?}", context.remarks);
}

#[test]
fn each_application_of_a_layer_computes_its_own_extent() {
    let library = "netc 1
        func @Fill(%n: i64[]) -> (%y) {
          %i = iota(%n) : i64[K]
          %half = constant() {value = 0.5} : f32[]
          %y = broadcast(%half, %i) : f32[K]
        }";
    let mut dialects = Dialects::new();
    dialects.push_library(netc_dialect::LayerLibrary::parse(library).unwrap());
    let text = "netc 1
        func @main(%n: i64[], %m: i64[]) -> (%p, %q, %r) {
          %a = custom.Fill(%n) : f32[A]
          %i = iota(%m) : i64[K]
          %b = custom.Fill(%m) : any[*]
          %p = reshape(%a) : f32[A,1]
          %q = relu(%b) : any[*]
          %r = broadcast(%i) : i64[2,K]
        }";
    let (text, _) = run_with(text, "lower", &dialects).unwrap();
    insta::assert_snapshot!(text, @r#"
    netc 1

    func @main(%n: i64[], %m: i64[]) -> (%p, %q, %r) {
      %2 = iota(%n) : i64[K_1]
      %3 = constant() {value = 0.5} : f32[]
      %a = broadcast(%3, %2) : f32[K_1]
      %i = iota(%m) : i64[K]
      %6 = iota(%m) : i64[K_2]
      %7 = constant() {value = 0.5} : f32[]
      %b = broadcast(%7, %6) : f32[K_2]
      %p = reshape(%a) : f32[K_1,1]
      %q = relu(%b) : f32[K_2]
      %r = broadcast(%i) : i64[2,K]
    }
    "#);
}
