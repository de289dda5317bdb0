//! Ops: what a function computes with.
//!
//! A source op is one layer call of the model's own framework with all of its configuration. A core op has exact
//! meaning, given on its page in `ir-spec/ops/`. Matches over [`CoreOp`] name every op, or what has no answer of its own
//! by its [`OpClass`], so that a new op breaks at compile time every consumer that must know about it.

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
    /// A tensor operation with exact meaning.
    Core(CoreOp),
}

/// A layer call or node in its own dialect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceOp {
    /// Dialect and class, joined by a point.
    pub name: Name,
    /// The declaration that is applied, where the framework has such.
    pub layer: Option<LayerId>,
    /// The places of operands that are absent, ascending. The operands of the op are those that are there. Text: `_`.
    pub absent: Vec<u32>,
    /// Everything about this call that is not in the declaration.
    pub attrs: Attrs,
}

impl SourceOp {
    /// An op without absent operands.
    pub fn new(name: impl Into<Name>, layer: Option<LayerId>, attrs: Attrs) -> Self {
        Self { name: name.into(), layer, absent: Vec::new(), attrs }
    }

    /// The operands by their places: `present` are those that are there, `None` stands for each that is absent.
    pub fn arguments<T: Copy>(&self, present: &[T]) -> Vec<Option<T>> {
        let (mut absent, mut present) = (self.absent.iter().peekable(), present.iter().copied());
        let places = 0..self.absent.len() + present.len();
        places
            .map(|i| if absent.next_if(|place| **place as usize <= i).is_some() { None } else { present.next() })
            .collect()
    }

    /// The functions that its attributes name, once for each time.
    fn funcs(&self) -> Vec<FuncId> {
        let mut funcs = Vec::new();
        self.attrs.for_each_non_json(&mut |it| {
            if let NonJson::Func(id) = it {
                funcs.push(*id);
            }
        });
        funcs
    }

    /// The weights that its attributes name, once for each time.
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

/// A call of a function: a nested model, or a stage of a split one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallOp {
    /// The function that is called.
    pub callee: FuncId,
    /// The layer that the callee is in its framework, where it is one.
    pub layer: Option<LayerId>,
    /// Everything about this call that is not in the declaration.
    pub attrs: Attrs,
}

named! {
    /// Functions of one tensor, element by element.
    Unary {
        /// `-x`.
        Neg = "neg",
        /// `|x|`.
        Abs = "abs",
        /// -1, 0 or 1.
        Sign = "sign",
        /// Largest integer not above `x`.
        Floor = "floor",
        /// Smallest integer not below `x`.
        Ceil = "ceil",
        /// Nearest integer, ties to even.
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
    /// Functions of two tensors, element by element, with broadcasting.
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
        /// Both.
        And = "and",
        /// Either.
        Or = "or",
    }
}

named! {
    /// Comparisons of two tensors, element by element, with broadcasting; the result is `bool`.
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
        /// The largest element of each window; padding never wins.
        Max = "max_pool",
        /// The mean of each window; padding is not counted.
        Avg = "avg_pool",
    }
}

named! {
    /// Where the channel axis is.
    Layout {
        /// Batch, spatial axes, channels.
        ChannelsLast = "channels_last",
        /// Batch, channels, spatial axes.
        ChannelsFirst = "channels_first",
    }
}

named! {
    /// What the border of a padded tensor holds.
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

/// How much border a sliding window sees.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Padding {
    /// None.
    Valid,
    /// As much as makes the output `ceil(input / stride)` long; an odd element goes to the end.
    Same,
    /// Elements before and after, for each spatial axis.
    Explicit(Vec<(u64, u64)>),
}

/// How a window moves over the spatial axes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    /// Step along each spatial axis; at least 1.
    pub strides: Vec<u64>,
    /// Spacing of the window's elements along each spatial axis; at least 1.
    pub dilations: Vec<u64>,
    /// The border.
    pub padding: Padding,
    /// The place of the channel axis.
    pub layout: Layout,
}

/// One axis of a slice: elements `start`, `start + step`, ... before `end`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceAxis {
    /// First element.
    pub start: u64,
    /// One past the last element, or `None` for the end of the axis.
    pub end: Option<u64>,
    /// Distance between elements; at least 1.
    pub step: u64,
}

impl SliceAxis {
    /// The whole axis.
    pub const ALL: Self = Self { start: 0, end: None, step: 1 };
}

/// A tensor operation with exact meaning. Each has a page in `ir-spec/ops/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CoreOp {
    /// A constant that stands in the program.
    Constant(Literal),
    /// A weight of the module.
    Weight(WeightId),
    /// A function of one tensor, element by element.
    Unary(Unary),
    /// A function of two tensors, element by element.
    Binary(Binary),
    /// A comparison, element by element.
    Compare(Compare),
    /// Elements of the second operand where the first is true, else of the third.
    Select,
    /// Conversion to another element type.
    Cast(ElemType),
    /// Matrix product over the last two axes, batched over the others.
    MatMul,
    /// Convolution of `x` with a kernel of shape `spatial..., in/groups, out`.
    Conv {
        /// How the kernel moves.
        window: Window,
        /// Groups of channels that do not mix.
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
        /// Whether reduced axes stay with extent 1.
        keep: bool,
    },
    /// The same elements in row-major order under another shape. Operands after the first carry its symbols.
    Reshape(Vec<Dim>),
    /// The axes in another order: axis `i` of the result is axis `perm[i]` of the operand.
    Transpose(Vec<u64>),
    /// Repetition along axes of extent 1, aligned at the last axis. Operands after the first carry symbols.
    Broadcast(Vec<Dim>),
    /// Operands one after the other along an axis.
    Concat(u64),
    /// A strided part.
    Slice(Vec<SliceAxis>),
    /// A border around the tensor.
    Pad {
        /// Elements before and after, for each axis.
        amounts: Vec<(u64, u64)>,
        /// What the border holds.
        mode: PadMode,
        /// The border's elements in constant mode, converted to the element type.
        value: F64,
    },
    /// Slices of the first operand along an axis, at the indices in the second.
    Gather(u64),
    /// Elements in ascending or descending order along an axis.
    Sort {
        /// The axis.
        axis: u64,
        /// Largest first.
        descending: bool,
    },
    /// Running sums along an axis.
    CumSum(u64),
    /// Elements in the opposite order along axes.
    Reverse(Vec<u64>),
    /// The extent of an axis as a scalar.
    Dim(u64),
    /// The numbers 0 to n - 1, for a scalar n, which the extent stands for.
    Iota(Dim),
}

impl OpKind {
    /// The name that is printed: dialect and class, `call`, or the core op's.
    pub fn name(&self) -> &str {
        match self {
            Self::Source(op) => &op.name,
            Self::Call(_) => "call",
            Self::Core(op) => op.name(),
        }
    }

    /// The layer declaration that is applied, if any.
    pub fn layer(&self) -> Option<LayerId> {
        match self {
            Self::Source(op) => op.layer,
            Self::Call(op) => op.layer,
            Self::Core(_) => None,
        }
    }

    /// The functions that the op calls or that its attributes name, once for each time.
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

    /// The weights that the op is or that its attributes name, those of its layer left out.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Self::Source(op) => op.weights(),
            Self::Core(CoreOp::Weight(id)) => vec![*id],
            Self::Call(_) | Self::Core(_) => Vec::new(),
        }
    }

    /// Calls `edit` with every weight that [`Self::weights`] gives.
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

    /// Replaces the symbols of the shapes that a core op makes by what `symbol` gives for them.
    pub fn substitute(&mut self, symbol: &impl Fn(&Name) -> Option<Dim>) {
        if let Self::Core(op) = self {
            op.own_dims_mut().iter_mut().for_each(|d| *d = d.substitute(symbol));
        }
    }

    /// The call's attribute tree; core ops hold their attributes typed and have none.
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
