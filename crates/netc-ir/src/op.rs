//! The ops of a function: source ops, core ops and calls.
//!
//! A source op is one layer call of the model's framework, with all of its configuration. A core op has exact
//! semantics, given on its page in `ir-spec/ops/`. A match over [`CoreOp`] names every op, or covers the ops it treats
//! alike by their [`OpClass`]. A new op therefore breaks every consumer that must handle it at compile time.

mod table;

pub use table::{CORE_OPS, OpClass};

use crate::attr::{Attrs, F64, NonJson};
use crate::dim::Dim;
use crate::id::{FuncId, LayerId, ValueId, WeightId};
use crate::literal::Literal;
use crate::loc::Loc;
use crate::name::Name;
use crate::named::named;
use crate::types::ElemType;

/// One op of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    /// What it computes.
    pub kind: OpKind,
    /// The tensors it reads.
    pub operands: Vec<ValueId>,
    /// The tensors it defines.
    pub results: Vec<ValueId>,
    /// Where it comes from.
    pub loc: Loc,
}

/// What an op computes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OpKind {
    /// A layer call or node of the source framework.
    Source(Box<SourceOp>),
    /// A call of another function of the module.
    Call(Box<CallOp>),
    /// A tensor operation with exact semantics.
    Core(CoreOp),
}

/// A layer call or node in its own dialect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceOp {
    /// Dialect and class, joined by a dot.
    pub name: Name,
    /// The layer declaration that it applies, if the framework has declarations.
    pub layer: Option<LayerId>,
    /// The positions of absent operands, ascending. `Op::operands` lists only the present ones. Text: `_`.
    pub absent: Vec<u32>,
    /// Everything about this call that is not in the declaration.
    pub attrs: Attrs,
}

impl SourceOp {
    /// An op without absent operands.
    pub fn new(name: impl Into<Name>, layer: Option<LayerId>, attrs: Attrs) -> Self {
        Self { name: name.into(), layer, absent: Vec::new(), attrs }
    }

    /// The operands by position: `present` in order, with `None` for each absent operand.
    pub fn arguments<T: Copy>(&self, present: &[T]) -> Vec<Option<T>> {
        let (mut absent, mut present) = (self.absent.iter().peekable(), present.iter().copied());
        let places = 0..self.absent.len() + present.len();
        places
            .map(|i| if absent.next_if(|place| **place as usize <= i).is_some() { None } else { present.next() })
            .collect()
    }

    /// The functions that its attributes name, repeated for each mention.
    fn funcs(&self) -> Vec<FuncId> {
        let mut funcs = Vec::new();
        self.attrs.for_each_non_json(&mut |it| {
            if let NonJson::Func(id) = it {
                funcs.push(*id);
            }
        });
        funcs
    }

    /// The weights that its attributes name, repeated for each mention.
    fn weights(&self) -> Vec<WeightId> {
        let mut weights = Vec::new();
        self.attrs.for_each_non_json(&mut |it| {
            if let NonJson::Weight(id) = it {
                weights.push(*id);
            }
        });
        weights
    }
}

/// A call of a function, such as a nested model or a stage of a split model.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallOp {
    /// The called function.
    pub callee: FuncId,
    /// The layer declaration of the callee, if its framework treats it as a layer.
    pub layer: Option<LayerId>,
    /// Everything about this call that is not in the declaration.
    pub attrs: Attrs,
}

named! {
    /// Elementwise functions of one tensor.
    Unary {
        /// `-x`.
        Neg = "neg",
        /// `|x|`.
        Abs = "abs",
        /// -1, 0 or 1.
        Sign = "sign",
        /// The largest integer not above `x`.
        Floor = "floor",
        /// The smallest integer not below `x`.
        Ceil = "ceil",
        /// The nearest integer, ties to even.
        Round = "round",
        /// `e^x`.
        Exp = "exp",
        /// `e^x - 1`.
        Expm1 = "expm1",
        /// Natural logarithm.
        Log = "log",
        /// `log(1 + x)`.
        Log1p = "log1p",
        /// Square root.
        Sqrt = "sqrt",
        /// `1 / sqrt(x)`.
        Rsqrt = "rsqrt",
        /// Sine of radians.
        Sin = "sin",
        /// Cosine of radians.
        Cos = "cos",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// `1 / (1 + e^-x)`.
        Sigmoid = "sigmoid",
        /// Gauss error function.
        Erf = "erf",
        /// `max(x, 0)`.
        Relu = "relu",
        /// Logical negation.
        Not = "not",
    }
}

named! {
    /// Elementwise functions of two tensors, with broadcasting.
    Binary {
        /// `a + b`.
        Add = "add",
        /// `a - b`.
        Sub = "sub",
        /// `a * b`.
        Mul = "mul",
        /// `a / b`.
        Div = "div",
        /// `a^b`.
        Pow = "pow",
        /// The larger.
        Max = "max",
        /// The smaller.
        Min = "min",
        /// Logical and.
        And = "and",
        /// Logical or.
        Or = "or",
    }
}

named! {
    /// Elementwise comparisons of two tensors, with broadcasting. The result is `bool`.
    Compare {
        /// `a = b`.
        Eq = "eq",
        /// `a != b`.
        Ne = "ne",
        /// `a < b`.
        Lt = "lt",
        /// `a <= b`.
        Le = "le",
        /// `a > b`.
        Gt = "gt",
        /// `a >= b`.
        Ge = "ge",
    }
}

named! {
    /// Reductions over axes.
    Reduce {
        /// The sum.
        Sum = "reduce_sum",
        /// The arithmetic mean.
        Mean = "reduce_mean",
        /// The product.
        Prod = "reduce_prod",
        /// The largest.
        Max = "reduce_max",
        /// The smallest.
        Min = "reduce_min",
    }
}

named! {
    /// Reductions over sliding windows.
    Pool {
        /// The largest element of each window, ignoring padding.
        Max = "max_pool",
        /// The mean of each window, not counting padding.
        Avg = "avg_pool",
    }
}

named! {
    /// The position of the channel axis.
    Layout {
        /// Batch, spatial axes, channels.
        ChannelsLast = "channels_last",
        /// Batch, channels, spatial axes.
        ChannelsFirst = "channels_first",
    }
}

named! {
    /// How the border of a padded tensor is filled.
    PadMode {
        /// A constant.
        Constant = "constant",
        /// The mirror image without the edge element.
        Reflect = "reflect",
        /// The mirror image with the edge element.
        Symmetric = "symmetric",
        /// The edge element.
        Edge = "edge",
    }
}

/// The padding of a sliding window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Padding {
    /// None.
    Valid,
    /// Enough for an output of `ceil(input / stride)` elements. If the amount is odd, the extra element goes at the
    /// end.
    Same,
    /// Elements before and after, for each spatial axis.
    Explicit(Vec<(u64, u64)>),
}

/// How a window moves over the spatial axes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    /// Step along each spatial axis, at least 1.
    pub strides: Vec<u64>,
    /// Spacing of the window's elements along each spatial axis, at least 1.
    pub dilations: Vec<u64>,
    /// The padding.
    pub padding: Padding,
    /// The position of the channel axis.
    pub layout: Layout,
}

/// One axis of a slice: elements `start`, `start + step`, ... before `end`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceAxis {
    /// First element.
    pub start: u64,
    /// One past the last element, or `None` for the end of the axis.
    pub end: Option<u64>,
    /// Distance between elements, at least 1.
    pub step: u64,
}

impl SliceAxis {
    /// The whole axis.
    pub const ALL: Self = Self { start: 0, end: None, step: 1 };
}

/// A tensor operation with exact semantics. Each has a page in `ir-spec/ops/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CoreOp {
    /// A constant in the program text.
    Constant(Literal),
    /// A weight of the module.
    Weight(WeightId),
    /// An elementwise function of one tensor.
    Unary(Unary),
    /// An elementwise function of two tensors.
    Binary(Binary),
    /// An elementwise comparison.
    Compare(Compare),
    /// Takes elements of the second operand where the first is true, and of the third elsewhere.
    Select,
    /// Conversion to another element type.
    Cast(ElemType),
    /// Matrix product over the last two axes, batched over the others.
    MatMul,
    /// Convolution of `x` with a kernel of shape `spatial..., in/groups, out`.
    Conv {
        /// How the kernel moves.
        window: Window,
        /// Number of channel groups, which are convolved independently.
        groups: u64,
    },
    /// A reduction over sliding windows.
    Pool {
        /// The reduction.
        kind: Pool,
        /// Window length along each spatial axis.
        size: Vec<u64>,
        /// How the window moves.
        window: Window,
    },
    /// A reduction over axes.
    Reduce {
        /// The reduction.
        kind: Reduce,
        /// The axes, ascending.
        axes: Vec<u64>,
        /// Whether reduced axes are kept with extent 1.
        keep: bool,
    },
    /// The same elements, in row-major order, with another shape. Operands after the first carry its symbols.
    Reshape(Vec<Dim>),
    /// A permutation of the axes: axis `i` of the result is axis `perm[i]` of the operand.
    Transpose(Vec<u64>),
    /// Repeats axes of extent 1, aligning shapes at the last axis. Operands after the first carry symbols.
    Broadcast(Vec<Dim>),
    /// Concatenates the operands along an axis.
    Concat(u64),
    /// A strided slice.
    Slice(Vec<SliceAxis>),
    /// Padding around the tensor.
    Pad {
        /// Elements before and after, for each axis.
        amounts: Vec<(u64, u64)>,
        /// How the padding is filled.
        mode: PadMode,
        /// The padding element in constant mode, converted to the element type.
        value: F64,
    },
    /// Slices of the first operand along an axis, at the indices in the second.
    Gather(u64),
    /// Sorts the elements along an axis.
    Sort {
        /// The axis.
        axis: u64,
        /// Whether the largest element comes first.
        descending: bool,
    },
    /// Running sums along an axis.
    CumSum(u64),
    /// Reverses the elements along axes.
    Reverse(Vec<u64>),
    /// The extent of an axis as a scalar.
    Dim(u64),
    /// The numbers 0 to n - 1 for a scalar operand n. The extent of the result is n.
    Iota(Dim),
}

impl OpKind {
    /// The printed name: dialect and class, `call`, or the name of the core op.
    pub fn name(&self) -> &str {
        match self {
            Self::Source(op) => &op.name,
            Self::Call(_) => "call",
            Self::Core(op) => op.name(),
        }
    }

    /// The layer declaration that the op applies, if any.
    pub fn layer(&self) -> Option<LayerId> {
        match self {
            Self::Source(op) => op.layer,
            Self::Call(op) => op.layer,
            Self::Core(_) => None,
        }
    }

    /// The functions that the op calls or that its attributes name, repeated for each mention.
    pub fn funcs(&self) -> Vec<FuncId> {
        match self {
            Self::Source(op) => op.funcs(),
            Self::Call(op) => vec![op.callee],
            Self::Core(_) => Vec::new(),
        }
    }

    /// Calls `edit` with every function that the op calls or that its attributes name.
    pub fn for_each_func_mut(&mut self, mut edit: impl FnMut(&mut FuncId)) {
        match self {
            Self::Source(op) => op.attrs.for_each_non_json_mut(&mut |it| {
                if let NonJson::Func(id) = it {
                    edit(id);
                }
            }),
            Self::Call(op) => edit(&mut op.callee),
            Self::Core(_) => {}
        }
    }

    /// The weights that a `weight` op or the attributes of a source op name. Excludes those of its layer.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Self::Source(op) => op.weights(),
            Self::Core(CoreOp::Weight(id)) => vec![*id],
            Self::Call(_) | Self::Core(_) => Vec::new(),
        }
    }

    /// Calls `edit` with every weight in [`Self::weights`].
    pub fn for_each_weight_mut(&mut self, mut edit: impl FnMut(&mut WeightId)) {
        match self {
            Self::Source(op) => op.attrs.for_each_non_json_mut(&mut |it| {
                if let NonJson::Weight(id) = it {
                    edit(id);
                }
            }),
            Self::Core(CoreOp::Weight(id)) => edit(id),
            Self::Call(_) | Self::Core(_) => {}
        }
    }

    /// Replaces symbols in the extents that a core op names by what `symbol` returns for them.
    pub fn substitute(&mut self, symbol: &impl Fn(&Name) -> Option<Dim>) {
        if let Self::Core(op) = self {
            op.own_dims_mut().iter_mut().for_each(|d| *d = d.substitute(symbol));
        }
    }

    /// The attribute tree of a source op or call. Core ops have typed attributes instead.
    pub fn attrs(&self) -> Option<&Attrs> {
        match self {
            Self::Source(op) => Some(&op.attrs),
            Self::Call(op) => Some(&op.attrs),
            Self::Core(_) => None,
        }
    }
}

impl From<CoreOp> for OpKind {
    fn from(op: CoreOp) -> Self {
        Self::Core(op)
    }
}
