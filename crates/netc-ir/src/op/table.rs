//! The table of core ops: name, one-line summary and class.

use super::CoreOp;

/// A class of similar core ops, for consumers that treat most ops alike.
///
/// A consumer matches `(op, op.class())`: it names the ops that need special treatment, and classes for the rest. A new
/// op then only needs a class, and a new class breaks every consumer at compile time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpClass {
    /// Stored numbers: no operands.
    Stored,
    /// Each element of the result depends on one element of each operand. Operands are broadcast to a common shape.
    Elementwise,
    /// Sums of products of the elements of two operands.
    Product,
    /// Sums or other reductions over elements of one operand.
    Reduction,
    /// Moves or copies elements of the operands without computing with them.
    Movement,
    /// Converts extents to elements, or elements to extents.
    Extent,
}

/// Name and one-line summary of every core op, in the order of the specification.
pub const CORE_OPS: &[(&str, &str)] = &[
    ("constant", "A constant tensor in the program text."),
    ("weight", "A weight of the module."),
    ("neg", "`-x`, element by element."),
    ("abs", "Magnitude, element by element."),
    ("sign", "-1, 0 or 1, element by element."),
    ("floor", "Largest integer not above, element by element."),
    ("ceil", "Smallest integer not below, element by element."),
    ("round", "Nearest integer, ties to even, element by element."),
    ("exp", "`e^x`, element by element."),
    ("expm1", "`e^x - 1`, element by element."),
    ("log", "Natural logarithm, element by element."),
    ("log1p", "`log(1 + x)`, element by element."),
    ("sqrt", "Square root, element by element."),
    ("rsqrt", "`1 / sqrt(x)`, element by element."),
    ("sin", "Sine, element by element."),
    ("cos", "Cosine, element by element."),
    ("tanh", "Hyperbolic tangent, element by element."),
    ("sigmoid", "`1 / (1 + e^-x)`, element by element."),
    ("erf", "Gauss error function, element by element."),
    ("relu", "`max(x, 0)`, element by element."),
    ("not", "Logical negation, element by element."),
    ("add", "Sum of two tensors with broadcasting."),
    ("sub", "Difference of two tensors with broadcasting."),
    ("mul", "Product of two tensors, element by element, with broadcasting."),
    ("div", "Quotient of two tensors with broadcasting."),
    ("pow", "Power of two tensors with broadcasting."),
    ("max", "The larger of two tensors' elements, with broadcasting."),
    ("min", "The smaller of two tensors' elements, with broadcasting."),
    ("and", "Logical and of two tensors with broadcasting."),
    ("or", "Logical or of two tensors with broadcasting."),
    ("eq", "Equality of elements, with broadcasting."),
    ("ne", "Inequality of elements, with broadcasting."),
    ("lt", "Whether each element of `a` is less than that of `b`, with broadcasting."),
    ("le", "Whether each element of `a` is less than or equal to that of `b`, with broadcasting."),
    ("gt", "Whether each element of `a` is greater than that of `b`, with broadcasting."),
    ("ge", "Whether each element of `a` is greater than or equal to that of `b`, with broadcasting."),
    ("select", "Choice between two tensors by a third, with broadcasting."),
    ("cast", "Conversion to another element type."),
    ("matmul", "Matrix product over the last two axes, batched over the others."),
    ("conv", "Convolution over any number of spatial axes."),
    ("max_pool", "Largest element of sliding windows."),
    ("avg_pool", "Mean of sliding windows."),
    ("reduce_sum", "Sum over axes."),
    ("reduce_mean", "Mean over axes."),
    ("reduce_prod", "Product over axes."),
    ("reduce_max", "Largest element over axes."),
    ("reduce_min", "Smallest element over axes."),
    ("reshape", "The same elements with another shape."),
    ("transpose", "A permutation of the axes."),
    ("broadcast", "Repetition along axes of extent 1."),
    ("concat", "Concatenation of tensors along an axis."),
    ("slice", "A strided slice of a tensor."),
    ("pad", "Padding around a tensor."),
    ("gather", "Slices along an axis, chosen by indices."),
    ("sort", "Sorted elements along an axis."),
    ("cumsum", "Running sums along an axis."),
    ("reverse", "Reversal of the elements along axes."),
    ("dim", "The extent of an axis as a scalar."),
    ("iota", "The numbers 0 to n - 1, for a scalar n."),
];

impl CoreOp {
    /// Its spelling in `.nir` text.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Weight(_) => "weight",
            Self::Unary(f) => f.name(),
            Self::Binary(f) => f.name(),
            Self::Compare(f) => f.name(),
            Self::Select => "select",
            Self::Cast(_) => "cast",
            Self::MatMul => "matmul",
            Self::Conv { .. } => "conv",
            Self::Pool { kind, .. } => kind.name(),
            Self::Reduce { kind, .. } => kind.name(),
            Self::Reshape(_) => "reshape",
            Self::Transpose(_) => "transpose",
            Self::Broadcast(_) => "broadcast",
            Self::Concat(_) => "concat",
            Self::Slice(_) => "slice",
            Self::Pad { .. } => "pad",
            Self::Gather(_) => "gather",
            Self::Sort { .. } => "sort",
            Self::CumSum(_) => "cumsum",
            Self::Reverse(_) => "reverse",
            Self::Dim(_) => "dim",
            Self::Iota(_) => "iota",
        }
    }

    /// Its class.
    pub fn class(&self) -> OpClass {
        match self {
            Self::Constant(_) | Self::Weight(_) => OpClass::Stored,
            Self::Unary(_) | Self::Binary(_) | Self::Compare(_) | Self::Select | Self::Cast(_) => OpClass::Elementwise,
            Self::MatMul | Self::Conv { .. } => OpClass::Product,
            Self::Pool { .. } | Self::Reduce { .. } | Self::CumSum(_) => OpClass::Reduction,
            Self::Reshape(_)
            | Self::Transpose(_)
            | Self::Broadcast(_)
            | Self::Concat(_)
            | Self::Slice(_)
            | Self::Pad { .. }
            | Self::Gather(_)
            | Self::Sort { .. }
            | Self::Reverse(_) => OpClass::Movement,
            Self::Dim(_) | Self::Iota(_) => OpClass::Extent,
        }
    }
}
