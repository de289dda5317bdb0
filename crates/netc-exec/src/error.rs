//! Errors of tensors, of single ops, and of plans and their runs.

use netc_data::DataError;
use netc_ir::{ElemType, InferError, Loc, Name, Resource};
use netc_pass::thousands;
use thiserror::Error;

/// A tensor that is malformed, or that cannot be read, written or converted.
#[derive(Debug, Error)]
pub enum TensorError {
    /// The number of bytes does not match the type.
    #[error("a tensor of type {ty} has {expected} bytes, found {found}")]
    Bytes {
        /// The type.
        ty: String,
        /// The number of bytes of that type.
        expected: u64,
        /// The number of bytes given.
        found: u64,
    },
    /// The tensor exceeds the largest supported size.
    #[error("a tensor of type {ty} is larger than the limit of {limit} bytes")]
    Size {
        /// The type.
        ty: String,
        /// The limit.
        limit: u64,
    },
    /// The allocation failed.
    #[error("a tensor of type {ty} does not fit into memory")]
    Memory {
        /// The type.
        ty: String,
    },
    /// A value cannot be converted without loss.
    #[error("element {index} is {value}, which {elem} cannot hold exactly")]
    Inexact {
        /// The position in row-major order.
        index: usize,
        /// The value.
        value: f64,
        /// The target element type.
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
    /// The file is not a valid NumPy file.
    #[error("cannot read `{path}` as a NumPy file: {note}")]
    Format {
        /// The file, and the archive member if it is an archive.
        path: String,
        /// What was found and what was expected.
        note: String,
    },
}

/// An op that cannot be computed on its operands.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The shapes or element types do not fit.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A bug in the planner: it must resolve this op before a run.
    #[error("`{op}` has no kernel: the plan must resolve it before the run")]
    Unresolved {
        /// The op.
        op: &'static str,
    },
    /// The op is not defined for the element type, or has no kernel for it.
    #[error("there is no kernel for elements of type {elem}")]
    Element {
        /// The element type.
        elem: ElemType,
    },
    /// A symbolic extent has no value.
    #[error("the extent {dim} has no value: no input or operand binds its symbols, or it is negative")]
    Unbound {
        /// The extent.
        dim: String,
    },
    /// An index is out of range.
    #[error("index {index} at position {place} of the indices is out of range, expected 0..{extent}")]
    Index {
        /// The index.
        index: i64,
        /// Its position in row-major order.
        place: usize,
        /// The extent of the axis.
        extent: usize,
    },
    /// An integer is divided by zero, or the mean of an empty set of integers is taken.
    #[error("division of an integer by zero")]
    DivideByZero,
    /// An integer is raised to a negative power.
    #[error("an integer is raised to the power {0}, expected an exponent of 0 or more")]
    NegativePower(i64),
    /// The rank of the result exceeds the limit.
    #[error("the result has {found} axes, at most {limit} are supported")]
    Rank {
        /// The rank of the result.
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
    #[error("the operand is {0}, expected a count of 0 or more")]
    Negative(i64),
    /// The operand of an `iota` contradicts the known extent of its result.
    #[error("the operand is {found}, but the result type has {expected} elements")]
    Extent {
        /// The value of the operand.
        found: u64,
        /// The extent of the result type.
        expected: u64,
    },
    /// Two operands carry the same extent with different values.
    #[error("the operands disagree on the extent {dim}: it is {first} in one and {second} in another")]
    Carriers {
        /// The extent.
        dim: String,
        /// Its value in the first operand.
        first: u64,
        /// Its value in another.
        second: u64,
    },
    /// The number of elements does not match the shape.
    #[error("found {found} elements, expected {expected} for the shape")]
    Count {
        /// The number of elements given.
        found: usize,
        /// The number of elements of the shape.
        expected: usize,
    },
}

/// A demand that exceeds the available memory or the allowed steps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} needs {}", shown(*resource, *needed, *limit))]
pub struct Limit {
    /// What needs it.
    pub what: String,
    /// Memory or steps.
    pub resource: Resource,
    /// How much it needs, including what is already in use.
    pub needed: u64,
    /// The limit.
    pub limit: u64,
}

/// The cap on a number of bytes.
pub(crate) const MOST_BYTES: u64 = u64::MAX / 4;

fn shown(resource: Resource, needed: u64, limit: u64) -> String {
    match resource {
        Resource::Steps => format!("{} steps, more than the {} allowed", thousands(needed), thousands(limit)),
        Resource::Memory | Resource::Read => {
            // Larger sizes are capped at `MOST_BYTES`.
            let more = if needed < MOST_BYTES { "" } else { "more than " };
            let needed = shown_bytes(needed.min(MOST_BYTES));
            format!("{more}{needed} of memory, more than the {} available", shown_bytes(limit))
        }
    }
}

/// The result of planning or running.
pub type Result<T, E = ExecError> = std::result::Result<T, E>;

/// A function that cannot be planned or run.
#[derive(Debug, Error)]
pub enum ExecError {
    /// An unsupported layer: it has no lowering.
    #[error("cannot run `{name}` at {loc}: netc has no lowering for this layer")]
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
        /// What is wrong.
        note: String,
    },
    /// The plan or its run exceeds a limit.
    #[error("cannot run `@{func}`")]
    TooLarge {
        /// The function.
        func: Name,
        /// What exceeds which limit.
        source: Limit,
    },
    /// The system cannot start any compute thread.
    #[error("cannot start a compute thread: the system has too little memory or too many threads")]
    Threads(#[source] std::io::Error),
    /// A weight cannot be read.
    #[error("cannot read the weights")]
    Weight(#[from] DataError),
    /// A weight cannot be held in memory, or its element type has no kernels.
    #[error("cannot load the weight `{weight}`")]
    Held {
        /// The weight.
        weight: Name,
        /// Why.
        source: Box<KernelError>,
    },
    /// A tensor is malformed.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An input is malformed or cannot be converted.
    #[error("input `{name}` cannot be used")]
    InputTensor {
        /// The parameter.
        name: Name,
        /// Why.
        source: TensorError,
    },
    /// An op failed.
    #[error("cannot compute {}", shown_op(op, name.as_ref(), loc))]
    Op {
        /// The op.
        op: &'static str,
        /// The name of its result.
        name: Option<Name>,
        /// The location of the op.
        loc: Loc,
        /// Why.
        source: Box<KernelError>,
    },
    /// The number of inputs does not match the parameters.
    #[error("{found} inputs were given, expected {expected}: {names}")]
    InputCount {
        /// The number of inputs given.
        found: usize,
        /// The number of parameters.
        expected: usize,
        /// The names of the parameters.
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
    /// Two inputs bind a symbol to different values.
    #[error("the inputs disagree on the extent {symbol}: it is {expected} in `{first}` and {found} in `{input}`")]
    Symbol {
        /// The symbol.
        symbol: Name,
        /// The second input.
        input: Name,
        /// The value in the second input.
        found: u64,
        /// The first input.
        first: Name,
        /// The value in the first input.
        expected: u64,
    },
    /// The operands of a call do not have the types of the callee's parameters.
    #[error("the call of `@{callee}` at {loc} has operands of the wrong type")]
    Call {
        /// The function called.
        callee: Name,
        /// Where it is called.
        loc: Loc,
        /// Why.
        source: Box<ExecError>,
    },
}

/// Adds the op, the name of its result and its location to a kernel's error.
pub(crate) fn op_error(op: &'static str, name: Option<&Name>, loc: &Loc, source: KernelError) -> ExecError {
    ExecError::Op { op, name: name.cloned(), loc: loc.clone(), source: Box::new(source) }
}

/// An op with its result and location, as far as they are known.
pub(crate) fn shown_op(op: &str, name: Option<&Name>, loc: &Loc) -> String {
    let result = name.map_or_else(String::new, |name| format!("%{name} = "));
    match loc {
        Loc::Unknown => format!("`{result}{op}`"),
        Loc::Call { .. } | Loc::Fused(_) => format!("`{result}{op}` at {loc}"),
    }
}

/// Formats a number of bytes for people.
fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// The result type for the modules of kernels.
pub(crate) mod kernel {
    /// The result of a kernel.
    pub(crate) type Result<T, E = crate::error::KernelError> = std::result::Result<T, E>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_capped() {
        let error = |needed| {
            let limit = Limit { what: "it".into(), resource: Resource::Memory, needed, limit: 2_000_000_000 };
            limit.to_string()
        };
        assert_eq!(error(3_500_000_000), "it needs 3.5 GB of memory, more than the 2.0 GB available");
        let most = "it needs more than 4611686018.4 GB of memory, more than the 2.0 GB available";
        assert_eq!([MOST_BYTES, u64::MAX].map(error), [most; 2]);
    }
}
