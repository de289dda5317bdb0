//! Constant folding: evaluates ops that depend only on weights and constants.
//!
//! The evaluator of the context computes all values that the rest of the program reads in one go. It is the executor,
//! so the bits are the same as when running the program. The ops that they were computed from become dead, and `dce`
//! removes them.
//!
//! An op whose result is much larger than its operands, such as a broadcast, is not folded, nor is anything computed
//! from it. So no intermediate tensor is much larger than the tensors that the program already has. Its operands are
//! folded.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{CoreOp, Func, FuncId, Literal, Module, Name, Op, OpId, OpKind, ValueId, Weight, WeightData};
use netc_pass::{ConstEval, Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo, Result, chain};

use crate::analysis::{constant_values, is_constant, live_ops};

/// `fold-const` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "fold-const",
    summary: "Evaluate ops that depend only on weights and constants.",
    help: "Replaces every core op that depends on no parameter, and that the rest of the program reads, by its value. \
           The executor computes it, so no bit changes. A value of up to 64 bytes, or with all elements equal, becomes a \
           `constant`; a larger one becomes a new weight in the program.\n\n\
           To keep the program small, an op stays if its result is over `limit` bytes larger than its operands together, \
           as for many broadcasts, and so does every op computed from it. An op that cannot be evaluated, such as an \
           integer division by zero, stays with a remark.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "limit",
        kind: OptionKind::Count { default: LIMIT },
        help: "By how many bytes the result of a folded op may exceed its operands.",
    }],
    build: |options| Ok(Box::new(FoldConst { limit: options.count("limit") })),
};

/// The default of the option `limit`.
const LIMIT: u64 = 1 << 16;

/// The maximum size of an inline constant, in bytes. Larger values become weights.
const INLINE: usize = 64;

struct FoldConst {
    limit: u64,
}

impl Pass for FoldConst {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        let note = "`fold-const` needs an evaluator of constants, but the context has none";
        let consts = context.consts().ok_or_else(|| PassError::new(note))?;
        let mut new = NewWeights::of(module);
        for id in module.func_ids() {
            self.func(module, id, consts, &mut new, context);
        }
        Ok(())
    }
}

/// Copies the module and folds the constants of the function `id`, if the context has an evaluator.
#[cfg(feature = "saturate")]
pub(crate) fn folded(module: &Module, id: FuncId, context: &Context<'_>) -> Module {
    let mut module = module.clone();
    if let Some(consts) = context.consts() {
        let (mut own, mut new) = (Context::new(context.dialects), NewWeights::of(&module));
        FoldConst { limit: LIMIT }.func(&mut module, id, consts, &mut new, &mut own);
    }
    module
}

impl FoldConst {
    fn func(
        &self,
        module: &mut Module,
        id: FuncId,
        consts: &dyn ConstEval,
        new: &mut NewWeights,
        context: &mut Context<'_>,
    ) {
        let mut roots = roots(&module[id], self.limit);
        roots.retain(|op| !view_file(module, id, *op, new, context));
        if roots.is_empty() || !context.fuel.is_left() {
            return;
        }
        let (computed, refused) = evaluate(consts, module, &module[id], &roots);
        for (op, literal) in computed {
            if context.rewrite() {
                context.count("ops folded", 1);
                context.count("bytes folded", literal.bytes.len() as u64);
                let kind = new.constant(module, id, op, literal);
                module[id].set_kind(op, kind);
                module[id].set_operands(op, Vec::new());
            }
        }
        for (op, why) in refused {
            let loc = module[id][op].loc.clone();
            context.remark("fold-const", loc, format!("`{}` stays: {why}", module[id][op].kind.name()));
        }
    }
}

/// If the op reshapes a weight whose bytes are in a file, turns it into a weight that refers to the same bytes. Returns
/// whether the op is handled.
fn view_file(module: &mut Module, func: FuncId, id: OpId, new: &mut NewWeights, context: &mut Context<'_>) -> bool {
    let op = &module[func][id];
    let (OpKind::Core(CoreOp::Reshape(_)), [x]) = (&op.kind, &op.operands[..]) else { return false };
    let Some(OpKind::Core(CoreOp::Weight(of))) = module[func].producer(*x).map(|op| &module[func][op].kind) else {
        return false;
    };
    let data @ WeightData::File { .. } = &module[*of].data else { return false };
    if !context.rewrite() {
        return true;
    }
    let (data, ty) = (data.clone(), module[func][op.results[0]].ty.clone());
    let name = new.name(&module[func], id);
    let weight = module.add_weight(Weight { name, ty, data });
    module[func].set_kind(id, CoreOp::Weight(weight));
    module[func].set_operands(id, Vec::new());
    true
}

/// The ops to fold: each computes a constant that an op that is not folded reads, or an output.
fn roots(func: &Func, limit: u64) -> Vec<OpId> {
    let folds = foldable(func, limit);
    let live = live_ops(func);
    let mut needed = vec![false; func.num_values()];
    func.outputs.iter().for_each(|o| needed[o.value.index()] = true);
    let mut roots = Vec::new();
    for (id, op) in func.ops().rev().filter(|(id, _)| live[id.index()]) {
        if !folds[id.index()] {
            op.operands.iter().for_each(|v| needed[v.index()] = true);
        } else if needed[op.results[0].index()] && !is_constant(&op.kind) {
            roots.push(id);
        }
    }
    roots.reverse();
    roots
}

/// Marks the ops, by id, that can be folded: they and all ops that they depend on read no parameter and do not grow.
fn foldable(func: &Func, limit: u64) -> Vec<bool> {
    let constant = constant_values(func);
    let mut folds = vec![false; func.num_op_slots()];
    for (id, op) in func.ops() {
        let reads_folded = op.operands.iter().all(|v| func.producer(*v).is_some_and(|op| folds[op.index()]));
        let is_constant = op.results.iter().all(|v| constant[v.index()]);
        folds[id.index()] = is_constant && reads_folded && !grows(func, op, limit);
    }
    folds
}

/// Whether the result of the op is over `limit` bytes larger than its operands together.
fn grows(func: &Func, op: &Op, limit: u64) -> bool {
    let bytes = |v: &ValueId| func[*v].ty.num_bytes().unwrap_or(u64::MAX);
    let operands: BTreeSet<&ValueId> = op.operands.iter().collect();
    let read = operands.into_iter().map(bytes).fold(limit, u64::saturating_add);
    !is_constant(&op.kind) && op.results.iter().map(bytes).fold(0, u64::saturating_add) > read
}

/// The ops with their values, and the ops that cannot be evaluated, with the reason.
type Evaluated = (Vec<(OpId, Literal)>, Vec<(OpId, String)>);

/// Evaluates the results of `ops`. If a batch fails, tries each half on its own.
fn evaluate(consts: &dyn ConstEval, module: &Module, func: &Func, ops: &[OpId]) -> Evaluated {
    let (mut computed, mut refused) = (Vec::new(), Vec::new());
    let mut open = vec![ops];
    while let Some(ops) = open.pop() {
        let values: Vec<ValueId> = ops.iter().map(|op| func[*op].results[0]).collect();
        match consts.evaluate(module, func, &values) {
            Ok(literals) => computed.extend(ops.iter().copied().zip(literals)),
            Err(error) if ops.len() == 1 => refused.push((ops[0], chain(&error))),
            Err(_) => {
                let (first, second) = ops.split_at(ops.len() / 2);
                open.extend([second, first]);
            }
        }
    }
    (computed, refused)
}

/// Creates weights for folded values. Equal values share a weight, and each weight has a unique name.
struct NewWeights {
    taken: BTreeSet<Name>,
    /// The last number appended to each name.
    numbers: BTreeMap<String, usize>,
    known: BTreeMap<Literal, CoreOp>,
}

impl NewWeights {
    fn of(module: &Module) -> Self {
        let taken = module.weights.iter().map(|w| w.name.clone()).collect();
        Self { taken, numbers: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// The op that replaces `op`, an op of the function, by `literal`.
    fn constant(&mut self, module: &mut Module, func: FuncId, op: OpId, literal: Literal) -> CoreOp {
        let literal = compact(literal);
        if literal.bytes.len() <= INLINE {
            return CoreOp::Constant(literal);
        }
        if let Some(known) = self.known.get(&literal) {
            return known.clone();
        }
        let name = self.name(&module[func], op);
        let data = WeightData::Inline(literal.clone());
        let kind = CoreOp::Weight(module.add_weight(Weight { name, ty: literal.ty(), data }));
        self.known.insert(literal, kind.clone());
        kind
    }

    /// A unique name for the weight: the name of the value, or the layer's path and the op's name. A number is appended
    /// if the name is taken.
    fn name(&mut self, func: &Func, id: OpId) -> Name {
        let op = &func[id];
        let base = match (&func[op.results[0]].name, op.loc.path()) {
            (Some(name), _) => name.to_string(),
            (None, Some(path)) => format!("{path}/{}", op.kind.name()),
            (None, None) => op.kind.name().to_string(),
        };
        let mut name: Name = base.as_str().into();
        while !self.taken.insert(name.clone()) {
            let number = self.numbers.entry(base.clone()).or_default();
            *number += 1;
            name = format!("{base}_{number}").into();
        }
        name
    }
}

/// Turns the literal into a splat if all elements have the same bits.
fn compact(literal: Literal) -> Literal {
    let size = literal.elem.unit() as usize;
    let same = literal.bytes.len() > size && literal.bytes[size..] == literal.bytes[..literal.bytes.len() - size];
    if same { Literal { bytes: literal.bytes[..size].into(), ..literal } } else { literal }
}

#[cfg(test)]
mod tests {
    use netc_ir::{ElemType, Number};

    use super::*;
    use crate::testing::{check_fuel, rewrite, run};

    #[test]
    fn constant_chains_are_replaced_by_their_values() {
        rewrite(
            "fix(fold-const,dce)",
            "%k = weight w2() : f32[3,2,4]
             %a = neg(%k) : f32[3,2,4]
             %k2 = abs(%a) : f32[3,2,4]
             %b = weight w0() : f32[2]
             %c = neg(%b) : f32[2]
             %s = reduce_sum(%k2) {axes = [0, 1, 2]} : f32[]
             %d = mul(%x, %s) : f32[2]
             %e = mul(%d, %c) : f32[2]
             %t = reduce_sum(%k2) {axes = [0, 2]} : f32[2]
             %y = add(%e, %t) : f32[2]",
            "%c = constant() {value = [0.0, 1.0]} : f32[2]
             %s = constant() {value = 0.0} : f32[]
             %d = mul(%x, %s) : f32[2]
             %e = mul(%d, %c) : f32[2]
             %t = constant() {value = [0.0, 1.0]} : f32[2]
             %y = add(%e, %t) : f32[2]",
        );
    }

    #[test]
    fn large_values_become_weights_and_equal_values_share_one() {
        let (module, _) = run(
            "netc 1
             weight w0 \"k\" : f32[5,5] = rand(1, -1.0, 1.0)
             func @main(%x: f32[N,5], %z: f32[N,5]) -> (%y, %c) {
               %k = weight w0() : f32[5,5]
               %a = neg(%k) : f32[5,5] loc(\"dense\")
               %p = matmul(%x, %a) : f32[N,5]
               %c = abs(%k) : f32[5,5]
               %y = matmul(%p, %c) : f32[N,5]
             }",
            "fold-const",
        )
        .unwrap();
        insta::assert_snapshot!(module.split_once("func").unwrap_or_default().1, @r#"
         @main(%x: f32[N,5], %z: f32[N,5]) -> (%y, %c) {
          %k = weight w0() : f32[5,5]
          %a = weight w1() : f32[5,5] loc("dense")
          %p = matmul(%x, %a) : f32[N,5]
          %c = weight w1() : f32[5,5]
          %y = matmul(%p, %c) : f32[N,5]
        }
        "#);
        assert!(module.contains("weight w1 \"a\" : f32[5,5] = [0.0, 1.0,"), "{module}");
    }

    #[test]
    fn an_op_that_grows_stays_and_its_operands_are_folded() {
        let ops = "%w = weight w0() : f32[2]
             %a = neg(%w) : f32[2]
             %b = broadcast(%a) : f32[100,2]
             %s = reduce_max(%b) {axes = [0]} : f32[2]
             %y = add(%x, %s) : f32[2]";
        rewrite(
            "fix(fold-const{limit=100},dce)",
            ops,
            "%a = constant() {value = [0.0, 1.0]} : f32[2]
             %b = broadcast(%a) : f32[100,2]
             %s = reduce_max(%b) {axes = [0]} : f32[2]
             %y = add(%x, %s) : f32[2]",
        );
        rewrite(
            "fix(fold-const,dce)",
            ops,
            "%s = constant() {value = [0.0, 1.0]} : f32[2]
             %y = add(%x, %s) : f32[2]",
        );
    }

    #[test]
    fn unread_values_are_not_folded_and_fuel_counts_values() {
        let dead = "%w = weight w0() : f32[2]\n%a = neg(%w) : f32[2]\n%y = neg(%x) : f32[2]";
        rewrite("fold-const", dead, dead);
        let two = "%w = weight w0() : f32[2]\n%a = neg(%w) : f32[2]\n%b = abs(%w) : f32[2]\n%c = mul(%x, %a) : f32[2]\n\
                   %y = mul(%c, %b) : f32[2]";
        check_fuel("fold-const", two, &[5, 5, 5]);
    }

    #[test]
    fn literals_with_bitwise_equal_elements_become_splats() {
        let dense = |values: [f64; 3]| Literal::dense(ElemType::F32, &[3], values.map(Number::Float));
        assert_eq!(compact(dense([2.0; 3])), Literal::splat(ElemType::F32, &[3], 2.0));
        assert_eq!(compact(dense([0.0, -0.0, 0.0])), dense([0.0, -0.0, 0.0]));
        let empty = Literal::dense(ElemType::F32, &[0], []);
        assert_eq!(compact(empty.clone()), empty);
    }
}
