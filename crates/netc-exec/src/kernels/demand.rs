//! Memory and work of an op, estimated from the types of its operands and its result.

use netc_ir::{CoreOp, Layout, OpClass, Type, Window};

use super::conv::CHUNK;
use super::wide::computed_in;

/// The temporary memory and the work of an op. Operands and result are not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Approximate temporary bytes: copies in another layout or type, and windows.
    pub(crate) bytes: u64,
    /// Multiply-accumulates, or comparable operations on elements.
    pub(crate) work: u64,
}

/// Bytes per window position along an axis.
const SPAN: u64 = 24;

/// Bytes that a large product needs per row and [`COLUMNS`] columns.
const ROW: u64 = 24;
const COLUMNS: u64 = 512;

/// Work of visiting one element of a pooling window, in multiply-accumulates of a product.
const VISIT: u64 = 64;

/// Estimates `op` for operands and a result of these fixed types.
pub(crate) fn demand(op: &CoreOp, operands: &[&Type], result: &Type) -> Demand {
    let own = operands.first().map_or(result.elem, |ty| ty.elem);
    let wide = computed_in(op, own);
    let size = wide.unwrap_or(own).size();
    let (x, y) = (operands.first().map_or(0, |ty| count(ty)), count(result));
    let all = operands.iter().fold(0, |all: u64, ty| all.saturating_add(count(ty)));
    // Copies of operands and result in the type that the op is computed in.
    let widened = if wide.is_some() { product(&[all.saturating_add(y), size]) } else { 0 };
    let moved = |window: &Window| match window.layout {
        Layout::ChannelsLast => 0,
        Layout::ChannelsFirst => x.saturating_add(y),
    };
    let places = || extents(result).iter().fold(0, |all: u64, n| all.saturating_add(*n)).saturating_mul(SPAN);
    let (elements, bytes, work) = match (op, op.class()) {
        (CoreOp::Conv { window, .. }, _) => {
            let (kernel, filters) = (operands.get(1).map_or(0, |ty| count(ty)), last(operands.get(1)));
            let depth = kernel / filters.max(1);
            let rows = (y / filters.max(1)).min((CHUNK as u64 / depth.max(1)).max(1));
            let patches = product(&[rows, depth.saturating_add(filters)]);
            let elements = [moved(window), kernel, patches].into_iter().fold(0, u64::saturating_add);
            (elements, places(), product(&[y, depth]))
        }
        (CoreOp::Pool { size, window, .. }, _) => {
            let spatial = match window.layout {
                Layout::ChannelsLast => 1,
                Layout::ChannelsFirst => 2,
            };
            // No window sees more than the input.
            let input = operands.first().map_or_else(Vec::new, |ty| extents(ty));
            let taps: Vec<u64> = size.iter().zip(input.iter().skip(spatial)).map(|(k, n)| *k.min(n)).collect();
            (moved(window), places(), product(&[y, product(&taps), VISIT]))
        }
        (CoreOp::MatMul, _) => {
            let (depth, n) = (last(operands.first()), last(operands.get(1)));
            let rows = y / n.max(1);
            // If the right operand has a batch, both are broadcast to it.
            let batched = operands.get(1).is_some_and(|ty| count(ty) > depth.saturating_mul(n));
            let repeated = product(&[rows, depth]).saturating_add(product(&[batch(result), depth, n]));
            (if batched { repeated } else { 0 }, product(&[rows, n.div_ceil(COLUMNS), ROW]), product(&[y, depth]))
        }
        (CoreOp::Sort { .. }, _) => (last(operands.first()), 0, x.saturating_mul(u64::from(x.max(1).ilog2()) + 1)),
        // The indices are copied twice, at 8 bytes each: as `i64` and as `usize`.
        (CoreOp::Gather(_), _) => (0, product(&[operands.get(1).map_or(0, |ty| count(ty)), 16]), y),
        (CoreOp::Cast(_), _) => (0, product(&[x, 8]), y),
        // Padding one axis after the other needs an intermediate tensor.
        (CoreOp::Pad { .. }, _) => (y, 0, y),
        (CoreOp::CumSum(_), _) => (0, product(&[x, 8]), y),
        (_, OpClass::Reduction) => (x, 0, x),
        (_, OpClass::Stored | OpClass::Elementwise | OpClass::Product | OpClass::Movement | OpClass::Extent) => {
            (0, 0, y)
        }
    };
    let bytes = [product(&[elements, size]), bytes, widened].into_iter().fold(0, u64::saturating_add);
    Demand { bytes, work }
}

fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |all: u64, n| all.saturating_mul(*n))
}

fn extents(ty: &Type) -> Vec<u64> {
    ty.fixed_dims().unwrap_or_default()
}

fn count(ty: &Type) -> u64 {
    ty.num_elements().unwrap_or(u64::MAX)
}

fn last(ty: Option<&&Type>) -> u64 {
    ty.and_then(|ty| extents(ty).last().copied()).unwrap_or(1)
}

/// The product of the extents before the last two.
fn batch(ty: &Type) -> u64 {
    let dims = extents(ty);
    product(&dims[..dims.len().saturating_sub(2)])
}

#[cfg(test)]
mod tests {
    use netc_ir::{OpKind, parse};

    use super::*;

    /// Checks the demand of the last op of a program.
    #[track_caller]
    fn check(program: &str, bytes: u64, work: u64) {
        let module = parse(&format!("netc 1\nfunc @main({program} }}")).unwrap();
        let func = module.main().unwrap();
        let (_, op) = func.ops().last().unwrap();
        let OpKind::Core(core) = &op.kind else { panic!("no core op") };
        let operands: Vec<&Type> = op.operands.iter().map(|v| &func[*v].ty).collect();
        assert_eq!(demand(core, &operands, &func[op.results[0]].ty), Demand { bytes, work });
    }

    #[test]
    fn elementwise_ops_need_no_memory_and_narrow_ones_are_widened() {
        check("%x: f32[10]) -> (%y) { %y = neg(%x) : f32[10]", 0, 10);
        check("%x: i32[10]) -> (%y) { %y = add(%x, %x) : i32[10]", 30 * 8, 10);
    }

    #[test]
    fn products_count_multiply_accumulates() {
        check("%x: f32[4,5], %w: f32[5,6]) -> (%y) { %y = matmul(%x, %w) : f32[4,6]", 4 * ROW, 120);
        let conv = "strides = [1, 1]";
        check(
            &format!("%x: f32[1,5,5,2], %k: f32[3,3,2,4]) -> (%y) {{ %y = conv(%x, %k) {{{conv}}} : f32[1,3,3,4]"),
            (72 + 9 * (18 + 4)) * 4 + 11 * SPAN,
            9 * 4 * 18,
        );
    }

    #[test]
    fn windows_count_at_most_the_input() {
        let pool = "size = [65536, 65536], strides = [1, 1], padding = \"same\"";
        check(
            &format!("%x: f32[1,2,3,1]) -> (%y) {{ %y = max_pool(%x) {{{pool}}} : f32[1,2,3,1]"),
            7 * SPAN,
            6 * 6 * VISIT,
        );
    }

    #[test]
    fn demand_saturates_at_the_largest_number() {
        let large = "f32[1099511627776,1099511627776]";
        check(&format!("%x: {large}) -> (%y) {{ %y = reverse(%x) {{axes = [0]}} : {large}"), 0, u64::MAX);
    }
}
