//! Decides which ops are between two places, and what they read.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::Dialects;
use netc_ir::{Func, MAIN, Module, OpId, ValueId};
use netc_pass::{PassError, Result};
use thiserror::Error;

use super::INFO;
use crate::analysis::{CutError, CutPoint, Names, OpNames, constant_producer, is_constant};
use crate::flatten_submodels::{Flattened, flatten_submodels};
use crate::part::Crossing;

/// Why a part cannot be extracted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExtractError {
    /// A name is not a place.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The module has no `@main`.
    #[error("the module has no function `@main`")]
    NoMain,
    /// The text does not name two places.
    #[error("`{0}` is not a part: expected FROM..TO, as in `extract=mixed3..mixed9`, `..mixed9` or `mixed3..`")]
    Syntax(String),
    /// The part begins at an input.
    #[error("`{0}` is an input of the model: to begin at the inputs, omit the first place, as in `..{1}`")]
    FromInput(String, String),
    /// The part ends at an input.
    #[error("`{0}` is an input of the model: nothing is computed up to there")]
    ToInput(String),
    /// The part begins before a layer that reads only inputs.
    #[error(
        "nothing is computed before `{0}`: it reads only inputs of the model, weights and constants. \
         To begin at the inputs, omit the first place, as in `..{1}`"
    )]
    NothingBefore(String, String),
    /// A place is a weight or a constant.
    #[error("`{0}` is a weight or a constant, which depends on no input: name a layer or a value that does")]
    Constant(String),
    /// Both places are the same.
    #[error("`{0}` and `{1}` are the same place: nothing is computed between them")]
    Same(String, String),
    /// The second place does not depend on the first.
    #[error("`{to}` is not computed from `{from}`")]
    NotBelow {
        /// The first place.
        from: String,
        /// The second place.
        to: String,
    },
    /// The second place does not need all of the first.
    #[error("`{to}` does not need all of `{from}`")]
    Unneeded {
        /// The first place.
        from: String,
        /// The second place.
        to: String,
    },
    /// Nothing depends on the first place.
    #[error("no output of the model is computed from `{0}`")]
    NothingAfter(String),
    /// Nothing is computed up to the second place.
    #[error("nothing is computed up to `{0}`")]
    Empty(String),
}

impl From<ExtractError> for PassError {
    fn from(error: ExtractError) -> Self {
        Self::from_error(error)
    }
}

/// The part of `@main` to extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractPlan {
    /// Its ops in order, including those for the weights and constants that it reads.
    pub ops: Vec<OpId>,
    /// Its inputs, in the order of definition.
    pub inputs: Vec<ValueId>,
    /// Its outputs.
    pub outputs: Vec<ValueId>,
    /// Whether it ends at the outputs of the model.
    pub ends: bool,
    /// The inputs that are not at the first place.
    pub further: Vec<FurtherInput>,
    /// The number of ops of the whole `@main`.
    pub whole: usize,
    /// The first place as given; empty for the inputs of the model.
    pub from: String,
}

/// An input that the part needs in addition to the first place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherInput {
    /// The value.
    pub input: Crossing,
    /// Whether the model computes it; otherwise it is an input of the model.
    pub computed: bool,
    /// The first op of the part that reads it.
    pub reader: String,
}

/// Decides which part of `@main` the text `FROM..TO` means, after dissolving the nested models around its ends.
///
/// Takes time linear in the size of the model.
pub(super) fn plan<'m>(module: &'m Module, text: &str, dialects: &'m Dialects) -> Result<(Flattened<'m>, ExtractPlan)> {
    let main = module.func_named(MAIN).ok_or(ExtractError::NoMain)?;
    let (from, to) = ends(&Names::of(module, main, dialects), text)?;
    let given: Vec<String> = [from, to].iter().filter(|end| !end.is_empty()).map(ToString::to_string).collect();
    let mut flattened = flatten_submodels(module, &given, INFO.name, dialects)?;
    let mut points = std::mem::take(&mut flattened.cuts).into_iter();
    let from = End { text: from, points: if from.is_empty() { None } else { points.next() } };
    let to = End { text: to, points: if to.is_empty() { None } else { points.next() } };
    let plan = between(&flattened, &from, &to)?;
    Ok((flattened, plan))
}

fn between(flattened: &Flattened<'_>, from: &End<'_>, to: &End<'_>) -> Result<ExtractPlan, ExtractError> {
    let main = flattened.module.main().ok_or(ExtractError::NoMain)?;
    let starts = from.starts(main, to.text)?;
    let below = below(main, starts.as_ref());
    let outputs = to.outputs(main, from.text, starts.as_ref(), &below)?;
    let within = needed_within(main, &below, &outputs);
    let (ops, inputs) = close(main, &within);
    let used = |point: &CutPoint| point.values.iter().any(|v| inputs.contains(v));
    if !from.points.iter().flatten().all(used) {
        return Err(ExtractError::Unneeded { from: from.text.into(), to: to.text.into() });
    }
    let further = starts.map_or(Vec::new(), |starts| further(flattened, main, &ops, &inputs, &starts));
    let ends = to.points.is_none();
    Ok(ExtractPlan { ops, inputs, outputs, ends, further, whole: main.num_ops(), from: from.text.into() })
}

/// One end of the part.
struct End<'t> {
    text: &'t str,
    /// None for the end of the model.
    points: Option<Vec<CutPoint>>,
}

/// Splits the text into its two ends. Names may contain `..`, so it splits at the first `..` that leaves two valid
/// ends.
fn ends<'t>(names: &Names<'_>, text: &'t str) -> Result<(&'t str, &'t str), ExtractError> {
    let check = |end: &str| if end.is_empty() { Ok(()) } else { names.parts(end).map(drop) };
    let dots = text.char_indices().filter(|(at, _)| text[*at..].starts_with("..") && text != "..");
    let mut first_error = None;
    for (from, to) in dots.map(|(at, _)| (&text[..at], &text[at + 2..])) {
        let from_is_place = check(from).map_err(|e| of_from(e, to));
        match from_is_place.and_then(|()| check(to).map_err(of_to)) {
            Ok(()) => return Ok((from, to)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| ExtractError::Syntax(text.into())))
}

/// The error for the first end. An input gets a hint: a part that begins at the inputs omits the first place.
fn of_from(error: CutError, to: &str) -> ExtractError {
    if let CutError::Input { name } = &error {
        return ExtractError::FromInput(name.clone(), to.into());
    }
    error.into()
}

fn of_to(error: CutError) -> ExtractError {
    if let CutError::Input { name } = &error {
        return ExtractError::ToInput(name.clone());
    }
    error.into()
}

impl End<'_> {
    /// The values at which the part begins; `None` for the inputs of the model.
    fn starts(&self, main: &Func, to: &str) -> Result<Option<BTreeSet<ValueId>>, ExtractError> {
        let Some(points) = &self.points else { return Ok(None) };
        for point in points {
            if point.values.is_empty() {
                let name = self.text.strip_prefix("before:").unwrap_or(self.text);
                return Err(ExtractError::NothingBefore(name.into(), to.into()));
            }
            if point.values.iter().any(|v| constant_producer(main, *v).is_some()) {
                return Err(ExtractError::Constant(self.text.into()));
            }
        }
        Ok(Some(points.iter().flat_map(|p| p.values.iter().copied()).collect()))
    }

    /// The values at which the part ends, without duplicates. Values that do not depend on the start are left out.
    fn outputs(
        &self,
        main: &Func,
        from: &str,
        starts: Option<&BTreeSet<ValueId>>,
        below: &[bool],
    ) -> Result<Vec<ValueId>, ExtractError> {
        let is_below = |value: &ValueId| main.producer(*value).is_some_and(|op| below[op.index()]);
        let Some(points) = &self.points else {
            let outputs = once_each(main.outputs.iter().map(|o| o.value).filter(is_below));
            return if outputs.is_empty() { Err(ExtractError::NothingAfter(from.into())) } else { Ok(outputs) };
        };
        for point in points {
            if point.values.is_empty() {
                return Err(ExtractError::Empty(self.text.into()));
            }
            if point.values.iter().any(|v| constant_producer(main, *v).is_some()) {
                return Err(ExtractError::Constant(self.text.into()));
            }
            if point.values.iter().all(|v| starts.is_some_and(|starts| starts.contains(v))) {
                return Err(ExtractError::Same(from.into(), self.text.into()));
            }
            if !point.values.iter().any(is_below) {
                return Err(ExtractError::NotBelow { from: from.into(), to: self.text.into() });
            }
        }
        Ok(once_each(points.iter().flat_map(|p| p.values.iter().copied()).filter(is_below)))
    }
}

fn once_each(values: impl Iterator<Item = ValueId>) -> Vec<ValueId> {
    let mut seen = BTreeSet::new();
    values.filter(|v| seen.insert(*v)).collect()
}

/// Marks the ops, by id, that depend on `starts` and define none of them; without starts, all ops. Weights and
/// constants depend on nothing.
fn below(main: &Func, starts: Option<&BTreeSet<ValueId>>) -> Vec<bool> {
    let mut below = vec![false; main.num_op_slots()];
    let mut depends = vec![false; main.num_values()];
    starts.into_iter().flatten().for_each(|v| depends[v.index()] = true);
    for (id, op) in main.ops().filter(|(_, op)| !is_constant(&op.kind)) {
        let defines_start = starts.is_some_and(|starts| op.results.iter().any(|v| starts.contains(v)));
        if !defines_start && (starts.is_none() || op.operands.iter().any(|v| depends[v.index()])) {
            below[id.index()] = true;
            op.results.iter().for_each(|v| depends[v.index()] = true);
        }
    }
    below
}

/// Marks the ops of `below`, by id, that `outputs` need.
fn needed_within(main: &Func, below: &[bool], outputs: &[ValueId]) -> Vec<bool> {
    let mut needed = vec![false; main.num_op_slots()];
    let mut read = vec![false; main.num_values()];
    outputs.iter().for_each(|v| read[v.index()] = true);
    for (id, op) in main.ops().rev().filter(|(id, _)| below[id.index()]) {
        if op.results.iter().any(|v| read[v.index()]) {
            needed[id.index()] = true;
            op.operands.iter().for_each(|v| read[v.index()] = true);
        }
    }
    needed
}

/// Returns the ops of `within` with the weights and constants that they read, in order, and the other values that they
/// read, in the order of definition.
fn close(main: &Func, within: &[bool]) -> (Vec<OpId>, Vec<ValueId>) {
    let mut ops = within.to_vec();
    let mut read = vec![false; main.num_values()];
    for value in main.ops().filter(|(id, _)| within[id.index()]).flat_map(|(_, op)| &op.operands) {
        match main.producer(*value) {
            Some(op) if is_constant(&main[op].kind) => ops[op.index()] = true,
            Some(op) if within[op.index()] => {}
            Some(_) | None => read[value.index()] = true,
        }
    }
    let inputs = main.values_in_order().filter(|v| read[v.index()]).collect();
    (main.op_ids().filter(|op| ops[op.index()]).collect(), inputs)
}

fn further(
    flattened: &Flattened<'_>,
    main: &Func,
    ops: &[OpId],
    inputs: &[ValueId],
    starts: &BTreeSet<ValueId>,
) -> Vec<FurtherInput> {
    let names = OpNames::of(&flattened.module, main);
    let mut readers: BTreeMap<ValueId, OpId> = BTreeMap::new();
    for op in ops.iter().rev() {
        readers.extend(main[*op].operands.iter().map(|v| (*v, *op)));
    }
    let further = inputs.iter().filter(|v| !starts.contains(v)).filter_map(|v| {
        let reader = flattened.name(*readers.get(v)?);
        Some(FurtherInput { input: Crossing::of(main, &names, *v), computed: main.producer(*v).is_some(), reader })
    });
    further.collect()
}

/// The number of further inputs that get a remark of their own.
const FURTHER_SHOWN: usize = 8;

impl ExtractPlan {
    /// The remarks about the part, one text each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![format!("kept {} of {} ops", self.ops.len(), self.whole)];
        remarks.extend(self.further.iter().take(FURTHER_SHOWN).map(|it| it.text(&self.from)));
        let more = self.further.len().saturating_sub(FURTHER_SHOWN);
        if more > 0 {
            remarks.push(format!("and {more} more further inputs"));
        }
        remarks
    }
}

impl FurtherInput {
    fn text(&self, from: &str) -> String {
        let Self { input, reader, computed } = self;
        let why = if *computed { format!("is not computed from `{from}`") } else { "is an input of the model".into() };
        format!("further input {input}: `{reader}` reads it, and it {why}")
    }
}
