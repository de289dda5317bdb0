//! Finds where unknown types and masks come from, for messages.

use netc_ir::{Func, Module, OpId, OpKind, Type, ValueId};

use crate::config::declaration::makes_mask;
use crate::config::tf;

fn is_known(ty: &Type) -> bool {
    ty.dims.is_some() && ty.elem != netc_ir::ElemType::Any
}

/// The name and class of the unsupported layer that makes the type of the function output `name` unknown.
pub(super) fn maker(module: &Module, name: &str) -> Option<(String, String)> {
    let mut name = name;
    // Goes back from stage to stage: a stage takes what an earlier one returns.
    for _ in 0..=module.funcs.len() {
        let outputs = module.funcs.iter().flat_map(|func| func.outputs.iter().map(move |output| (func, output)));
        let mut unknown = outputs.filter(|(func, output)| &*output.name == name && !is_known(&func[output.value].ty));
        let (func, output) = unknown.next()?;
        match first_unknown(func, output.value) {
            Ok(op) => {
                let layer = func[op].kind.layer()?;
                return Some((module[layer].name.to_string(), func[op].kind.name().to_string()));
            }
            Err(param) => name = &func.params.get(param)?.name,
        }
    }
    None
}

/// The first op before `value` whose operands have known types but whose result does not. The error is the index of a
/// parameter with an unknown type.
fn first_unknown(func: &Func, mut value: ValueId) -> Result<OpId, usize> {
    loop {
        let Some(op) = func.producer(value) else {
            let param = func.params.iter().position(|param| param.value == value);
            return Err(param.unwrap_or(usize::MAX));
        };
        match func[op].operands.iter().find(|operand| !is_known(&func[**operand].ty)) {
            Some(operand) => value = *operand,
            None => return Ok(op),
        }
    }
}

/// Whether Keras 2 may attach a mask to the value.
pub(super) fn may_carry_mask(module: &Module, func: &Func, value: ValueId) -> bool {
    let makes = |func: &Func| func.ops().any(|(_, op)| op.kind.layer().is_some_and(|layer| makes_mask(&module[layer])));
    let is_part = &*func.name != netc_ir::MAIN;
    let mut waiting = vec![value];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(value) = waiting.pop() {
        if !seen.insert(value) {
            continue;
        }
        let Some(op) = func.producer(value) else {
            if is_part && module.funcs.iter().any(makes) {
                return true;
            }
            continue;
        };
        let op = &func[op];
        if let OpKind::Call(call) = &op.kind
            && makes(&module[call.callee])
        {
            return true;
        }
        let Some(layer) = op.kind.layer().map(|layer| &module[layer]) else { continue };
        if makes_mask(layer) {
            return true;
        }
        let says = |key: &str| layer.config.get("config").and_then(|c| c.get(key)).and_then(netc_ir::Attr::as_bool);
        // Neither TensorFlow operations nor the last step of a sequence pass a mask on.
        let ends = tf::is_operation(&layer.class) || says("return_sequences") == Some(false);
        if !ends {
            waiting.extend(&op.operands);
        }
    }
    false
}
