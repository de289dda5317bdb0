//! The intermediate representation of a neural network: typed, in SSA form, with one table per kind of entity.
//!
//! The crate represents ([`Module`], [`Func`], [`Op`], [`Type`], [`Dim`], [`Attr`]), builds ([`Builder`]), edits
//! ([`Renaming`]), verifies ([`mod@verify`]), prints ([`mod@print`]) and parses ([`mod@parse`]) programs. It does no
//! I/O, knows no model format and computes no tensors. `ir-spec/` is its specification.
//!
//! ```
//! let text = "netc 1
//! func @main(%x: f32[N,4]) -> (%y) {
//!   %y = relu(%x) : f32[N,4]
//! }";
//! let module = netc_ir::parse(text)?;
//! netc_ir::verify(&module)?;
//! assert_eq!(netc_ir::parse(&netc_ir::print(&module))?, module);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod attr;
mod budget;
mod build;
mod call;
pub mod core_attrs;
mod dim;
mod edit;
pub mod extents;
mod id;
pub mod infer;
pub mod lex;
pub mod link;
pub mod literal;
mod literal_text;
mod loc;
mod module;
mod name;
mod named;
mod number;
mod op;
pub mod parse;
pub mod print;
mod types;
mod unique;
mod uses;
mod verified_set;
pub mod verify;

pub use attr::{Attr, Attrs, F64, NonJson};
pub use budget::{Budget, Exceeded, Resource};
pub use build::Builder;
pub use call::{call_symbols, call_types, named_call_types};
pub use dim::{Bindings, Dim};
pub use edit::Renaming;
pub use id::{FileId, FuncId, LayerId, OpId, ValueId, WeightId};
pub use infer::{InferError, Result, infer};
pub use lex::ParseError;
pub use literal::Literal;
pub use loc::Loc;
pub use module::{
    Def, FUSED, Func, INPUTS, Layer, MAIN, MODEL_CLASS, MODEL_NAME, Module, OUTPUTS, Output, Param, Value, Weight,
    WeightData, callees,
};
pub use name::Name;
pub use number::Number;
pub use op::{
    Binary, CORE_OPS, CallOp, Compare, CoreOp, Layout, Op, OpClass, OpKind, PadMode, Padding, Pool, Reduce, SliceAxis,
    SourceOp, Unary, Window,
};
pub use parse::parse;
pub use print::{is_unprintable, print};
pub use types::{ElemType, MAX_RANK, Narrow, Type};
pub use unique::UniqueNames;
pub use uses::Uses;
pub use verify::{Violations, is_path, verify, verify_changes};
