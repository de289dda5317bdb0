//! What each core op computes. The planner knows [`run`] alone, so kernels can be replaced one by one.
//!
//! Shapes are checked before a kernel starts, by inferring the type of the result from the extents at hand: a
//! kernel may rely on the constraints of its op. Operands and results are contiguous. Kernels that calculate exist for
//! `f32`, `f64` and `i64`: `f16` and `bf16` are computed in `f32` and rounded once, at the end of the op, and `i16`, `i32`,
//! `u8` and `u32` in `i64`, whose results wrap to theirs. There is no arithmetic for `i8`, `u16` and `u64`, and no function of one
//! tensor for unsigned integers. Kernels that move elements exist once per size. A [`Tail`] is several ops on one tensor, in place.

mod cast;
mod conv;
mod demand;
mod elementwise;
mod geometry;
mod index;
mod matmul;
mod num;
mod order;
mod pool;
mod product;
mod reduce;
mod repeat;
mod rows;
mod shape;
mod strided;
mod tail;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use netc_ir::{Bindings, CoreOp, Dim, ElemType, InferError, Module, OpClass, Pool, Reduce, Type, infer};

use crate::error::KernelError;
use crate::plan::has_free_symbols;
use crate::value::{Value, extents, for_word};

pub(crate) use demand::demand;
pub(crate) use tail::{Source, Tail, TailOp};

type Made<T> = Result<T, KernelError>;

/// The op with its extents as numbers, and the type of its result on operands of the fixed types `operands`.
pub(crate) fn typed<'a>(op: &'a CoreOp, operands: &[&Type], bindings: &Bindings) -> Made<(Cow<'a, CoreOp>, Type)> {
    let op = with_known_dims(op, operands, bindings)?;
    let ty = infer(&Module::new(), &op, operands)?;
    Ok((op, ty))
}

/// The result of `op` on `operands`, with symbols as `bindings` says.
pub(crate) fn run(op: &CoreOp, operands: &[&Value], bindings: &Bindings) -> Made<Value> {
    let types: Vec<Type> = operands.iter().map(|v| v.ty()).collect();
    let (op, ty) = typed(op, &types.iter().collect::<Vec<_>>(), bindings)?;
    let dims = extents(&ty)?;
    compute(&op, operands, &dims, ty.elem).map_err(|error| {
        // Whatever did not fit, the op is known by its result.
        let is_memory = matches!(error, KernelError::Memory { .. });
        if is_memory { KernelError::Memory { ty: ty.to_string() } } else { error }
    })
}

/// The result of `op`, whose elements are of type `elem`. It is computed in a wider type where there is one.
fn compute(op: &CoreOp, operands: &[&Value], dims: &[usize], elem: ElemType) -> Made<Value> {
    // Loops over the other axes could take forever. Indices are checked even if they choose nothing.
    if dims.contains(&0) && !matches!(op, CoreOp::Gather(_)) {
        return for_word!(elem, W => Value::from_words::<W>(elem, dims, Vec::new()));
    }
    let Some(wide) = operands.first().and_then(|v| computed_in(op, v.elem())) else {
        return dispatch(op, operands, dims);
    };
    let operands = operands.iter().map(|v| cast::cast(v, wide)).collect::<Made<Vec<_>>>()?;
    let result = dispatch(op, &operands.iter().collect::<Vec<_>>(), dims)?;
    if is_extreme(op) { cast::saturating(&result, elem) } else { cast::cast(&result, elem) }
}

/// The wider type that `op` is computed in on elements of type `elem`, if there is one.
fn computed_in(op: &CoreOp, elem: ElemType) -> Option<ElemType> {
    let (calculates, compares) = (computes(op), matches!(op, CoreOp::Compare(_) | CoreOp::Sort { .. }));
    match elem {
        ElemType::F16 | ElemType::BF16 => (calculates || compares).then_some(ElemType::F32),
        ElemType::I16 | ElemType::I32 => (calculates || compares).then_some(ElemType::I64),
        // There is no function of one tensor for unsigned integers.
        ElemType::U8 | ElemType::U32 => {
            (calculates && !matches!(op, CoreOp::Unary(_)) || compares).then_some(ElemType::I64)
        }
        ElemType::I8 | ElemType::Bool => compares.then_some(ElemType::I64),
        ElemType::F32
        | ElemType::F64
        | ElemType::I64
        | ElemType::U16
        | ElemType::U64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => None,
    }
}

/// Whether the op gives the lowest or the highest number of the element type where there is none to choose.
fn is_extreme(op: &CoreOp) -> bool {
    matches!(op, CoreOp::Reduce { kind: Reduce::Max | Reduce::Min, .. } | CoreOp::Pool { kind: Pool::Max, .. })
}

/// Whether the result of `op` has the elements of its operand, in the same memory.
pub(crate) fn is_shared(op: &CoreOp) -> bool {
    matches!(op, CoreOp::Reshape(_))
}

fn dispatch(op: &CoreOp, operands: &[&Value], dims: &[usize]) -> Made<Value> {
    match op {
        CoreOp::Constant(literal) => Value::from_literal(literal),
        // Weights are constants of the plan; here there is no module to find them in.
        CoreOp::Weight(_) => Err(KernelError::Element { elem: ElemType::Any }),
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
        CoreOp::Reshape(_) => one(operands)?.reshape(dims),
        CoreOp::Transpose(perm) => shape::transpose(one(operands)?, perm, dims),
        CoreOp::Broadcast(_) => shape::broadcast(one(operands)?, dims),
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
    }
}

/// Whether the op calculates with its elements, and does not only move or compare them.
fn computes(op: &CoreOp) -> bool {
    match op.class() {
        OpClass::Product | OpClass::Reduction => true,
        OpClass::Elementwise => matches!(op, CoreOp::Unary(_) | CoreOp::Binary(_)),
        OpClass::Stored | OpClass::Movement => false,
    }
}

/// The op with its own extents as numbers.
fn with_known_dims<'a>(op: &'a CoreOp, operands: &[&Type], bindings: &Bindings) -> Made<Cow<'a, CoreOp>> {
    Ok(if let CoreOp::Reshape(dims) = op {
        let count = operands.first().and_then(|ty| ty.num_elements());
        Cow::Owned(CoreOp::Reshape(known_shape(dims, count, bindings)?))
    } else if let CoreOp::Broadcast(dims) = op {
        Cow::Owned(CoreOp::Broadcast(dims.iter().map(|d| known(d, bindings)).collect::<Made<_>>()?))
    } else {
        Cow::Borrowed(op)
    })
}

fn known(dim: &Dim, bindings: &Bindings) -> Made<Dim> {
    dim.eval(bindings).map(Dim::Known).ok_or_else(|| KernelError::Unbound { dim: dim.to_string() })
}

/// The shape as numbers. One extent whose symbols have no value is what the `count` elements leave for it.
fn known_shape(dims: &[Dim], count: Option<u64>, bindings: &Bindings) -> Made<Vec<Dim>> {
    let values: Vec<Option<u64>> = dims.iter().map(|d| d.eval(bindings)).collect();
    let rest = values.iter().flatten().try_fold(1u64, |n, d| n.checked_mul(*d)).filter(|n| *n > 0);
    let left = match (count, rest) {
        (Some(count), Some(rest)) if values.iter().filter(|v| v.is_none()).count() == 1 => count.checked_div(rest),
        _ => None,
    };
    let fill = |(dim, value): (&Dim, Option<u64>)| {
        value
            .or(left.filter(|_| has_free_symbols(dim, bindings)))
            .map(Dim::Known)
            .ok_or_else(|| KernelError::Unbound { dim: dim.to_string() })
    };
    dims.iter().zip(values).map(fill).collect()
}

fn one<'v>(operands: &[&'v Value]) -> Made<&'v Value> {
    let [x] = take(operands)?;
    Ok(x)
}

fn take<'v, const N: usize>(operands: &[&'v Value]) -> Made<[&'v Value; N]> {
    let note = || format!("takes {N} operands, found {}", operands.len());
    operands.try_into().map_err(|_| InferError { op: "operands", constraint: 0, note: note() }.into())
}
