//! Tests of the costs of the parts of a cut.

use std::collections::BTreeSet;

use netc_ir::{Func, FuncId, MAIN, OpId, ValueId, parse};
use netc_testgen::property::config;
use proptest::prelude::*;

use super::*;
use crate::analysis::{constant_producer, is_constant, live_ops, needed_by, resolve};
use crate::split;
use crate::testing::{dialects, random_lowered, random_module};

#[test]
fn twin_towers_share_their_weights() {
    let module = parse(
        r#"netc 1
        weight w0 "k" : f32[4,4] = 0.5
        layer l0 "dense" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[N,4], %z: f32[N,4]) -> (%y) {
          %a = t.Dense l0(%x) : f32[N,4]
          %b = t.Dense l0(%z) : f32[N,4]
          %c = t.Dense l0(%a) : f32[N,4]
          %d = t.Dense l0(%b) : f32[N,4]
          %y = add(%c, %d) : f32[N,4]
        }"#,
    )
    .unwrap();
    let costs = cut_costs(&module, &dialects());
    let costs: Vec<_> =
        costs.iter().map(|c| (c.cut.name.as_str(), c.params_before, c.params_after, c.macs_before)).collect();
    let expect = [("dense@0", 16), ("dense@1", 16), ("dense@2", 32), ("dense@3", 32)];
    assert_eq!(costs, expect.map(|(name, macs)| (name, 16, 16, Some(macs))));
}

#[test]
fn a_weight_that_both_parts_read_counts_in_both() {
    let module = parse(
        r#"netc 1
        weight w0 "k" : f32[4,4] = 0.5
        weight w1 "b" : f32[4] = 0.5
        weight w2 "r" : f32[8] = 0.5
        func @main(%x: f32[N,4]) -> (%d, %r) {
          %k = weight w0() : f32[4,4]
          %r = weight w2() : f32[8]
          %b = weight w1() : f32[4]
          %a = matmul(%x, %k) : f32[N,4]
          %c = add(%a, %b) : f32[N,4]
          %d = matmul(%c, %k) : f32[N,4]
        }"#,
    )
    .unwrap();
    let costs = cut_costs(&module, &dialects());
    let costs: Vec<_> = costs.iter().map(|c| (c.cut.name.as_str(), c.params_before, c.params_after)).collect();
    assert_eq!(costs, [("%a", 16, 16 + 4 + 8), ("%c", 16 + 4, 16 + 8)]);
}

#[test]
fn parts_inside_nested_models_have_the_cost_of_their_layers() {
    let module = parse(
        r#"netc 1
        weight w0 "k" : f32[4,4] = 0.5
        weight w1 "l" : f32[4,4] = 0.5
        layer l0 "first" : t.Dense {} weights {kernel = w0}
        layer l1 "second" : t.Dense {} weights {kernel = w1}
        layer l2 "twin" : t.Model {}
        func @twin(%x: f32[M,4]) -> (%b) { %a = t.Dense l0(%x) : f32[M,4] %b = t.Dense l1(%a) : f32[M,4] }
        func @main(%x: f32[N,4]) -> (%b) {
          %a = call @twin l2(%x) : f32[N,4]
          %b = call @twin l2(%a) : f32[N,4]
        }"#,
    )
    .unwrap();
    let costs = cut_costs(&module, &dialects());
    let costs: Vec<_> =
        costs.iter().map(|c| (c.cut.name.as_str(), c.params_before, c.params_after, c.macs_before)).collect();
    let expect = [("twin@0/first", 16, 32, 16), ("twin@0/second", 32, 32, 32), ("twin@0", 32, 32, 32)];
    let expect = expect.into_iter().chain([("twin@1/first", 32, 16, 48)]);
    assert_eq!(costs, expect.map(|(name, a, b, macs)| (name, a, b, Some(macs))).collect::<Vec<_>>());
}

/// The parameter count and MACs of the ops that satisfy `is_part`, with the weights and constants that they read.
fn sum(module: &Module, costs: &Costs<'_>, func: &Func, is_part: impl Fn(OpId) -> bool) -> (u64, Option<u64>) {
    let mut ops: Vec<OpId> = func.op_ids().filter(|op| is_part(*op)).collect();
    let read: Vec<OpId> =
        ops.iter().flat_map(|op| &func[*op].operands).filter_map(|v| constant_producer(func, *v)).collect();
    ops.extend(read);
    let weights: BTreeSet<WeightId> = ops.iter().flat_map(|op| costs.weights(&func[*op])).collect();
    let macs = ops.iter().try_fold(0, |n, op| Some(n + costs.macs(FuncId::new(0), *op)?));
    (weights.into_iter().map(|w| module[w].ty.num_elements().unwrap()).sum(), macs)
}

/// The weight ops and constant ops that `func` returns and no live op reads.
fn only_returned(func: &Func) -> Vec<OpId> {
    let live = live_ops(func);
    let read: Vec<_> = func.ops().filter(|(id, _)| live[id.index()]).flat_map(|(_, op)| &op.operands).collect();
    let returned = func.outputs.iter().map(|o| o.value).filter(|v| !read.contains(&v));
    returned.filter_map(|v| constant_producer(func, v)).collect()
}

/// The values of a cut.
fn values_of(module: &Module, cut: &str) -> Vec<ValueId> {
    let points = resolve(module, module.func_named(MAIN).unwrap(), cut, &dialects()).unwrap();
    points.into_iter().flat_map(|point| point.values).collect()
}

fn check_parts(module: &Module) -> Result<(), TestCaseError> {
    let (dialects, main) = (dialects(), module.main().unwrap());
    let costs = Costs::of(module, &dialects);
    let (live, only_returned) = (live_ops(main), only_returned(main));
    for cost in cut_costs(module, &dialects) {
        let first = needed_by(main, values_of(module, &cost.cut.name));
        let computes = |op: OpId| live[op.index()] && !is_constant(&main[op].kind);
        let before = sum(module, &costs, main, |op| computes(op) && first[op.index()]);
        let after = sum(module, &costs, main, |op| computes(op) && !first[op.index()] || only_returned.contains(&op));
        prop_assert_eq!((cost.params_before, cost.macs_before), before);
        prop_assert_eq!((cost.params_after, cost.macs_after), after);

        let mut stages = module.clone();
        let plan = split::plan(module, std::slice::from_ref(&cost.cut.name), &dialects).unwrap();
        split::apply(&mut stages, &plan);
        let costs = Costs::of(&stages, &dialects);
        let stage = |i| costs.func(FuncId::new(module.funcs.len() + i));
        prop_assert_eq!((stage(0).params, stage(0).macs), before);
        prop_assert_eq!((stage(1).params, stage(1).macs), after);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_parts_have_the_cost_of_their_ops(module in random_module()) {
        check_parts(&module)?;
    }

    #[test]
    fn the_parts_of_a_lowered_program_have_the_cost_of_their_ops(module in random_lowered()) {
        check_parts(&module)?;
    }
}
