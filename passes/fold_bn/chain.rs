//! Finds chains, and the products next to them.

use netc_ir::infer::channel_axis;
use netc_ir::{Binary, CoreOp, Func, OpId, OpKind, Padding, Type, Uses, ValueId};

use crate::analysis::constant_values;

/// One op of a chain: a binary op of a tensor and a constant.
pub(super) struct Step {
    pub(super) op: OpId,
    pub(super) kind: StepKind,
    /// The tensor.
    x: ValueId,
    /// The constant.
    pub(super) c: ValueId,
    /// The only axis along which the constant varies, counted from the last; `None` for a scalar.
    pub(super) axis: Option<usize>,
    result: ValueId,
}

/// The operation of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// `x + c`.
    Plus,
    /// `x - c`.
    Minus,
    /// `c - x`.
    MinusFrom,
    /// `x * c`.
    Times,
    /// `x / c`.
    Over,
}

impl StepKind {
    /// The operation of `f`, given which of its operands is the constant.
    fn of(f: Binary, constant_left: bool) -> Option<Self> {
        match f {
            Binary::Add => Some(Self::Plus),
            Binary::Sub => Some(if constant_left { Self::MinusFrom } else { Self::Minus }),
            Binary::Mul => Some(Self::Times),
            Binary::Div => (!constant_left).then_some(Self::Over),
            Binary::Pow | Binary::Max | Binary::Min | Binary::And | Binary::Or => None,
        }
    }

    fn scales(self) -> bool {
        match self {
            Self::Times | Self::Over | Self::MinusFrom => true,
            Self::Plus | Self::Minus => false,
        }
    }

    fn shifts(self) -> bool {
        match self {
            Self::Plus | Self::Minus | Self::MinusFrom => true,
            Self::Times | Self::Over => false,
        }
    }
}

/// A sequence of steps. Each step is the only reader of the one before.
pub(super) struct Chain {
    /// The input of the first step.
    pub(super) x: ValueId,
    pub(super) steps: Vec<Step>,
}

impl Chain {
    /// Whether it is more than the one `add` that folding leaves after a product.
    pub(super) fn is_more_than_bias(&self) -> bool {
        !matches!(&self.steps[..], [] | [Step { kind: StepKind::Plus, .. }])
    }

    /// Whether it is longer than the `mul` and `add` that it needs.
    pub(super) fn is_long(&self) -> bool {
        let scales = self.steps.iter().any(|s| s.kind.scales());
        self.steps.len() > usize::from(scales) + usize::from(self.shifts())
    }

    fn shifts(&self) -> bool {
        self.steps.iter().any(|s| s.kind.shifts())
    }

    /// The axis along which its constants vary, counted from the last.
    fn axis(&self) -> Option<usize> {
        self.steps.iter().find_map(|s| s.axis)
    }
}

/// A convolution or matrix product with a constant kernel on the right.
pub(super) struct Product {
    pub(super) op: OpId,
    pub(super) x: ValueId,
    pub(super) kernel: ValueId,
    pub(super) result: ValueId,
    /// The channel axis of the input and the result, counted from the last.
    pub(super) channel_axis: usize,
    /// The number of channel groups.
    pub(super) groups: u64,
    is_matmul: bool,
    /// Whether it pads its input with zeros.
    pads: bool,
}

impl Product {
    /// Whether a kernel of the type `kernel` is a batch of matrices.
    pub(super) fn is_batched(&self, kernel: &Type) -> bool {
        self.is_matmul && kernel.rank() > Some(2)
    }
}

/// Finds chains and products in a function.
pub(super) struct Finder<'f> {
    func: &'f Func,
    uses: Uses,
    constant: Vec<bool>,
}

impl<'f> Finder<'f> {
    pub(super) fn of(func: &'f Func) -> Self {
        Self { func, uses: Uses::of(func), constant: constant_values(func) }
    }

    /// The op as a product, if it is one.
    pub(super) fn product(&self, id: OpId) -> Option<Product> {
        let op = &self.func[id];
        let (OpKind::Core(core), [x, kernel], [result]) = (&op.kind, &op.operands[..], &op.results[..]) else {
            return None;
        };
        let ty = &self.func[*result].ty;
        let rank = ty.rank().filter(|_| ty.elem.is_float() && self.is_constant(*kernel) && !self.is_constant(*x))?;
        let (x, kernel, result) = (*x, *kernel, *result);
        let product = Product { op: id, x, kernel, result, channel_axis: 0, groups: 1, is_matmul: true, pads: false };
        if let CoreOp::Conv { window, groups } = core {
            let (axis, pads) = (channel_axis(window.layout, rank), window.padding != Padding::Valid);
            return Some(Product { channel_axis: rank - 1 - axis, groups: *groups, is_matmul: false, pads, ..product });
        }
        matches!(core, CoreOp::MatMul).then_some(product)
    }

    /// The longest chain that begins with `x` and varies along no axis but `axis`.
    pub(super) fn chain_from(&self, x: ValueId, axis: usize) -> Chain {
        self.extend(Chain { x, steps: Vec::new() }, Some(axis))
    }

    /// The longest chain that begins with `first`. The first step that has an axis determines the axis.
    pub(super) fn chain_of(&self, first: Step) -> Chain {
        let axis = first.axis;
        self.extend(Chain { x: first.x, steps: vec![first] }, axis)
    }

    fn extend(&self, mut chain: Chain, mut axis: Option<usize>) -> Chain {
        loop {
            let end = chain.steps.last().map_or(chain.x, |s| s.result);
            let next = self.only_reader(end).and_then(|op| self.step(op));
            let fits = |step: &Step| step.axis.is_none() || axis.is_none() || step.axis == axis;
            let Some(step) = next.filter(fits) else { return chain };
            axis = axis.or(step.axis);
            chain.steps.push(step);
        }
    }

    /// The product that reads the end of the chain, if the chain can be folded into it.
    pub(super) fn product_after(&self, chain: &Chain) -> Option<Product> {
        let end = chain.steps.last()?.result;
        let product = self.product(self.only_reader(end)?).filter(|p| p.x == end)?;
        let along = chain.axis().is_none_or(|axis| axis == product.channel_axis);
        (along && !(product.pads && chain.shifts())).then_some(product)
    }

    /// The op as a step, if it is one, regardless of its context.
    pub(super) fn step(&self, id: OpId) -> Option<Step> {
        let op = &self.func[id];
        let (OpKind::Core(CoreOp::Binary(f)), [a, b], [result]) = (&op.kind, &op.operands[..], &op.results[..]) else {
            return None;
        };
        let left = self.is_constant(*a);
        let (x, c) = if left { (*b, *a) } else { (*a, *b) };
        let ty = &self.func[x].ty;
        let fits = self.is_constant(c) && !self.is_constant(x) && ty.elem.is_float() && *ty == self.func[*result].ty;
        let (kind, axis) = (StepKind::of(*f, left).filter(|_| fits)?, self.axis(c)?);
        Some(Step { op: id, kind, x, c, axis, result: *result })
    }

    /// The only axis of a constant whose extent is not 1, counted from the last. `Some(None)` if there is none, `None`
    /// if there are several.
    fn axis(&self, c: ValueId) -> Option<Option<usize>> {
        let dims = self.func[c].ty.dims.as_deref()?;
        let mut long = dims.iter().rev().enumerate().filter(|(_, d)| !d.is(1)).map(|(i, _)| i);
        let axis = long.next();
        long.next().is_none().then_some(axis)
    }

    fn is_constant(&self, value: ValueId) -> bool {
        self.constant[value.index()]
    }

    /// The only reader of `value`, if it has exactly one and is not an output.
    fn only_reader(&self, value: ValueId) -> Option<OpId> {
        match self.uses.readers(value) {
            [op] if !self.uses.is_output(value) => Some(*op),
            _ => None,
        }
    }
}
