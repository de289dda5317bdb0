//! The edits of a reduction, and how to list them for a module.

use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_ir::{
    Attr, Attrs, CoreOp, Func, FuncId, LayerId, Literal, Loc, MAIN, Module, Name, OpId, OpKind, Type, ValueId,
    WeightData, WeightId,
};
use netc_passes::Entry;

use super::rebuild::{Action, Rebuild, live_ops, rebuild};
use super::simpler::simpler;

/// One edit of a module.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Makes this function `@main` and drops everything that it does not call.
    Promote(FuncId),
    /// Drops this output of `@main`.
    DropOutput(usize),
    /// Makes the results of this op of `@main` its only outputs.
    Return(OpId),
    /// Turns the results of this op of `@main` into parameters.
    Cut(OpId),
    /// Replaces the op's result by its operand of this number.
    Bypass(FuncId, OpId, usize),
    /// Replaces the op's result by this value of the same type, from which it is computed.
    Shortcut(FuncId, OpId, ValueId),
    /// Replaces the op's result by a constant.
    Constant(FuncId, OpId),
    /// Removes the op, which is dead.
    Remove(FuncId, OpId),
    /// Drops this unused parameter of `@main`.
    DropParam(usize),
    /// Replaces the op by another.
    Replace(FuncId, OpId, CoreOp),
    /// Gives the convolution one group, with the input channels of one former group.
    Ungroup(FuncId, OpId),
    /// Replaces every extent equal to the first number by the second, also in the configurations of layers.
    Resize(u64, u64),
    /// Like [`Resize`](Self::Resize), and also scales two to four times that extent, as the gates of a cell have.
    Scale(u64, u64),
    /// Sets a key in the configuration of the layer.
    Configure(LayerId, Name, Attr),
    /// Makes all elements of the weight equal.
    Flatten(WeightId),
    /// Drops the entry, which is unused.
    Drop(Entry),
    /// Drops the attributes of the module.
    StripModule,
    /// Drops the attributes of the function.
    StripAttrs(FuncId),
    /// Drops the names of the function's results, and the locations.
    StripNames(FuncId),
    /// Drops the layer of the function's parameter.
    Unlayer(FuncId, usize),
    /// Renames the function's parameter to `x`, or to `x` and its number if it is not the first.
    Rename(FuncId, usize),
}

/// The kinds of edits, the most promising first.
pub(super) const KINDS: &[fn(&Module) -> Vec<Edit>] = &[
    promotions,
    returns,
    drop_outputs,
    cuts,
    bypasses,
    shortcuts,
    constants,
    removals,
    drops,
    drop_params,
    ungroupings,
    resizes,
    settings,
    replacements,
    flattenings,
    strips,
    of_params,
    drops,
];

/// Applies `edits` to `module`; `None` if they conflict.
pub(super) fn apply(module: &Module, dialects: &Dialects, edits: &[Edit]) -> Option<Module> {
    let main = module.func_named(MAIN)?;
    let mut plan = Rebuild::default();
    let (mut promoted, mut dropped) = (None, Vec::new());
    for edit in edits {
        match edit {
            Edit::Promote(func) => promoted = Some(*func),
            Edit::DropOutput(i) => drop(plan.dropped_outputs.insert(*i)),
            Edit::Return(op) => plan.returned = Some(*op),
            Edit::Cut(op) => drop(plan.actions.insert((main, *op), Action::Cut)),
            Edit::Bypass(func, op, k) => drop(plan.actions.insert((*func, *op), Action::Bypass(*k))),
            Edit::Shortcut(func, op, value) => {
                plan.actions.insert((*func, *op), Action::Become(*value));
            }
            Edit::Constant(func, op) => drop(plan.actions.insert((*func, *op), Action::Constant)),
            Edit::Remove(func, op) => drop(plan.actions.insert((*func, *op), Action::Remove)),
            Edit::DropParam(i) => drop(plan.dropped_params.insert(*i)),
            Edit::Replace(func, op, core) => drop(plan.actions.insert((*func, *op), Action::Replace(core.clone()))),
            Edit::Ungroup(func, op) => {
                let (core, from, to) = ungrouped(&module[*func], *op)?;
                plan.actions.insert((*func, *op), Action::Replace(core));
                plan.extents.insert(from, to);
            }
            Edit::Resize(from, to) => drop(plan.extents.insert(*from, *to)),
            Edit::Scale(from, to) => {
                let scaled = |times: u64| Some((from.checked_mul(times)?, to.checked_mul(times)?));
                plan.extents.extend((1..=4).filter_map(scaled));
            }
            Edit::Configure(layer, key, value) => drop(plan.settings.insert((*layer, key.clone()), value.clone())),
            Edit::Flatten(id) => drop(plan.flattened.insert(*id)),
            Edit::Drop(entry) => dropped.push(*entry),
            Edit::StripModule | Edit::StripAttrs(_) | Edit::StripNames(_) | Edit::Unlayer(..) | Edit::Rename(..) => {}
        }
    }
    let mut new = rebuild(module, dialects, main, &plan)?;
    edits.iter().for_each(|edit| strip(&mut new, edit));
    netc_passes::remove_unused(&mut new, &dropped);
    if let Some(func) = promoted {
        swap_names(&mut new, main, func);
        netc_passes::sweep(&mut new);
    }
    Some(new)
}

fn swap_names(module: &mut Module, a: FuncId, b: FuncId) {
    let name = module[a].name.clone();
    module[a].name = std::mem::replace(&mut module[b].name, name);
}

fn promotions(module: &Module) -> Vec<Edit> {
    let main = module.func_named(MAIN);
    module.func_ids().filter(|id| Some(*id) != main).map(Edit::Promote).collect()
}

fn main_ops(module: &Module) -> Vec<OpId> {
    module.main().map(|main| main.op_ids().collect()).unwrap_or_default()
}

fn ops(module: &Module) -> impl Iterator<Item = (FuncId, OpId, &netc_ir::Op)> {
    module.func_ids().flat_map(move |id| module[id].ops().map(move |(op, data)| (id, op, data)))
}

fn returns(module: &Module) -> Vec<Edit> {
    // These edits exclude each other: of a chunk, only the last takes effect.
    main_ops(module).into_iter().map(Edit::Return).collect()
}

fn drop_outputs(module: &Module) -> Vec<Edit> {
    let n = module.main().map_or(0, |main| main.outputs.len());
    (0..n).map(Edit::DropOutput).collect()
}

fn cuts(module: &Module) -> Vec<Edit> {
    main_ops(module).into_iter().map(Edit::Cut).collect()
}

fn is_constant(kind: &OpKind) -> bool {
    matches!(kind, OpKind::Core(CoreOp::Constant(_) | CoreOp::Weight(_)))
}

fn bypasses(module: &Module) -> Vec<Edit> {
    let single = ops(module).filter(|(.., op)| op.results.len() == 1);
    single.flat_map(|(func, id, op)| (0..op.operands.len()).map(move |k| Edit::Bypass(func, id, k))).collect()
}

fn shortcuts(module: &Module) -> Vec<Edit> {
    let single = ops(module).filter(|(.., op)| op.results.len() == 1);
    let ways = single.flat_map(|(func, id, _)| far_operands(&module[func], id).into_iter().map(move |v| (func, id, v)));
    ways.map(|(func, id, value)| Edit::Shortcut(func, id, value)).collect()
}

/// The values of the type of the op's result from which its operands are computed, a few ops back.
fn far_operands(func: &Func, op: OpId) -> Vec<ValueId> {
    const MOST_OPS: usize = 4;
    let operands = |values: BTreeSet<ValueId>| -> BTreeSet<ValueId> {
        values.into_iter().filter_map(|v| func.producer(v)).flat_map(|op| func[op].operands.clone()).collect()
    };
    let near: BTreeSet<ValueId> = func[op].operands.iter().copied().collect();
    let layers = std::iter::successors(Some(near), |layer| Some(operands(layer.clone())));
    let far: BTreeSet<ValueId> = layers.skip(1).take(MOST_OPS).flatten().collect();
    let ty = &func[func[op].results[0]].ty;
    far.into_iter().filter(|v| func[*v].ty == *ty).collect()
}

fn constants(module: &Module) -> Vec<Edit> {
    let fits = |func: FuncId, op: &netc_ir::Op| {
        op.results.len() == 1 && !is_constant(&op.kind) && one_of(&module[func][op.results[0]].ty).is_some()
    };
    ops(module).filter(|(func, _, op)| fits(*func, op)).map(|(func, id, _)| Edit::Constant(func, id)).collect()
}

/// A constant of ones of the type, if its shape is known.
pub(super) fn one_of(ty: &Type) -> Option<Literal> {
    let literal = Literal::splat(ty.elem, &ty.fixed_dims()?, 1.0);
    literal.is_well_formed().then_some(literal)
}

fn removals(module: &Module) -> Vec<Edit> {
    let live: Vec<Vec<bool>> = module.funcs.iter().map(live_ops).collect();
    let dead = ops(module).filter(|(func, id, _)| !live[func.index()][id.index()]);
    dead.map(|(func, id, _)| Edit::Remove(func, id)).collect()
}

fn drop_params(module: &Module) -> Vec<Edit> {
    let Some(main) = module.main() else { return Vec::new() };
    let uses = netc_ir::Uses::of(main);
    (0..main.params.len()).filter(|i| uses.is_unused(main.params[*i].value)).map(Edit::DropParam).collect()
}

fn replacements(module: &Module) -> Vec<Edit> {
    let core = ops(module).filter_map(|(func, id, op)| match &op.kind {
        OpKind::Core(core) => Some((func, id, core)),
        OpKind::Source(_) | OpKind::Call(_) => None,
    });
    core.flat_map(|(func, id, core)| simpler(core).into_iter().map(move |new| Edit::Replace(func, id, new))).collect()
}

fn ungroupings(module: &Module) -> Vec<Edit> {
    ops(module)
        .filter(|(f, id, _)| ungrouped(&module[*f], *id).is_some())
        .map(|(f, id, _)| Edit::Ungroup(f, id))
        .collect()
}

/// The convolution with one group, and its numbers of input channels before and after.
fn ungrouped(func: &Func, op: OpId) -> Option<(CoreOp, u64, u64)> {
    let OpKind::Core(CoreOp::Conv { window, groups: groups @ 2.. }) = &func[op].kind else { return None };
    let kernel = func[*func[op].operands.get(1)?].ty.fixed_dims()?;
    let of_group = kernel.len().checked_sub(2).map(|i| kernel[i])?;
    let one = CoreOp::Conv { window: window.clone(), groups: 1 };
    Some((one, of_group * groups, of_group))
}

fn resizes(module: &Module) -> Vec<Edit> {
    let types = module.funcs.iter().flat_map(|f| f.values_in_order().map(|v| &f[v].ty));
    let types = types.chain(module.weights.iter().map(|w| &w.ty));
    let extents: BTreeSet<u64> = types.flat_map(|t| t.dims.iter().flatten()).filter_map(netc_ir::Dim::known).collect();
    let smaller = |n: u64| [1, 2, n / 2, n.saturating_sub(1)].into_iter().filter(move |m| 0 < *m && *m < n);
    let resizes = extents.into_iter().rev().flat_map(|n| smaller(n).map(move |m| (n, m)));
    resizes.flat_map(|(n, m)| [Edit::Resize(n, m), Edit::Scale(n, m)]).collect()
}

/// Simpler values in the configurations of layers.
fn settings(module: &Module) -> Vec<Edit> {
    let layers = (0..).map(LayerId::new).zip(&module.layers);
    let plainer = layers.flat_map(|(id, layer)| {
        let config = layer.config.get("config").and_then(Attr::as_map).into_iter().flat_map(Attrs::iter);
        config.filter_map(move |(key, value)| Some(Edit::Configure(id, key.clone(), plain_setting(key, value)?)))
    });
    plainer.collect()
}

/// A simpler value for `key`, if `value` is not the simplest.
fn plain_setting(key: &str, value: &Attr) -> Option<Attr> {
    let plain = match key {
        "activation" | "recurrent_activation" => "linear".into(),
        "padding" => "valid".into(),
        "strides" | "dilation_rate" => Attr::ints(vec![1; value.as_list()?.len()]),
        "dropout" | "recurrent_dropout" | "rate" => Attr::from(0.0),
        _ if key.ends_with("_regularizer") || key.ends_with("_constraint") => Attr::Null,
        _ => return None,
    };
    (plain != *value).then_some(plain)
}

fn flattenings(module: &Module) -> Vec<Edit> {
    let plain = |data: &WeightData| matches!(data, WeightData::Inline(literal) if literal.as_splat().is_some());
    let weights = module.weights.iter().enumerate().filter(|(_, w)| !plain(&w.data));
    weights.map(|(i, _)| Edit::Flatten(WeightId::new(i))).collect()
}

fn drops(module: &Module) -> Vec<Edit> {
    netc_passes::unused(module).into_iter().map(Edit::Drop).collect()
}

fn strips(module: &Module) -> Vec<Edit> {
    let of_funcs = module.func_ids().flat_map(|id| [Edit::StripAttrs(id), Edit::StripNames(id)]);
    std::iter::once(Edit::StripModule).chain(of_funcs).collect()
}

fn of_params(module: &Module) -> Vec<Edit> {
    let params = module.func_ids().flat_map(|id| (0..module[id].params.len()).map(move |i| (id, i)));
    params.flat_map(|(id, i)| [Edit::Unlayer(id, i), Edit::Rename(id, i)]).collect()
}

/// Applies an edit that does not change the graph.
fn strip(module: &mut Module, edit: &Edit) {
    match edit {
        Edit::StripModule => module.attrs = Attrs::new(),
        Edit::StripAttrs(func) => module[*func].attrs = Attrs::new(),
        Edit::StripNames(func) => strip_names(&mut module[*func]),
        Edit::Unlayer(func, i) => module[*func].params[*i].layer = None,
        Edit::Rename(func, i) => rename(&mut module[*func], *i),
        Edit::Promote(_)
        | Edit::DropOutput(_)
        | Edit::Return(_)
        | Edit::Cut(_)
        | Edit::Bypass(..)
        | Edit::Shortcut(..)
        | Edit::Constant(..)
        | Edit::Remove(..)
        | Edit::DropParam(_)
        | Edit::Replace(..)
        | Edit::Ungroup(..)
        | Edit::Resize(..)
        | Edit::Scale(..)
        | Edit::Configure(..)
        | Edit::Flatten(_)
        | Edit::Drop(_) => {}
    }
}

fn strip_names(func: &mut Func) {
    for op in func.op_ids().collect::<Vec<_>>() {
        func[op].loc = Loc::Unknown;
    }
    for value in func.values_in_order().collect::<Vec<_>>() {
        if func.producer(value).is_some() {
            func[value].name = None;
        }
    }
}

fn rename(func: &mut Func, i: usize) {
    let name: Name = if i == 0 { "x".into() } else { format!("x{i}").as_str().into() };
    if func.params.iter().all(|p| p.name != name) {
        let value = func.params[i].value;
        func[value].name = Some(name.clone());
        func.params[i].name = name;
    }
}
