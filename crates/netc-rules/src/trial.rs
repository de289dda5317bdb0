//! Trying a rule: both sides of it on random tensors.

use netc_data::Rng;
use netc_ir::{Builder, FuncId, Literal, Module, Number, ValueId, Weight, WeightData, print};
use netc_pass::{ConstError, ConstEval, Fidelity, chain};
use thiserror::Error;

use crate::elements::random_literal;
use crate::replace::{Replacement, Source};
use crate::rule::Rule;
use crate::sample::{Instance, sample};

/// Random programs that a rule is compared on.
pub const TRIALS: usize = 64;

/// The fewest of them that say something of a rule.
const LEAST: usize = 8;

/// Programs that are made for them, at most: one that cannot be computed says nothing.
const PROGRAMS: usize = 4 * TRIALS;

/// Random tries to find a program that the rule matches, for each.
const TRIES: usize = 4_000;

/// Tries with one element type before the next one has its turn.
const PATIENCE: usize = 16;

/// How far the sides of a rule that rounds may be apart in `f64`, relative to the largest element.
const TOLERANCE: f64 = 1e-9;

/// Why a rule is not to be used.
#[derive(Debug, Clone, Error)]
pub enum Untrue {
    /// The sides compute different values.
    #[error(
        "line {line}: the rule `{rule}` changes what is computed: element {element} of `%from{result}` is {from}, of \
         `%to{result}` it is {to}, in\n{program}"
    )]
    Differs {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// The number of the value that is replaced.
        result: usize,
        /// The element, in row-major order.
        element: usize,
        /// What is matched computes this.
        from: String,
        /// What is put in its place computes this.
        to: String,
        /// Both sides on the tensors that tell them apart.
        program: String,
    },
    /// Too few programs were found that the rule applies to.
    #[error(
        "line {line}: the rule `{rule}` could be compared on {compared} random programs, expected {LEAST} or more: what \
         is put in has another type, or few programs that can be computed have what is matched and required"
    )]
    TooFew {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// On how many it was compared.
        compared: usize,
    },
    /// One side cannot be computed where the other can.
    #[error("line {line}: one side of the rule `{rule}` cannot be computed: {cause}, in\n{program}")]
    Fails {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// Why not.
        cause: String,
        /// Both sides.
        program: String,
    },
}

/// Tries `rule` on random tensors, of every element type that it takes, some with extents of 0. Integers are small ones
/// or any of their type, floats up to a thousand; those of an exact rule have zeros with both signs, infinities and NaN
/// in them.
///
/// Fails where both sides do not give the same: the same bits, or, if the rule rounds, the same up to rounding in `f64`.
/// The same `seed` tries the same.
pub fn check(rule: &Rule, consts: &dyn ConstEval, seed: u64) -> Result<(), Untrue> {
    let mut rng = Rng::for_part(seed, &rule.name);
    let mut compared = 0;
    for number in 0..PROGRAMS {
        let mut sample = |attempt| sample(rule, number + attempt / PATIENCE, &mut rng);
        let Some(instance) = (0..TRIES).find_map(&mut sample) else { break };
        compared += usize::from(try_on(rule, &instance, consts, &mut rng)?);
        if compared == TRIALS {
            break;
        }
    }
    let too_few = || Untrue::TooFew { rule: rule.name.to_string(), line: rule.line, compared };
    if compared >= LEAST { Ok(()) } else { Err(too_few()) }
}

/// Whether both sides could be compared: what cannot be computed before a rewrite says nothing of it.
fn try_on(rule: &Rule, instance: &Instance, consts: &dyn ConstEval, rng: &mut Rng) -> Result<bool, Untrue> {
    let program = Program::of(rule, instance, rng);
    let evaluate = |values: &[ValueId]| consts.evaluate(&program.module, &program.module[FuncId::new(0)], values);
    let (name, line) = (rule.name.to_string(), rule.line);
    let (from, to) = match (evaluate(&program.from), evaluate(&program.to)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(_), _) => return Ok(false),
        (Ok(_), Err(error)) => {
            let cause = chain(&error);
            return Err(Untrue::Fails { rule: name, line, cause, program: print(&program.module) });
        }
    };
    for (result, (a, b)) in from.iter().zip(&to).enumerate() {
        if let Some((element, from, to)) = difference(a, b, rule.fidelity) {
            let program = print(&program.module);
            return Err(Untrue::Differs { rule: name, line, result, element, from, to, program });
        }
    }
    Ok(true)
}

/// Both sides on random weights.
struct Program {
    module: Module,
    from: Vec<ValueId>,
    to: Vec<ValueId>,
}

impl Program {
    fn of(rule: &Rule, instance: &Instance, rng: &mut Rng) -> Self {
        let mut module = Module::new();
        let weights: Vec<_> = instance
            .tensors
            .0
            .iter()
            .enumerate()
            .map(|(i, (ty, _))| {
                let literal = random_literal(ty.elem, &ty.fixed_dims().unwrap_or_default(), rule.fidelity, rng);
                module.add_weight(Weight {
                    name: format!("t{i}").into(),
                    ty: ty.clone(),
                    data: WeightData::Inline(literal),
                })
            })
            .collect();
        let mut builder = Builder::new(&module, "main");
        let tensors: Vec<ValueId> = weights.into_iter().filter_map(|id| builder.weight(id).ok()).collect();
        let from = add(&mut builder, &tensors, &instance.from);
        let to = add(&mut builder, &tensors, &instance.to);
        let outputs = |name: &'static str, values: &[ValueId]| {
            values.iter().enumerate().map(move |(i, v)| (format!("{name}{i}").into(), *v)).collect::<Vec<_>>()
        };
        for (name, value) in outputs("from", &from).into_iter().chain(outputs("to", &to)) {
            builder.name(value, name);
        }
        let func = builder.finish([outputs("from", &from), outputs("to", &to)].concat());
        module.add_func(func);
        Self { module, from, to }
    }
}

/// Adds the ops of one side, and returns its results.
fn add(builder: &mut Builder<'_>, tensors: &[ValueId], side: &Replacement<usize>) -> Vec<ValueId> {
    let mut new: Vec<ValueId> = Vec::new();
    let value = |new: &[ValueId], source: &Source<usize>| source.resolve(new, |i| tensors[i]);
    for op in &side.ops {
        let operands: Vec<ValueId> = op.operands.iter().map(|source| value(&new, source)).collect();
        let id = builder.op(op.op.clone(), &operands, [(op.ty.clone(), None)]);
        new.push(builder.results(id)[0]);
    }
    side.results.iter().map(|source| value(&new, source)).collect()
}

/// The first element in which two tensors are not the same, with both numbers.
fn difference(a: &Literal, b: &Literal, fidelity: Fidelity) -> Option<(usize, String, String)> {
    let (a, b): (Vec<_>, Vec<_>) = (expanded(a), expanded(b));
    let finite = |x: &&Number| x.as_f64().is_finite();
    let largest = a.iter().filter(finite).map(|x| x.as_f64().abs()).fold(0.0, f64::max);
    let near = |x: &Number, y: &Number| match (x, y) {
        (Number::Int(x), Number::Int(y)) => x == y,
        (x, y) => {
            let (x, y) = (x.as_f64(), y.as_f64());
            let same = x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
            same || fidelity != Fidelity::Exact && (x - y).abs() <= TOLERANCE * largest.max(1.0)
        }
    };
    let element = a.iter().zip(&b).position(|(x, y)| !near(x, y))?;
    let text = |x: &Number| match x {
        Number::Int(x) => x.to_string(),
        Number::Float(x) => format!("{x:?}"),
    };
    Some((element, text(&a[element]), text(&b[element])))
}

/// Every element.
fn expanded(literal: &Literal) -> Vec<Number> {
    let count = literal.ty().num_elements().unwrap_or_default() as usize;
    match literal.as_splat() {
        Some(number) => vec![number; count],
        None => literal.numbers().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netc_ir::Func;

    use super::*;

    /// Computes zeros, so many times.
    struct Zeros(Cell<usize>);

    impl ConstEval for Zeros {
        fn evaluate(&self, _: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
            let left = self.0.get().checked_sub(1).ok_or_else(|| ConstError::new("nothing is left"))?;
            self.0.set(left);
            let zeros =
                |value: &ValueId| Some(Literal::splat(func[*value].ty.elem, &func[*value].ty.fixed_dims()?, 0.0));
            values.iter().map(zeros).collect::<Option<_>>().ok_or_else(|| ConstError::new("open extents"))
        }
    }

    #[test]
    fn few_programs_say_nothing_of_a_rule() {
        let rule = &crate::parse("r: neg(?x: f32[2]) => neg(?x)").unwrap()[0];
        let tried = |times: usize| check(rule, &Zeros(Cell::new(2 * times)), 1);
        assert!(tried(LEAST).is_ok());
        let too_few = tried(LEAST - 1).unwrap_err();
        assert!(matches!(too_few, Untrue::TooFew { line: 1, compared, .. } if compared == LEAST - 1));
    }
}
