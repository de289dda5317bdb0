//! Bounds on the rounding error of a program's outputs.
//!
//! Two ways to compute a sum of `n` products differ by about `√n` units in the last place if the errors of the terms
//! are independent, and by `n` in the worst case (N. J. Higham and T. Mary, "A New Approach to Probabilistic Rounding
//! Error Analysis", SIAM J. Sci. Comput. 41(5), 2019, theorem 2.4). The bound of a value is the largest sum of these
//! errors along a path of ops, times a factor that makes it very unlikely to fail. It is relative to the largest
//! element of the tensor and ignores cancellation. If outputs differ by more, the rounding errors of both programs are
//! measured, and [`measured_bound`] gives the bound.
//!
//! A discontinuous function, such as `ceil`, can turn a rounding error into a different number, so there is no bound
//! after it.

use netc_ir::{CoreOp, Dim, ElemType, Func, FuncId, Module, Op, OpClass, OpKind, Pool, Reduce, Type, Unary, ValueId};

use super::calls::callees_first;

/// The factor `λ` of the theorem. With 8, a bound fails with a probability below `2·exp(-32)` per sum.
const CONFIDENCE: f64 = 8.0;

/// The assumed value of unknown extents.
const UNKNOWN_EXTENT: u64 = 64;

/// The error bound for each output of the function `id`, relative to its largest element; infinite if there is no
/// bound. Source ops count as exact, so the bounds are only meaningful for lowered programs.
pub fn rounding_bounds(module: &Module, id: FuncId) -> Vec<f64> {
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); module.funcs.len()];
    for func in callees_first(module) {
        errors[func.index()] = output_errors(&module[func], &errors);
    }
    errors[id.index()].iter().map(|e| e * CONFIDENCE).collect()
}

/// The largest sum of `√n` units on a path to each output. `callees` has the results for the called functions.
fn output_errors(func: &Func, callees: &[Vec<f64>]) -> Vec<f64> {
    let mut errors = vec![0.0f64; func.num_values()];
    for (_, op) in func.ops() {
        let before = op.operands.iter().map(|v| errors[v.index()]).fold(0.0, f64::max);
        for (i, result) in op.results.iter().enumerate() {
            let own = match &op.kind {
                OpKind::Core(core) if before > 0.0 && jumps(core, func[*result].ty.elem) => f64::INFINITY,
                OpKind::Core(core) => (terms(func, core, op) as f64).sqrt() * unit(func[*result].ty.elem),
                OpKind::Call(call) => callees[call.callee.index()].get(i).copied().unwrap_or(0.0),
                OpKind::Source(_) => 0.0,
            };
            errors[result.index()] = before + own;
        }
    }
    func.outputs.iter().map(|o| errors[o.value.index()]).collect()
}

/// Error bound for comparing two programs with measured rounding errors `own`. A measurement is one sample of the
/// error, so it gets the same factor as the errors of sums.
pub fn measured_bound(own: [f64; 2]) -> f64 {
    CONFIDENCE * (own[0] + own[1])
}

/// Whether the difference `apart`, relative to the largest element, is within a bound.
pub fn is_within(apart: f64, bound: f64) -> bool {
    bound.is_infinite() || apart <= bound
}

/// Whether the op is discontinuous: a small change of an operand can cause a large change of the result.
fn jumps(core: &CoreOp, result: ElemType) -> bool {
    if let CoreOp::Unary(f) = core {
        return match f {
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Sign => true,
            Unary::Neg
            | Unary::Abs
            | Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf
            | Unary::Relu
            | Unary::Not => false,
        };
    }
    matches!(core, CoreOp::Compare(_)) || matches!(core, CoreOp::Cast(_)) && !result.is_float()
}

/// The number of terms in the sums that `op` rounds; 0 if it only moves or compares elements.
fn terms(func: &Func, core: &CoreOp, op: &Op) -> u64 {
    match (core, core.class()) {
        (CoreOp::Unary(_) | CoreOp::Binary(_) | CoreOp::Cast(_), _) => 1,
        (CoreOp::MatMul, _) => last(dims(func, op.operands.first())),
        (CoreOp::Conv { .. }, _) => match dims(func, op.operands.get(1)) {
            [inputs @ .., _] => product(inputs),
            [] => UNKNOWN_EXTENT,
        },
        (CoreOp::Pool { kind: Pool::Avg, size, .. }, _) => size.iter().product(),
        (CoreOp::Reduce { kind: Reduce::Sum | Reduce::Mean | Reduce::Prod, axes, .. }, _) => {
            let dims = dims(func, op.operands.first());
            axes.iter().map(|a| dims.get(*a as usize).map_or(UNKNOWN_EXTENT, extent)).product()
        }
        (CoreOp::CumSum(axis), _) => dims(func, op.operands.first()).get(*axis as usize).map_or(UNKNOWN_EXTENT, extent),
        (CoreOp::Pool { kind: Pool::Max, .. } | CoreOp::Reduce { kind: Reduce::Max | Reduce::Min, .. }, _) => 0,
        (_, OpClass::Stored | OpClass::Elementwise | OpClass::Movement | OpClass::Extent) => 0,
        // The number of terms of any other sum is unknown.
        (_, OpClass::Product | OpClass::Reduction) => UNKNOWN_EXTENT,
    }
}

fn dims<'f>(func: &'f Func, value: Option<&ValueId>) -> &'f [Dim] {
    let ty: Option<&Type> = value.map(|v| &func[*v].ty);
    ty.and_then(|t| t.dims.as_deref()).unwrap_or_default()
}

fn last(dims: &[Dim]) -> u64 {
    dims.last().map_or(UNKNOWN_EXTENT, extent)
}

fn product(dims: &[Dim]) -> u64 {
    dims.iter().map(extent).fold(1, u64::saturating_mul)
}

fn extent(dim: &Dim) -> u64 {
    dim.known().unwrap_or(UNKNOWN_EXTENT)
}

/// The unit roundoff: half the distance from 1 to the next number. 0 for types that do not round.
fn unit(elem: ElemType) -> f64 {
    match elem {
        ElemType::F64 => f64::EPSILON / 2.0,
        ElemType::F32 => f64::from(f32::EPSILON) / 2.0,
        ElemType::F16 => 2f64.powi(-11),
        ElemType::BF16 => 2f64.powi(-8),
        ElemType::Bool
        | ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::I64
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use netc_ir::{MAIN, parse};

    use super::*;

    /// The bounds in units of the roundoff of `f32`, without the factor.
    fn units(program: &str) -> Vec<f64> {
        let module = parse(&format!("netc 1\n{program}")).unwrap();
        let bounds = rounding_bounds(&module, module.func_named(MAIN).unwrap());
        bounds.iter().map(|b| b / CONFIDENCE / unit(ElemType::F32)).collect()
    }

    #[test]
    fn bounds_grow_with_the_root_of_terms_and_add_up_along_paths() {
        let program = "func @main(%x: f32[N,9], %w: f32[9,4]) -> (%y, %z, %x) {
            %y = matmul(%x, %w) : f32[N,4]
            %r = relu(%y) : f32[N,4]
            %s = reduce_sum(%r) {axes = [1]} : f32[N]
            %t = reshape(%s) : f32[N,1]
            %z = add(%r, %t) : f32[N,4]
        }";
        assert_eq!(units(program), [3.0, 3.0 + 1.0 + 2.0 + 1.0, 0.0]);
    }

    #[test]
    fn a_call_has_the_error_of_its_callee() {
        let program = "func @main(%x: f32[4]) -> (%b) {
            %a = call @twice(%x) : f32[4]
            %b = call @twice(%a) : f32[4]
        }
        func @twice(%x: f32[4]) -> (%b) { %a = exp(%x) : f32[4] %b = exp(%a) : f32[4] }";
        assert_eq!(units(program), [4.0]);
    }

    #[test]
    fn ops_that_move_or_compare_elements_are_exact() {
        let program = "func @main(%x: f32[N,4]) -> (%b) {
            %a = transpose(%x) {perm = [1, 0]} : f32[4,N]
            %b = reduce_max(%a) {axes = [1]} : f32[4]
        }";
        assert_eq!(units(program), [0.0]);
    }

    #[test]
    fn rounded_values_have_no_bound_after_a_discontinuity() {
        let program = "func @main(%x: f32[4], %w: f32[4,4]) -> (%a, %c, %e) {
            %a = ceil(%x) : f32[4]
            %b = exp(%x) : f32[4]
            %c = round(%b) : f32[4]
            %d = gt(%b, %x) : bool[4]
            %e = select(%d, %x, %a) : f32[4]
        }";
        assert_eq!(units(program), [1.0, f64::INFINITY, f64::INFINITY]);
    }

    #[test]
    fn each_float_type_has_its_own_roundoff() {
        for (elem, last_place) in
            [("f64", f64::EPSILON / 2.0), ("f16", 1.0 / 2048.0), ("bf16", 1.0 / 256.0), ("f32", unit(ElemType::F32))]
        {
            let program = format!("netc 1\nfunc @main(%x: {elem}[4]) -> (%y) {{ %y = exp(%x) : {elem}[4] }}");
            let module = parse(&program).unwrap();
            assert_eq!(rounding_bounds(&module, module.func_named(MAIN).unwrap()), [CONFIDENCE * last_place], "{elem}");
        }
    }

    #[test]
    fn windows_and_running_sums_count_by_their_terms() {
        let program = "func @main(%x: f32[N,9,2], %w: f32[3,2,4]) -> (%y, %p, %c) {
            %y = conv(%x, %w) {strides = [1]} : f32[N,7,4]
            %p = avg_pool(%x) {size = [4], strides = [1]} : f32[N,6,2]
            %c = cumsum(%x) {axis = 1} : f32[N,9,2]
        }";
        assert_eq!(units(program), [6f64.sqrt(), 2.0, 3.0]);
    }

    #[test]
    fn casts_to_integers_are_discontinuous() {
        let program = "func @main(%x: f32[4]) -> (%i, %d, %n) {
            %b = exp(%x) : f32[4]
            %i = cast(%b) : i32[4]
            %d = cast(%b) : f64[4]
            %n = cast(%x) : i32[4]
        }";
        let found = units(program);
        assert!(found[0].is_infinite() && found[1].is_finite() && found[2] == 0.0, "{found:?}");
        assert!(is_within(3.0 * CONFIDENCE, measured_bound([1.0, 2.0])));
        assert!(!is_within(3.1 * CONFIDENCE, measured_bound([1.0, 2.0])));
    }
}
