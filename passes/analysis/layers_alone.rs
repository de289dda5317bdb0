//! Layers where core ops are looked for.

use netc_ir::{Loc, Module, OpKind};
use netc_pass::Context;

/// Says that the pass called `name`, which works on core ops, finds layers alone.
pub(crate) fn note_layers_alone(module: &Module, name: &'static str, context: &mut Context<'_>) {
    let kinds = || module.funcs.iter().flat_map(|func| func.ops().map(|(_, op)| &op.kind));
    if !kinds().any(|kind| matches!(kind, OpKind::Core(_))) && kinds().any(|kind| matches!(kind, OpKind::Source(_))) {
        let note = "finds layers, and works on what they compute: put `lower` or `@simplify` before it";
        context.remark(name, Loc::Unknown, note);
    }
}

#[cfg(test)]
mod tests {
    use netc_dialect::Dialects;
    use netc_pass::{Manager, Pipeline};

    use super::*;

    #[test]
    fn passes_say_that_they_find_layers_alone() {
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
