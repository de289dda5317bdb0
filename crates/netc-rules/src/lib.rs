//! Rewrite rules over core ops, written as text.
//!
//! ```text
//! ; (x + a) + b = x + (a + b). If a and b are constants, this saves one op.
//! add-add rounding: add(add(?x, ?a: const), ?b: const) => add(?x, add(?a, ?b))
//!
//! ; Two transposes in a row are one.
//! transpose-transpose: transpose(transpose(?x) {perm = ?p}) {perm = ?q} => transpose(?x) {perm = pick(?p, ?q)}
//! ```
//!
//! A rule states that two programs of core ops compute the same. [`parse()`] reads rules, [`check()`] tests one on
//! random tensors, [`Rule::matches`] finds where it applies in a [`Graph`], and [`Rule::replacement`] builds the new
//! ops. The graph may be a function or an e-graph; rules do not know which.
//!
//! ```text
//! rules     := rule*
//! rule      := NAME ["rounding"] ":" terms ("=>" | "<=>") terms ["where" condition ("," condition)*]
//! terms     := term ("," term)*                        several values, replaced together
//! term      := "?" NAME [":" type]                     a hole: a tensor
//!            | NUMBER                                  a constant whose elements all have this value
//!            | OP "(" [term ("," term)*] ["?" NAME "..."] ")" [attrs]
//! type      := ["const"] ["float" | "int" | ELEM] ["[" [dim ("," dim)*] "]"]
//! dim       := "_" | NUMBER | "?" NAME
//! attrs     := "{" [KEY "=" sum ("," KEY "=" sum)*] [".." "?" NAME] "}"
//! condition := sum [("==" | "!=" | "<" | "<=") sum]
//! sum       := product (("+" | "-") product)*
//! product   := atom (("*" | "/") atom)*
//! atom      := "?" NAME | NUMBER | STRING | "true" | "false" | "null" | "[" [sum ("," sum)*] "]" | "(" sum ")"
//!            | ("shape" | "rank" | "elem" | "constant") "(" "?" NAME ")" | FUNCTION "(" [sum ("," sum)*] ")"
//! ```
//!
//! Ops and attributes have the names of the specification. Properties that a program states in the result type are
//! attributes here: `shape` of `reshape` and `broadcast`, `elem` of `cast`. An attribute that a term does not name has
//! its default value; `..?c` stands for all attributes that are not named. Comments run from `;` to the end of the
//! line. Expressions may call [`FUNCTIONS`]. If an expression has no value, as when it compares unknown extents, the
//! rule does not apply.

mod certain;
mod check;
mod elements;
mod function;
mod graph;
mod matching;
mod replace;
mod rule;
mod sample;
mod symmetry;
mod syntax;
mod trial;
mod value;

pub use function::{FUNCTIONS, Function};
pub use graph::{Bindings, Graph};
pub use replace::{NewOp, Replacement, Source};
pub use rule::{Condition, DimKind, ElemKind, Expr, Hole, HoleKind, OpTerm, Relation, Rule, TensorKind, Term};
pub use syntax::parse;
pub use trial::{TRIALS, Untrue, check};
pub use value::{Entries, Value};
