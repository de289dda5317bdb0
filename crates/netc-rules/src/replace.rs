//! The ops that replace a match of a rule.

use netc_ir::attr::F64;
use netc_ir::{CoreOp, ElemType, Module, Type, infer};

use crate::certain::{same_type, surely_fits};
use crate::graph::{Bindings, Graph, eval_entries};
use crate::rule::{OpTerm, Rule, Term};
use crate::value::{Entries, completed, core_op, number, unnamed};

/// New ops that compute some values, each after the ops that it reads.
#[derive(Clone, Debug)]
pub struct Replacement<Id> {
    /// The ops.
    pub ops: Vec<NewOp<Id>>,
    /// The new value for each replaced value.
    pub results: Vec<Source<Id>>,
}

/// An op of a replacement.
#[derive(Clone, PartialEq, Debug)]
pub struct NewOp<Id> {
    /// The core op.
    pub op: CoreOp,
    /// Its operands.
    pub operands: Vec<Source<Id>>,
    /// The type of its result.
    pub ty: Type,
}

/// An operand or result of a replacement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<Id> {
    /// A value of the program.
    Old(Id),
    /// The result of the replacement's op with this index.
    New(usize),
}

impl<Id> Source<Id> {
    /// Resolves the source, given the results `new` of the replacement's ops and a function for values of the program.
    pub fn resolve<T: Copy>(self, new: &[T], old: impl FnOnce(Id) -> T) -> T {
        match self {
            Self::Old(id) => old(id),
            Self::New(i) => new[i],
        }
    }
}

impl Rule {
    /// Builds the replacement of `roots`, which match with `bindings`. `None` if it would change a type, or if an op
    /// would not fit its operands.
    pub fn replacement<G: Graph>(
        &self,
        graph: &G,
        roots: &[G::Id],
        bindings: &Bindings<G::Id>,
    ) -> Option<Replacement<G::Id>> {
        let replacement = instantiate(&self.to, graph, bindings)?;
        let fits = replacement.types(graph).zip(roots).all(|(ty, root)| same_type(ty, graph.ty(*root)));
        fits.then_some(replacement)
    }
}

impl<Id: Copy> Replacement<Id> {
    /// The types of the results.
    pub(crate) fn types<'a, G: Graph<Id = Id>>(&'a self, graph: &'a G) -> impl Iterator<Item = &'a Type> {
        self.results.iter().map(|source| match source {
            Source::Old(id) => graph.ty(*id),
            Source::New(i) => &self.ops[*i].ty,
        })
    }
}

/// Builds the ops that compute `terms`, whose holes must all be bound. `None` if an op does not fit its operands.
pub(crate) fn instantiate<G: Graph>(
    terms: &[Term],
    graph: &G,
    bindings: &Bindings<G::Id>,
) -> Option<Replacement<G::Id>> {
    let mut draft = Draft { graph, bindings, none: Module::new(), ops: Vec::new() };
    let results = terms.iter().map(|term| draft.term(term, None)).collect::<Option<_>>()?;
    Some(Replacement { ops: draft.ops, results })
}

struct Draft<'a, G: Graph> {
    graph: &'a G,
    bindings: &'a Bindings<G::Id>,
    /// An empty module, for inference: the ops read no weights.
    none: Module,
    ops: Vec<NewOp<G::Id>>,
}

impl<G: Graph> Draft<'_, G> {
    /// Adds the ops of `term`. A number has the element type `elem`.
    fn term(&mut self, term: &Term, elem: Option<ElemType>) -> Option<Source<G::Id>> {
        match term {
            Term::Hole(hole) => self.bindings.tensor(*hole).map(Source::Old),
            Term::Number(x) => self.number(*x, elem?),
            Term::Op(term) => self.op(term),
        }
    }

    fn number(&mut self, x: F64, elem: ElemType) -> Option<Source<G::Id>> {
        let literal = number(elem, x)?;
        let ty = literal.ty();
        Some(self.add(NewOp { op: CoreOp::Constant(literal), operands: Vec::new(), ty }))
    }

    fn op(&mut self, term: &OpTerm) -> Option<Source<G::Id>> {
        let is_number = |term: &Term| matches!(term, Term::Number(_));
        let mut operands = vec![None; term.operands.len()];
        // A number has the element type of the other operands.
        let mut elem = None;
        for i in (0..operands.len()).filter(|i| !is_number(&term.operands[*i])) {
            let operand = self.term(&term.operands[i], None)?;
            elem = Some(self.ty(&operand).elem);
            operands[i] = Some(operand);
        }
        for i in (0..operands.len()).filter(|i| is_number(&term.operands[*i])) {
            operands[i] = Some(self.term(&term.operands[i], elem)?);
        }
        let mut operands = operands.into_iter().collect::<Option<Vec<_>>>()?;
        if let Some(hole) = term.further {
            operands.extend(self.bindings.tensors(hole)?.iter().copied().map(Source::Old));
        }
        let op = core_op(&term.name, &self.entries(term)?)?;
        let types: Vec<&Type> = operands.iter().map(|source| self.ty(source)).collect();
        let ty = infer(&self.none, &op, &types).ok().filter(|_| surely_fits(&op, &types))?;
        Some(self.add(NewOp { op, operands, ty }))
    }

    /// All attributes of the op.
    fn entries(&self, term: &OpTerm) -> Option<Entries> {
        let mut entries = eval_entries(&term.attrs, self.graph, self.bindings)?;
        if let Some(hole) = term.others {
            entries.extend(unnamed(self.bindings.others(hole)?, &entries));
        }
        completed(&term.name, entries)
    }

    fn ty(&self, source: &Source<G::Id>) -> &Type {
        match source {
            Source::Old(id) => self.graph.ty(*id),
            Source::New(i) => &self.ops[*i].ty,
        }
    }

    fn add(&mut self, op: NewOp<G::Id>) -> Source<G::Id> {
        let place = self.ops.iter().position(|known| *known == op).unwrap_or_else(|| {
            self.ops.push(op);
            self.ops.len() - 1
        });
        Source::New(place)
    }
}
