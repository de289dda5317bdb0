//! What parts of a function cost.

use std::time::{Duration, Instant};

use netc_ir::{Func, parse};
use netc_testgen::property::config;
use proptest::prelude::*;

use super::*;
use crate::analysis::{is_constant, live_ops, needed_by};
use crate::split;
use crate::testing::{dialects, random_lowered, random_module};

#[track_caller]
fn costs_of(text: &str) -> Cost {
    let module = parse(text).unwrap();
    netc_ir::verify(&module).unwrap();
    Costs::of(&module, &dialects()).func(module.func_named("main").unwrap())
}

#[test]
fn convolutions_and_products_cost_what_the_books_say() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[3,3,8,16] = 0.5
        weight w1 "d" : f32[16,10] = 0.5
        weight w2 "g" : f32[3,3,1,8] = 0.5
        func @main(%x: f32[N,10,10,8]) -> (%y) {
          %g = weight w2() : f32[3,3,1,8]
          %z = conv(%x, %g) {strides = [1, 1], padding = "same", groups = 8} : f32[N,10,10,8]
          %k = weight w0() : f32[3,3,8,16]
          %c = conv(%z, %k) {strides = [1, 1]} : f32[N,8,8,16]
          %m = reduce_mean(%c) {axes = [1, 2]} : f32[N,16]
          %d = weight w1() : f32[16,10]
          %y = matmul(%m, %d) : f32[N,10]
        }"#,
    );
    let (depthwise, dense_conv, product) = (10 * 10 * 8 * 9, 8 * 8 * 16 * 9 * 8, 16 * 10);
    assert_eq!(cost.macs, Some(depthwise + dense_conv + product));
    assert_eq!((cost.params, cost.layers), (9 * 8 + 9 * 8 * 16 + 16 * 10, 7));
}

#[test]
fn a_sequence_of_unknown_length_has_unknown_cost() {
    let text = |x: &str, y: &str| {
        format!(
            "netc 1\nweight w0 \"k\" : f32[4,2] = 0.5\nfunc @main(%x: {x}) -> (%y) {{
               %k = weight w0() : f32[4,2]\n %y = matmul(%x, %k) : {y} }}"
        )
    };
    assert_eq!(costs_of(&text("f32[N,T,4]", "f32[N,T,2]")).macs, None);
    assert_eq!(costs_of(&text("f32[N,5,4]", "f32[N,5,2]")).macs, Some(5 * 4 * 2));
}

#[test]
fn a_nested_model_counts_once_however_often_it_is_called() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[4,4] = 0.5
        layer l0 "twin" : keras.Functional {}
        layer l1 "dense" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[N,4]) -> (%b) {
          %a = call @twin l0(%x) : f32[N,4]
          %b = call @twin l0(%a) : f32[N,4]
        }
        func @twin(%x: f32[N,4]) -> (%y) { %y = t.Dense l1(%x) : f32[N,4] }"#,
    );
    assert_eq!(cost, Cost { params: 16, macs: Some(32), layers: 2 });
}

#[test]
fn an_unknown_layer_has_unknown_cost_and_known_weights() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[4] = 0.5
        layer l0 "odd" : custom.Odd {} weights {k = w0}
        func @main(%x: f32[N,4]) -> (%a) { %a = custom.Odd l0(%x) : f32[N,4] }"#,
    );
    assert_eq!(cost, Cost { params: 4, macs: None, layers: 2 });
}

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
    let costs = Costs::of(&module, &dialects()).cuts(FuncId::new(0));
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
    let costs = Costs::of(&module, &dialects()).cuts(FuncId::new(0));
    let costs: Vec<_> = costs.iter().map(|c| (c.cut.name.as_str(), c.params_before, c.params_after)).collect();
    assert_eq!(costs, [("%a", 16, 16 + 4 + 8), ("%c", 16 + 4, 16 + 8)]);
}

/// A wide bound: summing the callee at each call takes seventy times as long as this does.
#[test]
fn many_calls_of_a_long_function_take_linear_time() {
    let chain = |op: &str| {
        let ops = (0..50_000).map(|i| format!("  %{} = {op}%{i}) : f32[2]\n", i + 1));
        format!("(%0: f32[2] \"x\") -> (%50000) {{\n{}}}\n", ops.collect::<String>())
    };
    let module = parse(&format!("netc 1\nfunc @main{}func @f{}", chain("call @f("), chain("relu("))).unwrap();
    let start = Instant::now();
    assert_eq!(Costs::of(&module, &dialects()).func(FuncId::new(0)).macs, Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Parameters and multiply-accumulates of the ops for which `is_part` holds, with the weights and constants that they
/// read.
fn sum(costs: &Costs<'_>, func: &Func, is_part: impl Fn(OpId) -> bool) -> (u64, Option<u64>) {
    let mut ops: Vec<OpId> = func.op_ids().filter(|op| is_part(*op)).collect();
    let read: Vec<OpId> =
        ops.iter().flat_map(|op| &func[*op].operands).filter_map(|v| constant_producer(func, *v)).collect();
    ops.extend(read);
    let weights: BTreeSet<WeightId> = ops.iter().flat_map(|op| costs.weights(&func[*op])).collect();
    let macs = ops.iter().try_fold(0, |n, op| Some(n + costs.macs(FuncId::new(0), *op)?));
    (weights.into_iter().map(|w| costs.elements(w)).sum(), macs)
}

/// The weight ops and constant ops that `func` returns and no live op reads.
fn only_returned(func: &Func) -> Vec<OpId> {
    let live = live_ops(func);
    let read: Vec<_> = func.ops().filter(|(id, _)| live[id.index()]).flat_map(|(_, op)| &op.operands).collect();
    let returned = func.outputs.iter().map(|o| o.value).filter(|v| !read.contains(&v));
    returned.filter_map(|v| constant_producer(func, v)).collect()
}

fn check_parts(module: &Module) -> Result<(), TestCaseError> {
    let (dialects, main) = (dialects(), module.main().unwrap());
    let costs = Costs::of(module, &dialects);
    let (live, only_returned) = (live_ops(main), only_returned(main));
    for cost in costs.cuts(FuncId::new(0)) {
        let first = needed_by(main, [cost.cut.value]);
        let computes = |op: OpId| live[op.index()] && !is_constant(&main[op].kind);
        let before = sum(&costs, main, |op| computes(op) && first[op.index()]);
        let after = sum(&costs, main, |op| computes(op) && !first[op.index()] || only_returned.contains(&op));
        prop_assert_eq!((cost.params_before, cost.macs_before), before);
        prop_assert_eq!((cost.params_after, cost.macs_after), after);

        let mut stages = module.clone();
        let plan = split::plan(module, std::slice::from_ref(&cost.cut.name)).unwrap();
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
    fn the_parts_cost_what_their_ops_cost(module in random_module()) {
        check_parts(&module)?;
    }

    #[test]
    fn the_parts_of_a_lowered_program_cost_what_their_ops_cost(module in random_lowered()) {
        check_parts(&module)?;
    }
}
