//! A pass that removes the dropout layers of a model.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::Module;
use netc_pass::{Context, Fidelity, Pass, PassError, PassInfo};

pub const INFO: PassInfo = PassInfo {
    name: "strip-dropout",
    summary: "Remove dropout layers, which do nothing at inference.",
    help: "Readers of a dropout layer's result read its input instead.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(StripDropout)),
};

struct StripDropout;

impl Pass for StripDropout {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        for func in &mut module.funcs {
            let (mut dropouts, mut input_of) = (BTreeSet::new(), BTreeMap::new());
            for (id, op) in func.ops() {
                if op.kind.name() == "keras.Dropout" && context.rewrite() {
                    context.remark("strip-dropout", op.loc.clone(), "removed");
                    dropouts.insert(id);
                    input_of.insert(op.results[0], op.operands[0]);
                }
            }
            func.replace_uses(&input_of);
            func.retain_ops(|op| !dropouts.contains(&op));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use netc_keras_testgen::{KerasRecipe, dialects};
    use netc_testgen::oracle::{self, Subject};
    use netc_testgen::{Cuts, property};

    #[test]
    fn strip_dropout_passes_the_oracles() {
        let (registry, dialects) = (netc_passes::registry().with(&super::INFO), dialects());
        let subject = Subject { pipeline: "strip-dropout", registry: &registry, dialects: &dialects };
        property::check(50, (KerasRecipe::strategy(12), Cuts::strategy()), |(recipe, cuts)| {
            let model = recipe.build();
            oracle::keeps_values(&model, subject)?;
            oracle::idempotent(&model, subject)?;
            oracle::fuel(&model, subject)?;
            oracle::commutes(&model, &cuts.names(&model), subject)
        })
        .unwrap();
    }
}
