//! Tests that the rules of `saturate` are true, and that checking rules on random programs finds false ones.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;

use netc_dialect::Dialects;
use netc_exec::Consts;
use netc_ir::{CoreOp, Module, Op, OpId, OpKind, Uses};
use netc_pass::Fuel;
use netc_passes::analysis::needed_by;
use netc_rules::{Untrue, check, parse};
use netc_testgen::oracle::{self, Subject};
use netc_testgen::{CoreRecipe, property};
use proptest::prelude::*;
use proptest::sample::Index;

#[test]
fn rules_of_saturate_are_true() {
    let rules = netc_passes::saturate::rules().unwrap();
    let names: BTreeSet<&str> = rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names.len(), rules.len(), "names are unique");
    assert!(names.iter().filter(|name| !name.ends_with("-back")).count() >= 60);
    let untrue: Vec<String> =
        rules.iter().filter_map(|rule| check(rule, &Consts, 7).err()).map(|e| e.to_string()).collect();
    assert!(untrue.is_empty(), "{}", untrue.join("\n"));
}

/// Checks the rules in `text` on random programs.
fn trial(text: &str) -> Result<(), Untrue> {
    let rules = parse(text).unwrap();
    rules.iter().try_for_each(|rule| check(rule, &Consts, 7))
}

#[test]
fn rules_that_change_values_are_rejected() {
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
        // False only for large numbers: where functions saturate, and where integers wrap.
        "r rounding: min(relu(?x: float), 6.0) => relu(?x)",
        "r rounding: min(max(?x: float, 0.0), 500.0) => max(?x, 0.0)",
        "r: div(mul(?x: int, 2.0), 2.0) => ?x",
        "r: max(?x: int, add(?x, 1.0)) => add(?x, 1.0)",
        "r: neg(neg(abs(?x: i16))) => relu(abs(?x))",
        // False only for extents of 0: the maximum of no elements is the lowest number.
        "r: reduce_max(relu(?x)) {..?c} => relu(reduce_max(?x) {..?c})",
        // False only if `reshape` splits an axis.
        "r: reverse(reshape(?x) {..?c}) {axes = [0]} => reshape(reverse(?x) {axes = [0]}) {..?c} where rank(?x) == 1",
    ] {
        check_differs(text);
    }
}

#[test]
fn rules_are_checked_in_every_element_type() {
    for elem in ["bool", "u8", "u32", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"] {
        check_differs(&format!("r: add(?a, ?b) => ?b where elem(?a) == \"{elem}\""));
    }
}

/// Checks that the two sides of the rule are found to compute different values.
#[track_caller]
fn check_differs(text: &str) {
    let error = trial(text).expect_err(text);
    assert!(matches!(error, Untrue::Differs { .. }), "{text}: {error}");
}

#[test]
fn rules_that_never_apply_are_rejected() {
    for text in [
        "r: add(?a: f32[2], ?b: i32[2]) => ?a",
        "r: relu(?x: f32[2]) => concat(?x, ?x) {axis = 0}",
        "r: relu(?x) => ?x where rank(?x) == 7",
        // Integer division by zero fails.
        "r: div(?x: i32[2], 0.0) => ?x",
        // Without elements there is nothing to compare.
        "r: relu(?x: f32[0]) => ?x",
    ] {
        assert!(matches!(trial(text), Err(Untrue::TooFew { compared: 0, .. })), "{text}");
    }
}

#[test]
fn a_counterexample_is_a_valid_program() {
    let error = trial("negated: sub(?a: i32[1], ?b: i32[1]) => sub(?b, ?a)").unwrap_err().to_string();
    let program = error.split_once("program:\n").unwrap().1;
    netc_ir::verify(&netc_ir::parse(program).unwrap()).unwrap();
    assert!(error.starts_with("line 1: rule `negated` changes values: element 0 is "), "{error}");
    assert!(error.contains(" in `%from0` and "), "{error}");
}

/// An expression with the same bits as the op `name` of `a`, or of `a` and `b`.
fn same_bits(name: &str, [a, b]: [&str; 2], operands: usize) -> String {
    match (name, operands) {
        ("add" | "mul", _) => format!("{name}({b}, {a})"),
        ("neg", _) => format!("neg(neg(neg({a})))"),
        ("abs" | "relu", _) => format!("{name}({name}({a}))"),
        (_, 1) => format!("{name}({a})"),
        _ => format!("{name}({a}, {b})"),
    }
}

/// A rule that replaces several independent ops of `@main` at once. Ops with the first operand of the first op share a
/// hole.
fn several(module: &Module, picks: &[Index]) -> Option<String> {
    let main = module.main()?;
    let uses = Uses::of(main);
    let needs = |a: OpId, b: OpId| needed_by(main, main[a].results.iter().copied())[b.index()];
    let mut left: Vec<(OpId, &str)> = main.ops().filter_map(|(id, op)| Some((id, function(op)?))).collect();
    left.retain(|(id, _)| !uses.is_unused(main[*id].results[0]));
    let mut picked: Vec<(OpId, &str)> = Vec::new();
    for pick in picks {
        if left.is_empty() || picked.len() == 3 {
            break;
        }
        let next = left.swap_remove(pick.index(left.len()));
        left.retain(|(op, _)| !needs(*op, next.0) && !needs(next.0, *op));
        picked.push(next);
    }
    let first = main[picked.first()?.0].operands[0];
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for (i, (op, name)) in picked.iter().enumerate() {
        let operands = &main[*op].operands;
        let (a, b) = (format!("?a{}", if operands[0] == first { 0 } else { i }), format!("?b{i}"));
        from.push(format!("{name}({})", [a.as_str(), &b][..operands.len()].join(", ")));
        to.push(same_bits(name, [&a, &b], operands.len()));
    }
    (picked.len() > 1).then(|| format!("several: {} => {}\n", from.join(", "), to.join(", ")))
}

/// The name of `op` if it is a unary or binary op.
fn function(op: &Op) -> Option<&str> {
    match &op.kind {
        OpKind::Core(core @ (CoreOp::Unary(_) | CoreOp::Binary(_))) => Some(core.name()),
        OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => None,
    }
}

#[test]
fn rules_that_replace_several_values_keep_values() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("several.rules");
    let pipeline = format!("rewrite={}", file.display());
    let (registry, dialects, applied) = (netc_passes::registry(), Dialects::new(), Cell::new(0));
    let picks = prop::collection::vec(any::<Index>(), 3..16);
    property::check(150, (CoreRecipe::strategy(24), picks), |(recipe, picks)| {
        let module = recipe.build();
        let Some(rule) = several(&module, &picks) else { return Ok(()) };
        fs::write(&file, rule).map_err(|e| e.to_string())?;
        let subject = Subject { pipeline: &pipeline, registry: &registry, dialects: &dialects };
        let (_, record) = subject.apply(&module, Fuel::unlimited())?;
        applied.set(applied.get() + u32::from(record.rewrites > 0));
        oracle::keeps_values(&module, subject)?;
        oracle::fuel(&module, subject)
    })
    .unwrap();
    assert!(applied.get() >= 30, "the rules apply in only {} programs", applied.get());
}
