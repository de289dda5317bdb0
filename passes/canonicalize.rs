//! Local simplifications to a normal form. Each is exact: values stay the same bit for bit.
//!
//! The rules are in tables of named functions: `elements`, `moves` and `windows`. A rule looks at an op and at the ops
//! that define its operands. It answers with an existing value that equals the op's result, or with an op to compute
//! instead. A rewrite that would change a type, which can happen with symbols, is not done.
//!
//! Ops are visited once, in order, and rewritten until no rule applies. The operands of an op are in normal form when
//! it is visited, and no rule looks at readers. Every rule makes an op read something defined earlier, or takes a step
//! that no rule reverses. So the time is linear in the size of the program.

mod elements;
mod moves;
mod site;
#[cfg(test)]
mod tests;
mod windows;

use netc_ir::{Func, Module, OpId, OpKind, Renaming, infer};
use netc_pass::{Context, Fidelity, Pass, PassInfo, Result};

use crate::analysis::note_constant;
use site::{Rewrite, Rule, Site};

/// `canonicalize` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "canonicalize",
    summary: "Bring ops to a normal form: remove ops without effect, merge chains of ops.",
    help: "Rewrites core ops by local, exact rules:\n\n\
           - removes a `reshape`, `broadcast`, `cast`, `transpose`, `slice`, `pad`, `reverse`, `concat`, `sort` or \
           `max_pool` that changes nothing, and arithmetic with a neutral element, such as `x * 1`;\n\
           - merges chains of `reshape`, `transpose`, `broadcast`, `cast`, `slice`, `pad` and `reverse` into one op;\n\
           - removes `neg`, `not`, `relu`, `abs` and roundings that repeat or undo one another;\n\
           - replaces a `select` with a constant condition by the selected operand, and a `slice` within one part of a \
           `concat` by a slice of that part;\n\
           - moves the constant operand of a commutative op to the right, and removes padding that pads nothing.\n\n\
           Ops that become unread stay until `dce` removes them.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Canonicalize)),
};

struct Canonicalize;

impl Pass for Canonicalize {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        for i in 0..module.funcs.len() {
            let mut func = std::mem::take(&mut module.funcs[i]);
            canonicalize(module, &mut func, context);
            module.funcs[i] = func;
        }
        Ok(())
    }
}

/// Rewrites the ops of `func`, a function of `module`, while there is fuel.
fn canonicalize(module: &Module, func: &mut Func, context: &mut Context<'_>) {
    let mut constant = vec![false; func.num_values()];
    let mut renaming = Renaming::of(func);
    let mut gone = vec![false; func.num_op_slots()];
    for id in func.op_ids().collect::<Vec<_>>() {
        func[id].operands.iter_mut().for_each(|v| *v = renaming.get(*v));
        while let Some((rule, rewrite)) = find(module, func, &constant, id) {
            if !context.rewrite() {
                break;
            }
            context.count(rule, 1);
            match rewrite {
                Rewrite::Op(kind, operands) => {
                    func.set_kind(id, kind);
                    func.set_operands(id, operands);
                }
                Rewrite::Value(value) => {
                    renaming.set(func[id].results[0], value);
                    gone[id.index()] = true;
                    break;
                }
            }
        }
        note_constant(func, id, &mut constant);
    }
    func.rename(&renaming);
    func.retain_ops(|op| !gone[op.index()]);
}

/// The first rule that applies to the op, with its rewrite. Rewrites that would change the result type do not count.
fn find(module: &Module, func: &Func, constant: &[bool], id: OpId) -> Option<(&'static str, Rewrite)> {
    let op = &func[id];
    let (OpKind::Core(core), [result]) = (&op.kind, &op.results[..]) else { return None };
    let site = Site { func, constant, op: core, operands: &op.operands, result: *result };
    let rules = [elements::RULES, moves::RULES, windows::RULES];
    rules.into_iter().flatten().find_map(|rule: &Rule| {
        let rewrite = (rule.apply)(&site)?;
        keeps_type(module, &site, &rewrite).then_some((rule.name, rewrite))
    })
}

fn keeps_type(module: &Module, site: &Site<'_>, rewrite: &Rewrite) -> bool {
    match rewrite {
        Rewrite::Value(value) => site.ty(*value) == site.result_type(),
        Rewrite::Op(op, operands) => {
            let types: Vec<_> = operands.iter().map(|v| site.ty(*v)).collect();
            infer(module, op, &types).as_ref() == Ok(site.result_type())
        }
    }
}
