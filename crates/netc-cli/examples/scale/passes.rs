//! How the time of passes grows with the number of ops.
//!
//! The first graphs are chains of residual blocks of layers, which are split; the cut is in the middle. `plan` decides,
//! `apply` rewrites, `cuts` finds every one-tensor cut, `verify` checks every rule of the result. Each is the best of
//! three runs.
//!
//! The second are residual blocks of core ops, which are simplified: the time per op of each pass, over all rounds, and
//! the part of the whole that verifying takes. Constants are not computed: each is taken to be 0.

use std::time::Instant;

use netc_dialect::Dialects;
use netc_ir::{
    Attrs, Binary, Builder, Dim, ElemType, F64, Func, InferError, Layer, LayerId, Layout, Literal, MAIN, Module, Name,
    OpKind, Padding, SourceOp, Type, Unary, ValueId, Weight, WeightData, WeightId, Window, verify,
};
use netc_pass::{ConstError, ConstEval, Context, Manager, Record};
use netc_passes::analysis::one_tensor_cuts;
use netc_passes::split;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

pub(super) fn splits() {
    println!(
        "{:>9} {:>10} {:>10} {:>10} {:>10} {:>16}",
        "ops", "plan s", "apply s", "cuts s", "verify s", "split ns per op"
    );
    for n in SIZES {
        let module = module(n);
        let at = [format!("l{}", n / 2)];
        let [mut plan, mut apply, mut cuts, mut check] = [f64::INFINITY; 4];
        for _ in 0..3 {
            let mut copy = module.clone();
            let planned = timed(&mut plan, || split::plan(&module, &at, &Dialects::new()));
            let Ok(planned) = planned else { return println!("there is no such cut") };
            timed(&mut apply, || split::apply(&mut copy, &planned));
            timed(&mut cuts, || one_tensor_cuts(&module, &Dialects::new()).len());
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
        let kind = SourceOp::new("t.Op", Some(LayerId::new(self.count)), Attrs::new());
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
        module.add_layer(Layer { name, class, config: Attrs::new(), weights: Vec::new(), assets: Vec::new() });
    }
    let ty = Type::fixed(ElemType::F32, &[2]);
    let mut net = Net { builder: Builder::new(&module, MAIN), ty, count: 0 };
    residual(&mut net, n);
    let last = net.builder.func().values_in_order().last();
    let func: Func = net.builder.finish(last.map(|v| ("y".into(), v)));
    module.add_func(func);
    module
}

const SIMPLIFY: &str = "fix{max=4}(canonicalize,cse,fold-bn,fold-const,dce)";

pub(super) fn simplifications() {
    println!(
        "{:>9} {:>9} {:>13} {:>7} {:>8} {:>11} {:>7} {:>10} {:>9}",
        "ops", "left", "canonicalize", "cse", "fold-bn", "fold-const", "dce", "ns per op", "verify"
    );
    for n in SIZES {
        let Ok(mut module) = normalized(n) else { return println!("the graph is malformed") };
        let dialects = Dialects::new();
        let mut context = Context::new(&dialects).with_consts(&Zeros);
        let Ok(pipeline) = SIMPLIFY.parse() else { return println!("the pipeline is malformed") };
        let ran = Manager::new(&netc_passes::registry()).run(&mut module, &pipeline, &mut context);
        let Ok(record) = ran else { return println!("a pass failed") };
        let per_op = |seconds: f64| seconds * 1e9 / record.ops_before as f64;
        let pass = |name: &str| {
            let of_name = |p: &&&Record| p.name == name;
            per_op(record.passes().iter().filter(of_name).map(|p| p.time.as_secs_f64()).sum())
        };
        let (time, verify) = (record.time.as_secs_f64(), record.overhead.as_secs_f64());
        println!(
            "{:>9} {:>9} {:>13.0} {:>7.0} {:>8.0} {:>11.0} {:>7.0} {:>10.0} {:>8.0}%",
            record.ops_before,
            record.ops_after,
            pass("canonicalize"),
            pass("cse"),
            pass("fold-bn"),
            pass("fold-const"),
            pass("dce"),
            per_op(time + verify),
            100.0 * verify / (time + verify),
        );
    }
}

/// Takes every constant to be 0.
struct Zeros;

impl ConstEval for Zeros {
    fn evaluate(&self, _: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
        let zero = |v: &ValueId| {
            let ty = &func[*v].ty;
            Literal::splat(ty.elem, &ty.fixed_dims().unwrap_or_default(), 0.0)
        };
        Ok(values.iter().map(zero).collect())
    }
}

/// Residual blocks as layers are lowered: a convolution, a bias, a normalization, a rectifier, a sum, and shapes that
/// undo one another.
pub(super) fn normalized(n: usize) -> Result<Module, InferError> {
    let mut module = Module::new();
    let mut weights: Vec<WeightId> = Vec::new();
    for i in 0..n / BLOCK * WEIGHTS {
        let dims: &[u64] = if i % WEIGHTS == 0 { &[1, 4, 4] } else { &[4] };
        let data = WeightData::Random { seed: 1, low: F64::new(0.5), high: F64::new(1.0) };
        let weight = Weight { name: format!("w{i}").into(), ty: Type::fixed(ElemType::F32, dims), data };
        weights.push(module.add_weight(weight));
    }
    let mut b = Builder::new(&module, MAIN);
    let mut x = b.param("x", Type::new(ElemType::F32, [Dim::symbol("N"), Dim::Known(8), Dim::Known(4)]), None);
    for block in weights.chunks_exact(WEIGHTS) {
        x = block_of(&mut b, x, block)?;
        b.name(x, format!("block{}", block[0].index()));
    }
    let func = b.finish([("y".into(), x)]);
    module.add_func(func);
    Ok(module)
}

/// The number of ops and of weights of a block.
const BLOCK: usize = 24;
const WEIGHTS: usize = 6;

fn block_of(b: &mut Builder<'_>, x: ValueId, weights: &[WeightId]) -> Result<ValueId, InferError> {
    let [kernel, bias, mean, variance, gamma, beta] = weights else { return Ok(x) };
    let window = Window { strides: vec![1], dilations: vec![1], padding: Padding::Same, layout: Layout::ChannelsLast };
    let kernel = b.weight(*kernel)?;
    let conv = b.conv(x, kernel, window, 1)?;
    let along = |b: &mut Builder<'_>, w: WeightId| {
        let w = b.weight(w)?;
        b.reshape(w, vec![Dim::Known(1), Dim::Known(1), Dim::Known(4)])
    };
    let bias = along(b, *bias)?;
    let biased = b.binary(Binary::Add, conv, bias)?;
    let (mean, variance, gamma, beta) = (along(b, *mean)?, along(b, *variance)?, along(b, *gamma)?, along(b, *beta)?);
    let variance = b.binary_scalar(Binary::Add, variance, 1e-3)?;
    let inverse = b.unary(Unary::Rsqrt, variance)?;
    let scale = b.binary(Binary::Mul, inverse, gamma)?;
    let scaled = b.binary(Binary::Mul, biased, scale)?;
    let minus = b.unary(Unary::Neg, mean)?;
    let shift = b.binary(Binary::Mul, minus, scale)?;
    let shift = b.binary(Binary::Add, shift, beta)?;
    let normal = b.binary(Binary::Add, scaled, shift)?;
    let y = b.unary(Unary::Relu, normal)?;
    b.binary(Binary::Add, y, x)
}
