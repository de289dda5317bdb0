//! The remark of a pass on core ops that finds only layers.

use netc_ir::{Loc, Module, OpKind};
use netc_pass::Context;

/// Adds a remark that the pass `name`, which works on core ops, finds only layers, if that is so.
pub(crate) fn warn_unlowered(module: &Module, name: &'static str, context: &mut Context<'_>) {
    let kinds = || module.funcs.iter().flat_map(|func| func.ops().map(|(_, op)| &op.kind));
    if !kinds().any(|kind| matches!(kind, OpKind::Core(_))) && kinds().any(|kind| matches!(kind, OpKind::Source(_))) {
        let note = "found layers but no core ops: put `lower` or `@simplify` before it";
        context.remark(name, Loc::Unknown, note);
    }
}

#[cfg(test)]
mod tests {
    use netc_dialect::Dialects;
    use netc_pass::{Manager, Pipeline};

    use super::*;

    #[test]
    fn passes_on_core_ops_remark_that_they_find_only_layers() {
        let layers = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = keras.Dropout(%x) : f32[N,4] }";
        let ops = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = relu(%x) : f32[N,4] }";
        for (text, said) in [(layers, 1), (ops, 0)] {
            for pass in ["fold-bn", "fuse", "layout", "saturate"] {
                let (mut module, dialects) = (netc_ir::parse(text).unwrap(), Dialects::new());
                let (pipeline, mut context): (Pipeline, _) = (pass.parse().unwrap(), Context::new(&dialects));
                Manager::new(&crate::registry()).run(&mut module, &pipeline, &mut context).unwrap();
                let notes = context.remarks.iter().filter(|r| r.text.contains("put `lower`"));
                assert_eq!(notes.count(), said, "{pass}");
            }
        }
    }
}
