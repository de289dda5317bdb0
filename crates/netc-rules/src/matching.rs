//! Matching: finds where a rule applies.

use netc_ir::CoreOp;
use netc_ir::attr::F64;

use crate::certain::same_shape;
use crate::graph::{Bindings, Bound, Graph, eval};
use crate::rule::{Expr, OpTerm, Rule, Term};
use crate::value::{Entries, Value, completed, entries_of, get, keys, number, unnamed};

impl Rule {
    /// All ways to match term number `root` of [`Rule::from`] with `id`, extending the bindings `given`.
    ///
    /// With the last term, only matches that satisfy the conditions are returned.
    pub fn matches<G: Graph>(
        &self,
        graph: &G,
        root: usize,
        id: G::Id,
        given: &Bindings<G::Id>,
    ) -> Vec<Bindings<G::Id>> {
        let Some(term) = self.from.get(root) else { return Vec::new() };
        let mut found = Matcher { rule: self, graph }.term(term, id, vec![given.clone()]);
        if root + 1 == self.from.len() {
            found.retain(|bindings| self.conditions_hold(graph, bindings));
        }
        found
    }

    /// The name of the op at the root of term number `root`, if it is an op.
    pub fn root_op(&self, root: usize) -> Option<&str> {
        match self.from.get(root)? {
            Term::Op(op) => Some(&op.name),
            Term::Hole(_) | Term::Number(_) => None,
        }
    }

    /// A value that every match of term number `root` must read, if the bindings `given` determine one.
    pub fn read_by_root<Id: Copy + Eq>(&self, root: usize, given: &Bindings<Id>) -> Option<Id> {
        let Term::Op(op) = self.from.get(root)? else { return None };
        op.operands.iter().find_map(|term| if let Term::Hole(hole) = term { given.tensor(*hole) } else { None })
    }
}

struct Matcher<'a, G> {
    rule: &'a Rule,
    graph: &'a G,
}

impl<G: Graph> Matcher<'_, G> {
    /// Extends each of the bindings `given` by all ways to match `term` with `id`.
    fn term(&self, term: &Term, id: G::Id, mut given: Vec<Bindings<G::Id>>) -> Vec<Bindings<G::Id>> {
        match term {
            Term::Hole(hole) => {
                given.retain_mut(|bindings| bindings.bind_tensor(self.rule, self.graph, *hole, id));
                given
            }
            Term::Number(x) => {
                let is = |op: &CoreOp| is_number(op, *x);
                if self.graph.definitions(id).any(|(op, _)| is(op)) { given } else { Vec::new() }
            }
            Term::Op(term) => {
                let definitions = self.graph.definitions(id);
                let fitting = definitions.filter(|(_, operands)| self.numbers_are_scalars(term, id, operands));
                fitting.flat_map(|(op, operands)| self.op(term, op, operands, &given)).collect()
            }
        }
    }

    /// Whether the numbers of `term` could be scalars in the op that computes `id` from `operands`. If the other
    /// operands are broadcast to the shape of a constant, the constant is more than a number.
    fn numbers_are_scalars(&self, term: &OpTerm, id: G::Id, operands: &[G::Id]) -> bool {
        let is_number = |term: &Term| matches!(term, Term::Number(_));
        let result = self.graph.ty(id);
        let has_shape = |operand: G::Id| same_shape(self.graph.ty(operand), result);
        let mut others = term.operands.iter().zip(operands).filter(|(term, _)| !is_number(term));
        !term.operands.iter().any(is_number) || others.any(|(_, operand)| has_shape(*operand))
    }

    fn op(&self, term: &OpTerm, op: &CoreOp, operands: &[G::Id], given: &[Bindings<G::Id>]) -> Vec<Bindings<G::Id>> {
        let fits = op.name() == &*term.name
            && (operands.len() == term.operands.len()
                || operands.len() > term.operands.len() && term.further.is_some());
        if !fits {
            return Vec::new();
        }
        let mut found = given.to_vec();
        for (operand, id) in term.operands.iter().zip(operands) {
            found = self.term(operand, *id, found);
        }
        if let Some(hole) = term.further {
            let further = operands[term.operands.len()..].to_vec();
            found.retain_mut(|bindings| bindings.bind(hole, Bound::Tensors(further.clone())));
        }
        if !found.is_empty() && !(keys(&term.name).is_empty()) {
            let Some(entries) = entries_of(op) else { return Vec::new() };
            found.retain_mut(|bindings| self.attrs(term, &entries, bindings).is_some());
        }
        found
    }

    /// Matches the attributes of an op; `None` if they do not match the term.
    fn attrs(&self, term: &OpTerm, entries: &Entries, bindings: &mut Bindings<G::Id>) -> Option<()> {
        let mut named = Entries::new();
        for (key, expr) in &term.attrs {
            let found = get(entries, key)?;
            self.attr(expr, found, bindings).then_some(())?;
            named.push((key.clone(), found.clone()));
        }
        match term.others {
            Some(hole) => bindings.bind(hole, Bound::Others(unnamed(entries, &named))).then_some(()),
            None => (completed(&term.name, named)? == *entries).then_some(()),
        }
    }

    fn attr(&self, expr: &Expr, found: &Value, bindings: &mut Bindings<G::Id>) -> bool {
        match expr {
            Expr::Hole(hole) => bindings.bind(*hole, Bound::Value(found.clone())),
            Expr::Value(_) | Expr::List(_) | Expr::Shape(_) | Expr::Elem(_) | Expr::Constant(_) | Expr::Call(..) => {
                eval(expr, self.graph, bindings).as_ref() == Some(found)
            }
        }
    }
}

/// Whether the op is a constant whose elements all equal `x`, converted to its type.
fn is_number(op: &CoreOp, x: F64) -> bool {
    let CoreOp::Constant(literal) = op else { return false };
    number(literal.elem, x).is_some_and(|expected| expected.bytes == literal.bytes)
}
