//! The kernels of the core ops. A run calls only [`run`], so kernels can be replaced one by one.
//!
//! Before a kernel starts, shapes are checked by inferring the result type from the actual extents, so a kernel may
//! rely on the constraints of its op. Operands and results are contiguous.
//!
//! Arithmetic kernels exist for `f32`, `f64` and `i64`. `f16` and `bf16` are computed in `f32` and rounded once, at the
//! end of the op. `i16`, `i32`, `u8` and `u32` are computed in `i64` and wrap. `i8`, `u16` and `u64` have no
//! arithmetic, and unsigned integers have no unary ops. Kernels that move elements exist once per element size. A
//! [`Epilogue`] applies several ops to one tensor in place.

mod cast;
mod conv;
mod demand;
mod dims;
mod elementwise;
mod epilogue;
mod extent;
mod geometry;
mod index;
mod matmul;
mod num;
mod operands;
mod order;
mod pool;
mod product;
mod reduce;
mod repeat;
mod rows;
mod shape;
mod strided;
mod wide;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use netc_ir::{Bindings, CoreOp, ElemType, Module, Type, infer};

use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::{Value, extents, for_word};

pub(crate) use demand::demand;
pub(crate) use dims::has_free_symbols;
use dims::with_known_dims;
pub(crate) use epilogue::{Epilogue, EpilogueOp, Source};
pub(crate) use extent::count;
use extent::first;
use operands::{one, take};
use wide::{computed_in, is_extreme};

/// Resolves the extents of `op` and infers its result type for operands of the fixed types `operands`.
pub(crate) fn typed<'a>(op: &'a CoreOp, operands: &[&Type], bindings: &Bindings) -> Result<(Cow<'a, CoreOp>, Type)> {
    let op = with_known_dims(op, operands, bindings)?;
    let ty = infer(&Module::new(), &op, operands)?;
    Ok((op, ty))
}

/// Computes `op` on `operands`, with symbols bound by `bindings`.
pub(crate) fn run(op: &CoreOp, operands: &[&Value], bindings: &Bindings) -> Result<Value> {
    let types: Vec<Type> = operands.iter().map(|v| v.ty()).collect();
    let (op, ty) = typed(op, &types.iter().collect::<Vec<_>>(), bindings)?;
    let dims = extents(&ty)?;
    compute(&op, operands, &dims, ty.elem).map_err(|error| {
        // Name the result type, whichever allocation failed.
        let is_memory = matches!(error, KernelError::Memory { .. });
        if is_memory { KernelError::Memory { ty: ty.to_string() } } else { error }
    })
}

/// Computes `op` with a result of element type `elem`, in a wider type if the element type needs one.
fn compute(op: &CoreOp, operands: &[&Value], dims: &[usize], elem: ElemType) -> Result<Value> {
    // An empty result needs no loops over its other axes, which may be huge. `gather` still checks its indices.
    if dims.contains(&0) && !matches!(op, CoreOp::Gather(_)) {
        return for_word!(elem, W => Value::from_words::<W>(elem, dims, Vec::new()));
    }
    let Some(wide) = operands.first().and_then(|v| computed_in(op, v.elem())) else {
        return dispatch(op, operands, dims);
    };
    let operands = operands.iter().map(|v| cast::cast(v, wide)).collect::<Result<Vec<_>>>()?;
    let result = dispatch(op, &operands.iter().collect::<Vec<_>>(), dims)?;
    if is_extreme(op) { cast::saturating(&result, elem) } else { cast::cast(&result, elem) }
}

/// Whether the result of `op` shares the memory of its operand.
pub(crate) fn is_shared(op: &CoreOp) -> bool {
    matches!(op, CoreOp::Reshape(_))
}

fn dispatch(op: &CoreOp, operands: &[&Value], dims: &[usize]) -> Result<Value> {
    match op {
        CoreOp::Constant(literal) => Value::from_literal(literal),
        // The plan resolves weights; a kernel has no module to look them up in.
        CoreOp::Weight(_) => Err(KernelError::Unresolved { op: op.name() }),
        CoreOp::Unary(f) => elementwise::unary(*f, one(operands)?),
        CoreOp::Binary(f) => {
            let [a, b] = take(operands)?;
            elementwise::binary(*f, a, b, dims)
        }
        CoreOp::Compare(f) => {
            let [a, b] = take(operands)?;
            elementwise::compare(*f, a, b, dims)
        }
        CoreOp::Select => elementwise::select(take(operands)?, dims),
        CoreOp::Cast(elem) => cast::cast(one(operands)?, *elem),
        CoreOp::MatMul => {
            let [a, b] = take(operands)?;
            matmul::matmul(a, b, dims)
        }
        CoreOp::Conv { window, groups } => {
            let [x, kernel] = take(operands)?;
            conv::conv(x, kernel, window, *groups, dims)
        }
        CoreOp::Pool { kind, size, window } => pool::pool(*kind, one(operands)?, size, window, dims),
        CoreOp::Reduce { kind, axes, .. } => reduce::reduce(*kind, one(operands)?, axes, dims),
        CoreOp::Reshape(_) => first(operands)?.reshape(dims),
        CoreOp::Transpose(perm) => shape::transpose(one(operands)?, perm, dims),
        CoreOp::Broadcast(_) => shape::broadcast(first(operands)?, dims),
        CoreOp::Concat(axis) => shape::concat(operands, *axis, dims),
        CoreOp::Slice(axes) => shape::slice(one(operands)?, axes, dims),
        CoreOp::Pad { amounts, mode, value } => index::pad(one(operands)?, amounts, *mode, value.get()),
        CoreOp::Gather(axis) => {
            let [x, indices] = take(operands)?;
            index::gather(x, indices, *axis, dims)
        }
        CoreOp::Sort { axis, descending } => order::sort(one(operands)?, *axis, *descending),
        CoreOp::CumSum(axis) => reduce::cumsum(one(operands)?, *axis),
        CoreOp::Reverse(axes) => shape::reverse(one(operands)?, axes, dims),
        CoreOp::Dim(axis) => extent::dim(one(operands)?, *axis),
        CoreOp::Iota(_) => extent::iota(dims),
    }
}
