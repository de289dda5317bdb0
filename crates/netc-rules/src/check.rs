//! Checks of the form of rules, independent of whether they are true.

use netc_ir::{Binary, Compare, Name};

use crate::rule::{DimKind, Expr, HoleKind, OpTerm, Rule, TensorKind, Term};
use crate::value::{Key, keys};

/// Returns what is wrong with the operands or attributes of an op, if anything.
pub(crate) fn unfit(term: &OpTerm) -> Option<String> {
    let (name, keys) = (&term.name, keys(&term.name));
    let count = match &**name {
        "concat" => None,
        "select" => Some(3),
        "matmul" | "conv" | "gather" => Some(2),
        name if Binary::parse(name).is_some() || Compare::parse(name).is_some() => Some(2),
        _ => Some(1),
    };
    let found = term.operands.len();
    if count.is_some_and(|n| n != found || term.further.is_some()) {
        return Some(format!("`{name}` takes {} operands, found {found}", count.unwrap_or_default()));
    }
    if let Some((key, _)) = term.attrs.iter().find(|(key, _)| !keys.iter().any(|known| known.name == &**key)) {
        let known = keys.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none" } else { &known };
        return Some(format!("`{name}` has no attribute `{key}`; it has: {known}"));
    }
    let twice = |(i, (key, _)): (usize, &(Name, Expr))| term.attrs[..i].iter().any(|(k, _)| k == key);
    if term.attrs.iter().enumerate().any(twice) {
        return Some(format!("`{name}` names an attribute twice"));
    }
    let missing = |key: &&Key| key.is_required() && !term.attrs.iter().any(|(k, _)| &**k == key.name);
    let missing = keys.iter().find(missing).filter(|_| term.others.is_none())?;
    Some(format!("`{name}` needs the attribute `{}`, or `..?c` for all other attributes", missing.name))
}

/// Returns what is wrong with the terms to match, if anything. Each must be an op, and its expressions may only use
/// holes that are bound earlier.
pub(crate) fn misfit(rule: &Rule, terms: &[Term]) -> Option<String> {
    if !terms.iter().all(|term| matches!(term, Term::Op(_))) {
        return Some("each term to match must be an op".into());
    }
    let mut bound = vec![false; rule.holes.len()];
    for term in terms {
        if let Err(hole) = bind(rule, term, &mut bound) {
            return Some(format!("an expression uses `?{}` before it is matched", rule.holes[hole].name));
        }
    }
    let never = bound.iter().position(|bound| !bound)?;
    Some(format!("the hole `?{}` is not matched", rule.holes[never].name))
}

/// Marks the holes that matching `term` binds, in the order of matching. Fails with the first hole that an expression
/// reads too early.
fn bind(rule: &Rule, term: &Term, bound: &mut [bool]) -> Result<(), usize> {
    match term {
        Term::Number(_) => {}
        Term::Hole(hole) => {
            bound[*hole] = true;
            if let HoleKind::Tensor(TensorKind { dims: Some(dims), .. }) = &rule.holes[*hole].kind {
                let named =
                    dims.iter().filter_map(|dim| if let DimKind::Hole(hole) = dim { Some(*hole) } else { None });
                named.for_each(|hole| bound[hole] = true);
            }
        }
        Term::Op(op) => {
            op.operands.iter().try_for_each(|operand| bind(rule, operand, bound))?;
            op.further.into_iter().for_each(|hole| bound[hole] = true);
            for (_, expr) in &op.attrs {
                if let Expr::Hole(hole) = expr {
                    bound[*hole] = true;
                }
                read(expr, bound)?;
            }
            op.others.into_iter().for_each(|hole| bound[hole] = true);
        }
    }
    Ok(())
}

/// Checks that every hole in `expr` is bound. Fails with the first that is not.
fn read(expr: &Expr, bound: &[bool]) -> Result<(), usize> {
    match expr {
        Expr::Hole(hole) | Expr::Shape(hole) | Expr::Elem(hole) | Expr::Constant(hole) => {
            if bound[*hole] {
                Ok(())
            } else {
                Err(*hole)
            }
        }
        Expr::Value(_) => Ok(()),
        Expr::List(items) | Expr::Call(_, items) => items.iter().try_for_each(|item| read(item, bound)),
    }
}
