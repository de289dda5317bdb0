//! Decides where to cut, and what crosses.

use netc_dialect::Dialects;
use netc_ir::{Func, FuncId, MAIN, Module, Name, OpId, UniqueNames, ValueId};
use netc_pass::{PassError, Result};
use thiserror::Error;

use crate::analysis::calls::stages;
use crate::analysis::{CutError, CutPoint, OpNames, constant_producer, is_constant, live_ops, needed_by, resolve};
use crate::part::Crossing;

/// Why a model cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    /// A name is not a cut.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// No cut is given.
    #[error("no cut is given: name a layer or a value, as in `split=mixed9`")]
    NoCut,
    /// The module has no `@main`.
    #[error("the module has no function `@main`")]
    NoMain,
    /// The model is split already: `@main` has ops, and all are calls without a layer.
    #[error(
        "the model is already split; its first stage is `{0}`. Merge it first with `--pass merge`, or with \
         `netc merge manifest.json -o FILE`"
    )]
    AlreadySplit(String),
    /// The first part would be empty.
    #[error("nothing is computed before `{0}`: it reads only inputs of the model, weights and constants")]
    NothingBefore(String),
    /// The place is a weight or a constant.
    #[error("cannot cut at `{0}`: it is a weight or a constant, and every stage that reads it has its own")]
    Constant(String),
    /// The last part would be empty.
    #[error("nothing is computed after `{0}`: every output of the model is already computed there")]
    NothingAfter(String),
    /// The place is in dead code.
    #[error("cannot cut at `{0}`: no output of the model needs it")]
    Dead(String),
    /// A cut is given twice.
    #[error("the cut `{0}` is given twice")]
    Twice(String),
    /// Two cuts are the same.
    #[error("`{0}` and `{1}` are the same cut: nothing is computed between them")]
    Same(String, String),
    /// Two cuts have no order.
    #[error(
        "`{0}` and `{1}` are on parallel branches: neither is computed from the other. \
         To cut through both at once, write `split={0}+{1}`"
    )]
    Parallel(String, String),
    /// A mask would not reach its reader.
    #[error("{0}")]
    Mask(String),
}

impl From<SplitError> for PassError {
    fn from(error: SplitError) -> Self {
        Self::from_error(error)
    }
}

/// The plan of a split of `@main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPlan {
    /// The cuts, in the order of the function.
    pub boundaries: Vec<Boundary>,
    /// The stages, one more than the cuts.
    pub stages: Vec<StagePlan>,
    /// The ops that no output needs.
    pub dropped: Vec<OpId>,
    /// Whether the cuts were given in another order.
    pub reordered: bool,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StagePlan {
    /// The name of its function.
    pub name: Name,
    /// Its ops, in order, including the weights and constants that no earlier stage reads.
    pub ops: Vec<OpId>,
    /// The weights and constants that it shares with earlier stages, in order. It gets copies of these ops.
    pub copied: Vec<OpId>,
    /// The values that it reads but does not compute: inputs of the model, then results of earlier stages, each in the
    /// order of definition.
    pub inputs: Vec<ValueId>,
    /// The values that it computes for later stages or as outputs of the model, in the order of definition. If it
    /// [ends](Self::ends), in the order of the model's outputs.
    pub outputs: Vec<ValueId>,
    /// Whether no later stage reads its results.
    pub ends: bool,
}

/// One cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// The cut as given.
    pub spec: String,
    /// The values that are computed before it and read after it.
    pub crossing: Vec<Crossing>,
    /// The inputs of the model that are read both before and after it.
    pub shared_inputs: Vec<Crossing>,
    /// The values of the cut, which the part before it computes.
    pub at: Vec<ValueId>,
    /// If more than one tensor crosses, and if searched: the names of the nearest one-tensor cuts before and after.
    pub nearest: Option<[Option<String>; 2]>,
}

/// Decides how to split `@main` of a verified module at the cuts `at`, given in any order. Rejects cuts inside nested
/// models and ignores masks; [`prepare`](super::prepare()) handles both.
///
/// Takes linear time for each cut.
pub fn plan(module: &Module, at: &[String], dialects: &Dialects) -> Result<SplitPlan> {
    let main = splittable(module, at)?;
    let cut = |spec: &String| Ok((spec.clone(), resolve(module, main, spec, dialects)?));
    let cuts = at.iter().map(cut).collect::<Result<Vec<_>, SplitError>>()?;
    Ok(plan_at(module, cuts)?)
}

/// Checks that the module can be split, and returns `@main`.
pub(super) fn splittable(module: &Module, at: &[String]) -> Result<FuncId, SplitError> {
    let main = module.func_named(MAIN).ok_or(SplitError::NoMain)?;
    if at.is_empty() {
        return Err(SplitError::NoCut);
    }
    if let Some(stage) = stages(module, &module[main]).first() {
        return Err(SplitError::AlreadySplit(module[*stage].name.to_string()));
    }
    Ok(main)
}

/// Decides how to split `@main` at cuts that are already resolved.
pub(super) fn plan_at(module: &Module, cuts: Vec<(String, Vec<CutPoint>)>) -> Result<SplitPlan, SplitError> {
    let main = module.main().ok_or(SplitError::NoMain)?;
    let live = live_ops(main);
    let cuts =
        cuts.into_iter().map(|(spec, points)| Cut::of(main, &live, spec, points)).collect::<Result<Vec<_>, _>>()?;
    let (cuts, reordered) = in_order(cuts);
    let stage_of = assign_stages(main, &live, &cuts)?;
    Ok(Planner { module, main, stage_of, live, cuts }.plan(reordered))
}

/// The names `stage0`, `stage1`, ..., with a number appended if another function has that name.
fn stage_names(module: &Module, count: usize) -> Vec<Name> {
    let mut names = UniqueNames::without(module.funcs.iter().map(|f| f.name.clone()));
    (0..count).map(|i| names.take(&format!("stage{i}"))).collect()
}

/// Marks the ops, by id, that `values` need, without weights and constants.
fn computed_for(main: &Func, values: impl IntoIterator<Item = ValueId>) -> Vec<bool> {
    let mut computed = needed_by(main, values);
    for (id, op) in main.ops() {
        computed[id.index()] &= !is_constant(&op.kind);
    }
    computed
}

/// A cut resolved in the function.
struct Cut {
    spec: String,
    points: Vec<CutPoint>,
    /// The number of ops that compute it.
    size: usize,
}

impl Cut {
    fn of(main: &Func, live: &[bool], spec: String, points: Vec<CutPoint>) -> Result<Self, SplitError> {
        if points.iter().any(|p| !live[p.op.index()]) {
            return Err(SplitError::Dead(spec));
        }
        if points.iter().all(|p| is_constant(&main[p.op].kind)) {
            return Err(SplitError::Constant(spec));
        }
        let mut cut = Self { spec, points, size: 0 };
        cut.size = cut.ops_before(main).iter().filter(|b| **b).count();
        if cut.size == 0 {
            let spec = &cut.spec;
            return Err(SplitError::NothingBefore(spec.strip_prefix("before:").unwrap_or(spec).into()));
        }
        Ok(cut)
    }

    fn values(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.points.iter().flat_map(|p| p.values.iter().copied())
    }

    fn ops_before(&self, main: &Func) -> Vec<bool> {
        computed_for(main, self.values())
    }
}

fn in_order(mut cuts: Vec<Cut>) -> (Vec<Cut>, bool) {
    let reordered = !cuts.is_sorted_by_key(|c| c.size);
    cuts.sort_by_key(|c| c.size);
    (cuts, reordered)
}

/// The stage of each live op, by op id.
///
/// The cuts are sorted by size. A cut contains the previous one if and only if the ops that it adds make up the
/// difference in size.
fn assign_stages(main: &Func, live: &[bool], cuts: &[Cut]) -> Result<Vec<usize>, SplitError> {
    let mut stage_of = vec![cuts.len(); live.len()];
    let mut assigned = 0;
    for (i, cut) in cuts.iter().enumerate() {
        let before = cut.ops_before(main);
        let mut added = 0;
        for op in main.op_ids().filter(|op| before[op.index()]) {
            let stage = &mut stage_of[op.index()];
            if *stage == cuts.len() {
                *stage = i;
                added += 1;
            }
        }
        if let Some(previous) = i.checked_sub(1).map(|p| &cuts[p]) {
            check_order(previous, cut, assigned + added == cut.size, added)?;
        }
        assigned += added;
    }
    let all = main.ops().filter(|(id, op)| live[id.index()] && !is_constant(&op.kind)).count();
    match cuts.last() {
        Some(last) if assigned == all => Err(SplitError::NothingAfter(last.spec.clone())),
        _ => {
            assign_constants(main, live, &mut stage_of);
            Ok(stage_of)
        }
    }
}

/// Moves each weight and constant from the last stage to the first stage that reads it. One that is only returned
/// stays.
fn assign_constants(main: &Func, live: &[bool], stage_of: &mut [usize]) {
    for (reader, op) in main.ops().filter(|(id, _)| live[id.index()]) {
        for constant in op.operands.iter().filter_map(|v| constant_producer(main, *v)) {
            stage_of[constant.index()] = stage_of[constant.index()].min(stage_of[reader.index()]);
        }
    }
}

fn check_order(previous: &Cut, cut: &Cut, contains_previous: bool, added: usize) -> Result<(), SplitError> {
    let (a, b) = (previous.spec.clone(), cut.spec.clone());
    match (contains_previous, added) {
        (true, 0) if a == b => Err(SplitError::Twice(a)),
        (true, 0) => Err(SplitError::Same(a, b)),
        (true, _) => Ok(()),
        (false, _) => Err(SplitError::Parallel(a, b)),
    }
}

struct Planner<'m> {
    module: &'m Module,
    main: &'m Func,
    live: Vec<bool>,
    stage_of: Vec<usize>,
    cuts: Vec<Cut>,
}

/// The first and the last stage that use a value.
type Span = Option<(usize, usize)>;

impl Planner<'_> {
    fn plan(&self, reordered: bool) -> SplitPlan {
        let names = OpNames::of(self.module, self.main);
        let stages = self.stages(&names);
        SplitPlan {
            boundaries: self.boundaries(&names, &stages),
            stages,
            dropped: self.main.op_ids().filter(|op| !self.live[op.index()]).collect(),
            reordered,
        }
    }

    fn stages(&self, names: &OpNames<'_>) -> Vec<StagePlan> {
        let named = |name| StagePlan { name, ..StagePlan::default() };
        let mut stages: Vec<StagePlan> = stage_names(self.module, self.cuts.len() + 1).into_iter().map(named).collect();
        for op in self.main.op_ids().filter(|op| self.live[op.index()]) {
            stages[self.stage_of[op.index()]].ops.push(op);
        }
        let mut leaves = vec![false; self.main.num_values()];
        self.main.outputs.iter().for_each(|o| leaves[o.value.index()] = true);
        // One past the last stage seen to read each value, so that each stage lists it once.
        let mut read_in = vec![0; self.main.num_values()];
        for (i, stage) in stages.iter_mut().enumerate() {
            for value in stage.ops.iter().flat_map(|op| &self.main[*op].operands) {
                let inside = self.defined_in(*value) == Some(i);
                if inside || std::mem::replace(&mut read_in[value.index()], i + 1) == i + 1 {
                    continue;
                }
                if let Some(constant) = constant_producer(self.main, *value) {
                    stage.copied.push(constant);
                } else {
                    stage.inputs.push(*value);
                    leaves[value.index()] = true;
                }
            }
            stage.inputs.sort_unstable_by_key(|v| names.position(*v));
            stage.copied.sort_unstable_by_key(|op| self.main[*op].results.first().map(|v| names.position(*v)));
        }
        // The index of each value among the model's outputs.
        let mut place = vec![0; self.main.num_values()];
        self.main.outputs.iter().enumerate().rev().for_each(|(i, output)| place[output.value.index()] = i);
        for stage in &mut stages {
            let results = stage.ops.iter().flat_map(|op| &self.main[*op].results).copied();
            stage.outputs = results.filter(|v| leaves[v.index()]).collect();
            stage.ends = stage.outputs.iter().all(|v| read_in[v.index()] == 0);
            if stage.ends {
                stage.outputs.sort_by_key(|v| place[v.index()]);
            }
        }
        stages
    }

    fn defined_in(&self, value: ValueId) -> Option<usize> {
        self.main.producer(value).map(|op| self.stage_of[op.index()])
    }

    fn boundaries(&self, names: &OpNames<'_>, stages: &[StagePlan]) -> Vec<Boundary> {
        let spans = self.spans(stages);
        let mut boundaries: Vec<Boundary> = self.cuts.iter().map(empty_boundary).collect();
        for value in self.main.values_in_order() {
            let Some((first, last)) = spans[value.index()] else { continue };
            for boundary in &mut boundaries[first..last] {
                let crossing = Crossing::of(self.main, names, value);
                let computed = self.main.producer(value).is_some();
                if computed { &mut boundary.crossing } else { &mut boundary.shared_inputs }.push(crossing);
            }
        }
        boundaries
    }

    fn spans(&self, stages: &[StagePlan]) -> Vec<Span> {
        let mut spans: Vec<Span> = vec![None; self.main.num_values()];
        for (i, stage) in stages.iter().enumerate() {
            for value in &stage.inputs {
                let first = spans[value.index()].map_or_else(|| self.defined_in(*value).unwrap_or(i), |s| s.0);
                spans[value.index()] = Some((first, i));
            }
        }
        spans
    }
}

fn empty_boundary(cut: &Cut) -> Boundary {
    let (crossing, shared_inputs) = (Vec::new(), Vec::new());
    Boundary { spec: cut.spec.clone(), crossing, shared_inputs, at: cut.values().collect(), nearest: None }
}

impl SplitPlan {
    /// The stage of each op of `@main`, by id. Dropped ops get the number of stages.
    pub(super) fn stage_of(&self, module: &Module) -> Vec<usize> {
        let mut stage_of = vec![self.stages.len(); module.main().map_or(0, Func::num_op_slots)];
        for (i, stage) in self.stages.iter().enumerate() {
            stage.ops.iter().for_each(|op| stage_of[op.index()] = i);
        }
        stage_of
    }
}

impl StagePlan {
    /// The ops of its function, in order.
    pub(super) fn all_ops(&self) -> impl Iterator<Item = OpId> + '_ {
        self.copied.iter().chain(&self.ops).copied()
    }
}

impl Boundary {
    /// Whether more than one computed tensor crosses.
    pub fn is_wide(&self) -> bool {
        self.crossing.len() > 1
    }
}
