//! How the time of a split grows with the number of ops: `cargo run --release -p netc-passes --example scale`.
//!
//! The graphs are chains of residual blocks; the cut is in the middle. `plan` decides, `apply` rewrites, `cuts` finds
//! every one-tensor cut, `verify` checks every rule of the result. Each is the best of three runs.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use netc_ir::{
    Attrs, Builder, ElemType, Func, Layer, LayerId, MAIN, Module, Name, OpKind, SourceOp, Type, ValueId, verify,
};
use netc_passes::analysis::one_tensor_cuts;
use netc_passes::split;

fn main() {
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>10} {:>16}",
        "ops", "plan s", "apply s", "cuts s", "verify s", "split ns per op"
    );
    for n in [1_000, 10_000, 100_000, 1_000_000] {
        let module = module(n);
        let at = [format!("l{}", n / 2)];
        let [mut plan, mut apply, mut cuts, mut check] = [f64::INFINITY; 4];
        for _ in 0..3 {
            let mut copy = module.clone();
            let planned = timed(&mut plan, || split::plan(&module, &at));
            let Ok(planned) = planned else { return println!("there is no such cut") };
            timed(&mut apply, || split::apply(&mut copy, &planned));
            timed(&mut cuts, || one_tensor_cuts(&module, &module.funcs[0]).len());
            let _ = timed(&mut check, || verify(&copy));
        }
        let per_op = (plan + apply) * 1e9 / n as f64;
        println!("{n:>9} {plan:>10.4} {apply:>10.4} {cuts:>10.4} {check:>10.4} {per_op:>16.0}");
    }
}

/// Runs `work` and keeps the shortest time in `best`.
fn timed<T>(best: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *best = best.min(start.elapsed().as_secs_f64());
    result
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

fn module(n: usize) -> Module {
    let mut module = Module::new();
    for i in 0..n {
        let (name, class) = (format!("l{i}").into(), "t.Op".into());
        module.add_layer(Layer { name, class, config: Attrs::new(), weights: Vec::new() });
    }
    let ty = Type::fixed(ElemType::F32, &[2]);
    let mut net = Net { builder: Builder::new(&module, MAIN), ty, count: 0 };
    residual(&mut net, n);
    let last = net.builder.func().values_in_order().last();
    let func: Func = net.builder.finish(last.map(|v| ("y".into(), v)));
    module.add_func(func);
    module
}
