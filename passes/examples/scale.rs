//! Measures splitting and the analyses on graphs of a million ops: `cargo run --release --example scale -- 1000000`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use netc_ir::{
    Attrs, Builder, ElemType, Func, Layer, LayerId, MAIN, Module, Name, OpKind, SourceOp, Type, ValueId, verify,
};
use netc_pass::Dialects;
use netc_passes::analysis::{Costs, OneTensorCuts, PostDominators, one_tensor_cuts};
use netc_passes::{dce, lower, split};
use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};

fn main() {
    let n = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    for (name, make) in [("residual chain", residual as fn(&mut Net, usize)), ("near and far", near_and_far)] {
        println!("{name}, {n} ops");
        let module = module(n, make);
        run(&module, n);
    }
    println!("petgraph's simple_fast beside the tree of this crate");
    for n in [10_000, 20_000, 40_000, 1_000_000] {
        compare("residual chain", n, residual);
        if n <= 40_000 {
            compare("near and far", n, near_and_far);
        }
    }
}

fn run(module: &Module, n: usize) {
    let (last, middle) = (format!("l{}", n - 2), format!("l{}", n / 2));
    let cuts = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let time = |what: &str, start: Instant| println!("  {what:<28} {:>8.3} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let plan = split::plan(module, &cuts(&[&middle]));
    time("plan, 1 cut", start);
    let start = Instant::now();
    let several: Vec<String> = (1..10).map(|i| format!("l{}", i * n / 10)).collect();
    println!("  {:?}", split::plan(module, &several).map(|p| p.stages.len()).map_err(|e| e.to_string()));
    time("plan, 9 cuts", start);
    let start = Instant::now();
    println!("  {:?}", split::plan(module, &cuts(&["l999999999"])).map(|_| ()).map_err(|e| e.to_string()));
    time("an unknown name", start);

    let mut copy = module.clone();
    if let Ok(plan) = plan {
        let start = Instant::now();
        split::apply(&mut copy, &plan);
        time("apply, 1 cut", start);
        let start = Instant::now();
        println!("  {:?}", verify(&copy).map_err(|e| e.0.len()));
        time("verify the stages", start);
    }
    let start = Instant::now();
    println!("  {} one-tensor cuts, the last op is {last}", one_tensor_cuts(module, &module.funcs[0]).len());
    time("one-tensor cuts", start);
    let start = Instant::now();
    let dialects = Dialects::new();
    let costs = Costs::of(module, &dialects);
    println!("  {} cuts with costs", costs.cuts(module.func_ids().next().unwrap_or(netc_ir::FuncId::new(0))).len());
    time("costs of all cuts", start);
    let start = Instant::now();
    println!("  {:?}", lower::lower_module(module, &dialects).map(|m| m.funcs.len()));
    time("lower", start);
    let mut copy = module.clone();
    let start = Instant::now();
    println!("  {} dead ops", dce::remove_dead_ops(&mut copy.funcs[0]));
    time("dce", start);
}

struct Net<'m> {
    builder: Builder<'m>,
    ty: Type,
    count: usize,
}

impl Net<'_> {
    fn op(&mut self, operands: &[ValueId]) -> ValueId {
        let kind = SourceOp { name: "t.Op".into(), layer: Some(LayerId::new(self.count)), attrs: Attrs::new() };
        let name: Name = format!("l{}", self.count).into();
        self.count += 1;
        let op = self.builder.op(OpKind::Source(Box::new(kind)), operands, [(self.ty.clone(), Some(name))]);
        self.builder.results(op)[0]
    }
}

/// Blocks of four ops with a connection around three of them, and one connection around everything.
fn residual(net: &mut Net<'_>, n: usize) {
    let x = net.builder.param("x", net.ty.clone(), None);
    let first = net.op(&[x]);
    let mut last = first;
    while net.count + 5 < n {
        let a = net.op(&[last]);
        let b = net.op(&[a]);
        let c = net.op(&[b]);
        last = net.op(&[last, c]);
    }
    while net.count < n {
        last = net.op(&[last]);
    }
}

/// Half of the ops are read by the first and the last op of a chain that is the other half.
fn near_and_far(net: &mut Net<'_>, n: usize) {
    let x = net.builder.param("x", net.ty.clone(), None);
    let mut read: Vec<ValueId> = (0..n / 2).map(|_| net.op(&[x])).collect();
    let mut last = net.op(&read);
    while net.count + 1 < n {
        last = net.op(&[last]);
    }
    read.push(last);
    net.op(&read);
}

fn module(n: usize, make: fn(&mut Net<'_>, usize)) -> Module {
    let mut module = Module::new();
    for i in 0..n {
        let (name, class) = (format!("l{i}").into(), "t.Op".into());
        module.add_layer(Layer { name, class, config: Attrs::new(), weights: Vec::new() });
    }
    let ty = Type::fixed(ElemType::F32, &[2]);
    let mut net = Net { builder: Builder::new(&module, MAIN), ty, count: 0 };
    make(&mut net, n);
    let last = net.builder.func().values_in_order().last();
    let func: Func = net.builder.finish(last.map(|v| ("y".into(), v)));
    module.add_func(func);
    module
}

fn compare(name: &str, n: usize, make: fn(&mut Net<'_>, usize)) {
    let module = module(n, make);
    let start = Instant::now();
    let tree = PostDominators::of(&module.funcs[0]);
    let ours = start.elapsed().as_secs_f64();
    let cuts = OneTensorCuts::of(&module.funcs[0]).iter().count();

    let start = Instant::now();
    let mut reversed: DiGraph<(), ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..=tree.exit()).map(|_| reversed.add_node(())).collect();
    for (from, to) in tree.edges() {
        reversed.add_edge(nodes[*to as usize], nodes[*from as usize], ());
    }
    reversed.add_edge(nodes[tree.exit() as usize], nodes[tree.exit() as usize - 1], ());
    let dominators = simple_fast(&reversed, nodes[tree.exit() as usize]);
    let theirs = start.elapsed().as_secs_f64();
    let differ = nodes.iter().enumerate().take(tree.exit() as usize).filter(|(i, node)| {
        dominators.immediate_dominator(**node).map(NodeIndex::index) != Some(tree.parent(*i as u32) as usize)
    });
    println!("  {name:<16} {n:>8} ops: {ours:.4} s, petgraph {theirs:.4} s, {} differ, {cuts} cuts", differ.count());
}
