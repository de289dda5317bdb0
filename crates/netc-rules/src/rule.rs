//! Rules as data.

use std::fmt;

use netc_ir::attr::F64;
use netc_ir::{ElemType, Name};
use netc_pass::Fidelity;

use crate::function::Function;
use crate::value::Value;

/// A rewrite rule: where the conditions hold, the programs `from` may be replaced by the programs `to`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name of the rule, for reports.
    pub name: Name,
    /// Whether both sides give the same bits, or round differently.
    pub fidelity: Fidelity,
    /// The terms to match: several if the rule replaces several values together.
    pub from: Vec<Term>,
    /// The replacement of each, in the same order. All holes occur in `from`.
    pub to: Vec<Term>,
    /// The conditions on the holes.
    pub conditions: Vec<Condition>,
    /// The holes, by number.
    pub holes: Vec<Hole>,
    /// The line where it begins, from 1.
    pub line: usize,
}

impl Rule {
    /// The rule from right to left. `to` must be valid as terms to match.
    pub(crate) fn reversed(&self) -> Self {
        let Self { from, to, .. } = self.clone();
        Self { name: format!("{}-back", self.name).into(), from: to, to: from, ..self.clone() }
    }
}

/// A variable of a rule.
#[derive(Clone, Debug)]
pub struct Hole {
    /// Its name, without the question mark.
    pub name: Name,
    /// What it stands for.
    pub kind: HoleKind,
}

/// The kind of thing that a hole stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum HoleKind {
    /// A tensor.
    Tensor(TensorKind),
    /// Any number of tensors: the further operands of an op.
    Tensors,
    /// An attribute, or an extent.
    Value,
    /// All attributes of an op that the term does not name.
    Others,
}

impl fmt::Display for HoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tensor(_) => "a tensor",
            Self::Tensors => "further operands",
            Self::Value => "an attribute",
            Self::Others => "all other attributes",
        })
    }
}

/// Which tensors a hole takes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TensorKind {
    /// Whether it must be computed from weights and constants alone.
    pub constant: bool,
    /// The element types.
    pub elem: ElemKind,
    /// The extents, if the rule restricts them.
    pub dims: Option<Vec<DimKind>>,
}

/// Which element types a hole takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ElemKind {
    /// All.
    #[default]
    Any,
    /// Floats.
    Float,
    /// Integers.
    Int,
    /// This one.
    Only(ElemType),
}

impl ElemKind {
    /// Whether it includes the element type `elem`.
    pub fn takes(self, elem: ElemType) -> bool {
        match self {
            Self::Any => true,
            Self::Float => elem.is_float(),
            Self::Int => elem.is_int(),
            Self::Only(only) => elem == only,
        }
    }
}

/// Which extents an axis of a hole may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimKind {
    /// Any extent.
    Any,
    /// This number.
    Known(u64),
    /// The extent that the hole with this number is bound to.
    Hole(usize),
}

/// A program with holes.
#[derive(Clone, Debug)]
pub enum Term {
    /// The hole with this number, which matches a tensor.
    Hole(usize),
    /// A constant whose elements all equal this number.
    Number(F64),
    /// An op.
    Op(OpTerm),
}

/// An op with holes.
#[derive(Clone, Debug)]
pub struct OpTerm {
    /// The core op.
    pub name: Name,
    /// Its first operands.
    pub operands: Vec<Term>,
    /// The hole for further operands, if it may have any.
    pub further: Option<usize>,
    /// The attributes that the term names. In a term to match, each is a hole or an expression of holes bound earlier.
    pub attrs: Vec<(Name, Expr)>,
    /// The hole for all other attributes. Without one, they must have their default values.
    pub others: Option<usize>,
}

/// An expression over the bindings of holes.
#[derive(Clone, Debug)]
pub enum Expr {
    /// The value that the hole is bound to.
    Hole(usize),
    /// A literal value.
    Value(Value),
    /// A list.
    List(Vec<Expr>),
    /// The extents of a tensor.
    Shape(usize),
    /// The element type of a tensor.
    Elem(usize),
    /// Whether a tensor is computed from weights and constants alone.
    Constant(usize),
    /// A function call.
    Call(&'static Function, Vec<Expr>),
}

/// A comparison that must hold.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The left side.
    pub left: Expr,
    /// The comparison.
    pub relation: Relation,
    /// The right side.
    pub right: Expr,
}

/// A comparison operator. Only known whole numbers are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Equal.
    Eq,
    /// Not equal. Undecided if an extent is unknown.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

impl Relation {
    /// Whether it holds, or `None` if that is undecided.
    pub fn holds(self, a: &Value, b: &Value) -> Option<bool> {
        match self {
            Self::Eq => (a.is_definite() && b.is_definite()).then(|| a == b),
            Self::Ne => (a.is_known() && b.is_known()).then(|| a != b),
            Self::Lt => Some(a.as_int()? < b.as_int()?),
            Self::Le => Some(a.as_int()? <= b.as_int()?),
        }
    }
}
