//! The graphs that rules are matched in, and the bindings of holes.

use netc_ir::{CoreOp, Name, Type};

use crate::rule::{Condition, DimKind, Expr, HoleKind, Relation, Rule, TensorKind};
use crate::value::{Entries, Value};

/// A program that rules are matched in: a function, or the classes of an e-graph.
pub trait Graph {
    /// A value of the program.
    type Id: Copy + Eq;

    /// The core ops that compute `id`, with their operands.
    fn definitions(&self, id: Self::Id) -> impl Iterator<Item = (&CoreOp, &[Self::Id])>;

    /// The type of `id`.
    fn ty(&self, id: Self::Id) -> &Type;

    /// Whether `id` is computed from weights and constants alone.
    fn is_constant(&self, id: Self::Id) -> bool;
}

/// The maximum size of a value that an expression computes. Attributes have a few items per axis, but nested list
/// functions could fill the memory.
const MAX_SIZE: usize = 4096;

/// The binding of one hole.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Bound<Id> {
    Tensor(Id),
    Tensors(Vec<Id>),
    Value(Value),
    Others(Entries),
}

impl<Id> Bound<Id> {
    /// Whether an equal binding surely stands for the same thing. An unknown extent `?` may differ from another.
    fn is_definite(&self) -> bool {
        match self {
            Self::Tensor(_) | Self::Tensors(_) => true,
            Self::Value(value) => value.is_definite(),
            Self::Others(entries) => entries.iter().all(|(_, value)| value.is_definite()),
        }
    }
}

/// The bindings of a rule's holes, by number.
#[derive(Clone, Debug)]
pub struct Bindings<Id>(Vec<Option<Bound<Id>>>);

impl<Id: Copy + Eq> Bindings<Id> {
    /// Empty bindings for the holes of `rule`.
    pub fn of(rule: &Rule) -> Self {
        Self(vec![None; rule.holes.len()])
    }

    pub(crate) fn get(&self, hole: usize) -> Option<&Bound<Id>> {
        self.0.get(hole)?.as_ref()
    }

    /// Binds `hole` to `bound`. Returns false if it is bound already, unless to surely the same.
    pub(crate) fn bind(&mut self, hole: usize, bound: Bound<Id>) -> bool {
        match &mut self.0[hole] {
            Some(known) => *known == bound && known.is_definite(),
            free => {
                *free = Some(bound);
                true
            }
        }
    }

    pub(crate) fn tensor(&self, hole: usize) -> Option<Id> {
        if let Bound::Tensor(id) = self.get(hole)? { Some(*id) } else { None }
    }

    pub(crate) fn tensors(&self, hole: usize) -> Option<&[Id]> {
        if let Bound::Tensors(ids) = self.get(hole)? { Some(ids) } else { None }
    }

    pub(crate) fn others(&self, hole: usize) -> Option<&Entries> {
        if let Bound::Others(entries) = self.get(hole)? { Some(entries) } else { None }
    }

    pub(crate) fn value(&self, hole: usize) -> Option<&Value> {
        if let Bound::Value(value) = self.get(hole)? { Some(value) } else { None }
    }

    /// Binds the tensor `hole` of `rule` to `id`, and the extents that its type names. Returns false if `id` does not
    /// fit.
    pub(crate) fn bind_tensor<G: Graph<Id = Id>>(&mut self, rule: &Rule, graph: &G, hole: usize, id: Id) -> bool {
        let HoleKind::Tensor(kind) = &rule.holes[hole].kind else { return false };
        self.bind(hole, Bound::Tensor(id)) && self.takes(kind, graph, id)
    }

    fn takes<G: Graph<Id = Id>>(&mut self, kind: &TensorKind, graph: &G, id: Id) -> bool {
        let ty = graph.ty(id);
        if kind.constant && !graph.is_constant(id) || !kind.elem.takes(ty.elem) {
            return false;
        }
        let Some(expected) = &kind.dims else { return true };
        let Some(dims) = ty.dims.as_ref().filter(|dims| dims.len() == expected.len()) else { return false };
        expected.iter().zip(dims).all(|(expected, dim)| match expected {
            DimKind::Any => true,
            DimKind::Known(n) => dim.is(*n),
            DimKind::Hole(hole) => self.bind(*hole, Bound::Value(Value::Extent(dim.clone()))),
        })
    }
}

/// Evaluates an expression; `None` if it has no value.
pub(crate) fn eval<G: Graph>(expr: &Expr, graph: &G, bindings: &Bindings<G::Id>) -> Option<Value> {
    match expr {
        Expr::Hole(hole) => bindings.value(*hole).cloned(),
        Expr::Value(value) => Some(value.clone()),
        Expr::List(items) => Some(Value::List(eval_all(items, graph, bindings)?)),
        Expr::Shape(hole) => Some(Value::shape(graph.ty(bindings.tensor(*hole)?).dims.as_deref()?)),
        Expr::Elem(hole) => Some(Value::Word(graph.ty(bindings.tensor(*hole)?).elem.name().into())),
        Expr::Constant(hole) => Some(Value::Bool(graph.is_constant(bindings.tensor(*hole)?))),
        Expr::Call(function, args) => {
            (function.apply)(&eval_all(args, graph, bindings)?).filter(|value| value.size() <= MAX_SIZE)
        }
    }
}

fn eval_all<G: Graph>(exprs: &[Expr], graph: &G, bindings: &Bindings<G::Id>) -> Option<Vec<Value>> {
    exprs.iter().map(|e| eval(e, graph, bindings)).collect()
}

/// Evaluates the attributes that a term names.
pub(crate) fn eval_entries<G: Graph>(named: &[(Name, Expr)], graph: &G, bindings: &Bindings<G::Id>) -> Option<Entries> {
    named.iter().map(|(key, expr)| Some((key.clone(), eval(expr, graph, bindings)?))).collect()
}

impl Rule {
    /// Whether all conditions hold. A condition without a value does not.
    pub(crate) fn conditions_hold<G: Graph>(&self, graph: &G, bindings: &Bindings<G::Id>) -> bool {
        let holds = |Condition { left, relation, right }: &Condition| {
            relation.holds(&eval(left, graph, bindings)?, &eval(right, graph, bindings)?)
        };
        self.conditions.iter().all(|condition| holds(condition) == Some(true))
    }
}

impl Condition {
    /// The condition that `expr` is true.
    pub(crate) fn is_true(expr: Expr) -> Self {
        Self { left: expr, relation: Relation::Eq, right: Expr::Value(Value::Bool(true)) }
    }
}
