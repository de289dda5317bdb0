//! Rewrite rules over core ops, as text.
//!
//! ```text
//! ; (x + a) + b = x + (a + b), which is one op less where a and b are constant.
//! add-add rounding: add(add(?x, ?a: const), ?b: const) => add(?x, add(?a, ?b))
//!
//! ; The axes in the order q of the axes in the order p.
//! transpose-transpose: transpose(transpose(?x) {perm = ?p}) {perm = ?q} => transpose(?x) {perm = pick(?p, ?q)}
//! ```
//!
//! A rule says which programs of core ops compute the same. [`parse()`] reads rules, [`check()`] tries one on random
//! tensors, [`Rule::matches`] finds where it applies in a [`Graph`], and [`Rule::replacement`] is what stands there then.
//! The graph may be a function, or classes of equal values: rules do not know which.
//!
//! ```text
//! rules     := rule*
//! rule      := NAME ["rounding"] ":" terms ("=>" | "<=>") terms ["where" condition ("," condition)*]
//! terms     := term ("," term)*                        several values, replaced together
//! term      := "?" NAME [":" type]                     a hole: a tensor
//!            | NUMBER                                  a constant of which every element is this
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
//! Names of ops and attributes are those of the specification, with what a result's type says as attributes: the
//! `shape` of `reshape` and `broadcast`, the `elem` of `cast`. An attribute that a term does not name is what programs
//! leave out; `..?c` takes, or puts in, all that are not named. Comments run from `;` to the end of the line.
//! [`FUNCTIONS`] are what expressions may use. What has no value, such as the order of extents that are not known, makes
//! that a rule does not apply.

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
