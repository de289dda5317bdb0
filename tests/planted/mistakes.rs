//! The planted mistakes.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mistake is made in the ops that it names, and in no others")]

use std::collections::BTreeMap;

use netc_dialect::Dialects;
use netc_ir::{
    Attr, Binary, Compare, CoreOp, FuncId, LayerId, Module, Op, OpId, OpKind, PadMode, Padding, Pool, Reduce, Unary,
    ValueId, WeightData, callees,
};
use netc_passes::split;
use netc_testgen::Cuts;

/// The kind of program that shows a mistake.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Core,
    Layers,
}

/// The oracle that finds a mistake.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    ByValues,
    ByFuel,
    ByRunningTwice,
    InStages,
}

/// A transform with a mistake.
pub(crate) struct Mistake {
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    pub(crate) found: Found,
    pub(crate) make: fn(&mut Module),
}

/// No mistake: the oracles must find nothing.
pub(crate) const NONE: &str = "none";

pub(crate) const MISTAKES: &[Mistake] = &[
    core(NONE, |_| ()),
    layers(NONE, |_| ()),
    core("swapped operands", |m| {
        each_op(m, |_, op| {
            let swapped =
                matches!(&op.kind, OpKind::Core(CoreOp::Binary(_))).then(|| vec![op.operands[1], op.operands[0]]);
            Some((None, swapped?))
        })
    }),
    core("select branches swapped", |m| {
        each_op(m, |_, op| match (&op.kind, op.operands.as_slice()) {
            (OpKind::Core(CoreOp::Select), [c, a, b]) => Some((None, vec![*c, *b, *a])),
            _ => None,
        })
    }),
    core("concat operands reversed", |m| {
        each_op(m, |_, op| {
            let concat = matches!(&op.kind, OpKind::Core(CoreOp::Concat(_)));
            concat.then(|| (None, op.operands.iter().rev().copied().collect()))
        })
    }),
    core("pad off by one", |m| {
        each_core(m, |op| match op {
            CoreOp::Pad { amounts, mode: PadMode::Constant, value } => {
                let shifted = amounts.iter().map(|(l, h)| if *h > 0 { (l + 1, h - 1) } else { (*l, *h) }).collect();
                Some(CoreOp::Pad { amounts: shifted, mode: PadMode::Constant, value: *value })
            }
            _ => None,
        })
    }),
    core("padding ends swapped", |m| {
        each_core(m, |op| match op {
            CoreOp::Conv { window, groups } => {
                let Padding::Explicit(pads) = &window.padding else { return None };
                let mut window = window.clone();
                window.padding = Padding::Explicit(pads.iter().map(|(a, b)| (*b, *a)).collect());
                Some(CoreOp::Conv { window, groups: *groups })
            }
            _ => None,
        })
    }),
    core("dilation forgotten", |m| {
        each_core(m, |op| match op {
            CoreOp::Conv { window, groups } if window.padding == Padding::Same => {
                let mut window = window.clone();
                window.dilations.fill(1);
                Some(CoreOp::Conv { window, groups: *groups })
            }
            _ => None,
        })
    }),
    core("slice off by one", |m| {
        each_core(m, |op| match op {
            CoreOp::Slice(axes) => {
                let mut axes = axes.clone();
                axes.iter_mut().filter(|a| a.start > 0).for_each(|a| {
                    a.start -= 1;
                    a.end = a.end.map(|e| e - 1);
                });
                Some(CoreOp::Slice(axes))
            }
            _ => None,
        })
    }),
    core("axes reversed", |m| {
        each_core(m, |op| match op {
            CoreOp::Transpose(perm) => Some(CoreOp::Transpose(perm.iter().rev().copied().collect())),
            _ => None,
        })
    }),
    core("wrong axis reduced", |m| {
        each_core(m, |op| match op {
            CoreOp::Reduce { kind, axes, keep } => {
                Some(CoreOp::Reduce { kind: *kind, axes: axes.iter().map(|a| a + 1).collect(), keep: *keep })
            }
            _ => None,
        })
    }),
    core("mean computed as a sum", |m| {
        each_core(m, |op| match op {
            CoreOp::Reduce { kind: Reduce::Mean, axes, keep } => {
                Some(CoreOp::Reduce { kind: Reduce::Sum, axes: axes.clone(), keep: *keep })
            }
            _ => None,
        })
    }),
    core("mean computed as a maximum", |m| {
        each_core(m, |op| match op {
            CoreOp::Pool { kind: Pool::Avg, size, window } => {
                Some(CoreOp::Pool { kind: Pool::Max, size: size.clone(), window: window.clone() })
            }
            _ => None,
        })
    }),
    core("equality dropped from comparisons", |m| {
        each_core(m, |op| match op {
            CoreOp::Compare(Compare::Le) => Some(CoreOp::Compare(Compare::Lt)),
            CoreOp::Compare(Compare::Ge) => Some(CoreOp::Compare(Compare::Gt)),
            _ => None,
        })
    }),
    core("sort order inverted", |m| {
        each_core(m, |op| match op {
            CoreOp::Sort { axis, descending } => Some(CoreOp::Sort { axis: *axis, descending: !descending }),
            _ => None,
        })
    }),
    core("activation lost", |m| bypass(m, |kind| *kind == OpKind::Core(CoreOp::Unary(Unary::Relu)))),
    core("cast dropped", |m| bypass(m, |kind| matches!(kind, OpKind::Core(CoreOp::Cast(_))))),
    core("cse ignores attributes", merge_by_name),
    core("last output duplicates another", |m| {
        let main = main_of(m);
        if let [.., before, last] = m[main].outputs.as_slice() {
            let (before, last) = (before.value, last.value);
            m[main].outputs.iter_mut().filter(|o| o.value == last).for_each(|o| o.value = before);
        }
    }),
    core("last output dropped", |m| {
        let main = main_of(m);
        drop(m[main].outputs.pop());
    }),
    core("op before its operand", |m| {
        let main = main_of(m);
        let first = m[main].op_ids().find(|op| !m[main][*op].operands.is_empty());
        let last = m[main].op_ids().next_back().and_then(|op| m[main][op].results.first().copied());
        if let (Some(first), Some(last)) = (first, last) {
            let operands = vec![last; m[main][first].operands.len()];
            m[main].set_operands(first, operands);
        }
    }),
    Mistake { found: Found::ByFuel, ..core("ignores fuel", swap_sums) },
    Mistake { found: Found::ByRunningTwice, ..core("not idempotent", swap_sums) },
    Mistake {
        found: Found::InStages,
        ..core("one function forgotten", |m| {
            let main = main_of(m);
            let others: Vec<FuncId> = m.func_ids().filter(|id| *id != main).collect();
            for func in others {
                for op in m[func].op_ids().collect::<Vec<_>>() {
                    if m[func][op].kind == OpKind::Core(CoreOp::Unary(Unary::Relu)) {
                        m[func].set_kind(op, CoreOp::Unary(Unary::Abs));
                    }
                }
            }
        })
    },
    core("crossing value forgotten", |m| {
        after_split(m, |m, stage| {
            let params: Vec<ValueId> = m[stage].params.iter().map(|p| p.value).collect();
            let pair = params.windows(2).find(|p| m[stage][p[0]].ty == m[stage][p[1]].ty).map(|p| (p[1], p[0]));
            m[stage].replace_uses(&pair.into_iter().collect());
        })
    }),
    core("stage outputs in the wrong order", |m| {
        after_split(m, |m, stage| {
            if let [first, second, ..] = m[stage].outputs.as_mut_slice() {
                std::mem::swap(&mut first.value, &mut second.value);
            }
        })
    }),
    core("stage inputs in the wrong order", |m| {
        after_split(m, |m, stage| {
            if let [first, second, ..] = m[stage].params.as_mut_slice() {
                std::mem::swap(&mut first.value, &mut second.value);
            }
        })
    }),
    core("last op of a stage dropped", |m| {
        after_split(m, |m, stage| {
            let last = m[stage].op_ids().next_back();
            let pair = last.and_then(|op| Some((*m[stage][op].results.first()?, *m[stage][op].operands.first()?)));
            m[stage].replace_uses(&pair.into_iter().collect());
        })
    }),
    layers("wrong epsilon of a normalization", |m| each_layer(m, "keras.BatchNormalization", "epsilon", 0.1.into())),
    layers("activation of a layer lost", |m| each_layer(m, "keras.Dense", "activation", Attr::str("linear"))),
    layers("shared layer duplicated", duplicate_shared_layers),
];

const fn core(name: &'static str, make: fn(&mut Module)) -> Mistake {
    Mistake { name, level: Level::Core, found: Found::ByValues, make }
}

const fn layers(name: &'static str, make: fn(&mut Module)) -> Mistake {
    Mistake { name, level: Level::Layers, found: Found::ByValues, make }
}

/// Swaps the operands of sums, which keeps values but changes the program each time.
fn swap_sums(module: &mut Module) {
    each_op(module, |_, op| {
        let is_sum = op.kind == OpKind::Core(CoreOp::Binary(Binary::Add));
        is_sum.then(|| (None, op.operands.iter().rev().copied().collect()))
    });
}

fn main_of(module: &Module) -> FuncId {
    module.func_named(netc_ir::MAIN).unwrap()
}

/// Replaces the core op or the operands of each op for which `change` returns some.
fn each_op(module: &mut Module, change: impl Fn(&Module, &Op) -> Option<(Option<CoreOp>, Vec<ValueId>)>) {
    for id in module.func_ids() {
        for op in module[id].op_ids().collect::<Vec<_>>() {
            if let Some((core, operands)) = change(module, &module[id][op]) {
                module[id].set_operands(op, operands);
                core.into_iter().for_each(|core| module[id].set_kind(op, core));
            }
        }
    }
}

fn each_core(module: &mut Module, change: impl Fn(&CoreOp) -> Option<CoreOp>) {
    each_op(module, |_, op| match &op.kind {
        OpKind::Core(core) => Some((Some(change(core)?), op.operands.clone())),
        OpKind::Source(_) | OpKind::Call(_) => None,
    });
}

/// Replaces the results of the ops selected by `wrong` by their first operands.
fn bypass(module: &mut Module, wrong: impl Fn(&OpKind) -> bool) {
    for func in &mut module.funcs {
        let ops = func.ops().filter(|(_, op)| wrong(&op.kind));
        let pairs: BTreeMap<ValueId, ValueId> = ops.map(|(_, op)| (op.results[0], op.operands[0])).collect();
        func.replace_uses(&pairs);
    }
}

/// Merges common subexpressions by op name, operands and type, ignoring attributes.
fn merge_by_name(module: &mut Module) {
    for func in &mut module.funcs {
        let mut known = BTreeMap::new();
        let mut same = BTreeMap::new();
        for (_, op) in func.ops().filter(|(_, op)| op.results.len() == 1 && !op.operands.is_empty()) {
            let key = (op.kind.name().to_string(), op.operands.clone(), func[op.results[0]].ty.clone());
            let first = *known.entry(key).or_insert(op.results[0]);
            if first != op.results[0] {
                same.insert(op.results[0], first);
            }
        }
        func.replace_uses(&same);
    }
}

/// Splits the module at the random cuts with the most crossing values and damages each stage.
fn after_split(module: &mut Module, damage: impl Fn(&mut Module, FuncId)) {
    let stages = |m: &Module| callees(&m[main_of(m)]).collect::<Vec<FuncId>>();
    let crossing = |m: &Module| stages(m).iter().map(|stage| m[*stage].outputs.len()).sum::<usize>();
    let splits = (0..64).filter_map(|seed| {
        let plan = split::plan(module, &Cuts::from_seed(seed).names(module), &Dialects::new()).ok()?;
        let mut split = module.clone();
        split::apply(&mut split, &plan);
        Some(split)
    });
    let Some(split) = splits.max_by_key(crossing) else { return };
    *module = split;
    stages(module).into_iter().for_each(|stage| damage(module, stage));
}

/// Sets an entry of the configuration of the layers of a class.
fn each_layer(module: &mut Module, class: &str, key: &str, value: Attr) {
    for layer in module.layers.iter_mut().filter(|l| &*l.class == class) {
        if let Some(mut config) = layer.config.get("config").and_then(Attr::as_map).cloned()
            && config.get(key).is_some()
        {
            config.set(key, value.clone());
            layer.config.set("config", Attr::Map(config));
        }
    }
}

/// Gives each application of a layer after the first its own copy of the layer and its weights.
fn duplicate_shared_layers(module: &mut Module) {
    let mut applied: BTreeMap<LayerId, u64> = BTreeMap::new();
    for id in module.func_ids() {
        for op in module[id].op_ids().collect::<Vec<OpId>>() {
            let OpKind::Source(mut source) = module[id][op].kind.clone() else { continue };
            let Some(layer) = source.layer else { continue };
            let times = applied.entry(layer).or_default();
            *times += 1;
            if *times > 1 {
                source.layer = Some(duplicate(module, layer));
                module[id].set_kind(op, OpKind::Source(source));
            }
        }
    }
}

fn duplicate(module: &mut Module, layer: LayerId) -> LayerId {
    let mut copy = module[layer].clone();
    copy.name = format!("{}_{}", copy.name, module.layers.len()).as_str().into();
    for id in copy.data_mut() {
        let mut weight = module[*id].clone();
        weight.name = format!("{}_{}", weight.name, module.weights.len()).as_str().into();
        if let WeightData::Random { seed, .. } = &mut weight.data {
            *seed += 1;
        }
        *id = module.add_weight(weight);
    }
    module.add_layer(copy)
}
