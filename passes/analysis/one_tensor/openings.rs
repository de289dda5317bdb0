//! Determines which nested models are open when a place is examined.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Func, FuncId, Module, OpId, ValueId};

use super::super::calls::callees_first;
use super::super::models::{Models, callee};
use super::super::needed::is_constant;
use super::MAX_SIZE;

/// For each model, the functions that are open for places in it: those on the path to it, and those that are equivalent
/// open or closed.
pub(super) struct Openings {
    /// The distinct sets of open functions, by id.
    all: Vec<Vec<bool>>,
    /// The index of the set for each model.
    of_model: Vec<usize>,
}

impl Openings {
    pub(super) fn of(models: &Models<'_>) -> Self {
        let can_open: BTreeSet<FuncId> = (1..models.len() as u32).map(|model| models.func_id(model)).collect();
        let mut plain = Plain { module: models.module, can_open, known: BTreeMap::new() };
        let everywhere = plain.open_with(&BTreeSet::new());
        let (mut all, mut of_model) = (vec![everywhere.clone()], vec![0]);
        let mut entries: BTreeMap<BTreeSet<FuncId>, usize> = BTreeMap::from([(BTreeSet::new(), 0)]);
        let most = (MAX_SIZE / models.module.num_ops().max(1)).max(1);
        for model in 1..models.len() as u32 {
            let outer = models.parent(model).map_or(0, |outer: u32| of_model[outer as usize]);
            if outer == 0 && everywhere[models.func_id(model).index()] {
                of_model.push(0);
                continue;
            }
            let path = models.path(model);
            let mut key: BTreeSet<FuncId> = path.iter().copied().filter(|func| !everywhere[func.index()]).collect();
            let open = loop {
                let open = plain.open_with(&key);
                let closed: Vec<FuncId> = path.iter().copied().filter(|func| !open[func.index()]).collect();
                if closed.is_empty() {
                    break open;
                }
                key.extend(closed);
            };
            if all.len() >= most {
                of_model.push(usize::MAX);
                continue;
            }
            let entry = *entries.entry(key).or_insert_with(|| {
                all.push(open);
                all.len() - 1
            });
            of_model.push(entry);
        }
        Self { all, of_model }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Vec<bool>> {
        self.all.iter()
    }

    /// The index of the set for places in `model`. Out of range if there are too many different paths.
    pub(super) fn graph_of(&self, model: u32) -> usize {
        self.of_model[model as usize]
    }
}

/// Finds the functions that are equivalent open or closed.
struct Plain<'m> {
    module: &'m Module,
    can_open: BTreeSet<FuncId>,
    /// The results so far, by the set of functions that must be open.
    known: BTreeMap<BTreeSet<FuncId>, Vec<bool>>,
}

/// For each output of an open function, the parameters that it needs.
type Needs = BTreeMap<FuncId, Vec<Vec<bool>>>;

impl Plain<'_> {
    /// Marks the functions, by id, that are open if those in `key` must be: these, and those that are equivalent open
    /// or closed.
    fn open_with(&mut self, key: &BTreeSet<FuncId>) -> Vec<bool> {
        if let Some(open) = self.known.get(key) {
            return open.clone();
        }
        let mut open = vec![false; self.module.funcs.len()];
        let mut needs = Needs::new();
        for id in callees_first(self.module).into_iter().filter(|id| self.can_open.contains(id)) {
            let func = &self.module[id];
            if key.contains(&id) {
                let of_output = |output: ValueId| params_needed(func, output, &needs);
                let all = func.outputs.iter().map(|output| of_output(output.value)).collect();
                needs.insert(id, all);
                open[id.index()] = true;
            } else {
                open[id.index()] = is_plain(func, &needs);
            }
        }
        self.known.insert(key.clone(), open.clone());
        open
    }
}

/// Whether the function has exactly one output, which depends on every parameter.
fn is_plain(func: &Func, needs: &Needs) -> bool {
    let [output] = &func.outputs[..] else { return false };
    let computed = func.producer(output.value).is_some_and(|op: OpId| !is_constant(&func[op].kind));
    computed && !func.params.is_empty() && params_needed(func, output.value, needs).into_iter().all(|needed| needed)
}

fn params_needed(func: &Func, output: ValueId, needs: &Needs) -> Vec<bool> {
    let mut read = vec![false; func.num_values()];
    read[output.index()] = true;
    for (_, op) in func.ops().rev() {
        let results = op.results.iter().enumerate().filter(|(_, value)| read[value.index()]).map(|(i, _)| i);
        let results: Vec<usize> = results.collect();
        if results.is_empty() {
            continue;
        }
        let of_callee = callee(op).and_then(|callee| needs.get(&callee));
        for (i, operand) in op.operands.iter().enumerate() {
            let needed = |result: &usize| of_callee.is_none_or(|needs| needs[*result][i]);
            read[operand.index()] |= results.iter().any(needed);
        }
    }
    func.params.iter().map(|param| read[param.value.index()]).collect()
}
