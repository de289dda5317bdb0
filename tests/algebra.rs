//! Tests that folding affine chains keeps values up to rounding, with any fuel, on random chains, models and networks.
//! `properties.rs` tests what all passes have in common.
//!
//! `NETC_PROPERTY_CASES=5000 cargo test -p netc-tests --test algebra` tries more cases, `NETC_PROPERTY_SEED=7` tries
//! others.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

use std::fmt::Debug;

use netc_dialect::Dialects;
use netc_ir::{
    Binary, Builder, CoreOp, Dim, ElemType, F64, Func, Layout, MAIN, Module, OpKind, Padding, Type, Uses, ValueId,
    Weight, WeightData, WeightId, Window,
};
use netc_keras_testgen::{KerasRecipe, dialects};
use netc_pass::Fuel;
use netc_testgen::oracle::{self, Subject, Wrong};
use netc_testgen::property;
use proptest::prelude::*;

const LAYERS: usize = 10;

#[test]
fn folding_affine_chains_keeps_values_up_to_rounding() {
    check(300, Affine::strategy(), |affine| {
        let (module, dialects) = (affine.build(), Dialects::new());
        let call = "fix(canonicalize,fold-bn,fold-const,dce)";
        let (after, all) = rewritten(&module, call, Fuel::unlimited(), &dialects)?;
        oracle::print_parse(&after)?;
        oracle::near_outputs(&module, &after, 1e-9, &dialects)?;
        (0..all).try_for_each(|n| {
            let (after, _) = rewritten(&module, call, Fuel::of(n), &dialects)?;
            oracle::near_outputs(&module, &after, 1e-9, &dialects).map_err(|e| format!("with {n} rewrites: {e}"))
        })
    });
}

#[test]
fn simplifying_models_keeps_values_up_to_rounding() {
    check(64, KerasRecipe::strategy(LAYERS), |recipe| {
        let (model, dialects) = (recipe.build(), dialects());
        let (after, _) = rewritten(&model, "@simplify", Fuel::unlimited(), &dialects)?;
        oracle::print_parse(&after)?;
        oracle::near_outputs(&model, &after, 1e-4, &dialects)
    });
}

#[test]
fn a_simplified_inception_has_no_normalization_left() {
    let module = netc_zoo::find("inception_v3").map(|model| (model.build)(0)).unwrap().unwrap();
    let (after, _) = rewritten(&module, "@simplify", Fuel::unlimited(), &dialects()).unwrap();
    let main = after.main().unwrap();
    let by_constant = main.ops().filter(|(_, op)| {
        matches!(op.kind, OpKind::Core(CoreOp::Binary(_))) && op.operands.iter().any(|v| is_constant(main, *v))
    });
    let uses = Uses::of(main);
    let mut biases = 0;
    for (_, op) in by_constant {
        let product = main.producer(op.operands[0]).map_or("an input", |op| main[op].kind.name());
        assert!(op.kind.name() == "add" && matches!(product, "conv" | "matmul"), "{} of {product}", op.kind.name());
        assert_eq!(uses.readers(op.operands[0]).len(), 1);
        biases += 1;
    }
    let count = |name: &str| main.ops().filter(|(_, op)| op.kind.name() == name).count();
    assert_eq!((count("conv"), count("matmul"), biases), (94, 1, 95));
    assert_eq!(count("weight") + count("constant"), 2 * 95, "a folded kernel and a folded bias each");
}

#[test]
fn simplifying_a_network_keeps_values_up_to_rounding() {
    let module = netc_zoo::find("mobilenet_v2").map(|model| (model.build)(0)).unwrap().unwrap();
    let dialects = dialects();
    let (lowered, _) = rewritten(&module, "lower", Fuel::unlimited(), &dialects).unwrap();
    let (after, _) = rewritten(&module, "@simplify", Fuel::unlimited(), &dialects).unwrap();
    let ops =
        |module: &Module, name: &str| module.main().unwrap().ops().filter(|(_, op)| op.kind.name() == name).count();
    assert_eq!((ops(&lowered, "mul"), ops(&after, "mul")), (156, 0));
    oracle::near_outputs(&lowered, &after, 1e-4, &dialects).unwrap();
}

fn is_constant(func: &Func, value: ValueId) -> bool {
    func.producer(value).is_some_and(|op| matches!(func[op].kind.name(), "weight" | "constant"))
}

/// Runs the pipeline, verifying after each pass. Returns the module and the number of rewrites.
fn rewritten(module: &Module, call: &str, fuel: Fuel, dialects: &Dialects) -> Result<(Module, u64), Wrong> {
    let subject = Subject { pipeline: call, registry: &netc_passes::registry(), dialects };
    let (after, record) = subject.apply(module, fuel)?;
    Ok((after, record.rewrites))
}

/// A product with affine steps before and after it, as plain data.
#[derive(Clone, Debug)]
struct Affine {
    /// 0 for a matrix product, else the number of spatial axes.
    spatial: usize,
    channels_first: bool,
    groups: u64,
    per_group: u64,
    filters_per_group: u64,
    /// 0 for valid, 1 for same, 2 for explicit padding.
    padding: u8,
    stride: u64,
    before: Vec<Step>,
    after: Vec<Step>,
}

/// A binary op with a constant: which op, whether the constant is on the left, and whether it is a scalar or has a
/// number per channel.
type Step = (u8, bool, bool);

impl Affine {
    fn strategy() -> impl Strategy<Value = Self> {
        let steps = || prop::collection::vec(any::<Step>(), 0..4);
        let shape = (0..4usize, any::<bool>(), 1..4u64, 1..4u64, 1..3u64);
        (shape, 0..3u8, 1..3u64, steps(), steps()).prop_map(|(shape, padding, stride, before, after)| {
            let (spatial, channels_first, groups, per_group, filters_per_group) = shape;
            Self { spatial, channels_first, groups, per_group, filters_per_group, padding, stride, before, after }
        })
    }

    fn build(&self) -> Module {
        let groups = if self.spatial == 0 { 1 } else { self.groups };
        let (channels, filters) = (groups * self.per_group, groups * self.filters_per_group);
        let mut module = Module::new();
        let kernel = [&vec![2; self.spatial][..], &[self.per_group, filters]].concat();
        let kernel = weight(&mut module, &kernel);
        let steps = |module: &mut Module, steps: &[Step], channels: u64| -> Vec<WeightId> {
            let shape = |scalar| if scalar { Vec::new() } else { self.shape(channels) };
            steps.iter().map(|(_, _, scalar)| weight(module, &shape(*scalar))).collect()
        };
        let (before, after) = (steps(&mut module, &self.before, channels), steps(&mut module, &self.after, filters));
        let mut b = Builder::new(&module, MAIN);
        let x = b.param("x", Type::new(ElemType::F64, self.input(channels)), None);
        let x = self.steps(&mut b, x, &self.before, &before);
        let kernel = b.weight(kernel).unwrap();
        let y = match self.spatial {
            0 => b.matmul(x, kernel),
            _ => b.conv(x, kernel, self.window(), groups),
        };
        let y = self.steps(&mut b, y.unwrap(), &self.after, &after);
        let func = b.finish([("y".into(), y)]);
        module.add_func(func);
        module
    }

    fn layout(&self) -> Layout {
        if self.channels_first && self.spatial > 0 { Layout::ChannelsFirst } else { Layout::ChannelsLast }
    }

    /// The shape of a constant with a number per channel.
    fn shape(&self, channels: u64) -> Vec<u64> {
        let after = if self.layout() == Layout::ChannelsFirst { self.spatial } else { 0 };
        std::iter::once(channels).chain(vec![1; after]).collect()
    }

    fn input(&self, channels: u64) -> Vec<Dim> {
        let mut dims = vec![Dim::symbol("N")];
        dims.extend(vec![Dim::Known(4); self.spatial]);
        dims.insert(netc_ir::infer::channel_axis(self.layout(), dims.len() + 1), Dim::Known(channels));
        dims
    }

    fn window(&self) -> Window {
        let padding = match self.padding {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => Padding::Explicit(vec![(1, 0); self.spatial]),
        };
        Window {
            strides: vec![self.stride; self.spatial],
            dilations: vec![1; self.spatial],
            padding,
            layout: self.layout(),
        }
    }

    fn steps(&self, b: &mut Builder<'_>, mut x: ValueId, steps: &[Step], constants: &[WeightId]) -> ValueId {
        for ((f, swap, _), constant) in steps.iter().zip(constants) {
            let f = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div][usize::from(f % 4)];
            let c = b.weight(*constant).unwrap();
            let (left, right) = if *swap && f != Binary::Div { (c, x) } else { (x, c) };
            x = b.binary(f, left, right).unwrap();
        }
        x
    }
}

/// Adds a weight of random numbers far from 0.
fn weight(module: &mut Module, dims: &[u64]) -> WeightId {
    let data = WeightData::Random { seed: 5, low: F64::new(0.5), high: F64::new(2.0) };
    let name = format!("w{}", module.weights.len()).into();
    module.add_weight(Weight { name, ty: Type::fixed(ElemType::F64, dims), data })
}

/// Checks the property on `cases` values, or as many as the environment asks for.
#[track_caller]
fn check<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, property: impl Fn(T) -> Result<(), Wrong>) {
    property::check(cases, strategy, property).unwrap();
}
