//! Removes functions, layers, weights and files that nothing refers to.

use std::collections::BTreeSet;

use netc_ir::{FileId, Func, FuncId, Layer, LayerId, Loc, MAIN, Module, OpId, OpKind, WeightData, WeightId, callees};

/// Marks the functions, by id, that `roots` reach, themselves included. A function reaches the functions that it calls
/// and those that attributes of its source ops name.
pub(crate) fn reachable(funcs: &[Func], roots: impl IntoIterator<Item = FuncId>) -> Vec<bool> {
    let mut reached = vec![false; funcs.len()];
    let mut open: Vec<FuncId> = roots.into_iter().collect();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut reached[id.index()], true) {
            open.extend(callees(&funcs[id.index()]));
        }
    }
    reached
}

/// Replaces the functions of `module` by those of `funcs` that are marked in `keep`. These must not call the others.
/// Also removes layers and weights that lose their last reference.
pub(crate) fn replace_funcs(module: &mut Module, funcs: Vec<Func>, keep: &[bool]) {
    let before = Referred::by(module);
    retain_funcs(module, funcs, keep);
    remove_layers(module, &before.layers);
    remove_weights(module, &before.weights);
}

/// Removes the functions that `@main` does not reach, and then the layers, weights and files that nothing refers to.
pub fn sweep(module: &mut Module) {
    let keep = reachable(&module.funcs, module.func_named(MAIN));
    let funcs = std::mem::take(&mut module.funcs);
    retain_funcs(module, funcs, &keep);
    let (layers, weights) = (vec![true; module.layers.len()], vec![true; module.weights.len()]);
    remove_layers(module, &layers);
    remove_weights(module, &weights);
    let files = vec![true; module.files.len()];
    remove_files(module, &files);
}

/// An entry of a table of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A function.
    Func(FuncId),
    /// A layer.
    Layer(LayerId),
    /// A weight.
    Weight(WeightId),
    /// A file.
    File(FileId),
}

/// The entries of `module` that nothing refers to, except `@main`.
pub fn unused(module: &Module) -> Vec<Entry> {
    let called: BTreeSet<FuncId> = module.funcs.iter().flat_map(callees).chain(module.func_named(MAIN)).collect();
    let referred = Referred::by(module);
    let files = used_files(module);
    let of = |used: Vec<bool>| (0..used.len()).filter(move |i| !used[*i]);
    let funcs = module.func_ids().filter(|id| !called.contains(id)).map(Entry::Func);
    let layers = of(referred.layers).map(|i| Entry::Layer(LayerId::new(i)));
    let weights = of(referred.weights).map(|i| Entry::Weight(WeightId::new(i)));
    funcs.chain(layers).chain(weights).chain(of(files).map(|i| Entry::File(FileId::new(i)))).collect()
}

/// Removes `entries`, which nothing may refer to.
pub fn remove_unused(module: &mut Module, entries: &[Entry]) {
    let mut keep = vec![true; module.funcs.len()];
    let (mut layers, mut weights) = (vec![false; module.layers.len()], vec![false; module.weights.len()]);
    let mut files = vec![false; module.files.len()];
    for entry in entries {
        match entry {
            Entry::Func(id) => keep[id.index()] = false,
            Entry::Layer(id) => layers[id.index()] = true,
            Entry::Weight(id) => weights[id.index()] = true,
            Entry::File(id) => files[id.index()] = true,
        }
    }
    let funcs = std::mem::take(&mut module.funcs);
    retain_funcs(module, funcs, &keep);
    remove_layers(module, &layers);
    remove_weights(module, &weights);
    remove_files(module, &files);
}

/// Replaces the functions of `module` by those of `funcs` that are marked in `keep`.
fn retain_funcs(module: &mut Module, funcs: Vec<Func>, keep: &[bool]) {
    let new_ids = Renumbering::of(keep);
    module.funcs = funcs.into_iter().zip(keep).filter_map(|(func, keep)| keep.then_some(func)).collect();
    for_each_kind(&mut module.funcs, |kind| {
        kind.for_each_func_mut(|id| *id = FuncId::new(new_ids.get(id.index())));
    });
}

/// The layers and weights that something refers to.
struct Referred {
    layers: Vec<bool>,
    weights: Vec<bool>,
}

impl Referred {
    fn by(module: &Module) -> Self {
        let mut referred =
            Self { layers: vec![false; module.layers.len()], weights: vec![false; module.weights.len()] };
        for func in &module.funcs {
            func.layers().into_iter().for_each(|id| referred.layers[id.index()] = true);
            for (_, op) in func.ops() {
                op.kind.weights().into_iter().for_each(|id| referred.weights[id.index()] = true);
            }
        }
        for id in module.layers.iter().flat_map(Layer::data) {
            referred.weights[id.index()] = true;
        }
        referred
    }
}

/// Removes the layers marked in `before` that no function applies.
fn remove_layers(module: &mut Module, before: &[bool]) {
    let after = Referred::by(module).layers;
    let keep: Vec<bool> = before.iter().zip(after).map(|(before, after)| after || !before).collect();
    let new_ids = Renumbering::of(&keep);
    retain(&mut module.layers, &keep);
    let renew = |id: &mut Option<LayerId>| *id = id.map(|id| LayerId::new(new_ids.get(id.index())));
    module.funcs.iter_mut().flat_map(|f| &mut f.params).for_each(|p| renew(&mut p.layer));
    for_each_kind(&mut module.funcs, |kind| match kind {
        OpKind::Source(op) => renew(&mut op.layer),
        OpKind::Call(op) => renew(&mut op.layer),
        OpKind::Core(_) => {}
    });
}

/// Removes the weights marked in `before` that nothing refers to.
fn remove_weights(module: &mut Module, before: &[bool]) {
    let after = Referred::by(module).weights;
    let keep: Vec<bool> = before.iter().zip(after).map(|(before, after)| after || !before).collect();
    let new_ids = Renumbering::of(&keep);
    retain(&mut module.weights, &keep);
    let renew = |id: &mut WeightId| *id = WeightId::new(new_ids.get(id.index()));
    module.layers.iter_mut().flat_map(Layer::data_mut).for_each(renew);
    for_each_kind(&mut module.funcs, |kind| kind.for_each_weight_mut(renew));
}

/// Marks the files that a weight or a location refers to.
fn used_files(module: &Module) -> Vec<bool> {
    let mut used = vec![false; module.files.len()];
    for weight in &module.weights {
        if let WeightData::File { file, .. } = &weight.data {
            used[file.index()] = true;
        }
    }
    let mut places: Vec<&Loc> = module.funcs.iter().flat_map(|f| f.ops()).map(|(_, op)| &op.loc).collect();
    while let Some(place) = places.pop() {
        match place {
            Loc::Call { file: Some(file), .. } => used[file.index()] = true,
            Loc::Fused(parts) => places.extend(parts),
            Loc::Call { file: None, .. } | Loc::Unknown => {}
        }
    }
    used
}

/// Removes the files marked in `before` that nothing refers to.
fn remove_files(module: &mut Module, before: &[bool]) {
    let keep: Vec<bool> = before.iter().zip(used_files(module)).map(|(before, used)| used || !before).collect();
    let new_ids = Renumbering::of(&keep);
    retain(&mut module.files, &keep);
    for_each_file(module, |file| *file = FileId::new(new_ids.get(file.index())));
}

fn for_each_file(module: &mut Module, mut edit: impl FnMut(&mut FileId)) {
    for weight in &mut module.weights {
        if let WeightData::File { file, .. } = &mut weight.data {
            edit(file);
        }
    }
    for func in &mut module.funcs {
        for op in func.op_ids().collect::<Vec<OpId>>() {
            let mut places = vec![&mut func[op].loc];
            while let Some(place) = places.pop() {
                match place {
                    Loc::Call { file: Some(file), .. } => edit(file),
                    Loc::Fused(parts) => places.extend(parts),
                    Loc::Call { file: None, .. } | Loc::Unknown => {}
                }
            }
        }
    }
}

fn retain<T>(table: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    table.retain(|_| keep.next().copied().unwrap_or(true));
}

/// Calls `edit` on the kind of each op.
fn for_each_kind(funcs: &mut [Func], mut edit: impl FnMut(&mut OpKind)) {
    for func in funcs {
        let ops: Vec<OpId> = func.op_ids().collect();
        ops.into_iter().for_each(|op| edit(&mut func[op].kind));
    }
}

/// The new index of each entry of a table after removing some.
struct Renumbering(Vec<usize>);

impl Renumbering {
    fn of(keep: &[bool]) -> Self {
        let mut next = 0;
        let number = |keep: &bool| {
            next += usize::from(*keep);
            next - usize::from(*keep)
        };
        Self(keep.iter().map(number).collect())
    }

    fn get(&self, old: usize) -> usize {
        self.0[old]
    }
}
