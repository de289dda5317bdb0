//! The layers below a place, which it depends on, and the layers above it, which depend on it.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::Dialects;
use netc_ir::{LayerId, MAIN, Module};

use super::flat::{Flat, Tensor};
use super::models::{Models, NONE, Slot, callee};
use super::names::{CutError, CutPart, Names};

/// A layer of a model or of a nested model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPath {
    /// The path: the names of the nested models around it and its own, as in `backbone/conv1`.
    pub name: String,
    /// The declaration.
    pub layer: LayerId,
}

/// The layers that the place `spec` of `@main` depends on, including input layers, in the order of the model. The name
/// of a shared layer means all of its applications. A nested model counts as one layer unless the place is inside it.
///
/// Fails if `spec` names no place.
pub fn layers_below(module: &Module, spec: &str, dialects: &Dialects) -> Result<Vec<LayerPath>, CutError> {
    let Some(sides) = Sides::of(module, spec, dialects)? else { return Ok(Vec::new()) };
    let Sides { models, flat, parts } = &sides;
    let at = parts.iter().flat_map(|part| tensors(models, flat, part));
    let needed = flat.needed_by(at.filter(|tensor| flat.producer(*tensor).is_some()));
    let mut layers = sides.layers(|op| needed[op as usize]);
    let main = models.func(0);
    let read = (0..flat.len() as u32).filter(|op| needed[*op as usize]).flat_map(|op| flat.reads(op));
    let inputs: BTreeSet<Tensor> = read.copied().filter(|tensor| *tensor < flat.num_inputs()).collect();
    let declared = inputs.into_iter().filter_map(|input| main.params.get(input as usize)?.layer);
    layers.extend(declared.map(|id| (vec![id], module[id].name.to_string())));
    Ok(paths(layers))
}

/// The layers at the place `spec` of `@main` and all layers that depend on them, in the order of the model. Reads
/// `spec` as [`layers_below`] does, and fails in the same cases.
pub fn layers_above(module: &Module, spec: &str, dialects: &Dialects) -> Result<Vec<LayerPath>, CutError> {
    let Some(sides) = Sides::of(module, spec, dialects)? else { return Ok(Vec::new()) };
    let Sides { models, flat, parts } = &sides;
    let slots = parts.iter().filter_map(|part| models.find(&part.calls, part.op));
    let starts: BTreeSet<u32> = slots.filter_map(|slot| flat.op_in(slot)).collect();
    let mut reached = vec![false; flat.num_tensors()];
    let mut above = vec![false; flat.len()];
    for op in 0..flat.len() as u32 {
        if starts.contains(&op) || flat.reads(op).iter().any(|tensor| reached[*tensor as usize]) {
            above[op as usize] = true;
            flat.results(op).for_each(|tensor| reached[tensor as usize] = true);
        }
    }
    Ok(paths(sides.layers(|op| above[op as usize])))
}

/// A place, in the graph in which the nested models around it are open.
struct Sides<'m> {
    models: Models<'m>,
    flat: Flat,
    parts: Vec<CutPart>,
}

impl<'m> Sides<'m> {
    fn of(module: &'m Module, spec: &str, dialects: &Dialects) -> Result<Option<Self>, CutError> {
        let Some(main) = module.func_named(MAIN) else { return Ok(None) };
        let parts = Names::of(module, main, dialects).places(spec)?;
        let mut open = vec![false; module.funcs.len()];
        for part in &parts {
            let mut func = main;
            for call in &part.calls {
                let Some(callee) = callee(&module[func][*call]) else { break };
                open[callee.index()] = true;
                func = callee;
            }
        }
        let models = Models::of(module, main, &open);
        let flat = Flat::of(&models, &open);
        Ok(Some(Self { models, flat, parts }))
    }

    /// The layers applied by the ops that satisfy `is_among`: the declarations from the outermost in, and the path.
    fn layers(&self, is_among: impl Fn(u32) -> bool) -> BTreeMap<Vec<LayerId>, String> {
        let among = (0..self.flat.len() as u32).filter(|op| is_among(*op));
        among.filter_map(|op| self.layer(self.flat.slot(op))).collect()
    }

    fn layer(&self, slot: Slot) -> Option<(Vec<LayerId>, String)> {
        let (mut at, mut ids) = (slot, Vec::new());
        while at != NONE {
            ids.push(self.models.op(at).kind.layer()?);
            at = self.models.call(self.models.place(at).0);
        }
        ids.reverse();
        let names: Vec<&str> = ids.iter().map(|id| &*self.models.module[*id].name).collect();
        let path = names.join("/");
        Some((ids, path))
    }
}

fn tensors(models: &Models<'_>, flat: &Flat, part: &CutPart) -> Vec<Tensor> {
    let Some(slot) = models.find(&part.calls, part.op) else { return Vec::new() };
    match (flat.op_in(slot), part.before) {
        (Some(op), true) => flat.reads(op).to_vec(),
        (None, true) => flat.arguments_in(slot),
        (_, false) => flat.results_in(slot),
    }
}

fn paths(layers: BTreeMap<Vec<LayerId>, String>) -> Vec<LayerPath> {
    layers.into_iter().filter_map(|(ids, name)| Some(LayerPath { name, layer: *ids.last()? })).collect()
}
