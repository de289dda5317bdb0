//! What holds of core ops: which commute, and which compute constants.

use netc_ir::{Binary, Compare, CoreOp, ElemType, Func, OpId, OpKind};

/// Whether `op`, of two operands with elements of the type `elem`, is the same with its operands exchanged.
///
/// The larger of 0 and -0 is the second, so `max` and `min` of floats are not. Which NaN a sum of two NaNs is, is not
/// defined.
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

/// Which values, by id, core ops compute from weights and constants alone, with extents that are numbers.
pub(crate) fn constant_values(func: &Func) -> Vec<bool> {
    let mut constant = vec![false; func.num_values()];
    func.op_ids().for_each(|op| note_constant(func, op, &mut constant));
    constant
}

/// Notes whether the result of `op` is constant, as it is noted of its operands.
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
    fn constants_have_no_parameters_and_no_symbols() {
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
