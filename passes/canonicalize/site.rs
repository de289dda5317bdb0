//! The input and the output of a rule.

use netc_ir::{CoreOp, Dim, Func, Number, OpKind, Type, Unary, ValueId};

/// A named rewrite rule. The comment above each rule states its algebra.
pub(super) struct Rule {
    /// The name in statistics.
    pub(super) name: &'static str,
    /// Returns the rewrite of the op, if the rule applies.
    pub(super) apply: fn(&Site<'_>) -> Option<Rewrite>,
}

/// The rewrite of an op.
pub(super) enum Rewrite {
    /// Replace its result by this value.
    Value(ValueId),
    /// Compute its result by this op on these operands.
    Op(CoreOp, Vec<ValueId>),
}

/// An op with one result, and the function around it.
pub(super) struct Site<'a> {
    pub(super) func: &'a Func,
    /// Which values depend on no parameter.
    pub(super) constant: &'a [bool],
    pub(super) op: &'a CoreOp,
    pub(super) operands: &'a [ValueId],
    pub(super) result: ValueId,
}

impl<'a> Site<'a> {
    pub(super) fn ty(&self, value: ValueId) -> &'a Type {
        &self.func[value].ty
    }

    pub(super) fn result_type(&self) -> &'a Type {
        self.ty(self.result)
    }

    /// The extents of `value`; `None` if its rank is unknown.
    pub(super) fn dims(&self, value: ValueId) -> Option<&'a [Dim]> {
        self.ty(value).dims.as_deref()
    }

    /// The op's operand, if it has exactly one.
    pub(super) fn operand(&self) -> Option<ValueId> {
        if let [x] = self.operands { Some(*x) } else { None }
    }

    /// The core op that defines `value`, with its operands.
    pub(super) fn def(&self, value: ValueId) -> Option<(&'a CoreOp, &'a [ValueId])> {
        let op = &self.func[self.func.producer(value)?];
        if let OpKind::Core(core) = &op.kind { Some((core, &op.operands)) } else { None }
    }

    /// The core op that defines the op's only operand, with its own only operand.
    pub(super) fn inner(&self) -> Option<(&'a CoreOp, ValueId)> {
        let (op, operands) = self.def(self.operand()?)?;
        if let [x] = operands { Some((op, *x)) } else { None }
    }

    /// The unary op that defines `value`, with its operand.
    pub(super) fn unary(&self, value: ValueId) -> Option<(Unary, ValueId)> {
        match self.def(value)? {
            (CoreOp::Unary(f), [x]) => Some((*f, *x)),
            _ => None,
        }
    }

    /// The number that all elements of `value` equal, if it is a constant.
    pub(super) fn splat(&self, value: ValueId) -> Option<Number> {
        if let (CoreOp::Constant(literal), _) = self.def(value)? { literal.as_splat() } else { None }
    }

    pub(super) fn is_constant(&self, value: ValueId) -> bool {
        self.constant[value.index()]
    }
}

/// Reshapes `x` to `dims`. `None` if `dims` has more than one open extent, because a reshape can infer only one.
pub(super) fn reshape(x: ValueId, dims: &[Dim]) -> Option<Rewrite> {
    let symbolic = dims.iter().filter(|d| d.known().is_none()).count();
    (symbolic <= 1).then(|| Rewrite::Op(CoreOp::Reshape(dims.to_vec()), vec![x]))
}
