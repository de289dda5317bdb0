//! Dissolves the nested models that contain a cut: their layers become layers of `@main`, which can be cut.

use std::borrow::Cow;
use std::cell::OnceCell;

use netc_dialect::Dialects;
use netc_ir::{Func, FuncId, Loc, MAIN, Module, OpId};
use netc_pass::{Context, PassError, Remark, Result};

use crate::analysis::{CutError, CutPart, CutPoint, Flat, Models, Names, OpNames, Slot, callee, sealed};
use crate::inline::inline;
use crate::prune::replace_funcs;

/// A module in which all cuts are places in `@main`.
pub(crate) struct Flattened<'m> {
    pub(crate) module: Cow<'m, Module>,
    /// The places of each cut.
    pub(crate) cuts: Vec<Vec<CutPoint>>,
    pub(crate) remarks: Vec<Remark>,
    names: Names<'m>,
    before: &'m Module,
    main: FuncId,
    /// Which functions were dissolved, by id.
    open: Vec<bool>,
    origins: OnceCell<Origins<'m>>,
}

/// The original place of each op of `@main`.
pub(crate) struct Origins<'m> {
    pub(crate) models: Models<'m>,
    /// `@main` as a flat graph.
    pub(crate) flat: Flat,
    /// The ops of `@main`, by their number in the graph.
    pub(crate) ops: Vec<OpId>,
    /// The index of each op in `ops`, by op id.
    place: Vec<u32>,
}

/// Inlines the nested models that contain a cut of `@main`. Other nested models stay. A model that is applied several
/// times is dissolved everywhere; its layers stay shared. `pass` is the name of the calling pass, for remarks.
///
/// # Errors
/// Fails if a cut names no layer, or is inside a model that cannot be dissolved.
pub(crate) fn flatten_submodels<'m>(
    module: &'m Module,
    specs: &[String],
    pass: &'static str,
    dialects: &'m Dialects,
) -> Result<Flattened<'m>> {
    let main = module.func_named(MAIN).ok_or_else(PassError::no_main)?;
    let names = Names::of(module, main, dialects);
    let parts =
        specs.iter().map(|spec| names.parts(spec)).collect::<Result<Vec<_>, _>>().map_err(PassError::from_error)?;
    let open = wanted(module, main, parts.iter().flatten())?;
    let (inlined, remarks) = inlined(module, &open, pass, dialects)?;
    let (cuts, origins) = (Vec::new(), OnceCell::new());
    let mut flattened = Flattened { module: inlined, cuts, remarks, names, before: module, main, open, origins };
    if flattened.module.main().map(Func::num_ops) != Some(flattened.expected_ops()) {
        return Err(PassError::new("a nested model that contains a cut cannot be dissolved"));
    }
    let points = |parts: Vec<CutPart>| {
        let points = parts.iter().map(|part| flattened.points(part)).collect::<Result<Vec<_>, _>>();
        points.map(|points| points.concat())
    };
    let cuts = parts.into_iter().map(points).collect::<Result<_, _>>().map_err(PassError::from_error)?;
    flattened.cuts = cuts;
    Ok(flattened)
}

impl<'m> Flattened<'m> {
    /// The name under which `split` knows the original place of `op`, an op of the new `@main`.
    pub(crate) fn name(&self, op: OpId) -> String {
        let path = self.names.path(&self.origins().models, self.slot(op));
        path.unwrap_or_else(|| {
            self.module.main().map_or_else(String::new, |main| OpNames::of(&self.module, main).op(op))
        })
    }

    /// The original place of an op of `@main`.
    pub(crate) fn slot(&self, op: OpId) -> Slot {
        let origins = self.origins();
        origins.flat.slot(origins.place[op.index()])
    }

    pub(crate) fn origins(&self) -> &Origins<'m> {
        self.origins.get_or_init(|| {
            let models = models(self.before, self.main, &self.open);
            let flat = Flat::of(&models, &self.open);
            let main = self.module.main();
            let ops: Vec<OpId> = main.into_iter().flat_map(Func::op_ids).collect();
            let mut place = vec![0; main.map_or(0, Func::num_op_slots)];
            ops.iter().zip(0..).for_each(|(op, i)| place[op.index()] = i);
            Origins { models, flat, ops, place }
        })
    }

    fn expected_ops(&self) -> usize {
        if self.open.contains(&true) { self.origins().flat.len() } else { self.before[self.main].num_ops() }
    }

    /// The places in the new `@main` for a part of a cut. Usually one; after a dissolved model, one for each of its
    /// outputs.
    fn points(&self, part: &CutPart) -> Result<Vec<CutPoint>, CutError> {
        let Some(main) = self.module.main() else { return Ok(Vec::new()) };
        if !self.open.contains(&true) {
            return Ok(vec![CutPoint::of(main, part.op, part.value, part.before)]);
        }
        let Origins { models, flat, ops, .. } = self.origins();
        let input = || CutError::Input { name: part.text.clone() };
        let slot = models.find(&part.calls, part.op).ok_or_else(input)?;
        if let Some(op) = flat.op_in(slot) {
            let op = ops[op as usize];
            let index = part.value.and_then(|value| models.op(slot).results.iter().position(|result| *result == value));
            let value = index.and_then(|index| main[op].results.get(index)).copied();
            return Ok(vec![CutPoint::of(main, op, value, part.before)]);
        }
        let tensors = if part.before { flat.arguments_in(slot) } else { flat.results_in(slot) };
        let point = |tensor: u32| {
            let op = ops[flat.producer(tensor)? as usize];
            Some(CutPoint { op, values: vec![*main[op].results.get(flat.result_index(tensor))?] })
        };
        let points: Vec<CutPoint> = tensors.into_iter().filter_map(point).collect();
        if points.is_empty() { Err(input()) } else { Ok(points) }
    }
}

/// Marks the functions, by id, on the paths to the cuts.
fn wanted<'p>(module: &Module, main: FuncId, parts: impl Iterator<Item = &'p CutPart>) -> Result<Vec<bool>> {
    let sealed = sealed(module, main);
    let mut open = vec![false; module.funcs.len()];
    for part in parts {
        let mut func = main;
        for call in &part.calls {
            let op = &module[func][*call];
            let Some(callee) = callee(op) else { break };
            if sealed[callee.index()] {
                let layer = op.kind.layer().map_or(&module[callee].name, |layer| &module[layer].name);
                return Err(PassError::new(format!(
                    "cannot cut at `{}`: it is inside `{layer}`, a nested model with weights of its own. Cut before or \
                     after `{layer}`",
                    part.text
                )));
            }
            open[callee.index()] = true;
            func = callee;
        }
    }
    Ok(open)
}

/// All models that can be opened, or the models in `open` if some of these are not among them.
fn models<'m>(module: &'m Module, main: FuncId, open: &[bool]) -> Models<'m> {
    let models = Models::openable(module, main);
    if models.open().iter().zip(open).all(|(can, open)| *can || !open) {
        models
    } else {
        Models::of(module, main, open)
    }
}

fn inlined<'m>(
    module: &'m Module,
    open: &[bool],
    pass: &'static str,
    dialects: &Dialects,
) -> Result<(Cow<'m, Module>, Vec<Remark>)> {
    if !open.contains(&true) {
        return Ok((Cow::Borrowed(module), Vec::new()));
    }
    // Dissolving is part of the one rewrite that the pass counts, so it takes no fuel of its own.
    let mut context = Context::new(dialects);
    for func in module.func_ids().filter(|func| open[func.index()]) {
        let text = format!("dissolved the nested model `{}`, because a cut is inside it", module[func].name);
        context.remark(pass, Loc::Unknown, text);
    }
    let mut module = module.clone();
    let inlined = inline(&mut module, open, &mut context)?;
    replace_funcs(&mut module, inlined.funcs, &inlined.keep);
    Ok((Cow::Owned(module), context.remarks))
}
