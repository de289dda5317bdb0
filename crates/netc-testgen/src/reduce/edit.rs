//! The edits of a reduction: what they are, and which there are for a module.

use std::collections::BTreeSet;

use netc_ir::{
    Attrs, CoreOp, Func, FuncId, Literal, Loc, MAIN, Module, OpId, OpKind, Type, ValueId, WeightData, WeightId,
};

use super::rebuild::{Action, Rebuild, live_ops, rebuild};
use super::simpler::simpler;

/// One edit of a module.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// This function is `@main`, and what it does not call goes.
    Promote(FuncId),
    /// Of the outputs of `@main`, this one goes.
    DropOutput(usize),
    /// The results of this op of `@main` are its outputs, and no others.
    Return(OpId),
    /// The results of this op of `@main` become parameters.
    Cut(OpId),
    /// The op's result becomes the operand with this number.
    Bypass(FuncId, OpId, usize),
    /// The op's result becomes this value of the same type, which it is computed of.
    Shortcut(FuncId, OpId, ValueId),
    /// The op's result becomes a constant.
    Constant(FuncId, OpId),
    /// The op, which nothing reads, goes.
    Remove(FuncId, OpId),
    /// The parameter of `@main` with this number, which nothing reads, goes.
    DropParam(usize),
    /// The op becomes another.
    Replace(FuncId, OpId, CoreOp),
    /// The convolution has one group, and its input as many channels as a group had.
    Ungroup(FuncId, OpId),
    /// Each extent of the first number becomes the second.
    Resize(u64, u64),
    /// The elements of the weight are all the same.
    Flatten(WeightId),
    /// Functions that nothing calls, weights that nothing uses, layers that nothing applies.
    Sweep,
    /// Names, locations and attributes of functions and of the module.
    Strip,
}

/// The edits that are tried, by kind, the most promising first.
pub(super) const KINDS: &[fn(&Module) -> Vec<Edit>] = &[
    promotions,
    returns,
    drop_outputs,
    cuts,
    bypasses,
    shortcuts,
    constants,
    removals,
    sweep,
    drop_params,
    ungroupings,
    resizes,
    replacements,
    flattenings,
    strip,
];

/// `module` with `edits` made, unless they do not fit together.
pub(super) fn apply(module: &Module, edits: &[Edit]) -> Option<Module> {
    let main = module.func_named(MAIN)?;
    let mut plan = Rebuild::default();
    let (mut promoted, mut swept, mut stripped) = (None, false, false);
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
            Edit::Flatten(id) => drop(plan.flattened.insert(*id)),
            Edit::Sweep => swept = true,
            Edit::Strip => stripped = true,
        }
    }
    let mut new = rebuild(module, main, &plan)?;
    if let Some(func) = promoted {
        swap_names(&mut new, main, func);
    }
    if swept || promoted.is_some() {
        netc_passes::sweep(&mut new);
    }
    if stripped {
        strip_names(&mut new);
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
    // Two at once make no sense, so these are tried one by one whatever the chunk: a chunk is its last.
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

/// The values of the type of the op's result that its operands are computed of, over a few ops; the farthest first.
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

/// A constant of the type, if its shape is known.
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

/// The convolution with one group, the channels that its input has, and those that it has then.
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
    extents.into_iter().rev().flat_map(|n| smaller(n).map(move |m| Edit::Resize(n, m))).collect()
}

fn flattenings(module: &Module) -> Vec<Edit> {
    let plain = |data: &WeightData| matches!(data, WeightData::Inline(literal) if literal.as_splat().is_some());
    let weights = module.weights.iter().enumerate().filter(|(_, w)| !plain(&w.data));
    weights.map(|(i, _)| Edit::Flatten(WeightId::new(i))).collect()
}

fn sweep(_: &Module) -> Vec<Edit> {
    vec![Edit::Sweep]
}

fn strip(_: &Module) -> Vec<Edit> {
    vec![Edit::Strip]
}

fn strip_names(module: &mut Module) {
    module.attrs = Attrs::new();
    for func in &mut module.funcs {
        func.attrs = Attrs::new();
        for op in func.op_ids().collect::<Vec<_>>() {
            func[op].loc = Loc::Unknown;
        }
        for value in func.values_in_order().collect::<Vec<_>>() {
            if func.producer(value).is_some() {
                func[value].name = None;
            }
        }
    }
}
