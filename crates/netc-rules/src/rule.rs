//! What a rule is, as data.

use std::fmt;

use netc_ir::attr::F64;
use netc_ir::{ElemType, Name};
use netc_pass::Fidelity;

use crate::function::Function;
use crate::value::Value;

/// What computes like what: programs `from` may be replaced by the programs `to`, where the conditions hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What reports call it.
    pub name: Name,
    /// Whether both sides give the same bits, or round differently.
    pub fidelity: Fidelity,
    /// What is matched: several terms where several values are replaced together.
    pub from: Vec<Term>,
    /// What stands in place of each, in the same order. Every hole is one of `from`.
    pub to: Vec<Term>,
    /// What must hold of the holes.
    pub conditions: Vec<Condition>,
    /// The holes, by number.
    pub holes: Vec<Hole>,
    /// The line that it begins at, from 1.
    pub line: usize,
}

impl Rule {
    /// The rule from right to left. What is put in must be of a form that can be matched.
    pub(crate) fn reversed(&self) -> Self {
        let Self { from, to, .. } = self.clone();
        Self { name: format!("{}-back", self.name).into(), from: to, to: from, ..self.clone() }
    }
}

/// What a term leaves open.
#[derive(Clone, Debug)]
pub struct Hole {
    /// Its name, without the question mark.
    pub name: Name,
    /// What it stands for.
    pub kind: HoleKind,
}

/// What a hole stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum HoleKind {
    /// A tensor.
    Tensor(TensorKind),
    /// Any number of tensors: the further operands of an op.
    Tensors,
    /// An attribute, or an extent.
    Value,
    /// The attributes of an op that a pattern does not name.
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
    /// The type of the elements.
    pub elem: ElemKind,
    /// The extents, where the rule says so.
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
    /// Whether elements may have the type `elem`.
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
    /// All.
    Any,
    /// This number.
    Known(u64),
    /// What the hole with this number stands for.
    Hole(usize),
}

/// A program with holes.
#[derive(Clone, Debug)]
pub enum Term {
    /// A tensor that is matched by anything; the number of the hole.
    Hole(usize),
    /// A constant of which every element is this number.
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
    /// The hole of its further operands, where it may have some.
    pub further: Option<usize>,
    /// The attributes that the term names. In what is matched, each is a hole or comes from holes that are filled by then.
    pub attrs: Vec<(Name, Expr)>,
    /// The hole of the attributes that the term does not name. Without it they are what programs leave out.
    pub others: Option<usize>,
}

/// A value that is computed from what holes stand for.
#[derive(Clone, Debug)]
pub enum Expr {
    /// What the hole stands for.
    Hole(usize),
    /// This value.
    Value(Value),
    /// A list.
    List(Vec<Expr>),
    /// The extents of a tensor.
    Shape(usize),
    /// The element type of a tensor.
    Elem(usize),
    /// Whether a tensor is computed from weights and constants alone.
    Constant(usize),
    /// A function of values.
    Call(&'static Function, Vec<Expr>),
}

/// A comparison that must hold.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What stands on the left.
    pub left: Expr,
    /// How they compare.
    pub relation: Relation,
    /// What stands on the right.
    pub right: Expr,
}

/// A comparison of values. Only whole numbers that are known have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Eq,
    /// Not the same: of extents that are not known, nobody knows.
    Ne,
    /// Less.
    Lt,
    /// Less, or the same.
    Le,
}

impl Relation {
    /// Whether it holds, if that is known.
    pub fn holds(self, a: &Value, b: &Value) -> Option<bool> {
        match self {
            Self::Eq => (a.is_definite() && b.is_definite()).then(|| a == b),
            Self::Ne => (a.is_known() && b.is_known()).then(|| a != b),
            Self::Lt => Some(a.as_int()? < b.as_int()?),
            Self::Le => Some(a.as_int()? <= b.as_int()?),
        }
    }
}
