//! Shared helpers for the tests of this crate: running a pass on text, random functions and cuts.

mod rewriting;

use netc_dialect::{Dialect, Dialects, LowerError, LoweredOp, OpContext, Result as LowerResult};
use netc_ir::{
    Attrs, Binary, Builder, Dim, ElemType, Func, Layer, LayerId, Literal, MAIN, Module, OpId, OpKind, SourceOp, Type,
    Unary, ValueId, Weight, WeightData, WeightId, parse, print, verify,
};
use netc_pass::{Context, Manager, Pipeline, chain, parse_pass};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::analysis::{OpNames, live_ops};
use crate::copy::{Copy, named};

pub(crate) use rewriting::{check_fuel, rewrite};

/// Runs the pass `call` on a program. Returns the text after it, and the remarks.
pub(crate) fn run(text: &str, call: &str) -> Result<(String, Vec<String>), String> {
    run_with(text, call, &Dialects::new())
}

/// Like [`run`], with the layers of `dialects`.
pub(crate) fn run_with(text: &str, call: &str, dialects: &Dialects) -> Result<(String, Vec<String>), String> {
    let mut module = parse(text).map_err(|e| e.to_string())?;
    verify(&module).map_err(|e| e.to_string())?;
    let mut context = Context::new(dialects).with_consts(&rewriting::Counting);
    let pipeline = Pipeline(vec![parse_pass(call).map_err(|e| e.to_string())?]);
    Manager::new(&crate::registry()).run(&mut module, &pipeline, &mut context).map_err(|e| chain(&e))?;
    let printed = print(&module);
    assert_eq!(parse(&printed).as_ref(), Ok(&module), "what is printed parses back");
    Ok((printed, context.remarks.iter().map(ToString::to_string).collect()))
}

/// A random module. `@main` has `add`, `relu`, weights, constants, and applications of three shared layers. Every value
/// has a name; some ops are dead.
pub(crate) fn random_module() -> impl Strategy<Value = Module> {
    let ops = prop::collection::vec((any::<Index>(), any::<Index>(), 0..8u8), 1..24);
    let outputs = prop::collection::vec(any::<Index>(), 1..4);
    (1..4usize, ops, outputs).prop_map(|(params, ops, outputs)| build(params, &ops, &outputs))
}

/// A lowered [`random_module`]. Weight ops occur once per application of a layer, or are shared. Every value has a
/// name.
pub(crate) fn random_lowered() -> impl Strategy<Value = Module> {
    random_module().prop_map(|module| {
        let mut module = crate::lower::lower_module(&module, &dialects()).unwrap();
        for func in &mut module.funcs {
            for (i, value) in func.values_in_order().collect::<Vec<_>>().into_iter().enumerate() {
                func[value].name.get_or_insert_with(|| format!("u{i}").into());
            }
        }
        module
    })
}

fn build(params: usize, ops: &[(Index, Index, u8)], outputs: &[Index]) -> Module {
    let mut module = layers();
    let biases: Vec<WeightId> = module.layers.iter().map(|l| l.weights[2].1).collect();
    let mut b = Builder::new(&module, MAIN);
    let ty = Type::fixed(ElemType::F32, &[2]);
    let mut values: Vec<ValueId> = (0..params).map(|i| b.param(format!("x{i}"), ty.clone(), None)).collect();
    let mut constants = Vec::new();
    for (i, (first, second, kind)) in ops.iter().enumerate() {
        // Reading recent values makes deep graphs, which have one-tensor cuts.
        let recent = |index: &Index| values[values.len() - 1 - index.index(values.len().min(3))];
        let (x, y) = (recent(first), if i % 3 == 0 { *second.get(&values) } else { recent(second) });
        let results = match kind {
            0 => vec![b.unary(Unary::Relu, x).unwrap()],
            1 | 2 => vec![b.binary(Binary::Add, x, y).unwrap()],
            3 if !constants.is_empty() => vec![b.binary(Binary::Add, x, *second.get(&constants)).unwrap()],
            4 | 5 => {
                let literal = Literal::splat(ElemType::F32, &[2], 0.25);
                let constant = if *kind == 4 { b.weight(biases[second.index(3)]) } else { b.constant(literal) };
                constants.push(constant.unwrap());
                constants[constants.len() - 1..].to_vec()
            }
            _ => {
                let layer = Some(LayerId::new(second.index(3)));
                let source = SourceOp::new("t.Two", layer, Attrs::new());
                let types = [(ty.clone(), None), (ty.clone(), None)];
                let op = b.op(OpKind::Source(Box::new(source)), &[x, y], types);
                b.results(op).to_vec()
            }
        };
        for (k, value) in results.into_iter().enumerate() {
            b.name(value, format!("v{i}.{k}"));
            values.push(value);
        }
    }
    let outputs = outputs.iter().enumerate().map(|(i, o)| (format!("out{i}").into(), *o.get(&values)));
    let outputs: Vec<_> = outputs.collect();
    let func = b.finish(outputs);
    module.add_func(func);
    module
}

/// Three layers, each with a kernel, a bias, and 1, 10 or 100 further elements.
fn layers() -> Module {
    let mut module = Module::new();
    for (i, extra) in [1, 10, 100].into_iter().enumerate() {
        let mut weight = |name: &str, dims: &[u64]| {
            let literal = Literal::splat(ElemType::F32, dims, 0.5);
            let weight = Weight { name: name.into(), ty: literal.ty(), data: WeightData::Inline(literal) };
            (name.into(), module.add_weight(weight))
        };
        let weights = vec![weight("kernel", &[2, 2]), weight("extra", &[extra]), weight("bias", &[2])];
        let (name, class) = (format!("two{i}").into(), "t.Two".into());
        module.add_layer(Layer { name, class, config: Attrs::new(), weights, assets: Vec::new() });
    }
    module
}

/// Lowers `t.Two` to the first operand times the kernel, and the second operand. Does not support the layer `two2`.
pub(crate) struct TestDialect;

impl Dialect for TestDialect {
    fn owns(&self, class: &str) -> bool {
        class.starts_with("t.")
    }

    fn lower(&self, b: &mut Builder<'_>, context: OpContext<'_>) -> LowerResult<LoweredOp> {
        match (&*context.op.name, context.layer, context.operands) {
            ("t.Two", Some(layer), [x, y]) if &*layer.name != "two2" => {
                let kernel = b.weight(layer.weights[0].1)?;
                let row = b.reshape(*x, vec![Dim::Known(1), Dim::Known(2)])?;
                let product = b.matmul(row, kernel)?;
                Ok(vec![b.reshape(product, vec![Dim::Known(2)])?, *y].into())
            }
            ("t.Dense", Some(layer), [x]) => {
                let kernel = b.weight(layer.weights[0].1)?;
                Ok(vec![b.matmul(*x, kernel)?].into())
            }
            ("t.Same", _, [x]) => Ok(vec![*x].into()),
            ("t.Bad", ..) => Err(LowerError::Config { key: "k".into(), found: "3".into(), expected: "4".into() }),
            _ => Err(LowerError::Unknown { class: context.op.name.clone() }),
        }
    }
}

/// The dialect of the tests.
pub(crate) fn dialects() -> Dialects {
    let mut dialects = Dialects::new();
    dialects.push(TestDialect);
    dialects
}

/// The names of cuts before or after random live ops of `@main`.
pub(crate) fn cuts(module: &Module, places: &[(Index, bool)]) -> Vec<String> {
    let main = module.main().unwrap();
    let (live, names) = (live_ops(main), OpNames::of(module, main));
    let ops: Vec<OpId> = main.op_ids().filter(|op| live[op.index()]).collect();
    if ops.is_empty() {
        return Vec::new();
    }
    let name = |(place, before): &(Index, bool)| {
        let name = names.op(*place.get(&ops));
        if *before { format!("before:{name}") } else { name }
    };
    places.iter().map(name).collect()
}

/// The function independent of the order of its ops: each op with its operands as text, sorted, and the outputs.
///
/// Every value has a name, so its results identify an op.
pub(crate) fn structure(func: &Func) -> (Vec<String>, Vec<String>) {
    let name = |v: &ValueId| func[*v].name.as_deref().unwrap_or("without a name").to_string();
    let list = |vs: &[ValueId]| vs.iter().map(name).collect::<Vec<_>>().join(" ");
    let text =
        |op: &netc_ir::Op| format!("{} = {:?}({}) at {}", list(&op.results), op.kind, list(&op.operands), op.loc);
    let mut ops: Vec<String> = func.ops().map(|(_, op)| text(op)).collect();
    ops.sort();
    (ops, func.outputs.iter().map(|o| format!("{} = {}", o.name, name(&o.value))).collect())
}

/// Copies `func` without dead ops.
pub(crate) fn without_dead_ops(module: &Module, func: &Func) -> Func {
    let live = live_ops(func);
    let mut copy = Copy::new(module, func, func.name.clone());
    func.params.iter().for_each(|p| copy.param(p));
    func.ops().filter(|(id, _)| live[id.index()]).for_each(|(_, op)| copy.op(op));
    copy.finish(named(&func.outputs))
}
