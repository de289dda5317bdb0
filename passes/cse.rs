//! Common subexpression elimination.
//!
//! Two ops are equal if their kinds, with all attributes, and their operands are equal. Ops have no side effects. This
//! includes source ops and calls: a layer in inference mode is a function of its inputs, so applying it twice to the
//! same tensor yields the same tensor, whether or not netc supports the layer.
//!
//! One walk over the ops finds all duplicates, because it compares operands after replacement.

use std::collections::HashMap;

use netc_ir::{Func, Loc, Module, Op, OpId, OpKind, Renaming, Type, ValueId};
use netc_pass::{Context, Fidelity, Fuel, Pass, PassInfo, Result};

use crate::analysis::commutes;

/// `cse` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "cse",
    summary: "Merge ops that compute the same value.",
    help: "Merges equal ops on equal operands, weights and constants included. The first op stays and keeps its name; its \
           location becomes the union of all their locations. For commutative ops the order of operands does not \
           matter.\n\n\
           Layers and calls are equal if they apply the same layer or function with the same arguments: in inference \
           mode they have no side effects.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Cse)),
};

struct Cse;

impl Pass for Cse {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        for func in &mut module.funcs {
            let plan = plan(func, &mut context.fuel);
            context.count("ops made one", plan.repeats.len() as u64);
            apply(func, plan);
        }
        Ok(())
    }
}

/// The ops to remove.
struct Plan {
    renaming: Renaming,
    /// Each duplicate, with the first op that computes the same.
    repeats: Vec<(OpId, OpId)>,
}

fn plan(func: &Func, fuel: &mut Fuel) -> Plan {
    let mut plan = Plan { renaming: Renaming::of(func), repeats: Vec::new() };
    let mut first_of: HashMap<Key<'_>, OpId> = HashMap::with_capacity(func.num_ops());
    for (id, op) in func.ops() {
        let key = Key::of(func, op, &plan.renaming);
        let Some(first) = first_of.get(&key).copied() else {
            first_of.insert(key, id);
            continue;
        };
        if fuel.burn() {
            op.results.iter().zip(&func[first].results).for_each(|(from, to)| plan.renaming.set(*from, *to));
            plan.repeats.push((id, first));
        }
    }
    plan
}

/// The identity of an op: ops with equal keys are duplicates.
#[derive(PartialEq, Eq, Hash)]
struct Key<'f> {
    kind: &'f OpKind,
    operands: Vec<ValueId>,
    /// The result types, if they are declared rather than inferred: these may differ.
    types: Vec<&'f Type>,
}

impl<'f> Key<'f> {
    fn of(func: &'f Func, op: &'f Op, renaming: &Renaming) -> Self {
        let mut operands: Vec<ValueId> = op.operands.iter().map(|v| renaming.get(*v)).collect();
        if let OpKind::Core(core) = &op.kind
            && let [a, _] = op.operands[..]
            && commutes(core, func[a].ty.elem)
        {
            operands.sort_unstable();
        }
        let results = if matches!(op.kind, OpKind::Core(_)) { &[] } else { &op.results[..] };
        Self { kind: &op.kind, operands, types: results.iter().map(|v| &func[*v].ty).collect() }
    }
}

fn apply(func: &mut Func, mut plan: Plan) {
    if plan.repeats.is_empty() {
        return;
    }
    let mut repeats = vec![false; func.num_op_slots()];
    plan.repeats.iter().for_each(|(repeat, _)| repeats[repeat.index()] = true);
    plan.repeats.sort_unstable_by_key(|(repeat, first)| (*first, *repeat));
    for group in plan.repeats.chunk_by(|(_, a), (_, b)| a == b) {
        let first = group[0].1;
        let all = std::iter::once(first).chain(group.iter().map(|(repeat, _)| *repeat));
        func[first].loc = Loc::fuse(all.map(|op| func[op].loc.clone()).collect::<Vec<_>>());
    }
    func.rename(&plan.renaming);
    func.retain_ops(|op| !repeats[op.index()]);
}

#[cfg(test)]
mod tests {
    use crate::testing::{rewrite, run};

    #[test]
    fn duplicates_are_replaced_by_the_first_op_and_chains_collapse() {
        rewrite(
            "cse",
            "%w = weight w0() : f32[2]
             %v = weight w0() : f32[2]
             %a = add(%x, %w) : f32[2]
             %b = add(%v, %x) : f32[2]
             %c = sub(%x, %a) : f32[2]
             %d = sub(%x, %b) : f32[2]
             %e = sub(%b, %x) : f32[2]
             %f = max(%d, %e) : f32[2]
             %y = max(%e, %f) : f32[2]",
            "%w = weight w0() : f32[2]
             %a = add(%x, %w) : f32[2]
             %c = sub(%x, %a) : f32[2]
             %e = sub(%a, %x) : f32[2]
             %f = max(%c, %e) : f32[2]
             %y = max(%e, %f) : f32[2]",
        );
    }

    #[test]
    fn ops_with_different_attributes_types_or_constant_bits_stay() {
        let text = "%a = constant() {value = 0.0} : f32[2]
             %b = constant() {value = -0.0} : f32[2]
             %c = reduce_sum(%x) {axes = [0]} : f32[]
             %d = reduce_sum(%x) {axes = [0], keep = true} : f32[1]
             %e = max(%a, %b) : f32[2]
             %f = max(%b, %a) : f32[2]
             %y = add(%e, %f) : f32[2]";
        rewrite("cse", text, text);
    }

    #[test]
    fn equal_layers_and_calls_are_merged_and_their_locations_fused() {
        let (module, _) = run(
            "netc 1
             layer l0 \"shared\" : keras.ReLU {}
             layer l1 \"other\" : keras.ReLU {}
             func @f(%a: f32[2]) -> (%b) { %b = relu(%a) : f32[2] }
             func @main(%x: f32[2]) -> (%p, %q, %r) {
               %p, %o = t.Two(%x) : f32[2], f32[2] loc(\"two\")
               %a = keras.ReLU l0(%o) {kwargs = {mask = null}} : f32[2] loc(\"shared\")
               %b = call @f(%a) : f32[2]
               %q, %o2 = t.Two(%x) : f32[2], f32[2] loc(\"two\"@1)
               %c = keras.ReLU l0(%o2) {kwargs = {mask = null}} : f32[2] loc(\"shared\"@1)
               %d = keras.ReLU l1(%o2) {kwargs = {mask = null}} : f32[2] loc(\"other\")
               %e = call @f(%c) : f32[2]
               %g = add(%b, %e) : f32[2]
               %r = add(%g, %d) : f32[2]
             }",
            "cse",
        )
        .unwrap();
        insta::assert_snapshot!(module.split("func @main").nth(1).unwrap_or_default(), @r#"
        (%x: f32[2]) -> (%p, %p "q", %r) {
          %p, %o = t.Two(%x) : f32[2], f32[2] loc("two" + "two"@1)
          %a = keras.ReLU l0(%o) {kwargs = {mask = null}} : f32[2] loc("shared" + "shared"@1)
          %b = call @f(%a) : f32[2]
          %d = keras.ReLU l1(%o) {kwargs = {mask = null}} : f32[2] loc("other")
          %g = add(%b, %b) : f32[2]
          %r = add(%g, %d) : f32[2]
        }
        "#);
    }

    #[test]
    fn each_removed_duplicate_takes_one_unit_of_fuel() {
        let text = "%a = neg(%x) : f32[2]\n%b = neg(%x) : f32[2]\n%c = neg(%x) : f32[2]\n%d = add(%a, %b) : f32[2]\n\
                    %y = add(%d, %c) : f32[2]";
        crate::testing::check_fuel("cse", text, &[5, 4, 3]);
    }
}
