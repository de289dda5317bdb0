//! Specializes a program to inputs of known extents.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Dim, Func, FuncId, MAIN, Module, Name, OpKind, call_symbols};

use crate::analysis::calls::callees_first;

/// The values of symbols; `None` if calls give different extents.
type Symbols = BTreeMap<Name, Option<Dim>>;

/// Copies `module` and gives the inputs of `@main` the extents `dims`.
///
/// Replaces the symbols that the inputs determine by numbers, in `@main` and in the functions that it calls. A symbol
/// that has different extents in different calls of its function stays.
pub fn bind(module: &Module, dims: &[Vec<u64>]) -> Module {
    let mut module = module.clone();
    let Some(main) = module.func_named(MAIN) else { return module };
    let mut symbols = vec![Symbols::new(); module.funcs.len()];
    symbols[main.index()] = take(&mut module[main], dims);
    let named = named_by_source_ops(&module);
    for id in callees_first(&module).into_iter().rev() {
        if !named.contains(&id) {
            substitute(&mut module[id], &symbols[id.index()]);
        }
        for (callee, given) in calls(&module, id) {
            for (name, dim) in given {
                let slot = symbols[callee.index()].entry(name).or_insert_with(|| Some(dim.clone()));
                *slot = slot.take().filter(|known| *known == dim);
            }
        }
    }
    module
}

/// Sets the open extents of parameters and returns the values of the symbols among them.
fn take(main: &mut Func, dims: &[Vec<u64>]) -> Symbols {
    let mut symbols = Symbols::new();
    for (param, dims) in main.params.clone().iter().zip(dims) {
        for (declared, n) in main[param.value].ty.dims.iter_mut().flatten().zip(dims) {
            if let Some(symbol) = declared.as_symbol() {
                symbols.entry(symbol.clone()).or_insert(Some(Dim::Known(*n)));
            } else if declared.is_unknown() {
                *declared = Dim::Known(*n);
            }
        }
    }
    symbols
}

fn substitute(func: &mut Func, symbols: &Symbols) {
    let symbol = |name: &Name| symbols.get(name).cloned().flatten();
    for value in func.values_in_order().collect::<Vec<_>>() {
        func[value].ty = func[value].ty.substitute(&symbol);
    }
    for op in func.op_ids().collect::<Vec<_>>() {
        func[op].kind.substitute(&symbol);
    }
}

/// The functions that attributes of source ops name. The extents that such ops call them with are unknown.
fn named_by_source_ops(module: &Module) -> BTreeSet<FuncId> {
    let ops = module.funcs.iter().flat_map(Func::ops).map(|(_, op)| &op.kind);
    ops.filter(|kind| matches!(kind, OpKind::Source(_))).flat_map(OpKind::funcs).collect()
}

/// The functions that `id` calls, with the known extents that each call gives for symbols.
fn calls(module: &Module, id: FuncId) -> Vec<(FuncId, Vec<(Name, Dim)>)> {
    let func = &module[id];
    let call = |op: &netc_ir::Op| match &op.kind {
        OpKind::Call(call) => {
            let given = call_symbols(&module[call.callee], op.operands.iter().map(|v| &func[*v].ty));
            Some((call.callee, given.into_iter().filter(|(_, dim)| dim.known().is_some()).collect()))
        }
        OpKind::Source(_) | OpKind::Core(_) => None,
    };
    func.ops().filter_map(|(_, op)| call(op)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, dims: &[Vec<u64>], expect: &[&str]) {
        let text = netc_ir::print(&bind(&netc_ir::parse(text).unwrap(), dims));
        let found: Vec<&str> = text.lines().map(str::trim).filter(|l| l.contains('%')).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn open_extents_become_numbers_in_called_functions_too() {
        let text = "netc 1
        func @main(%x: f32[N,T,3], %y: f32[?,2]) -> (%b) {
          %a = call @inner(%x) : f32[N,T,3]
          %b = reshape(%a) : f32[N,3*T]
        }
        func @inner(%x: f32[M,S,3]) -> (%y) {
          %y = relu(%x) : f32[M,S,3]
        }";
        check(
            text,
            &[vec![2, 5, 3], vec![7, 2]],
            &[
                "func @main(%x: f32[2,5,3], %y: f32[7,2]) -> (%b) {",
                "%a = call @inner(%x) : f32[2,5,3]",
                "%b = reshape(%a) : f32[2,15]",
                "func @inner(%x: f32[2,5,3]) -> (%y) {",
                "%y = relu(%x) : f32[2,5,3]",
            ],
        );
    }

    #[test]
    fn symbols_stay_in_functions_that_source_ops_name() {
        let text = "netc 1
        func @main(%x: f32[N,3]) -> (%b) {
          %a = call @inner(%x) : f32[N,3]
          %b = custom.Loop(%a) {body = @inner} : f32[N,3]
        }
        func @inner(%x: f32[M,3]) -> (%x) {
        }";
        check(
            text,
            &[vec![2, 3]],
            &[
                "func @main(%x: f32[2,3]) -> (%b) {",
                "%a = call @inner(%x) : f32[2,3]",
                "%b = custom.Loop(%a) {body = @inner} : f32[2,3]",
                "func @inner(%x: f32[M,3]) -> (%x) {",
            ],
        );
    }

    #[test]
    fn a_symbol_stays_if_calls_give_it_different_extents() {
        let text = "netc 1
        func @main(%x: f32[N,T,3], %y: f32[N,U,3]) -> (%a, %b) {
          %a = call @inner(%x) : f32[N,T,3]
          %b = call @inner(%y) : f32[N,U,3]
        }
        func @inner(%x: f32[M,S,3]) -> (%y) {
          %y = relu(%x) : f32[M,S,3]
        }";
        check(
            text,
            &[vec![2, 5, 3], vec![2, 6, 3]],
            &[
                "func @main(%x: f32[2,5,3], %y: f32[2,6,3]) -> (%a, %b) {",
                "%a = call @inner(%x) : f32[2,5,3]",
                "%b = call @inner(%y) : f32[2,6,3]",
                "func @inner(%x: f32[2,S,3]) -> (%y) {",
                "%y = relu(%x) : f32[2,S,3]",
            ],
        );
    }

    #[test]
    fn computed_extents_stay_open() {
        let text = "netc 1
        func @main(%x: f32[N], %n: i64[]) -> (%i, %j) {
          %i = iota(%n, %x) : i64[N]
          %j = iota(%n) : i64[K]
        }";
        let expect =
            ["func @main(%x: f32[3], %n: i64[]) -> (%i, %j) {", "%i = iota(%n, %x) : i64[3]", "%j = iota(%n) : i64[K]"];
        check(text, &[vec![3], vec![]], &expect);
    }
}
