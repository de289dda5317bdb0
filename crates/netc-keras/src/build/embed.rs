//! Embeds a model in another: its layers, weights and functions.

use netc_ir::{FuncId, LayerId, Loc, Module, Name, OpKind, Type, WeightId, call_types};

use crate::build::error::Reason;
use crate::config::path::join;

/// The result types of a call of `model` on tensors of the types `given`.
pub(super) fn result_types(model: &Module, given: &[Type]) -> Result<Vec<Type>, Reason> {
    let main = model.main().ok_or(Reason::NoMain)?;
    for (param, found) in main.params.iter().zip(given) {
        let expected = &main[param.value].ty;
        if !expected.agrees_with(found) {
            return Err(Reason::Input { found: found.clone(), expected: expected.clone() });
        }
    }
    Ok(call_types(main, given))
}

/// Adds the layers, weights and functions of `model` to `module`, for a layer called `name`. Returns its function.
pub(super) fn embed(module: &mut Module, model: &Module, name: &Name) -> Option<FuncId> {
    let (layers, weights, funcs) = (module.layers.len(), module.weights.len(), module.funcs.len());
    let moved = |id: LayerId| LayerId::new(layers + id.index());
    for weight in &model.weights {
        let mut weight = weight.clone();
        weight.name = join(name, &weight.name).into();
        module.add_weight(weight);
    }
    for layer in &model.layers {
        let mut layer = layer.clone();
        layer.data_mut().for_each(|id| *id = WeightId::new(weights + id.index()));
        module.add_layer(layer);
    }
    let main = model.func_named(netc_ir::MAIN)?;
    for (id, func) in model.func_ids().zip(&model.funcs) {
        let mut func = func.clone();
        func.name = if id == main { name.clone() } else { join(name, &func.name).into() };
        func.params.iter_mut().for_each(|param| param.layer = param.layer.map(moved));
        let ops: Vec<_> = func.op_ids().collect();
        for op in ops {
            match &mut func[op].kind {
                OpKind::Source(source) => source.layer = source.layer.map(moved),
                OpKind::Call(call) => {
                    call.layer = call.layer.map(moved);
                    call.callee = FuncId::new(funcs + call.callee.index());
                }
                OpKind::Core(_) => {}
            }
            if let Loc::Call { path, .. } = &mut func[op].loc {
                *path = join(name, path).into();
            }
        }
        module.add_func(func);
    }
    Some(FuncId::new(funcs + main.index()))
}
