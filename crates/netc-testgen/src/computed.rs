//! Handwritten programs that compute extents in ways that recipes rarely do.

use netc_dialect::Dialects;
use netc_ir::{Module, parse, verify};

use crate::oracle;

/// A function gets symbols from a call, and its caller has symbols of the same names.
const NESTED: &str = "netc 1
func @main(%x: f32[C], %n: i64[], %m: i64[]) -> (%a, %b, %y, %z) {
  %a = call @fill(%n) : f32[A,2]
  %b = call @fill(%m) : f32[B,2]
  %s = reduce_sum(%a) {axes = [1]} : f32[A]
  %t = reduce_max(%b) {axes = [1]} : f32[B]
  %y = broadcast(%x, %s) : f32[A,C]
  %z = broadcast(%x, %t) : f32[B,C]
}
func @fill(%n: i64[]) -> (%y) {
  %p = call @count(%n) : i64[C]
  %q = call @count(%n) : i64[A]
  %half = constant() {value = 0.5} : f32[]
  %r = broadcast(%half, %p) : f32[C,2]
  %e = exp(%r) : f32[C,2]
  %f = neg(%e) : f32[C,2]
  %places = cast(%q) : f32[A]
  %most = reduce_max(%places) {axes = [0]} : f32[]
  %y = add(%f, %most) : f32[C,2]
}
func @count(%n: i64[]) -> (%i) {
  %i = iota(%n) : i64[K]
}
";

/// A function takes `2*K` elements and gets another `K` from a call. Its caller has a `K` of its own.
const SCALED: &str = "netc 1
func @main(%d: f32[2*K], %n: i64[], %m: i64[]) -> (%k, %s, %t, %v) {
  %k = iota(%n) : i64[J]
  %j = iota(%m) : i64[M]
  %f = cast(%j) : f32[M]
  %e = concat(%f, %f) {axis = 0} : f32[2*M]
  %s, %u = call @g(%e, %n) : f32[2*M,3], f32[L]
  %t, %w = call @g(%d, %m) : f32[2*K,3], f32[P]
  %v = broadcast(%u, %w) : f32[1,L]
}
func @g(%d: f32[2*K], %n: i64[]) -> (%y, %z) {
  %column = reshape(%d) : f32[2*K,1]
  %y = broadcast(%column, %d) : f32[2*K,3]
  %p = call @count(%n) : f32[J]
  %z = tanh(%p) : f32[J]
}
func @count(%n: i64[]) -> (%f) {
  %i = iota(%n) : i64[K]
  %f = cast(%i) : f32[K]
}
";

/// An extent passes through calls, and an `iota` computes it again.
const CHECKED: &str = "netc 1
func @main(%x: f32[N,2], %n: i64[]) -> (%y, %z) {
  %i = iota(%n) : i64[K]
  %p = call @next(%i) : i64[K]
  %q = call @next(%p) : i64[J]
  %size = dim(%q) {axis = 0} : i64[]
  %j = iota(%size, %q) : i64[J]
  %one = constant() {value = 1.0} : f32[]
  %a = broadcast(%one, %j) : f32[J,2]
  %b = exp(%a) : f32[J,2]
  %y = neg(%b) : f32[J,2]
  %sum = reduce_sum(%y) {axes = [0]} : f32[2]
  %z = broadcast(%sum, %i) : f32[K,2]
}
func @next(%i: i64[N]) -> (%y) {
  %one = constant() {value = 1} : i64[]
  %y = add(%i, %one) : i64[N]
}
";

const PIPELINES: &[&str] = &[
    "inline",
    "inline=count",
    "inline=count,inline",
    "cse,dce",
    "@simplify",
    "inline,@simplify",
    "fuse",
    "@simplify,fuse,inline",
    "inline=count,fuse",
    "saturate",
    "inline,saturate",
    "lower,layout",
];

fn program(text: &str) -> Module {
    let module = parse(text).unwrap();
    verify(&module).unwrap();
    module
}

/// The names of the values of `@main`; most can be cut at.
fn places(module: &Module) -> Vec<String> {
    let main = module.main().unwrap();
    main.values_in_order().filter_map(|v| main[v].name.as_ref().map(ToString::to_string)).collect()
}

#[test]
fn passes_keep_computed_extents() {
    for text in [NESTED, SCALED, CHECKED] {
        let module = program(text);
        for pipeline in PIPELINES {
            if pipeline.contains("=count") && !text.contains("@count") {
                continue;
            }
            oracle::keeps_values_by(&module, pipeline).unwrap_or_else(|wrong| panic!("{pipeline}: {wrong}\n{text}"));
        }
    }
}

#[test]
fn stages_and_parts_keep_computed_extents() {
    let dialects = Dialects::new();
    for text in [NESTED, SCALED, CHECKED] {
        let module = program(text);
        let places = places(&module);
        let pairs = places.iter().flat_map(|a| places.iter().map(|b| vec![a.clone(), b.clone()]));
        for cuts in places.iter().map(|place| vec![place.clone()]).chain(pairs) {
            let check = || {
                oracle::split_compose(&module, &cuts)?;
                oracle::split_merge(&module, &cuts)?;
                oracle::split_inline(&module, &cuts, &dialects)
            };
            check().unwrap_or_else(|wrong| panic!("{cuts:?}: {wrong}\n{text}"));
        }
        for part in oracle::parts(&places) {
            let extracted = oracle::extract_computes(&module, &part, &dialects);
            extracted.unwrap_or_else(|wrong| panic!("{part}: {wrong}\n{text}"));
        }
    }
}
