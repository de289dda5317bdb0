//! Appends the tables of one module to those of another.

use std::collections::BTreeMap;

use crate::dim::Dim;
use crate::id::{FileId, FuncId, LayerId, WeightId};
use crate::loc::Loc;
use crate::module::{Module, WeightData};
use crate::name::Name;
use crate::op::OpKind;
use crate::verified_set::VerifiedSet;

/// Appends modules to one module. An index of files keeps this fast for many modules.
pub struct Linker<'m> {
    module: &'m mut Module,
    files: BTreeMap<Name, FileId>,
}

impl<'m> Linker<'m> {
    /// A linker that appends to `module`.
    pub fn new(module: &'m mut Module) -> Self {
        let files = module.files.iter().enumerate().map(|(i, file)| (file.clone(), FileId::new(i))).rev().collect();
        Self { module, files }
    }

    /// The module so far. Callers must not change its table of files.
    pub fn module(&mut self) -> &mut Module {
        self.module
    }

    /// Appends everything in `other` except its attributes and returns the new ids of its functions.
    ///
    /// Functions are renamed by `rename`, to names that must be free. Symbols are replaced by what `symbol` returns for
    /// them. Files with the same path are shared.
    pub fn append(
        &mut self,
        mut other: Module,
        rename: impl Fn(&str) -> Name,
        symbol: impl Fn(&Name) -> Option<Dim>,
    ) -> Vec<FuncId> {
        let files: Vec<FileId> = other.files.iter().map(|file| self.file(file)).collect();
        let this = &mut *self.module;
        let offset = Offsets { files, weights: this.weights.len(), layers: this.layers.len(), funcs: this.funcs.len() };
        for mut weight in other.weights {
            if let WeightData::File { file, .. } = &mut weight.data {
                *file = offset.file(*file);
            }
            this.weights.push(weight);
        }
        for mut layer in other.layers {
            layer.data_mut().for_each(|w| *w = offset.weight(*w));
            this.layers.push(layer);
        }
        for func in &mut other.funcs {
            func.name = rename(&func.name);
            func.seen = VerifiedSet::default();
            func.params.iter_mut().for_each(|p| p.layer = p.layer.map(|l| offset.layer(l)));
            func.values.iter_mut().for_each(|v| v.ty = v.ty.substitute(&symbol));
            for op in &mut func.ops {
                op.kind.substitute(&symbol);
                offset.kind(&mut op.kind);
                offset.loc(&mut op.loc);
            }
        }
        this.funcs.append(&mut other.funcs);
        (offset.funcs..this.funcs.len()).map(FuncId::new).collect()
    }

    fn file(&mut self, path: &Name) -> FileId {
        let next = FileId::new(self.module.files.len());
        let id = *self.files.entry(path.clone()).or_insert(next);
        if id == next {
            self.module.files.push(path.clone());
        }
        id
    }
}

struct Offsets {
    files: Vec<FileId>,
    weights: usize,
    layers: usize,
    funcs: usize,
}

impl Offsets {
    fn file(&self, id: FileId) -> FileId {
        self.files.get(id.index()).copied().unwrap_or(id)
    }

    fn weight(&self, id: WeightId) -> WeightId {
        WeightId::new(self.weights + id.index())
    }

    fn layer(&self, id: LayerId) -> LayerId {
        LayerId::new(self.layers + id.index())
    }

    fn kind(&self, kind: &mut OpKind) {
        kind.for_each_weight_mut(|id| *id = self.weight(*id));
        kind.for_each_func_mut(|id| *id = FuncId::new(self.funcs + id.index()));
        match kind {
            OpKind::Source(op) => op.layer = op.layer.map(|l| self.layer(l)),
            OpKind::Call(op) => op.layer = op.layer.map(|l| self.layer(l)),
            OpKind::Core(_) => {}
        }
    }

    fn loc(&self, loc: &mut Loc) {
        match loc {
            Loc::Unknown => {}
            Loc::Call { file, .. } => *file = file.map(|f| self.file(f)),
            Loc::Fused(locs) => locs.iter_mut().for_each(|l| self.loc(l)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Linker;
    use crate::{Dim, Module, parse, print, verify};

    #[test]
    fn references_are_renumbered() {
        let text = "netc 1
file file0 = \"a\"
weight w0 \"w\" : f32[4] = bytes(file0, 0, 16)
layer l0 \"s\" : custom.Scale {} weights {g = w0}
func @main(%x: f32[N,4]) -> (%y) {
  %w = weight w0() : f32[4]
  %s = custom.Scale l0(%x) {args = [$0]} : f32[N,4] loc(file0, \"s\")
  %y = add(%s, %w) : f32[N,4]
}";
        let one = parse(text).unwrap();
        let mut two = one.clone();
        let ids = Linker::new(&mut two).append(one, |_| "second".into(), |_| Some(Dim::symbol("M")));
        verify(&two).unwrap();
        assert_eq!(ids.len(), 1);
        let printed = print(&two);
        assert!(printed.contains("%w = weight w1()") && printed.contains("custom.Scale l1(%x)"), "{printed}");
        assert!(printed.contains("func @second(%x: f32[M,4])"), "{printed}");
        assert_eq!(two.files.len(), 1);
    }

    #[test]
    fn references_in_attributes_are_renumbered() {
        let text = "netc 1
weight w0 \"w\" : f32[4] = 0.5
func @main(%x: f32[N,4]) -> (%y) {
  %y = custom.Loop(%x) {all = [{body = @body, bias = w0}]} : f32[N,4]
}
func @body(%x: f32[N,4]) -> (%x) {}";
        let one = parse(text).unwrap();
        let mut two = one.clone();
        Linker::new(&mut two).append(one, |name| format!("{name}2").into(), |_| None);
        verify(&two).unwrap();
        let printed = print(&two);
        assert!(printed.contains("{all = [{body = @body, bias = w0}]}"), "{printed}");
        assert!(printed.contains("{all = [{body = @body2, bias = w1}]}"), "{printed}");
        assert_eq!(parse(&printed), Ok(two));
    }

    #[test]
    fn linking_many_modules_is_fast() {
        let mut whole = Module::new();
        let mut linker = Linker::new(&mut whole);
        for i in 0..100_000 {
            let files = vec![format!("stage{i}").into(), "shared".into()];
            linker.append(Module { files, ..Module::new() }, |name| name.into(), |_| None);
        }
        assert_eq!(whole.files.len(), 100_001);
    }
}
