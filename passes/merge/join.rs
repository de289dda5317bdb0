//! Joins the declarations that several stages have of one layer.

use std::collections::BTreeMap;

use netc_ir::{
    Def, ElemType, Func, FuncId, Layer, LayerId, Loc, Module, Name, OpId, OpKind, Param, Type, ValueId, WeightId,
};
use netc_pass::{PassError, Result};

use crate::analysis::calls::stages;

/// The declarations and nested models of later stages that repeat those of an earlier stage, and the input
/// declarations.
#[derive(Default)]
pub(super) struct Joined {
    /// The first declaration for each repeated one.
    pub(super) layers: BTreeMap<LayerId, LayerId>,
    /// The first function for each repeated one.
    pub(super) funcs: BTreeMap<FuncId, FuncId>,
    /// The declaration of each model input that has one in a stage, by the parameter of `@main`.
    inputs: BTreeMap<u32, LayerId>,
}

impl Joined {
    /// Finds the layers that the stages of `main` share. Fails if two stages have different layers of the same name.
    pub(super) fn of(module: &Module, main: FuncId) -> Result<Self> {
        let mut joined = Self::default();
        let nested = nested_models(module);
        let mut known: BTreeMap<&str, (LayerId, FuncId)> = BTreeMap::new();
        for ((_, call), stage) in module[main].ops().zip(stages(module, &module[main])) {
            let inputs = joined.note_inputs(&module[main], &call.operands, &module[stage]);
            let applied = module[stage].ops().filter_map(|(_, op)| op.kind.layer());
            for id in applied.chain(inputs) {
                let (first, place) = *known.entry(&*module[id].name).or_insert((id, stage));
                let places = [&*module[place].name, &*module[stage].name];
                Joiner { module, nested: &nested, places }.layer(&mut joined, first, id)?;
            }
        }
        Ok(joined)
    }

    /// Records the declarations of the stage's parameters that are model inputs, and returns them. The other parameters
    /// were made for crossing tensors.
    fn note_inputs(&mut self, main: &Func, operands: &[ValueId], stage: &Func) -> Vec<LayerId> {
        let mut inputs = Vec::new();
        for (param, operand) in stage.params.iter().zip(operands) {
            if let (Def::Param(i), Some(layer)) = (main[*operand].def, param.layer) {
                self.inputs.entry(i).or_insert(layer);
                inputs.push(layer);
            }
        }
        inputs
    }

    /// The declaration of `param`, a parameter of `main`.
    pub(super) fn input(&self, main: &Func, param: &Param) -> Option<LayerId> {
        match main[param.value].def {
            Def::Param(i) => param.layer.or_else(|| self.inputs.get(&i).copied()),
            Def::Result(..) => None,
        }
    }

    /// `kind` with repeated declarations and functions replaced by the first ones.
    pub(super) fn kind(&self, kind: &OpKind) -> OpKind {
        let mut kind = kind.clone();
        let renew = |id: &mut Option<LayerId>| *id = id.map(|id| self.layers.get(&id).copied().unwrap_or(id));
        kind.for_each_func_mut(|id| *id = self.funcs.get(id).copied().unwrap_or(*id));
        match &mut kind {
            OpKind::Source(op) => renew(&mut op.layer),
            OpKind::Call(op) => renew(&mut op.layer),
            OpKind::Core(_) => {}
        }
        kind
    }

    /// `func` reduced to what must be equal in two stages: without its name, the names and types of values, and
    /// locations.
    fn essence(&self, func: &Func) -> Func {
        let mut func = func.clone();
        func.name = Name::default();
        func.params.iter_mut().for_each(|p| p.layer = None);
        for value in func.values_in_order().collect::<Vec<_>>() {
            func[value].name = None;
            func[value].ty = Type::unranked(ElemType::Any);
        }
        for op in func.op_ids().collect::<Vec<OpId>>() {
            func[op].kind = self.kind(&func[op].kind);
            func[op].loc = Loc::Unknown;
        }
        func
    }
}

/// The function of each layer that is a nested model.
fn nested_models(module: &Module) -> BTreeMap<LayerId, FuncId> {
    let calls = module.funcs.iter().flat_map(Func::ops).filter_map(|(_, op)| match &op.kind {
        OpKind::Call(call) => Some((call.layer?, call.callee)),
        OpKind::Source(_) | OpKind::Core(_) => None,
    });
    calls.collect()
}

/// Joins the declarations of a layer in two stages.
struct Joiner<'a> {
    module: &'a Module,
    nested: &'a BTreeMap<LayerId, FuncId>,
    /// The stages.
    places: [&'a str; 2],
}

impl Joiner<'_> {
    fn layer(&self, joined: &mut Joined, first: LayerId, second: LayerId) -> Result<()> {
        if first == second || joined.layers.contains_key(&second) {
            return Ok(());
        }
        let (a, b) = (&self.module[first], &self.module[second]);
        if let Some(note) = self.difference(a, b) {
            return Err(self.conflict(a, &note));
        }
        match (self.nested.get(&first), self.nested.get(&second)) {
            (None, None) => {}
            (Some(f), Some(g)) => self.func(joined, a, *f, *g)?,
            (Some(_), None) | (None, Some(_)) => {
                return Err(self.conflict(a, "it is a nested model in only one of them"));
            }
        }
        joined.layers.insert(second, first);
        Ok(())
    }

    /// Joins two functions of the nested model `layer`.
    fn func(&self, joined: &mut Joined, layer: &Layer, first: FuncId, second: FuncId) -> Result<()> {
        let by_name = |id: FuncId| -> BTreeMap<&str, LayerId> {
            self.module[id].layers().into_iter().map(|l| (&*self.module[l].name, l)).collect()
        };
        let (a, b) = (by_name(first), by_name(second));
        for (name, second) in &b {
            if let Some(first) = a.get(name) {
                self.layer(joined, *first, *second)?;
            }
        }
        if joined.essence(&self.module[first]) != joined.essence(&self.module[second]) {
            return Err(self.conflict(layer, "the graphs inside differ"));
        }
        joined.funcs.insert(second, first);
        Ok(())
    }

    /// Describes how two declarations of the same name differ, if they do.
    fn difference(&self, a: &Layer, b: &Layer) -> Option<String> {
        if a.class != b.class {
            return Some(format!("it is a {} in one and a {} in the other", a.class, b.class));
        }
        if a.config != b.config {
            return Some("the configurations differ".into());
        }
        let weight = |(_, id): &(Name, WeightId)| &self.module[*id];
        let differs = |(x, y): &(&(Name, WeightId), &(Name, WeightId))| {
            x.0 != y.0 || x.1 != y.1 && (weight(x).ty != weight(y).ty || weight(x).data != weight(y).data)
        };
        for (a, b, what) in [(&a.weights, &b.weights, "weights"), (&a.assets, &b.assets, "assets")] {
            if a.len() != b.len() {
                return Some(format!("it has {} {what} in one and {} in the other", a.len(), b.len()));
            }
            if let Some((x, _)) = a.iter().zip(b).find(differs) {
                return Some(format!("its {what} `{}` differ", x.0));
            }
        }
        None
    }

    fn conflict(&self, layer: &Layer, note: &str) -> PassError {
        let [first, second] = self.places;
        PassError::new(format!("the layer `{}` differs between `@{first}` and `@{second}`: {note}", layer.name))
    }
}
