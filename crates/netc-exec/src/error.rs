//! What can go wrong: in a tensor, in one op, in a plan or its run.

use netc_data::DataError;
use netc_ir::{ElemType, InferError, Loc, Name, Resource};
use netc_pass::thousands;
use thiserror::Error;

/// Bytes that are not a tensor, or a tensor that is not what is wanted.
#[derive(Debug, Error)]
pub enum TensorError {
    /// There are more or fewer bytes than the shape says.
    #[error("a tensor of type {ty} has {expected} bytes, found {found}")]
    Bytes {
        /// The type.
        ty: String,
        /// The bytes of such a tensor.
        expected: u64,
        /// The bytes given.
        found: u64,
    },
    /// The shape has no size that fits into memory.
    #[error("a tensor of type {ty} is larger than {limit} bytes, the most that is supported")]
    Size {
        /// The type.
        ty: String,
        /// The limit.
        limit: u64,
    },
    /// The system has too little memory.
    #[error("a tensor of type {ty} does not fit into memory")]
    Memory {
        /// The type.
        ty: String,
    },
    /// A value cannot be converted without loss.
    #[error("element {index} is {value}, which {elem} cannot hold exactly")]
    Inexact {
        /// The place in row-major order.
        index: usize,
        /// The value.
        value: f64,
        /// The element type wanted.
        elem: ElemType,
    },
    /// The file cannot be read or written.
    #[error("cannot access `{path}`")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("`{path}` is not a NumPy file that can be read: {note}")]
    Format {
        /// The file, and the member of an archive.
        path: String,
        /// What was found and what was expected.
        note: String,
    },
}

/// An op that cannot be computed on the values it was given.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The shapes or element types do not fit.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// Plans resolve the op before they run, and this one did not: a bug of the planner.
    #[error("`{op}` is not computed: a plan resolves it before it runs")]
    Unresolved {
        /// The op.
        op: &'static str,
    },
    /// The op is not defined for the element type, or there is no kernel for it.
    #[error("there is no kernel for elements of type {elem}")]
    Element {
        /// The element type.
        elem: ElemType,
    },
    /// A symbolic extent has no value.
    #[error("the extent {dim} has no value: no input binds its symbols, or it is negative")]
    Unbound {
        /// The extent.
        dim: String,
    },
    /// An index outside of its axis.
    #[error("index {index}, at place {place} of the indices, is not in 0..{extent}")]
    Index {
        /// The index.
        index: i64,
        /// Its place in row-major order.
        place: usize,
        /// The extent of the axis.
        extent: usize,
    },
    /// Division of an integer by zero, or the mean of no integers.
    #[error("division of an integer by zero")]
    DivideByZero,
    /// An integer to a negative power.
    #[error("an integer is raised to the power {0}, expected 0 or more")]
    NegativePower(i64),
    /// The result would have more axes than are supported.
    #[error("the result has {found} axes, at most {limit} are supported")]
    Rank {
        /// The axes of the result.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The result does not fit into memory.
    #[error("the result {ty} does not fit into memory")]
    Memory {
        /// The type of the result.
        ty: String,
    },
    /// The extent of an `iota` would be negative.
    #[error("cannot count to {0}, expected 0 or more")]
    Negative(i64),
    /// The extent of an `iota` is known, and its operand says another.
    #[error("the operand is {found}, and the result has {expected} elements")]
    Extent {
        /// What the operand says.
        found: u64,
        /// The extent of the result.
        expected: u64,
    },
    /// Two operands carry the same extent, and differ in it.
    #[error("two operands have the extent {dim}, which is {first} in one and {second} in the other")]
    Carriers {
        /// The extent.
        dim: String,
        /// Its value in the first operand.
        first: u64,
        /// Its value in another.
        second: u64,
    },
    /// There are more or fewer elements than the shape has.
    #[error("there are {found} elements, the shape has {expected}")]
    Count {
        /// The elements.
        found: usize,
        /// The elements of the shape.
        expected: usize,
    },
}

/// More memory or steps than there are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} needs {}", shown(*resource, *needed, *limit))]
pub struct Limit {
    /// What needs it.
    pub what: String,
    /// Memory or steps.
    pub resource: Resource,
    /// How much it needs, with what is taken already.
    pub needed: u64,
    /// How much there is.
    pub limit: u64,
}

fn shown(resource: Resource, needed: u64, limit: u64) -> String {
    match resource {
        Resource::Steps => format!("{} steps, and {} are allowed", thousands(needed), thousands(limit)),
        Resource::Memory | Resource::Read => {
            format!("{} of memory, and {} are free", shown_bytes(needed), shown_bytes(limit))
        }
    }
}

/// A result with the error of a plan or a run.
pub type Result<T, E = ExecError> = std::result::Result<T, E>;

/// A function that cannot be planned or run.
#[derive(Debug, Error)]
pub enum ExecError {
    /// A layer without a definition.
    #[error("`{name}` at {loc} has no meaning here and cannot be executed")]
    NotExecutable {
        /// The class of the layer.
        name: Name,
        /// Where it is applied.
        loc: Loc,
    },
    /// The module does not pass the verifier.
    #[error("`@{func}` is malformed: {note}")]
    Malformed {
        /// The function.
        func: Name,
        /// What was found.
        note: String,
    },
    /// A run takes more than there is.
    #[error("cannot run `@{func}`")]
    TooLarge {
        /// The function.
        func: Name,
        /// What does, and how much.
        source: Limit,
    },
    /// The system starts no threads for the ops to run on.
    #[error("cannot start a thread to compute on: the system has too little memory, or too many threads")]
    Threads(#[source] std::io::Error),
    /// A weight cannot be read.
    #[error("cannot prepare the weights")]
    Weight(#[from] DataError),
    /// A weight is read and is not a tensor that can be held.
    #[error("cannot hold the weight `{weight}`")]
    Held {
        /// The weight.
        weight: Name,
        /// Why.
        source: Box<KernelError>,
    },
    /// A tensor is malformed.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A tensor of a parameter is malformed.
    #[error("input `{name}` cannot be used")]
    InputTensor {
        /// The parameter.
        name: Name,
        /// Why.
        source: TensorError,
    },
    /// An op failed.
    #[error("cannot compute `{op}` at {loc}")]
    Op {
        /// The op.
        op: &'static str,
        /// Where it comes from.
        loc: Loc,
        /// Why.
        source: Box<KernelError>,
    },
    /// There are more or fewer inputs than parameters.
    #[error("{found} inputs were given, expected {expected}: {names}")]
    InputCount {
        /// The inputs given.
        found: usize,
        /// The parameters.
        expected: usize,
        /// Their names.
        names: String,
    },
    /// An input does not have the type of its parameter.
    #[error("input `{name}` is {found}, expected {expected}")]
    Input {
        /// The parameter.
        name: Name,
        /// The type of the input.
        found: String,
        /// The type of the parameter.
        expected: String,
    },
    /// Two inputs give a symbol different values.
    #[error("input `{input}` says that {symbol} is {found}, input `{first}` says that it is {expected}")]
    Symbol {
        /// The symbol.
        symbol: Name,
        /// The second input.
        input: Name,
        /// What it says.
        found: u64,
        /// The first input.
        first: Name,
        /// What it says.
        expected: u64,
    },
    /// The operands of a call do not have the types of the callee's parameters.
    #[error("the call of `@{callee}` at {loc} does not fit")]
    Call {
        /// The function called.
        callee: Name,
        /// Where it is called.
        loc: Loc,
        /// Why.
        source: Box<ExecError>,
    },
}

/// The error of an op of a plan.
pub(crate) fn op_error(op: &'static str, loc: &Loc, source: KernelError) -> ExecError {
    ExecError::Op { op, loc: loc.clone(), source: Box::new(source) }
}

/// A number of bytes as people write it.
fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Errors of kernels, for the files that compute.
pub(crate) mod kernel {
    /// A result with the error of a kernel.
    pub(crate) type Result<T, E = crate::error::KernelError> = std::result::Result<T, E>;
}
