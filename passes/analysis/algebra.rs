//! Algebraic properties of core ops: which commute, and which compute constants.

use netc_ir::{Binary, Compare, CoreOp, ElemType, Func, OpId, OpKind};

/// Whether `op`, a binary op on elements of type `elem`, is commutative.
///
/// `max` and `min` of floats are not: for 0 and -0 they return the second operand. The payload of a NaN result is
/// unspecified, so it does not matter.
pub(crate) fn commutes(op: &CoreOp, elem: ElemType) -> bool {
    if let CoreOp::Binary(f) = op {
        return match f {
            Binary::Add | Binary::Mul | Binary::And | Binary::Or => true,
            Binary::Max | Binary::Min => elem.is_int() || elem == ElemType::Bool,
            Binary::Sub | Binary::Div | Binary::Pow => false,
        };
    }
    matches!(op, CoreOp::Compare(Compare::Eq | Compare::Ne))
}

/// Marks the values, by id, that core ops compute only from weights and constants, with known extents.
pub(crate) fn constant_values(func: &Func) -> Vec<bool> {
    let mut constant = vec![false; func.num_values()];
    func.op_ids().for_each(|op| note_constant(func, op, &mut constant));
    constant
}

/// Records in `constant` whether the result of `op` is constant, given the entries of its operands.
pub(crate) fn note_constant(func: &Func, op: OpId, constant: &mut [bool]) {
    let op = &func[op];
    if let (OpKind::Core(_), [result]) = (&op.kind, &op.results[..]) {
        let fixed = func[*result].ty.num_bytes().is_some();
        constant[result.index()] = fixed && op.operands.iter().all(|v| constant[v.index()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_depend_on_no_parameter_and_have_no_symbols() {
        let module = netc_ir::parse(
            "netc 1
             weight w0 \"w\" : f32[1] = 0.5
             func @main(%x: f32[N]) -> (%y) {
               %w = weight w0() : f32[1]
               %a = neg(%w) : f32[1]
               %b = broadcast(%a) : f32[N]
               %c = reshape(%b) : f32[1,N]
               %y = add(%c, %x) : f32[1,N]
             }",
        );
        let module = module.unwrap();
        let func = module.main().unwrap();
        let constant = constant_values(func);
        let found: Vec<bool> = func.values_in_order().map(|v| constant[v.index()]).collect();
        assert_eq!(found, [false, true, true, false, false, false]);
    }
}
