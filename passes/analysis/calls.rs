//! The call graph.

use netc_ir::{Func, FuncId, Module, OpKind, callees};

/// All functions, each after those that it calls. The stack is explicit, so long chains of calls cannot overflow it.
pub fn callees_first(module: &Module) -> Vec<FuncId> {
    let mut order = Vec::new();
    let mut seen = vec![false; module.funcs.len()];
    for root in module.func_ids() {
        let mut stack = vec![(root, false)];
        while let Some((id, leaving)) = stack.pop() {
            if leaving {
                order.push(id);
            } else if !std::mem::replace(&mut seen[id.index()], true) {
                stack.push((id, true));
                stack.extend(callees(&module[id]).filter(|c| !seen[c.index()]).map(|c| (c, false)));
            }
        }
    }
    order
}

/// The stages of `main` in order, if it is split: if every op is a call without a layer, of a function that is not
/// fused. Otherwise empty.
pub(crate) fn stages(module: &Module, main: &Func) -> Vec<FuncId> {
    let stages = main.ops().map(|(_, op)| match &op.kind {
        OpKind::Call(call) if call.layer.is_none() && !module[call.callee].is_fused() => Some(call.callee),
        OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => None,
    });
    stages.collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callee_comes_before_its_callers() {
        let module = netc_ir::parse(
            "netc 1
             func @main(%x: f32[4]) -> (%y) { %a = call @f(%x) : f32[4] %y = call @g(%a) : f32[4] }
             func @f(%x: f32[4]) -> (%y) { %y = call @g(%x) : f32[4] }
             func @g(%x: f32[4]) -> (%y) { %y = relu(%x) : f32[4] }",
        );
        let module = module.unwrap();
        let names: Vec<_> = callees_first(&module).into_iter().map(|id| module[id].name.to_string()).collect();
        assert_eq!(names, ["g", "f", "main"]);
    }
}
