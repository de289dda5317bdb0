//! Building a module anew with some of its ops replaced, and the types inferred.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{
    Builder, CoreOp, Dim, F64, Func, FuncId, Module, Name, Op, OpId, OpKind, Type, ValueId, WeightData, WeightId,
};

use super::edit::one_of;

/// What is changed when a module is built anew.
#[derive(Default)]
pub(super) struct Rebuild {
    pub(super) actions: BTreeMap<(FuncId, OpId), Action>,
    /// Of `@main`.
    pub(super) dropped_outputs: BTreeSet<usize>,
    /// Of `@main`.
    pub(super) dropped_params: BTreeSet<usize>,
    /// The op of `@main` whose results are its outputs.
    pub(super) returned: Option<OpId>,
    /// Extents, and what becomes of them.
    pub(super) extents: BTreeMap<u64, u64>,
    pub(super) flattened: BTreeSet<WeightId>,
}

/// What becomes of an op.
pub(super) enum Action {
    Become(ValueId),
    Bypass(usize),
    Constant,
    Cut,
    Remove,
    Replace(CoreOp),
}

/// `module` changed as `plan` says; nothing if some op does not fit its operands any more. What nothing reads any more,
/// but was read before, is removed.
pub(super) fn rebuild(module: &Module, main: FuncId, plan: &Rebuild) -> Option<Module> {
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
    let funcs = module.func_ids().map(|id| {
        let mut copy = Copy {
            plan,
            old: &module[id],
            id,
            is_main: id == main,
            b: Builder::new(&new, ""),
            new_of: BTreeMap::new(),
        };
        copy.run()?;
        copy.finish()
    });
    let funcs = funcs.collect::<Option<Vec<Func>>>()?;
    new.funcs = funcs;
    Some(new)
}

impl Rebuild {
    fn dim(&self, dim: &Dim) -> Dim {
        match dim.known().and_then(|n| self.extents.get(&n)) {
            Some(n) => Dim::Known(*n),
            None => dim.clone(),
        }
    }

    fn ty(&self, ty: &Type) -> Type {
        Type { elem: ty.elem, dims: ty.dims.as_ref().map(|dims| dims.iter().map(|d| self.dim(d)).collect()) }
    }

    /// The op with its own extents changed.
    fn op(&self, op: &CoreOp) -> Option<CoreOp> {
        let dims = |dims: &[Dim]| dims.iter().map(|d| self.dim(d)).collect();
        if let CoreOp::Reshape(shape) = op {
            return Some(CoreOp::Reshape(dims(shape)));
        }
        if let CoreOp::Broadcast(shape) = op {
            return Some(CoreOp::Broadcast(dims(shape)));
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

    /// The results of ops that become parameters, after those that are there.
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

    /// Whether an op that stays, or an output, reads `value`.
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
        if let OpKind::Core(core) = &op.kind {
            return self.core(self.plan.op(core)?, op, &operands);
        }
        let types: Vec<_> =
            op.results.iter().map(|v| (self.plan.ty(&self.old[*v].ty), self.old[*v].name.clone())).collect();
        let new = self.b.at(op.loc.clone()).op(op.kind.clone(), &operands, types);
        self.new_of.extend(op.results.iter().copied().zip(self.b.results(new).to_vec()));
        Some(())
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
        let (name, attrs) = (self.old.name.clone(), self.old.attrs.clone());
        let mut func = self.b.finish(outputs);
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

/// Which ops the outputs of `func` need, by op id.
pub(super) fn live_ops(func: &Func) -> Vec<bool> {
    live_from(func, &BTreeSet::new())
}

/// Which ops the outputs of `func` and `values` need, by op id.
fn live_from(func: &Func, values: &BTreeSet<ValueId>) -> Vec<bool> {
    netc_passes::analysis::needed_by(func, func.outputs.iter().map(|o| o.value).chain(values.iter().copied()))
}

/// The results of ops that no output needs.
fn dead_results(func: &Func) -> Vec<ValueId> {
    let live = live_ops(func);
    func.ops().filter(|(id, _)| !live[id.index()]).flat_map(|(_, op)| op.results.clone()).collect()
}
