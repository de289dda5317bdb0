//! Dense layers, embeddings and matrix products.

use netc_ir::{Compare, ElemType, ValueId};

use crate::lower::activation::activate;
use crate::lower::call::Call;
use crate::lower::call::promote::{Arg, Kind};
use crate::lower::entry::{Entry, one};
use crate::lower::ops::einsum::einsum;
use crate::lower::quant;
use crate::lower::result::{self, Result};

pub(crate) const LAYERS: &[Entry] = &[
    one("Dense", dense, "`activation(x @ kernel + bias)`.").passes_mask(),
    one("EinsumDense", einsum_dense, "`activation(einsum(equation, x, kernel) + bias)`."),
    one("Embedding", embedding, "The rows of a table at the indices in `x`."),
];

pub(crate) const OPS: &[Entry] = &[
    one("Matmul", matmul_op, "The matrix product."),
    one("Dot", dot_op, "The product over the last axis of `x1` and the last but one of `x2`."),
    one("Einsum", einsum_op, "The Einstein sum of two tensors."),
];

fn dense(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = c.weight("vars/0", "the kernel")?;
    c.require_extents(kernel, "the kernel", 1, "units", 1)?;
    let has_bias = c.flag("use_bias", true)?;
    if let Some(inputs) = c.quantization()? {
        let scale = kernel_scale(c, has_bias)?;
        let y = inputs.dense(c, x, kernel, scale)?;
        return bias_and_activation(c, y, has_bias);
    }
    let (x, kernel) = c.promote2(Arg::Tensor(x), Arg::Tensor(kernel), &[])?;
    let y = matmul(c, x, kernel)?;
    bias_and_activation(c, y, has_bias)
}

fn einsum_dense(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = c.weight("vars/0", "the kernel")?;
    let has_bias = c.has("bias_axes");
    if let Some(inputs) = c.quantization()? {
        let scale = kernel_scale(c, has_bias)?;
        let y = inputs.einsum(c, x, kernel, scale)?;
        return bias_and_activation(c, y, has_bias);
    }
    let (x, kernel) = c.promote2(Arg::Tensor(x), Arg::Tensor(kernel), &[])?;
    let y = einsum(c, c.text("equation")?, x, kernel)?;
    bias_and_activation(c, y, has_bias)
}

/// The scale of a quantised kernel.
fn kernel_scale(c: &mut Call<'_, '_>, has_bias: bool) -> Result<ValueId> {
    c.weight(if has_bias { "vars/2" } else { "vars/1" }, "the scale of the kernel")
}

fn bias_and_activation(c: &mut Call<'_, '_>, y: ValueId, has_bias: bool) -> Result<ValueId> {
    if !has_bias {
        return activate(c, y);
    }
    let bias = c.weight("vars/1", "the bias")?;
    c.require_extents(bias, "the bias", 0, "units", 1)?;
    let y = c.add(y, bias)?;
    activate(c, y)
}

fn embedding(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let quantization = c.quantization()?;
    let x = c.raw_input()?;
    let table = c.weight("vars/0", "the table")?;
    c.require_extents(table, "the table", 0, "input_dim", 1)?;
    c.require_extents(table, "the table", 1, "output_dim", 1)?;
    if c.flag("mask_zero", false)? {
        let mask = c.compare(Compare::Ne, x, 0.0)?;
        c.attach(0, Some(mask));
    }
    let indices = if matches!(c.elem(x), ElemType::I32 | ElemType::I64) { x } else { c.b.cast(x, ElemType::I32)? };
    match quantization {
        Some(_) => quant::rows(c, table, indices),
        None => Ok(c.b.gather(table, indices, 0)?),
    }
}

fn matmul_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (a, b) = factors(c)?;
    matmul(c, a, b)
}

fn factors(c: &mut Call<'_, '_>) -> result::Result<(ValueId, ValueId)> {
    let (a, b) = (c.tensor(0, "x1")?, c.tensor(1, "x2")?);
    if (c.elem(a), c.elem(b)) == (ElemType::I8, ElemType::I8) {
        return Err(c.unsupported("two factors of type i8"));
    }
    c.promote2(Arg::Tensor(a), Arg::Tensor(b), &[Kind::Elem(ElemType::Bool)])
}

/// The matrix product. A vector counts as a row on the left and as a column on the right.
pub(crate) fn matmul(c: &mut Call<'_, '_>, a: ValueId, b: ValueId) -> Result<ValueId> {
    let (Some(left), Some(right)) = (c.ty(a).rank(), c.ty(b).rank()) else { return Ok(c.b.matmul(a, b)?) };
    let a = if left == 1 { c.expand(a, 0)? } else { a };
    let b = if right == 1 { c.expand(b, 1)? } else { b };
    let mut y = c.b.matmul(a, b)?;
    if right == 1 {
        y = c.squeeze(y, c.rank(y)?.saturating_sub(1))?;
    }
    if left == 1 {
        let last = if right == 1 { 1 } else { 2 };
        y = c.squeeze(y, c.rank(y)?.saturating_sub(last))?;
    }
    Ok(y)
}

fn dot_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (a, b) = factors(c)?;
    match (c.rank(a)?, c.rank(b)?) {
        (0, _) | (_, 0) => c.mul(a, b),
        (_, 1 | 2) => matmul(c, a, b),
        (_, rank) => Err(c.unsupported(format!("a second factor of rank {rank}"))),
    }
}

fn einsum_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let equation = c.text("subscripts")?;
    c.only_args(2, &[])?;
    if c.arg(1, "x2").is_none() {
        return Err(c.unsupported(format!("a single tensor (equation \"{equation}\")")));
    }
    let (a, b) = factors(c)?;
    einsum(c, equation, a, b)
}
