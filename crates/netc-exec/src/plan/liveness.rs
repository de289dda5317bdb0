//! Liveness: finds the steps and tensors that the outputs need.

use netc_ir::{CoreOp, Type};

use super::flatten::{Flat, FlatStep, Kind};

/// Drops dead steps and marks live tensors.
///
/// Entering a callee is live if one of its steps is. It reads the operands that are live anyway and, if a live step of
/// the callee depends on symbols, all operands that may bind them.
pub(super) fn drop_dead(flat: &mut Flat<'_>) {
    let mut live = vec![false; flat.live.len()];
    let mut scopes = vec![Scope::default(); flat.scopes];
    for (_, tensor) in &flat.outputs {
        live[*tensor] = true;
    }
    let mut kept = Vec::new();
    for mut step in std::mem::take(&mut flat.steps).into_iter().rev() {
        if visit(&mut step, &mut live, &mut scopes) {
            kept.push(step);
        }
    }
    kept.reverse();
    flat.steps = kept;
    flat.live = live;
}

/// Facts about the steps of a function instance.
#[derive(Clone, Copy, Default)]
struct Scope {
    live: bool,
    symbolic: bool,
}

/// Returns whether the step is live, given the later steps, and marks its operands.
fn visit(step: &mut FlatStep<'_>, live: &mut [bool], scopes: &mut [Scope]) -> bool {
    let own = scopes[step.scope];
    match &mut step.kind {
        Kind::Core(_) | Kind::Source(_) if !step.results.iter().any(|t| live[*t]) => return false,
        Kind::Core(op) => scopes[step.scope] = Scope { live: true, symbolic: own.symbolic || is_symbolic(op) },
        Kind::Source(_) => scopes[step.scope].live = true,
        Kind::Enter { .. } if !own.live => return false,
        Kind::Enter { params, parent, .. } => {
            scopes[*parent].live = true;
            scopes[*parent].symbolic |= own.symbolic;
            let needed = |ty: &Type, tensor: usize| live[tensor] || own.symbolic && has_symbols(ty);
            let keep = |((_, ty), t): &(&(netc_ir::Name, Type), &usize)| needed(ty, **t);
            (*params, step.operands) =
                params.iter().zip(&step.operands).filter(keep).map(|(p, t)| (p.clone(), *t)).unzip();
        }
    }
    for tensor in &step.operands {
        live[*tensor] = true;
    }
    true
}

fn has_symbols(ty: &Type) -> bool {
    ty.dims.iter().flatten().any(|d| d.known().is_none())
}

/// Whether the op's attributes have symbolic extents.
fn is_symbolic(op: &CoreOp) -> bool {
    op.own_dims().iter().any(|d| d.known().is_none())
}
