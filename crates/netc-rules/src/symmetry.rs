//! Symmetry of rules that replace several values together.

use crate::rule::{DimKind, Expr, HoleKind, OpTerm, Rule, Term};

impl Rule {
    /// Whether trying the values in one order is enough. If so, any other order matches too and gives the same
    /// replacement ops, perhaps with operands in another order.
    pub fn is_symmetric(&self) -> bool {
        let neighbours = 1..self.from.len();
        self.conditions.is_empty()
            && neighbours.clone().all(|i| self.may_exchange(i - 1, i))
            && neighbours.into_iter().all(|i| same_ops(&self.to[i - 1], &self.to[i]))
    }

    /// Whether swapping two of the terms to match gives the same terms up to the names of holes.
    fn may_exchange(&self, i: usize, j: usize) -> bool {
        let mut renaming = Renaming { rule: self, to: vec![None; self.holes.len()] };
        let place = |k| {
            if k == i {
                j
            } else if k == j {
                i
            } else {
                k
            }
        };
        (0..self.from.len()).all(|k| renaming.term(&self.from[k], &self.from[place(k)]))
    }
}

/// Whether both terms have the same ops with the same numbers of operands.
fn same_ops(a: &Term, b: &Term) -> bool {
    match (a, b) {
        (Term::Hole(_), Term::Hole(_)) => true,
        (Term::Number(a), Term::Number(b)) => a == b,
        (Term::Op(a), Term::Op(b)) => {
            a.name == b.name
                && a.operands.len() == b.operands.len()
                && a.operands.iter().zip(&b.operands).all(|(a, b)| same_ops(a, b))
        }
        (Term::Hole(_) | Term::Number(_) | Term::Op(_), _) => false,
    }
}

/// A renaming of holes, by number.
struct Renaming<'r> {
    rule: &'r Rule,
    to: Vec<Option<usize>>,
}

impl Renaming<'_> {
    fn term(&mut self, a: &Term, b: &Term) -> bool {
        match (a, b) {
            (Term::Hole(a), Term::Hole(b)) => self.hole(*a, *b),
            (Term::Number(a), Term::Number(b)) => a == b,
            (Term::Op(a), Term::Op(b)) => self.op(a, b),
            (Term::Hole(_) | Term::Number(_) | Term::Op(_), _) => false,
        }
    }

    fn op(&mut self, a: &OpTerm, b: &OpTerm) -> bool {
        let same_form = a.name == b.name && a.operands.len() == b.operands.len() && a.attrs.len() == b.attrs.len();
        same_form
            && a.operands.iter().zip(&b.operands).all(|(a, b)| self.term(a, b))
            && a.attrs.iter().zip(&b.attrs).all(|((key, a), (other, b))| key == other && self.expr(a, b))
            && self.optional(a.further, b.further)
            && self.optional(a.others, b.others)
    }

    fn optional(&mut self, a: Option<usize>, b: Option<usize>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.hole(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn expr(&mut self, a: &Expr, b: &Expr) -> bool {
        match (a, b) {
            (Expr::Value(a), Expr::Value(b)) => a == b,
            (Expr::Hole(a), Expr::Hole(b))
            | (Expr::Shape(a), Expr::Shape(b))
            | (Expr::Elem(a), Expr::Elem(b))
            | (Expr::Constant(a), Expr::Constant(b)) => self.hole(*a, *b),
            (Expr::List(a), Expr::List(b)) => self.exprs(a, b),
            (Expr::Call(f, a), Expr::Call(g, b)) => f.name == g.name && self.exprs(a, b),
            (
                Expr::Value(_)
                | Expr::Hole(_)
                | Expr::Shape(_)
                | Expr::Elem(_)
                | Expr::Constant(_)
                | Expr::List(_)
                | Expr::Call(..),
                _,
            ) => false,
        }
    }

    fn exprs(&mut self, a: &[Expr], b: &[Expr]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.expr(a, b))
    }

    /// Renames `a` to `b`. Returns false if their kinds differ, or if either is renamed differently already.
    fn hole(&mut self, a: usize, b: usize) -> bool {
        if self.to[a].is_some() || self.to.contains(&Some(b)) {
            return self.to[a] == Some(b);
        }
        self.to[a] = Some(b);
        match (&self.rule.holes[a].kind, &self.rule.holes[b].kind) {
            (HoleKind::Tensor(a), HoleKind::Tensor(b)) => {
                a.constant == b.constant && a.elem == b.elem && self.dims(a.dims.as_deref(), b.dims.as_deref())
            }
            (a, b) => a == b,
        }
    }

    fn dims(&mut self, a: Option<&[DimKind]>, b: Option<&[DimKind]>) -> bool {
        let (Some(a), Some(b)) = (a, b) else { return a == b };
        let mut alike = |a: &DimKind, b: &DimKind| match (a, b) {
            (DimKind::Hole(a), DimKind::Hole(b)) => self.hole(*a, *b),
            (DimKind::Any | DimKind::Known(_) | DimKind::Hole(_), _) => a == b,
        };
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    #[track_caller]
    fn check(rule: &str, expected: bool) {
        assert_eq!(parse(rule).unwrap()[0].is_symmetric(), expected, "{rule}");
    }

    #[test]
    fn terms_equal_up_to_hole_names_are_symmetric() {
        check("r: mul(?x, ?a: [_, ?m]), mul(?x, ?b: [_, ?n]) => neg(mul(?x, ?a)), neg(mul(?b, ?x))", true);
        check("r: neg(?x), neg(?y), neg(?z) => neg(?x), neg(?y), neg(?z)", true);
        check("r: concat(?x, ?y) {axis = ?i}, concat(?z, ?y) {axis = ?j} => relu(?x), relu(?z)", true);
        check("r: concat(?x, ?y) {axis = ?i}, concat(?z, ?y) {axis = ?i} => relu(?x), relu(?z)", true);
    }

    #[test]
    fn different_ops_or_hole_kinds_are_not_symmetric() {
        check("r: exp(?x), neg(?x) => relu(?x), relu(?x)", false);
        check("r: mul(?x, ?a: const), mul(?x, ?b) => relu(?a), relu(?b)", false);
        check("r: mul(?x, ?a: [3]), mul(?x, ?b: [_]) => relu(?a), relu(?b)", false);
        check("r: mul(?x, ?a: [?m]), mul(?x, ?b: [_]) => relu(?a), relu(?b)", false);
        check("r: neg(?x: [?m]), neg(?y: [?n]) => relu(?x), relu(?y) where ?m < ?n", false);
        check("r: sub(?x, ?y), sub(?y, ?z) => relu(?x), relu(?z)", false);
        check("r: mul(?x, ?y), mul(?x, ?x) => relu(?x), relu(?x)", false);
        check("r: concat(?x, ?y) {axis = ?i}, concat(?z, ?y) {axis = 0} => relu(?x), relu(?y)", false);
    }

    #[test]
    fn replacements_must_have_the_same_ops() {
        check("r: sub(?x, ?y), sub(?y, ?x) => sub(?x, ?y), sub(?y, ?x)", true);
        check("r: sub(?x, ?y), sub(?y, ?x) => sub(?x, ?y), neg(sub(?x, ?y))", false);
    }
}
