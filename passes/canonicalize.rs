//! Local simplifications to a normal form, each exact: values stay the same to the bit.
//!
//! The rules are tables of named functions, `elements`, `moves` and `windows`, each with its algebra. A rule looks
//! at an op and at what defines its operands, and answers with a value that is the op's result already, or with an op to
//! compute in its place. Types stay: a rewrite whose type would be another, which symbols can make, is not done.
//!
//! Ops are visited once, in their order, and rewritten until no rule applies: what an op reads is in normal form by
//! then, and no rule looks at readers. Every rule makes an op read something defined earlier, or takes a step to a form
//! that no rule takes back. So the time is linear in the ops and what they hold.

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
    summary: "Bring ops to a normal form: drop what does nothing, merge what undoes or repeats.",
    help: "Rewrites core ops by local rules that are exact:\n\n\
           - a `reshape`, `broadcast`, `cast`, `transpose`, `slice`, `pad`, `reverse`, `concat`, `sort` or `max_pool` \
           that changes nothing goes, and so does arithmetic with a neutral element, such as `x * 1`;\n\
           - chains of `reshape`, `transpose`, `broadcast`, `cast`, `slice`, `pad` and `reverse` become one;\n\
           - `neg`, `not`, `relu`, `abs` and roundings that repeat or undo one another go;\n\
           - a `select` by a constant becomes what it selects; a `slice` of a `concat` that lies in one part, a slice of \
           the part;\n\
           - constants stand on the right of what commutes; padding that pads nothing becomes none.\n\n\
           What an op was made of stays where something else reads it: `dce` removes the rest.",
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

/// Rewrites the ops of `func`, a function that reads the weights of `module`, while there is fuel.
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

/// The first rule that applies to the op, and what it makes of it. The type of the result stays.
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
