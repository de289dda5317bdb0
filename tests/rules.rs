//! The rules of `saturate` are true, and the trial of rules finds those that are not.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;

use netc_exec::Consts;
use netc_pass::{Dialects, Fuel};
use netc_rules::{Untrue, check, parse};
use netc_testgen::oracle::{self, Subject};
use netc_testgen::{CoreRecipe, property};
use proptest::prelude::*;

#[test]
fn rules_of_saturate_are_true() {
    let rules = netc_passes::saturate::rules().unwrap();
    let names: BTreeSet<&str> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names.len(), rules.len(), "a name stands for one rule");
    assert!(names.iter().filter(|name| !name.ends_with("-back")).count() >= 60);
    let untrue: Vec<String> =
        rules.iter().filter_map(|rule| check(rule, &Consts, 7).err()).map(|e| e.to_string()).collect();
    assert!(untrue.is_empty(), "{}", untrue.join("\n"));
}

/// What the trial says of one rule.
fn trial(text: &str) -> Result<(), Untrue> {
    let rules = parse(text).unwrap();
    rules.iter().try_for_each(|rule| check(rule, &Consts, 7))
}

#[test]
fn rules_that_change_values_are_refused() {
    for text in [
        "r: sub(?a, ?b) => sub(?b, ?a)",
        "r: add(?x, 0.0) => ?x",
        "r: add(add(?a, ?b), ?c) => add(?a, add(?b, ?c))",
        "r rounding: mul(add(?a, ?b), ?c) => add(mul(?a, ?c), ?b)",
        "r rounding: log(mul(?a: float, ?b)) => add(log(?a), log(?b))",
        "r: neg(max(?a, ?b)) => max(neg(?a), neg(?b))",
        "r: transpose(transpose(?x) {perm = ?p}) {perm = ?q} => transpose(?x) {perm = pick(?q, ?p)}",
        "r: transpose(?x) {..?c} => ?x",
        "r: relu(max_pool(?x) {..?c}) => max_pool(relu(?x)) {padding = \"same\", ..?c}",
        "r: concat(?a, ?b) {axis = ?i} => concat(?b, ?a) {axis = ?i}",
        "r rounding: reduce_mean(mul(?x, ?s: [])) {..?c} => mul(reduce_sum(?x) {..?c}, ?s)",
        "r: cast(cast(?x) {elem = ?t}) {elem = elem(?x)} => ?x where elem(?x) == elem(?x)",
        // Large numbers: where functions level off, and where integers wrap around.
        "r rounding: min(relu(?x: float), 6.0) => relu(?x)",
        "r rounding: min(max(?x: float, 0.0), 500.0) => max(?x, 0.0)",
        "r: div(mul(?x: int, 2.0), 2.0) => ?x",
        "r: max(?x: int, add(?x, 1.0)) => add(?x, 1.0)",
        "r: neg(neg(abs(?x: i16))) => relu(abs(?x))",
        // Extents of 0: the least number is the largest of none.
        "r: reduce_max(relu(?x)) {..?c} => relu(reduce_max(?x) {..?c})",
        // Only an axis that is made two shows that the order changes.
        "r: reverse(reshape(?x) {..?c}) {axes = [0]} => reshape(reverse(?x) {axes = [0]}) {..?c} where rank(?x) == 1",
    ] {
        check_differs(text);
    }
}

#[test]
fn rules_are_tried_in_every_element_type() {
    for elem in ["bool", "u8", "u32", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"] {
        check_differs(&format!("r: add(?a, ?b) => ?b where elem(?a) == \"{elem}\""));
    }
}

/// The trial of the rule makes the sides different numbers.
#[track_caller]
fn check_differs(text: &str) {
    let error = trial(text).expect_err(text);
    assert!(matches!(error, Untrue::Differs { .. }), "{text}: {error}");
}

#[test]
fn rules_that_hardly_apply_are_refused() {
    for text in [
        "r: add(?a: f32[2], ?b: i32[2]) => ?a",
        "r: relu(?x: f32[2]) => concat(?x, ?x) {axis = 0}",
        "r: relu(?x) => ?x where rank(?x) == 7",
        // A quotient by zero cannot be computed.
        "r: div(?x: i32[2], 0.0) => ?x",
        // What has no element shows nothing.
        "r: relu(?x: f32[0]) => ?x",
    ] {
        assert!(matches!(trial(text), Err(Untrue::TooFew { compared: 0, .. })), "{text}");
    }
}

#[test]
fn a_counterexample_can_be_read() {
    let error = trial("negated: sub(?a: i32[1], ?b: i32[1]) => sub(?b, ?a)").unwrap_err().to_string();
    let program = error.split_once("in\n").unwrap().1;
    netc_ir::verify(&netc_ir::parse(program).unwrap()).unwrap();
    assert!(
        error.starts_with("line 1: the rule `negated` changes what is computed: element 0 of `%from0` is "),
        "{error}"
    );
}

/// What computes the same bits: the parts of rules that replace several values. `A` and `B` stand for holes.
const SAME: [(&str, &str); 7] = [
    ("add(A, B)", "add(B, A)"),
    ("mul(A, B)", "mul(B, A)"),
    ("sub(A: float, B)", "add(A, neg(B))"),
    ("neg(A)", "neg(neg(neg(A)))"),
    ("abs(A)", "abs(abs(A))"),
    ("relu(A)", "relu(relu(A))"),
    ("tanh(A)", "tanh(A)"),
];

/// The rule that replaces what `parts` say together; those that share read the same tensor first.
fn several(parts: &[(usize, bool)]) -> String {
    let side = |side: fn(&(&'static str, &'static str)) -> &'static str| {
        let text = |(i, (part, shares)): (usize, &(usize, bool))| {
            let first = if *shares { 0 } else { i };
            // What a hole is is said once.
            let term = side(&SAME[*part]).replace('A', &format!("?a{first}")).replace('B', &format!("?b{i}"));
            if first == i { term } else { term.replace(": float", "") }
        };
        parts.iter().enumerate().map(text).collect::<Vec<_>>().join(", ")
    };
    format!("several: {} => {}\n", side(|same| same.0), side(|same| same.1))
}

#[test]
fn rules_that_replace_several_values_keep_them_wherever_they_apply() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("several.rules");
    let pipeline = format!("rewrite={}", file.display());
    let (registry, dialects, applied) = (netc_passes::registry(), Dialects::new(), Cell::new(0));
    let parts = prop::collection::vec((0..SAME.len(), any::<bool>()), 2..4);
    property::check(150, (CoreRecipe::strategy(24), parts), |(recipe, parts)| {
        fs::write(&file, several(&parts)).map_err(|e| e.to_string())?;
        let (module, subject) =
            (recipe.build(), Subject { pipeline: &pipeline, registry: &registry, dialects: &dialects });
        let (_, record) = subject.apply(&module, Fuel::unlimited())?;
        applied.set(applied.get() + record.rewrites);
        oracle::keeps_values(&module, subject)?;
        oracle::fuel(&module, subject)
    })
    .unwrap();
    assert!(applied.get() > 300, "{} applications", applied.get());
}
