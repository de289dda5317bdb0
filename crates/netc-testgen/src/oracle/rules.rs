//! Oracle of the verifier: it rejects modules that break its rules.

use std::collections::BTreeSet;

use netc_data::Rng;
use netc_ir::extents::uncarried;
use netc_ir::{
    Attr, Attrs, CallOp, CoreOp, Def, Dim, ElemType, FileId, Func, FuncId, LayerId, Literal, Loc, Module, Name,
    NonJson, Op, OpId, OpKind, SourceOp, Type, ValueId, Weight, WeightData, WeightId, print, verify, verify_changes,
};

use super::{Wrong, require};

/// A way to break a rule of the verifier.
#[derive(Clone, Copy)]
pub struct Break {
    /// The number of the rule in [`verify`](netc_ir::verify()).
    pub rule: u8,
    /// Breaks the rule somewhere in a valid module; `None` if there is nothing to break.
    pub apply: fn(&mut Module, &mut Rng) -> Option<()>,
}

/// Ways to break every rule but V12 and V16. The public interface cannot break the order of ops, and no recipe makes a
/// type with too many axes.
pub const BREAKS: &[Break] = &[
    Break { rule: 1, apply: read_own_result },
    Break { rule: 1, apply: read_nothing },
    Break { rule: 2, apply: take_operands_of_core_op },
    Break { rule: 2, apply: change_result_of_core_op },
    Break { rule: 3, apply: lose_file_of_location },
    Break { rule: 3, apply: lose_layer_of_op },
    Break { rule: 3, apply: lose_layer_of_param },
    Break { rule: 3, apply: lose_weight_of_layer },
    Break { rule: 3, apply: lose_asset_of_layer },
    Break { rule: 3, apply: lose_file_of_weight },
    Break { rule: 3, apply: lose_callee },
    Break { rule: 3, apply: lose_function_of_attribute },
    Break { rule: 3, apply: lose_weight_of_attribute },
    Break { rule: 4, apply: define_again },
    Break { rule: 4, apply: define_elsewhere },
    Break { rule: 4, apply: define_nowhere },
    Break { rule: 4, apply: name_two_values_alike },
    Break { rule: 5, apply: pass_nothing },
    Break { rule: 5, apply: receive_another_type },
    Break { rule: 6, apply: call_itself },
    Break { rule: 6, apply: name_itself },
    Break { rule: 7, apply: rename_class },
    Break { rule: 8, apply: refer_past_operands },
    Break { rule: 9, apply: leave_weight_unranked },
    Break { rule: 9, apply: make_weight_of_strings },
    Break { rule: 9, apply: make_weight_larger },
    Break { rule: 10, apply: repeat_func },
    Break { rule: 10, apply: repeat_param },
    Break { rule: 10, apply: repeat_output },
    Break { rule: 11, apply: return_nothing },
    Break { rule: 13, apply: repeat_place },
    Break { rule: 13, apply: repeat_asset },
    Break { rule: 14, apply: compute_nothing },
    Break { rule: 14, apply: lose_dialect },
    Break { rule: 14, apply: fuse_one_location },
    Break { rule: 14, apply: fuse_unknown_locations },
    Break { rule: 14, apply: nest_too_deep },
    Break { rule: 14, apply: name_symbol_with_space },
    Break { rule: 15, apply: name_asset_outside_of_its_folder },
    Break { rule: 15, apply: make_asset_of_numbers },
    Break { rule: 17, apply: name_function_outside_of_source_ops },
    Break { rule: 18, apply: leave_out_operand_past_the_end },
    Break { rule: 19, apply: bind_computed_symbol },
    Break { rule: 19, apply: lose_carriers },
    Break { rule: 19, apply: receive_computed_symbol },
];

/// Breaks the valid `module` in each possible way and checks that the verifier reports the broken rule, possibly among
/// others. Returns the indices of the applied breaks. `seed` chooses where to break the module.
pub fn verifier_rejects(module: &Module, seed: u64) -> Result<BTreeSet<usize>, Wrong> {
    let mut rng = Rng::for_part(seed, "breaks");
    let mut applied = BTreeSet::new();
    let mut approved = module.clone();
    verify_changes(&mut approved).map_err(|e| format!("does not verify:\n{e}"))?;
    for (i, Break { rule, apply }) in BREAKS.iter().enumerate() {
        let mut broken = approved.clone();
        if apply(&mut broken, &mut rng).is_none() {
            continue;
        }
        let all = verify(&broken);
        let of_changes = verify_changes(&mut broken);
        require(of_changes == all, || {
            format!("break {i} of V{rule}: `verify` reports {all:?}, `verify_changes` {of_changes:?}")
        })?;
        let found: Vec<u8> = all.err().map_or_else(Vec::new, |v| v.0.iter().map(|v| v.rule).collect());
        require(found.contains(rule), || format!("break {i} of V{rule} is reported as {found:?}:\n{}", print(module)))?;
        applied.insert(i);
    }
    Ok(applied)
}

/// An index larger than any in a recipe's module.
const NOWHERE: usize = 1 << 20;

fn read_own_result(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let op = pick_op(m, rng, |op| !op.operands.is_empty())?;
    op.operands[0] = *op.results.first()?;
    Some(())
}

fn read_nothing(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |op| !op.operands.is_empty())?.operands[0] = ValueId::new(NOWHERE);
    Some(())
}

fn take_operands_of_core_op(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |op| is_core(op) && !op.operands.is_empty())?.operands.clear();
    Some(())
}

fn change_result_of_core_op(m: &mut Module, rng: &mut Rng) -> Option<()> {
    change_result(m, rng, is_core)
}

fn lose_file_of_location(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |_| true)?.loc = Loc::Call { file: Some(FileId::new(NOWHERE)), path: "lost".into(), call: 0 };
    Some(())
}

fn lose_layer_of_op(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_source(m, rng)?.layer = Some(LayerId::new(NOWHERE));
    Some(())
}

fn lose_layer_of_param(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_func(m, rng)?.params.first_mut()?.layer = Some(LayerId::new(NOWHERE));
    Some(())
}

fn lose_weight_of_layer(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick(&mut m.layers, rng)?.weights.push(("lost".into(), WeightId::new(NOWHERE)));
    Some(())
}

fn lose_asset_of_layer(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick(&mut m.layers, rng)?.assets.push(("lost".into(), WeightId::new(NOWHERE)));
    Some(())
}

fn lose_file_of_weight(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let weight = pick(&mut m.weights, rng)?;
    let len = weight.ty.num_bytes()?;
    weight.data = WeightData::File { file: FileId::new(NOWHERE), offset: 0, len };
    Some(())
}

fn lose_callee(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_call(m, rng)?.1.callee = FuncId::new(NOWHERE);
    Some(())
}

fn lose_function_of_attribute(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_source(m, rng)?.attrs.set("body", NonJson::Func(FuncId::new(NOWHERE)));
    Some(())
}

fn lose_weight_of_attribute(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_source(m, rng)?.attrs.set("value", NonJson::Weight(WeightId::new(NOWHERE)));
    Some(())
}

fn define_again(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let op = pick_op(m, rng, |_| true)?;
    let result = *op.results.first()?;
    op.results.push(result);
    Some(())
}

fn define_elsewhere(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let func = pick_func(m, rng)?;
    let values: Vec<ValueId> = func.values_in_order().collect();
    func[one_of(&values, rng)?].def = Def::Param(NOWHERE as u32);
    Some(())
}

fn define_nowhere(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |_| true)?.results.push(ValueId::new(NOWHERE));
    Some(())
}

fn name_two_values_alike(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let func = pick_func(m, rng)?;
    let values: Vec<ValueId> = func.values_in_order().collect();
    let (first, second) = (one_of(&values, rng)?, one_of(&values, rng)?);
    func[first].name = Some("twin".into());
    func[second].name = Some("twin".into());
    (first != second).then_some(())
}

fn pass_nothing(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |op| is_call(op) && !op.operands.is_empty())?.operands.clear();
    Some(())
}

fn receive_another_type(m: &mut Module, rng: &mut Rng) -> Option<()> {
    change_result(m, rng, is_call)
}

fn call_itself(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let (caller, call) = pick_call(m, rng)?;
    call.callee = caller;
    Some(())
}

fn name_itself(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let (func, op) = pick_place(m, rng, |op| matches!(op.kind, OpKind::Source(_)))?;
    if let OpKind::Source(source) = &mut m[func][op].kind {
        source.attrs.set("body", NonJson::Func(func));
    }
    Some(())
}

fn rename_class(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let source = pick_source(m, rng)?;
    source.name = "custom.Other".into();
    source.layer.is_some().then_some(())
}

fn refer_past_operands(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let op = pick_op(m, rng, |op| !is_core(op))?;
    let past_end = Attr::List(vec![Attr::Operand(op.operands.len() as u32)]);
    match &mut op.kind {
        OpKind::Source(source) => source.attrs.set("args", past_end),
        OpKind::Call(call) => call.attrs.set("args", past_end),
        OpKind::Core(_) => return None,
    }
    Some(())
}

fn leave_weight_unranked(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick(&mut m.weights, rng)?.ty.dims = None;
    Some(())
}

fn make_weight_of_strings(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick(&mut m.weights, rng)?.ty.elem = ElemType::Str;
    Some(())
}

fn make_weight_larger(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let weight = pick(&mut m.weights, rng)?;
    weight.ty.dims.as_mut()?.push(Dim::Known(3));
    match weight.data {
        WeightData::File { .. } | WeightData::Inline(_) => Some(()),
        WeightData::Random { .. } => None,
    }
}

fn repeat_func(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let twin = pick_func(m, rng)?.clone();
    m.add_func(twin);
    Some(())
}

fn repeat_param(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let params = &mut pick_func(m, rng)?.params;
    let twin = pick(params, rng)?.clone();
    params.push(twin);
    Some(())
}

fn repeat_output(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let outputs = &mut pick_func(m, rng)?.outputs;
    let twin = pick(outputs, rng)?.clone();
    outputs.push(twin);
    Some(())
}

fn return_nothing(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick(&mut pick_func(m, rng)?.outputs, rng)?.value = ValueId::new(NOWHERE);
    Some(())
}

fn repeat_place(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let layer = pick(&mut m.layers, rng)?;
    let twin = layer.weights.first()?.clone();
    layer.weights.push(twin);
    Some(())
}

fn repeat_asset(m: &mut Module, rng: &mut Rng) -> Option<()> {
    add_asset(m, rng, "twin", ElemType::U8)?;
    let layer = m.layers.iter_mut().find(|layer| !layer.assets.is_empty())?;
    let twin = layer.assets.last()?.clone();
    layer.assets.push(twin);
    Some(())
}

fn name_asset_outside_of_its_folder(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let place = one_of(&["", ".", "../up", "a//b", "/root", "a/../../b", "a/", "a\\b", "a\0"], rng)?;
    add_asset(m, rng, place, ElemType::U8)
}

fn make_asset_of_numbers(m: &mut Module, rng: &mut Rng) -> Option<()> {
    add_asset(m, rng, "numbers", ElemType::F32)
}

/// Gives a layer an asset of two elements.
fn add_asset(m: &mut Module, rng: &mut Rng, place: &str, elem: ElemType) -> Option<()> {
    let data = WeightData::Inline(Literal::splat(elem, &[2], 1.0));
    let id = m.add_weight(Weight { name: place.into(), ty: Type::fixed(elem, &[2]), data });
    pick(&mut m.layers, rng)?.assets.push((place.into(), id));
    Some(())
}

fn compute_nothing(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |_| true)?.results.clear();
    Some(())
}

fn lose_dialect(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_source(m, rng)?.name = "Dense".into();
    Some(())
}

fn fuse_one_location(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let op = pick_op(m, rng, |op| matches!(op.loc, Loc::Call { .. }))?;
    op.loc = Loc::Fused(vec![op.loc.clone()]);
    Some(())
}

fn fuse_unknown_locations(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_op(m, rng, |_| true)?.loc = Loc::Fused(vec![Loc::Unknown, Loc::Unknown]);
    Some(())
}

fn nest_too_deep(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let deep = (0..200).fold(Attr::Null, |inner, _| Attr::List(vec![inner]));
    let trees = [&mut m.attrs].into_iter().chain(m.layers.iter_mut().map(|l| &mut l.config));
    let mut trees: Vec<&mut Attrs> = trees.chain(m.funcs.iter_mut().map(|f| &mut f.attrs)).collect();
    pick(&mut trees, rng)?.set("deep", deep);
    Some(())
}

fn name_symbol_with_space(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let func = pick_func(m, rng)?;
    let values: Vec<ValueId> = func.values_in_order().collect();
    let value = one_of(&values, rng)?;
    let ty = Type::new(func[value].ty.elem, [Dim::symbol("a b")]);
    func.set_type(value, ty);
    Some(())
}

fn name_function_outside_of_source_ops(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let trees = [&mut m.attrs].into_iter().chain(m.layers.iter_mut().map(|l| &mut l.config));
    let mut trees: Vec<&mut Attrs> = trees.chain(m.funcs.iter_mut().map(|f| &mut f.attrs)).collect();
    pick(&mut trees, rng)?.set("body", NonJson::Func(FuncId::new(0)));
    Some(())
}

fn leave_out_operand_past_the_end(m: &mut Module, rng: &mut Rng) -> Option<()> {
    pick_source(m, rng)?.absent = vec![NOWHERE as u32];
    Some(())
}

/// Gives a parameter that the `iota` does not read the extent that the `iota` defines.
fn bind_computed_symbol(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let (func, symbol) = pick_computed(m, rng)?;
    let func = &mut m[func];
    let param = pick(&mut func.params, rng)?.value;
    let ty = Type::new(func[param].ty.elem, [Dim::symbol(symbol)]);
    let is_iota = |op: &Op| matches!(op.kind, OpKind::Core(CoreOp::Iota(_)));
    if func.ops().any(|(_, op)| is_iota(op) && op.operands.contains(&param)) {
        return None;
    }
    func.set_type(param, ty);
    Some(())
}

/// Removes all operands but the first from an op with a computed extent that the first does not carry.
fn lose_carriers(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let computed: Vec<BTreeSet<Name>> = m.funcs.iter().map(computed_symbols).collect();
    let ops = m.func_ids().flat_map(|f| m[f].ops().map(move |(id, op)| (f, id, op)));
    let relies = |(f, _, op): &(FuncId, OpId, &Op)| {
        let OpKind::Core(core @ (CoreOp::Reshape(_) | CoreOp::Broadcast(_))) = &op.kind else { return false };
        let first: Vec<&Type> = op.operands.iter().take(1).map(|v| &m[*f][*v].ty).collect();
        core.own_dims().iter().any(|dim| !uncarried(dim, &first).is_disjoint(&computed[f.index()]))
    };
    let fitting: Vec<(FuncId, OpId)> = ops.filter(relies).map(|(f, id, _)| (f, id)).collect();
    let (func, op) = one_of(&fitting, rng)?;
    m[func][op].operands.truncate(1);
    Some(())
}

/// Gives a result of a call or source op a symbol that an `iota` defines and no operand has.
fn receive_computed_symbol(m: &mut Module, rng: &mut Rng) -> Option<()> {
    let (func, symbol) = pick_computed(m, rng)?;
    let func = &mut m[func];
    let has = |v: &ValueId| func[*v].ty.dims.iter().flatten().any(|dim| dim.symbols().contains(&symbol));
    let ops = func.ops().filter(|(_, op)| !is_core(op) && !op.operands.iter().any(has));
    let results: Vec<ValueId> = ops.filter_map(|(_, op)| op.results.first().copied()).collect();
    let result = one_of(&results, rng)?;
    let ty = Type::new(func[result].ty.elem, [Dim::symbol(symbol)]);
    func.set_type(result, ty);
    Some(())
}

/// A symbol that an `iota` defines, and its function.
fn pick_computed(m: &Module, rng: &mut Rng) -> Option<(FuncId, Name)> {
    let mut all: Vec<(FuncId, Name)> =
        m.func_ids().flat_map(|f| computed_symbols(&m[f]).into_iter().map(move |symbol| (f, symbol))).collect();
    pick(&mut all, rng).cloned()
}

fn computed_symbols(func: &Func) -> BTreeSet<Name> {
    func.computed_symbols().into_iter().map(|(symbol, _)| symbol.clone()).collect()
}

fn is_core(op: &Op) -> bool {
    matches!(op.kind, OpKind::Core(_))
}

fn is_call(op: &Op) -> bool {
    matches!(op.kind, OpKind::Call(_))
}

/// Changes the element type of an op's result to one that disagrees with the op.
fn change_result(m: &mut Module, rng: &mut Rng, fits: impl Fn(&Op) -> bool) -> Option<()> {
    let (func, op) = pick_place(m, rng, fits)?;
    let value = *m[func][op].results.first()?;
    let elem = &mut m[func][value].ty.elem;
    let known = *elem != ElemType::Any;
    *elem = if *elem == ElemType::Str { ElemType::Bool } else { ElemType::Str };
    known.then_some(())
}

fn pick_source<'m>(m: &'m mut Module, rng: &mut Rng) -> Option<&'m mut SourceOp> {
    match &mut pick_op(m, rng, |op| matches!(op.kind, OpKind::Source(_)))?.kind {
        OpKind::Source(source) => Some(source),
        OpKind::Call(_) | OpKind::Core(_) => None,
    }
}

/// A call, and its calling function.
fn pick_call<'m>(m: &'m mut Module, rng: &mut Rng) -> Option<(FuncId, &'m mut CallOp)> {
    let (func, op) = pick_place(m, rng, is_call)?;
    match &mut m[func][op].kind {
        OpKind::Call(call) => Some((func, call)),
        OpKind::Source(_) | OpKind::Core(_) => None,
    }
}

fn pick_op<'m>(m: &'m mut Module, rng: &mut Rng, fits: impl Fn(&Op) -> bool) -> Option<&'m mut Op> {
    let (func, op) = pick_place(m, rng, fits)?;
    Some(&mut m[func][op])
}

fn pick_place(m: &Module, rng: &mut Rng, fits: impl Fn(&Op) -> bool) -> Option<(FuncId, OpId)> {
    let ops = m.func_ids().flat_map(|f| m[f].ops().map(move |(id, op)| (f, id, op)));
    let fitting: Vec<(FuncId, OpId)> = ops.filter(|(_, _, op)| fits(op)).map(|(f, id, _)| (f, id)).collect();
    one_of(&fitting, rng)
}

fn pick_func<'m>(m: &'m mut Module, rng: &mut Rng) -> Option<&'m mut Func> {
    pick(&mut m.funcs, rng)
}

fn pick<'t, T>(items: &'t mut [T], rng: &mut Rng) -> Option<&'t mut T> {
    let n = items.len() as u64;
    items.get_mut(rng.below(n) as usize)
}

fn one_of<T: Copy>(items: &[T], rng: &mut Rng) -> Option<T> {
    items.get(rng.below(items.len() as u64) as usize).copied()
}
