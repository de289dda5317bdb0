//! Rebuilds a module with some of its ops replaced, and infers the types again.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::Dialects;
use netc_ir::{
    Attr, Attrs, Builder, CoreOp, Dim, F64, Func, FuncId, LayerId, Module, Name, Op, OpId, OpKind, SourceOp, Type,
    ValueId, WeightData, WeightId, named_call_types,
};
use netc_passes::analysis::callees_first;

use super::edit::one_of;

/// The changes of a rebuild.
#[derive(Default)]
pub(super) struct Rebuild {
    pub(super) actions: BTreeMap<(FuncId, OpId), Action>,
    /// Outputs of `@main` to drop.
    pub(super) dropped_outputs: BTreeSet<usize>,
    /// Parameters of `@main` to drop.
    pub(super) dropped_params: BTreeSet<usize>,
    /// The op of `@main` whose results become its only outputs.
    pub(super) returned: Option<OpId>,
    /// Extents and their replacements.
    pub(super) extents: BTreeMap<u64, u64>,
    pub(super) flattened: BTreeSet<WeightId>,
    /// New values in the configurations of layers.
    pub(super) settings: BTreeMap<(LayerId, Name), Attr>,
}

/// The change of one op.
pub(super) enum Action {
    Become(ValueId),
    Bypass(usize),
    Constant,
    Cut,
    Remove,
    Replace(CoreOp),
}

/// Configuration keys whose integers are not extents.
const NO_EXTENTS: &[&str] = &["axis", "axes", "seed"];

/// Applies `plan` to `module`; `None` if an op no longer accepts its operands. Removes ops that become dead, but keeps
/// ops that were dead before.
pub(super) fn rebuild(module: &Module, dialects: &Dialects, main: FuncId, plan: &Rebuild) -> Option<Module> {
    let mut new = module.clone();
    for (i, weight) in new.weights.iter_mut().enumerate() {
        let resized = plan.ty(&weight.ty);
        let flat = plan.flattened.contains(&WeightId::new(i));
        if resized != weight.ty || flat {
            weight.data = if flat {
                WeightData::Inline(one_of(&resized)?)
            } else {
                WeightData::Random { seed: i as u64, low: F64::new(-1.0), high: F64::new(1.0) }
            };
            weight.ty = resized;
        }
    }
    for (i, layer) in new.layers.iter_mut().enumerate() {
        layer.config = plan.attrs(&layer.config);
        for ((_, key), value) in plan.settings.iter().filter(|((id, _), _)| id.index() == i) {
            let config = layer.config.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
            layer.config.set("config", config.with(key.clone(), value.clone()));
        }
    }
    for id in callees_first(module) {
        let mut copy = Copy {
            plan,
            dialects,
            old_module: module,
            new_module: &new,
            old: &module[id],
            id,
            is_main: id == main,
            b: Builder::new(&new, ""),
            new_of: BTreeMap::new(),
        };
        copy.run()?;
        new.funcs[id.index()] = copy.finish()?;
    }
    Some(new)
}

impl Rebuild {
    fn dim(&self, dim: &Dim) -> Dim {
        match dim.known().and_then(|n| self.extents.get(&n)) {
            Some(n) => Dim::Known(*n),
            None => dim.clone(),
        }
    }

    /// The attributes with replaced extents: any integer that equals an extent.
    fn attrs(&self, attrs: &Attrs) -> Attrs {
        let changed = |(key, value): &(Name, Attr)| {
            (key.clone(), if NO_EXTENTS.contains(&&**key) { value.clone() } else { self.attr(value) })
        };
        attrs.iter().map(changed).collect()
    }

    fn attr(&self, attr: &Attr) -> Attr {
        match attr {
            Attr::Int(n) => match u64::try_from(*n).ok().and_then(|n| self.extents.get(&n)) {
                Some(new) => Attr::Int((*new).into()),
                None => attr.clone(),
            },
            Attr::List(items) => Attr::List(items.iter().map(|item| self.attr(item)).collect()),
            Attr::Map(map) => Attr::Map(self.attrs(map)),
            Attr::Null | Attr::Bool(_) | Attr::Float(_) | Attr::Str(_) | Attr::Operand(_) | Attr::NonJson(_) => {
                attr.clone()
            }
        }
    }

    fn ty(&self, ty: &Type) -> Type {
        Type { elem: ty.elem, dims: ty.dims.as_ref().map(|dims| dims.iter().map(|d| self.dim(d)).collect()) }
    }

    /// The op with replaced extents in its attributes.
    fn op(&self, op: &CoreOp) -> Option<CoreOp> {
        let dims = |dims: &[Dim]| dims.iter().map(|d| self.dim(d)).collect();
        if let CoreOp::Reshape(shape) = op {
            return Some(CoreOp::Reshape(dims(shape)));
        }
        if let CoreOp::Broadcast(shape) = op {
            return Some(CoreOp::Broadcast(dims(shape)));
        }
        if let CoreOp::Iota(extent) = op {
            return Some(CoreOp::Iota(self.dim(extent)));
        }
        if let CoreOp::Constant(literal) = op
            && self.ty(&literal.ty()) != literal.ty()
        {
            return Some(CoreOp::Constant(one_of(&self.ty(&literal.ty()))?));
        }
        Some(op.clone())
    }
}

struct Copy<'a> {
    plan: &'a Rebuild,
    dialects: &'a Dialects,
    old_module: &'a Module,
    /// The module under construction; callees are already rebuilt.
    new_module: &'a Module,
    old: &'a Func,
    id: FuncId,
    is_main: bool,
    b: Builder<'a>,
    new_of: BTreeMap<ValueId, ValueId>,
}

impl Copy<'_> {
    fn run(&mut self) -> Option<()> {
        for (i, param) in self.old.params.iter().enumerate() {
            if !(self.is_main && self.plan.dropped_params.contains(&i)) {
                let value = self.b.param(param.name.clone(), self.plan.ty(&self.old[param.value].ty), param.layer);
                self.new_of.insert(param.value, value);
            }
        }
        self.cut_values();
        self.old.ops().try_for_each(|(id, op)| self.op(id, op))
    }

    /// Adds the results of cut ops as parameters, after the existing ones.
    fn cut_values(&mut self) {
        let cut = |id: &OpId| matches!(self.plan.actions.get(&(self.id, *id)), Some(Action::Cut));
        let ops: Vec<OpId> = self.old.op_ids().filter(cut).collect();
        for value in ops.iter().flat_map(|op| self.old[*op].results.clone()) {
            if self.is_needed(value) {
                let name = self.old[value].name.clone().unwrap_or_else(|| format!("p{}", value.index()).into());
                let name = self.free_param_name(&name);
                let new = self.b.param(name, self.plan.ty(&self.old[value].ty), None);
                self.new_of.insert(value, new);
            }
        }
    }

    /// Whether an output or a kept op reads `value`.
    fn is_needed(&self, value: ValueId) -> bool {
        let stays = |id: OpId| !matches!(self.plan.actions.get(&(self.id, id)), Some(Action::Cut | Action::Remove));
        self.old.outputs.iter().any(|o| o.value == value)
            || self.old.ops().any(|(id, op)| stays(id) && op.operands.contains(&value))
    }

    fn free_param_name(&self, name: &Name) -> Name {
        let taken = |name: &str| self.b.func().params.iter().any(|p| &*p.name == name);
        let numbered = (1..).map(|n| Name::from(format!("{name}_{n}").as_str()));
        let free = std::iter::once(name.clone()).chain(numbered).find(|n| !taken(n));
        free.unwrap_or_else(|| name.clone())
    }

    fn op(&mut self, id: OpId, op: &Op) -> Option<()> {
        match self.plan.actions.get(&(self.id, id)) {
            Some(Action::Cut | Action::Remove) => Some(()),
            Some(Action::Bypass(k)) => {
                let operand = self.get(*op.operands.get(*k)?)?;
                self.new_of.insert(op.results[0], operand);
                Some(())
            }
            Some(Action::Become(value)) => {
                let value = self.get(*value)?;
                self.new_of.insert(op.results[0], value);
                Some(())
            }
            Some(Action::Constant) => {
                let literal = one_of(&self.plan.ty(&self.old[op.results[0]].ty))?;
                self.core(CoreOp::Constant(literal), op, &[])
            }
            Some(Action::Replace(core)) => {
                let operands = self.operands(op)?;
                self.core(core.clone(), op, &operands)
            }
            None => self.kept(op),
        }
    }

    fn kept(&mut self, op: &Op) -> Option<()> {
        let operands = self.operands(op)?;
        let (kind, types) = match &op.kind {
            OpKind::Core(core) => return self.core(self.plan.op(core)?, op, &operands),
            OpKind::Source(source) => {
                let source = SourceOp { attrs: self.plan.attrs(&source.attrs), ..(**source).clone() };
                let types = self.source_types(op, &source, &operands)?;
                (OpKind::Source(Box::new(source)), types)
            }
            OpKind::Call(call) => {
                let callee = &self.new_module[call.callee];
                let declared = op.results.iter().map(|v| &self.old[*v].ty);
                (op.kind.clone(), named_call_types(callee, operands.iter().map(|v| self.b.ty(*v)), declared))
            }
        };
        let names = op.results.iter().map(|v| self.old[*v].name.clone());
        let results: Vec<_> = types.into_iter().zip(names).collect();
        if results.len() != op.results.len() {
            return None;
        }
        let new = self.b.at(op.loc.clone()).op(kind, &operands, results);
        self.new_of.extend(op.results.iter().copied().zip(self.b.results(new).to_vec()));
        Some(())
    }

    /// The result types of `source`, which replaces `op`. A layer unknown to `dialects` keeps its types, with replaced
    /// extents. `None` if a known layer no longer accepts its operands.
    fn source_types(&self, op: &Op, source: &SourceOp, operands: &[ValueId]) -> Option<Vec<Type>> {
        let types = |module: &Module, source: &SourceOp, operands: Vec<Type>| {
            self.dialects.result_types(module, source, source.layer.map(|id| &module[id]), &operands)
        };
        let given = operands.iter().map(|v| self.b.ty(*v).clone()).collect();
        if let Ok(types) = types(self.new_module, source, given) {
            return Some(types);
        }
        let OpKind::Source(source) = &op.kind else { return None };
        let given = op.operands.iter().map(|v| self.old[*v].ty.clone()).collect();
        let was_known = types(self.old_module, source, given).is_ok();
        (!was_known).then(|| op.results.iter().map(|v| self.plan.ty(&self.old[*v].ty)).collect())
    }

    fn core(&mut self, core: CoreOp, op: &Op, operands: &[ValueId]) -> Option<()> {
        let new = self.b.at(op.loc.clone()).core(core, operands).ok()?;
        let old = *op.results.first()?;
        if let Some(name) = &self.old[old].name {
            self.b.name(new, name.clone());
        }
        self.new_of.insert(old, new);
        Some(())
    }

    fn operands(&self, op: &Op) -> Option<Vec<ValueId>> {
        op.operands.iter().map(|v| self.get(*v)).collect()
    }

    fn get(&self, old: ValueId) -> Option<ValueId> {
        self.new_of.get(&old).copied()
    }

    fn finish(self) -> Option<Func> {
        let outputs = self.outputs()?;
        let was_dead = dead_results(self.old);
        let kept: BTreeSet<ValueId> = was_dead.iter().filter_map(|v| self.get(*v)).collect();
        let (name, mut attrs) = (self.old.name.clone(), self.old.attrs.clone());
        let mut func = self.b.finish(outputs);
        // The attributes that describe how inputs and outputs nest are valid only for the original number of them.
        if func.params.len() != self.old.params.len() || func.outputs.len() != self.old.outputs.len() {
            ["inputs", "outputs"].into_iter().for_each(|key| drop(attrs.remove(key)));
        }
        (func.name, func.attrs) = (name, attrs);
        let live = live_from(&func, &kept);
        func.retain_ops(|op| live[op.index()]);
        Some(func)
    }

    fn outputs(&self) -> Option<Vec<(Name, ValueId)>> {
        let returned = self.plan.returned.filter(|_| self.is_main);
        if let Some(op) = returned {
            let results = self.old[op].results.iter().enumerate();
            return results.map(|(i, v)| Some((format!("y{i}").as_str().into(), self.get(*v)?))).collect();
        }
        let kept = |i: &usize| !(self.is_main && self.plan.dropped_outputs.contains(i));
        let outputs = self.old.outputs.iter().enumerate().filter(|(i, _)| kept(i));
        outputs.map(|(_, o)| Some((o.name.clone(), self.get(o.value)?))).collect()
    }
}

/// The live ops of `func`, by op id.
pub(super) fn live_ops(func: &Func) -> Vec<bool> {
    live_from(func, &BTreeSet::new())
}

/// The ops that the outputs of `func` or `values` need, by op id.
fn live_from(func: &Func, values: &BTreeSet<ValueId>) -> Vec<bool> {
    netc_passes::analysis::needed_by(func, func.outputs.iter().map(|o| o.value).chain(values.iter().copied()))
}

/// The results of dead ops.
fn dead_results(func: &Func) -> Vec<ValueId> {
    let live = live_ops(func);
    func.ops().filter(|(id, _)| !live[id.index()]).flat_map(|(_, op)| op.results.clone()).collect()
}
