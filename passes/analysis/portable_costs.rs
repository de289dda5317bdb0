//! Estimates the cost of ops from MACs and the bytes read and written.

use netc_ir::{Binary, CoreOp, Dim, OpClass, Padding, Type, Unary, Window};
use netc_pass::{OpCosts, Operand};

/// MACs per second in a matrix product.
const PRODUCTS: f64 = 1e10;

/// Bytes per second that ops read and write.
const BYTES: f64 = 4e9;

/// Elements per second for a function such as `exp`.
const FUNCTIONS: f64 = 2e8;

/// The fixed cost of each op, in seconds.
const EACH: f64 = 2e-6;

/// Approximate costs on one core of a typical machine. Symbols count as 1.
pub struct PortableCosts;

impl OpCosts for PortableCosts {
    fn seconds(&self, op: &CoreOp, operands: &[Operand<'_>], result: &Type) -> f64 {
        let moved = operands.iter().map(|operand| bytes(operand.ty)).sum::<f64>() + bytes(result);
        let work = match (op, op.class()) {
            (_, OpClass::Stored | OpClass::Extent) | (CoreOp::Reshape(_), _) => return EACH / 10.0,
            (CoreOp::Conv { window, .. }, _) => conv(window, operands, result),
            (_, OpClass::Product) => elements(result) * last(operands.first()) / PRODUCTS,
            (CoreOp::Unary(f), _) if is_simple(*f) => 0.0,
            (CoreOp::Unary(_) | CoreOp::Binary(Binary::Pow), _) => elements(result) / FUNCTIONS,
            (CoreOp::Pool { size, .. }, _) => elements(result) * size.iter().product::<u64>() as f64 * 4.0 / BYTES,
            (_, OpClass::Elementwise | OpClass::Reduction | OpClass::Movement) => 0.0,
        };
        EACH + work + moved / BYTES
    }
}

/// The work of a convolution: the product, plus gathering input patches unless the convolution is pointwise.
fn conv(window: &Window, operands: &[Operand<'_>], result: &Type) -> f64 {
    let kernel = operands.get(1).and_then(|kernel| kernel.ty.dims.as_deref()).unwrap_or_default();
    let taps: f64 = kernel.split_last().map_or(1.0, |(_, inner)| inner.iter().map(extent).product());
    let filters = kernel.last().map_or(1.0, extent).max(1.0);
    let point = kernel.len() >= 2
        && kernel[..kernel.len() - 2].iter().all(|d| d.is(1))
        && window.strides.iter().all(|s| *s == 1)
        && !matches!(window.padding, Padding::Explicit(_));
    let patches = if point { 0.0 } else { 8.0 * taps * elements(result) / filters };
    elements(result) * taps / PRODUCTS + patches / BYTES
}

/// Whether the function takes no longer than reading its operand.
fn is_simple(f: Unary) -> bool {
    match f {
        Unary::Neg
        | Unary::Abs
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Relu
        | Unary::Not => true,
        Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf => false,
    }
}

fn extent(dim: &Dim) -> f64 {
    dim.substitute(&|_| Some(Dim::Known(1))).known().unwrap_or(1) as f64
}

fn elements(ty: &Type) -> f64 {
    ty.dims.iter().flatten().map(extent).product()
}

fn bytes(ty: &Type) -> f64 {
    elements(ty) * ty.elem.bits() as f64 / 8.0
}

/// The extent of the last axis.
fn last(operand: Option<&Operand<'_>>) -> f64 {
    operand.and_then(|operand| operand.ty.dims.as_ref()?.last()).map_or(1.0, extent)
}

#[cfg(test)]
mod tests {
    use netc_ir::{ElemType, Layout, Pool, Reduce};

    use super::*;

    fn seconds(op: &CoreOp, operands: &[&[u64]], result: &[u64]) -> f64 {
        let types: Vec<Type> = operands.iter().map(|dims| Type::fixed(ElemType::F32, dims)).collect();
        let operands: Vec<Operand<'_>> = types.iter().map(|ty| Operand { ty, constant: false }).collect();
        PortableCosts.seconds(op, &operands, &Type::fixed(ElemType::F32, result))
    }

    /// The cost of a convolution from 4 to 8 channels, without reading and writing. The kernel has `taps` along both
    /// axes, and the result is 10 by 10.
    fn conv_work(taps: u64, strides: u64, padding: Padding) -> f64 {
        let window = Window { strides: vec![strides; 2], dilations: vec![1; 2], padding, layout: Layout::ChannelsLast };
        let (x, kernel) = ([1, 10 * strides, 10 * strides, 4], [taps, taps, 4, 8]);
        let moved = 4.0 * (x.iter().product::<u64>() + kernel.iter().product::<u64>() + 800) as f64 / BYTES;
        let op = CoreOp::Conv { window, groups: 1 };
        seconds(&op, &[&x, &kernel], &[1, 10, 10, 8]) - moved - EACH
    }

    #[track_caller]
    fn same(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found:e}, expected {expected:e}");
    }

    #[test]
    fn products_cost_their_macs() {
        let moved = 4.0 * f64::from(2 * 3 + 3 * 5 + 2 * 5) / BYTES;
        same(seconds(&CoreOp::MatMul, &[&[2, 3], &[3, 5]], &[2, 5]), EACH + moved + 30.0 / PRODUCTS);
        same(conv_work(1, 1, Padding::Valid), 3200.0 / PRODUCTS);
    }

    #[test]
    fn windows_also_cost_their_patches() {
        let patches = |taps: f64| 8.0 * taps * 100.0 / BYTES;
        same(conv_work(3, 1, Padding::Same), 28_800.0 / PRODUCTS + patches(36.0));
        same(conv_work(1, 2, Padding::Valid), 3200.0 / PRODUCTS + patches(4.0));
        same(conv_work(1, 1, Padding::Explicit(vec![(0, 0); 2])), 3200.0 / PRODUCTS + patches(4.0));
    }

    #[test]
    fn functions_cost_extra_and_reshapes_are_cheap() {
        let unary = |f| seconds(&CoreOp::Unary(f), &[&[1000]], &[1000]);
        same(unary(Unary::Relu), EACH + 8000.0 / BYTES);
        same(unary(Unary::Exp), EACH + 8000.0 / BYTES + 1000.0 / FUNCTIONS);
        same(seconds(&CoreOp::Reshape(Vec::new()), &[&[1000]], &[1000]), EACH / 10.0);
        let sum = CoreOp::Reduce { kind: Reduce::Sum, axes: vec![0], keep: false };
        assert!(seconds(&sum, &[&[1000]], &[]) >= EACH + 4000.0 / BYTES);
    }

    #[test]
    fn powers_and_pools_cost_more_than_reading_and_writing() {
        let (power, exp) = (CoreOp::Binary(Binary::Pow), CoreOp::Unary(Unary::Exp));
        let operand = 4.0 * 10.0 / BYTES;
        same(seconds(&power, &[&[10], &[10]], &[10]), seconds(&exp, &[&[10]], &[10]) + operand);
        let window =
            Window { strides: vec![1; 2], dilations: vec![1; 2], padding: Padding::Same, layout: Layout::ChannelsLast };
        let pool = CoreOp::Pool { kind: Pool::Max, size: vec![2, 3], window };
        let image = [1u64, 10, 10, 4];
        let moved = 2.0 * 4.0 * 400.0 / BYTES;
        same(seconds(&pool, &[&image], &image), EACH + moved + 400.0 * 6.0 * 4.0 / BYTES);
    }

    #[test]
    fn a_kernel_is_pointwise_only_if_all_spatial_extents_are_1() {
        let window =
            Window { strides: vec![1; 3], dilations: vec![1; 3], padding: Padding::Same, layout: Layout::ChannelsLast };
        let op = CoreOp::Conv { window, groups: 1 };
        let (x, result) = ([1u64, 5, 5, 5, 4], [1u64, 5, 5, 5, 8]);
        let work = |kernel: [u64; 5]| {
            let moved = 4.0 * (500 + 1000 + kernel.iter().product::<u64>()) as f64 / BYTES;
            seconds(&op, &[&x, &kernel], &result) - moved - EACH
        };
        same(work([1, 1, 1, 4, 8]), 4000.0 / PRODUCTS);
        same(work([1, 1, 3, 4, 8]), 12_000.0 / PRODUCTS + 8.0 * 12.0 * 125.0 / BYTES);
    }
}
