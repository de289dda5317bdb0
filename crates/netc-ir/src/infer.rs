//! Shape and type inference for core ops, and the constraints on their operands.
//!
//! Constraints are numbered as on the op's page in `ir-spec/ops/`.

mod window;

use std::borrow::Cow;

use thiserror::Error;

use crate::dim::Dim;
use crate::module::Module;
use crate::op::{Binary, CoreOp, PadMode, SliceAxis, Unary};
use crate::types::{ElemType, Type, dims_agree};

pub use window::{channel_axis, first_spatial};

/// A violated constraint on the operands or attributes of a core op.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{op}` breaks constraint C{constraint}: {note}")]
pub struct InferError {
    /// The op.
    pub op: &'static str,
    /// The number of the constraint on the op's page.
    pub constraint: u8,
    /// What was found and what was expected.
    pub note: String,
}

/// A result whose error is a violated constraint.
pub type Result<T, E = InferError> = std::result::Result<T, E>;

/// Infers the result type of `op` on operands of types `operands`.
///
/// If an operand has an unknown rank, so does the result, unless the op fixes it.
///
/// ```
/// use netc_ir::{CoreOp, Dim, ElemType, Module, Type, infer};
///
/// let x = Type::new(ElemType::F32, [Dim::symbol("N"), Dim::Known(4)]);
/// let w = Type::fixed(ElemType::F32, &[4, 3]);
/// let y = infer(&Module::new(), &CoreOp::MatMul, &[&x, &w])?;
/// assert_eq!(y.to_string(), "f32[N,3]");
///
/// let error = infer(&Module::new(), &CoreOp::MatMul, &[&w, &w]).unwrap_err();
/// assert_eq!(error.op, "matmul");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn infer(module: &Module, op: &CoreOp, operands: &[&Type]) -> Result<Type> {
    inferred(module, op, operands).map(Cow::into_owned)
}

/// Like [`infer`], but borrows the result if it is the type of an operand or weight, as most are.
pub(crate) fn inferred<'t>(module: &'t Module, op: &CoreOp, operands: &[&'t Type]) -> Result<Cow<'t, Type>> {
    Rule { module, name: op.name() }.infer(op, operands)
}

struct Rule<'m> {
    module: &'m Module,
    name: &'static str,
}

impl<'m> Rule<'m> {
    fn infer<'t>(&self, op: &CoreOp, operands: &[&'t Type]) -> Result<Cow<'t, Type>>
    where
        'm: 't,
    {
        match op {
            CoreOp::Constant(literal) => {
                self.arity(operands, 0)?;
                self.check(1, literal.is_well_formed(), || {
                    format!(
                        "{} has {} bytes, expected one element or all elements, each in range",
                        literal.ty(),
                        literal.bytes.len()
                    )
                })?;
                Ok(Cow::Owned(literal.ty()))
            }
            CoreOp::Weight(id) => {
                self.arity(operands, 0)?;
                let weight = self.module.weights.get(id.index());
                weight.map(|w| Cow::Borrowed(&w.ty)).ok_or_else(|| self.error(1, format!("there is no weight {id}")))
            }
            CoreOp::Unary(f) => {
                let [x] = self.operands(operands)?;
                self.unary_domain(*f, x.elem)?;
                Ok(Cow::Borrowed(x))
            }
            CoreOp::Binary(f) => {
                let [a, b] = self.operands(operands)?;
                let elem = self.same_elem(&[a, b])?;
                let fits = match f {
                    Binary::And | Binary::Or => elem == ElemType::Bool || elem.is_int(),
                    Binary::Add | Binary::Mul | Binary::Max | Binary::Min => is_plain(elem),
                    Binary::Sub | Binary::Div | Binary::Pow => is_number(elem),
                };
                self.domain(3, fits, elem)?;
                self.broadcast(&[a, b], elem)
            }
            CoreOp::Compare(_) => {
                let [a, b] = self.operands(operands)?;
                let elem = self.same_elem(&[a, b])?;
                self.domain(3, is_plain(elem), elem)?;
                self.broadcast(&[a, b], ElemType::Bool)
            }
            CoreOp::Select => {
                let [c, a, b] = self.operands(operands)?;
                self.check(3, matches!(c.elem, ElemType::Bool | ElemType::Any), || {
                    format!("the condition is {c}, expected bool")
                })?;
                self.broadcast(&[c, a, b], self.same_elem(&[a, b])?)
            }
            CoreOp::Cast(elem) => {
                let [x] = self.operands(operands)?;
                self.domain(1, x.elem != ElemType::Str, x.elem)?;
                self.check(1, elem.bits() > 0, || {
                    format!("cannot convert to {elem}, expected a boolean, integer, float or narrow type")
                })?;
                Ok(Cow::Owned(Type { elem: *elem, dims: x.dims.clone() }))
            }
            CoreOp::MatMul => self.matmul(operands).map(Cow::Owned),
            CoreOp::Conv { window, groups } => self.conv(operands, window, *groups).map(Cow::Owned),
            CoreOp::Pool { size, window, .. } => self.pool(operands, size, window).map(Cow::Owned),
            CoreOp::Reduce { axes, keep, .. } => self.reduce(operands, axes, *keep).map(Cow::Owned),
            CoreOp::Reshape(dims) => self.reshape(operands, dims).map(Cow::Owned),
            CoreOp::Transpose(perm) => self.transpose(operands, perm).map(Cow::Owned),
            CoreOp::Broadcast(dims) => self.broadcast_to(operands, dims).map(Cow::Owned),
            CoreOp::Concat(axis) => self.concat(operands, *axis).map(Cow::Owned),
            CoreOp::Slice(axes) => self.slice(operands, axes).map(Cow::Owned),
            CoreOp::Pad { amounts, mode, .. } => self.pad(operands, amounts, *mode).map(Cow::Owned),
            CoreOp::Gather(axis) => self.gather(operands, *axis).map(Cow::Owned),
            CoreOp::Sort { axis, .. } => {
                let [x] = self.operands(operands)?;
                self.axes_in_rank(x, &[*axis])?;
                self.domain(2, is_plain(x.elem), x.elem)?;
                Ok(Cow::Borrowed(x))
            }
            CoreOp::CumSum(axis) => {
                let [x] = self.operands(operands)?;
                self.axes_in_rank(x, &[*axis])?;
                self.domain(2, is_number(x.elem), x.elem)?;
                Ok(Cow::Borrowed(x))
            }
            CoreOp::Reverse(axes) => {
                let [x] = self.operands(operands)?;
                self.axes_in_rank(x, axes)?;
                self.ascending(axes)?;
                Ok(Cow::Borrowed(x))
            }
            CoreOp::Dim(axis) => {
                let [x] = self.operands(operands)?;
                self.axes_in_rank(x, &[*axis])?;
                Ok(Cow::Owned(Type::new(ElemType::I64, [])))
            }
            CoreOp::Iota(extent) => {
                let n = self.first(operands)?;
                let fits = (n.elem.is_int() || n.elem == ElemType::Any) && n.rank().is_none_or(|rank| rank == 0);
                self.check(1, fits, || format!("the operand is {n}, expected a scalar integer"))?;
                Ok(Cow::Owned(Type::new(ElemType::I64, [extent.clone()])))
            }
        }
    }

    fn error(&self, constraint: u8, note: String) -> InferError {
        InferError { op: self.name, constraint, note }
    }

    fn check(&self, constraint: u8, holds: bool, note: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.error(constraint, note())) }
    }

    fn arity(&self, operands: &[&Type], n: usize) -> Result<()> {
        self.check(0, operands.len() == n, || format!("takes {n} operands, found {}", operands.len()))
    }

    fn operands<'t, const N: usize>(&self, operands: &[&'t Type]) -> Result<[&'t Type; N]> {
        self.arity(operands, N)?;
        operands.try_into().map_err(|_| self.error(0, format!("takes {N} operands")))
    }

    /// The first operand. The others carry symbols.
    fn first<'t>(&self, operands: &[&'t Type]) -> Result<&'t Type> {
        operands.first().copied().ok_or_else(|| self.error(0, "takes one operand or more, found none".into()))
    }

    fn unary_domain(&self, f: Unary, elem: ElemType) -> Result<()> {
        let fits = match f {
            Unary::Not => elem == ElemType::Bool,
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu => elem.is_float() || elem.is_signed_int(),
            Unary::Floor
            | Unary::Ceil
            | Unary::Round
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
            | Unary::Erf => elem.is_float(),
        };
        self.domain(1, fits, elem)
    }

    /// Checks that the op supports this element type. An unknown type is checked at run time.
    fn domain(&self, constraint: u8, fits: bool, elem: ElemType) -> Result<()> {
        let note = || format!("is not defined for elements of type {elem}");
        self.check(constraint, fits || elem == ElemType::Any, note)
    }

    /// C1: element types are equal.
    fn same_elem(&self, types: &[&Type]) -> Result<ElemType> {
        let elem = types.iter().map(|t| t.elem).find(|e| *e != ElemType::Any).unwrap_or(ElemType::Any);
        let odd = types.iter().find(|t| t.elem != elem && t.elem != ElemType::Any);
        self.check(1, odd.is_none(), || {
            format!("element types differ: {}", types.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(", "))
        })?;
        Ok(elem)
    }

    /// C2: aligned at the last axis, extents are equal or one of them is 1.
    fn broadcast<'t>(&self, types: &[&'t Type], elem: ElemType) -> Result<Cow<'t, Type>> {
        if let Some(all) = types.iter().find(|t| t.elem == elem && types.iter().all(|other| covers(t, other))) {
            return Ok(Cow::Borrowed(all));
        }
        if types.iter().any(|t| t.dims.is_none()) {
            return Ok(Cow::Owned(Type::unranked(elem)));
        }
        let mut shapes = types.iter().filter_map(|t| t.dims.as_deref());
        let mut out = shapes.next().unwrap_or_default().to_vec();
        shapes.try_for_each(|shape| self.broadcast_with(2, &mut out, shape))?;
        Ok(Cow::Owned(Type { elem, dims: Some(out) }))
    }

    /// Sets `out` to the common broadcast shape of `out` and `other`.
    fn broadcast_with(&self, constraint: u8, out: &mut Vec<Dim>, other: &[Dim]) -> Result<()> {
        let clashes = |(x, y): &(&Dim, &Dim)| !(x.is(1) || y.is(1) || dims_agree(x, y));
        if let Some((x, y)) = out.iter().rev().zip(other.iter().rev()).find(clashes) {
            let note = format!("extents {x} and {y} do not broadcast ({out:?} and {other:?})");
            return Err(self.error(constraint, note));
        }
        let missing = other.len().saturating_sub(out.len());
        out.splice(..0, std::iter::repeat_n(Dim::Known(1), missing));
        for (x, y) in out.iter_mut().rev().zip(other.iter().rev()) {
            // A number wins over a symbol. If they differ, the run fails.
            if *x != *y && !y.is(1) && (x.is(1) || x.known().is_none()) {
                *x = y.clone();
            }
        }
        Ok(())
    }

    fn matmul(&self, operands: &[&Type]) -> Result<Type> {
        let [a, b] = self.operands(operands)?;
        let elem = self.same_elem(&[a, b])?;
        self.domain(5, is_number(elem), elem)?;
        let (Some(ad), Some(bd)) = (&a.dims, &b.dims) else { return Ok(Type::unranked(elem)) };
        self.check(2, ad.len() >= 2 && bd.len() >= 2, || format!("operands are {a} and {b}, expected rank 2 or more"))?;
        let (batch_a, [m, k]) = split_last(ad);
        let (batch_b, [k2, n]) = split_last(bd);
        self.check(3, dims_agree(k, k2), || format!("inner extents {k} and {k2} differ"))?;
        let mut dims = batch_a.to_vec();
        self.broadcast_with(4, &mut dims, batch_b)?;
        dims.extend([m.clone(), n.clone()]);
        Ok(Type::new(elem, dims))
    }

    fn axes_in_rank(&self, x: &Type, axes: &[u64]) -> Result<()> {
        let rank = x.rank().map(|r| r as u64);
        self.check(1, axes.iter().all(|a| rank.is_none_or(|r| *a < r)), || {
            format!("axes {axes:?} are out of range for {x}")
        })
    }

    fn ascending(&self, axes: &[u64]) -> Result<()> {
        self.check(2, axes.is_sorted_by(|a, b| a < b), || format!("axes {axes:?} are not ascending"))
    }

    fn reduce(&self, operands: &[&Type], axes: &[u64], keep: bool) -> Result<Type> {
        let [x] = self.operands(operands)?;
        self.axes_in_rank(x, axes)?;
        self.ascending(axes)?;
        self.domain(3, is_number(x.elem), x.elem)?;
        let Some(dims) = &x.dims else { return Ok(x.clone()) };
        let reduced = |i: &usize| axes.contains(&(*i as u64));
        let out = dims.iter().enumerate().filter(|(i, _)| keep || !reduced(i));
        Ok(Type::new(x.elem, out.map(|(i, d)| if reduced(&i) { Dim::Known(1) } else { d.clone() })))
    }

    fn reshape(&self, operands: &[&Type], dims: &[Dim]) -> Result<Type> {
        let x = self.first(operands)?;
        let out = Type::new(x.elem, dims.iter().cloned());
        // Only numbers are compared. A product with a symbol is a number only if a factor is 0.
        let open = |dims: &[Dim]| dims.iter().any(|d| d.known().is_none()) && !dims.iter().any(|d| d.is(0));
        if let Some(from) = x.dims.as_ref().filter(|from| !open(from) && !open(dims)) {
            let (a, b) = (Dim::product(from), Dim::product(dims));
            self.check(1, dims_agree(&a, &b), || format!("{x} has {a} elements, {out} has {b}"))?;
        }
        Ok(out)
    }

    fn transpose(&self, operands: &[&Type], perm: &[u64]) -> Result<Type> {
        let [x] = self.operands(operands)?;
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        self.check(1, sorted.iter().copied().eq(0..perm.len() as u64), || format!("{perm:?} is not a permutation"))?;
        let Some(dims) = &x.dims else { return Ok(x.clone()) };
        self.check(2, dims.len() == perm.len(), || {
            format!("{perm:?} permutes {} axes, but the operand is {x}", perm.len())
        })?;
        Ok(Type::new(x.elem, perm.iter().map(|i| dims[*i as usize].clone())))
    }

    fn broadcast_to(&self, operands: &[&Type], dims: &[Dim]) -> Result<Type> {
        let x = self.first(operands)?;
        let out = Type::new(x.elem, dims.iter().cloned());
        if let Some(from) = &x.dims {
            let fits = from.len() <= dims.len()
                && from.iter().rev().zip(dims.iter().rev()).all(|(a, b)| a.is(1) || dims_agree(a, b));
            self.check(1, fits, || format!("{x} does not broadcast to {out}"))?;
        }
        Ok(out)
    }

    fn concat(&self, operands: &[&Type], axis: u64) -> Result<Type> {
        self.check(0, !operands.is_empty(), || "takes one operand or more, found none".into())?;
        let elem = self.same_elem(operands)?;
        let shapes: Vec<&[Dim]> = operands.iter().filter_map(|t| t.dims.as_deref()).collect();
        let Some(rank) = shapes.first().map(|s| s.len()) else { return Ok(Type::unranked(elem)) };
        self.check(2, axis < rank as u64 && shapes.iter().all(|s| s.len() == rank), || {
            format!("axis {axis} of operands {operands:?}: expected equal ranks greater than the axis")
        })?;
        if shapes.len() < operands.len() {
            return Ok(Type::unranked(elem));
        }
        let axis = axis as usize;
        let mut out = shapes[0].to_vec();
        for shape in &shapes[1..] {
            for i in 0..rank {
                if i == axis {
                    out[i] = out[i].plus(&shape[i]);
                } else {
                    self.check(3, dims_agree(&out[i], &shape[i]), || {
                        format!("extents {} and {} of axis {i} differ", out[i], shape[i])
                    })?;
                    if out[i].known().is_none() {
                        out[i] = shape[i].clone();
                    }
                }
            }
        }
        Ok(Type::new(elem, out))
    }

    fn slice(&self, operands: &[&Type], axes: &[SliceAxis]) -> Result<Type> {
        let [x] = self.operands(operands)?;
        self.check(2, axes.iter().all(|a| a.step >= 1), || "a step is 0, expected 1 or more".into())?;
        for SliceAxis { start, end, .. } in axes {
            self.check(3, end.is_none_or(|end| *start <= end), || {
                format!("start {start} is after end {}", end.unwrap_or(0))
            })?;
        }
        let Some(dims) = &x.dims else { return Ok(x.clone()) };
        self.check(1, axes.len() == dims.len(), || format!("slices {} axes, but the operand is {x}", axes.len()))?;
        let mut out = Vec::with_capacity(dims.len());
        for (dim, axis) in dims.iter().zip(axes) {
            let end = axis.end.map_or_else(|| dim.clone(), Dim::Known);
            if let Some(n) = dim.known() {
                let last = axis.end.unwrap_or(n);
                self.check(3, last <= n, || format!("end {last} is past the end of an axis of {n}"))?;
                self.check(3, axis.start <= last, || format!("start {} is after end {last}", axis.start))?;
            }
            out.push(end.minus(&Dim::Known(axis.start)).ceil_div(axis.step));
        }
        Ok(Type::new(x.elem, out))
    }

    fn pad(&self, operands: &[&Type], amounts: &[(u64, u64)], mode: PadMode) -> Result<Type> {
        let [x] = self.operands(operands)?;
        self.domain(3, x.elem != ElemType::Str, x.elem)?;
        let Some(dims) = &x.dims else { return Ok(x.clone()) };
        self.check(1, amounts.len() == dims.len(), || {
            format!("has {} pairs of amounts, but the operand is {x}", amounts.len())
        })?;
        let mut out = Vec::with_capacity(dims.len());
        for (dim, (low, high)) in dims.iter().zip(amounts) {
            let limit = match (mode, dim.known()) {
                (PadMode::Constant, _) | (_, None) => u64::MAX,
                (PadMode::Reflect, Some(n)) => n.saturating_sub(1),
                (PadMode::Symmetric, Some(n)) => n,
                (PadMode::Edge, Some(n)) => {
                    if n == 0 {
                        0
                    } else {
                        u64::MAX
                    }
                }
            };
            self.check(2, *low <= limit && *high <= limit, || {
                format!("padding of {low} and {high} in {} mode is too wide for an axis of {dim}", mode.name())
            })?;
            out.push(dim.plus(&Dim::Known(low.saturating_add(*high))));
        }
        Ok(Type::new(x.elem, out))
    }

    fn gather(&self, operands: &[&Type], axis: u64) -> Result<Type> {
        let [x, indices] = self.operands(operands)?;
        self.axes_in_rank(x, &[axis])?;
        self.check(2, indices.elem.is_int() || indices.elem == ElemType::Any, || {
            format!("the indices are {indices}, expected integers")
        })?;
        let (Some(dims), Some(idims)) = (&x.dims, &indices.dims) else { return Ok(Type::unranked(x.elem)) };
        let axis = axis as usize;
        let out = dims[..axis].iter().chain(idims).chain(&dims[axis + 1..]);
        Ok(Type::new(x.elem, out.cloned()))
    }
}

/// Whether `all` is the broadcast shape of both: `other` has no more axes, and each extent is equal or 1.
fn covers(all: &Type, other: &Type) -> bool {
    let (Some(all), Some(other)) = (&all.dims, &other.dims) else { return false };
    other.len() <= all.len() && all.iter().rev().zip(other.iter().rev()).all(|(x, y)| x == y || y.is(1))
}

/// Whether it is `bool` or a number type that ops compute with.
fn is_plain(elem: ElemType) -> bool {
    elem == ElemType::Bool || is_number(elem)
}

fn is_number(elem: ElemType) -> bool {
    elem.is_int() || elem.is_float()
}

/// Splits off the last two of at least two extents.
fn split_last(dims: &[Dim]) -> (&[Dim], [&Dim; 2]) {
    let (rest, last) = dims.split_at(dims.len() - 2);
    (rest, [&last[0], &last[1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Layout, Padding, Pool, Window};

    #[track_caller]
    fn check_rejected(op: CoreOp, operands: usize, constraint: u8) {
        let open = Type::unranked(ElemType::F32);
        let error = infer(&Module::new(), &op, &vec![&open; operands]).unwrap_err();
        assert_eq!(error.constraint, constraint, "{error}");
    }

    fn window(strides: &[u64]) -> Window {
        let dilations = vec![1; strides.len()];
        Window { strides: strides.to_vec(), dilations, padding: Padding::Valid, layout: Layout::ChannelsLast }
    }

    #[test]
    fn attributes_are_checked_even_if_the_rank_is_unknown() {
        check_rejected(CoreOp::Conv { window: window(&[1]), groups: 0 }, 2, 4);
        check_rejected(CoreOp::Conv { window: window(&[0]), groups: 1 }, 2, 3);
        check_rejected(CoreOp::Conv { window: window(&[]), groups: 1 }, 2, 3);
        let padded = Window { padding: Padding::Explicit(vec![]), ..window(&[1]) };
        check_rejected(CoreOp::Conv { window: padded, groups: 1 }, 2, 3);
        check_rejected(CoreOp::Pool { kind: Pool::Max, size: vec![0], window: window(&[1]) }, 1, 2);
        check_rejected(CoreOp::Pool { kind: Pool::Max, size: vec![], window: window(&[1]) }, 1, 2);
        check_rejected(CoreOp::Slice(vec![SliceAxis { start: 0, end: None, step: 0 }]), 1, 2);
        check_rejected(CoreOp::Slice(vec![SliceAxis { start: 2, end: Some(1), step: 1 }]), 1, 3);
    }

    #[test]
    fn reshape_compares_long_extents_quickly() {
        let sums = |c| (0..22).map(move |i| Dim::parse(&format!("a{i}+{c}{i}")).unwrap());
        let shape: Vec<Dim> = sums('c').collect();
        let from = Type::new(ElemType::F32, sums('b'));
        assert_eq!(
            infer(&Module::new(), &CoreOp::Reshape(shape.clone()), &[&from]),
            Ok(Type::new(ElemType::F32, shape))
        );
    }

    #[test]
    fn concat_with_an_unranked_operand_is_unranked() {
        let (open, known) = (Type::unranked(ElemType::F32), Type::fixed(ElemType::F32, &[2]));
        for operands in [[&open, &known], [&known, &open]] {
            assert_eq!(infer(&Module::new(), &CoreOp::Concat(0), &operands).unwrap(), open);
        }
        let joined = infer(&Module::new(), &CoreOp::Concat(0), &[&known, &known]).unwrap();
        assert_eq!(joined, Type::fixed(ElemType::F32, &[4]));
    }
}
