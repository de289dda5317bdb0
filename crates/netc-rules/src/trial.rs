//! Testing a rule: runs both sides on random tensors and compares.

use netc_data::Rng;
use netc_ir::{Builder, FuncId, Literal, Module, Number, ValueId, Weight, WeightData, print};
use netc_pass::{ConstEval, Fidelity, chain};
use thiserror::Error;

use crate::elements::random_literal;
use crate::replace::{Replacement, Source};
use crate::rule::Rule;
use crate::sample::{Instance, sample};

/// The number of random programs to compare a rule on.
pub const TRIALS: usize = 64;

/// The minimum number of compared programs to accept a rule.
const LEAST: usize = 8;

/// The maximum number of programs to generate. Programs that cannot be computed are not compared.
const PROGRAMS: usize = 4 * TRIALS;

/// The maximum number of attempts to generate one program that the rule matches.
const TRIES: usize = 4_000;

/// The number of attempts with one element type before trying the next.
const PATIENCE: usize = 16;

/// The tolerance for rules that round, in `f64`, relative to the largest element.
const TOLERANCE: f64 = 1e-9;

/// Why a rule must not be used.
#[derive(Debug, Clone, Error)]
pub enum Untrue {
    /// The sides compute different values.
    #[error(
        "line {line}: rule `{rule}` changes values: element {element} is {from} in `%from{result}` and {to} in \
         `%to{result}` of this program:\n{program}"
    )]
    Differs {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// The index of the replaced value.
        result: usize,
        /// The index of the element, in row-major order.
        element: usize,
        /// The element as the left side computes it.
        from: String,
        /// The element as the right side computes it.
        to: String,
        /// Both sides with the tensors on which they differ.
        program: String,
    },
    /// Too few programs were found that the rule applies to.
    #[error(
        "line {line}: rule `{rule}` could be tested on only {compared} random programs, expected {LEAST} or more: the \
         replacement changes the type, or too few programs match the rule, meet its conditions and can be computed"
    )]
    TooFew {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// The number of programs that it was compared on.
        compared: usize,
    },
    /// The left side can be computed, but not the right side.
    #[error("line {line}: the right side of rule `{rule}` cannot be computed: {cause}, in\n{program}")]
    Fails {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// The reason.
        cause: String,
        /// Both sides.
        program: String,
    },
}

/// Tests `rule` on random tensors of every element type that it accepts, some with extents of 0. Integers are small or
/// from the full range of their type. Floats go up to a thousand; for exact rules they include zeros of both signs,
/// infinities and NaN.
///
/// Fails if the two sides differ: in any bit, or beyond rounding in `f64` if the rule rounds. Also fails if too few
/// programs could be compared. The same `seed` gives the same tests.
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

/// Compares both sides on one program. Returns false if the left side cannot be computed, which says nothing about the
/// rule.
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

/// Adds the ops of one side and returns its results.
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

/// The first element in which two tensors differ, with both numbers.
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

/// All elements, with splats expanded.
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
    use netc_pass::ConstError;

    use super::*;

    /// Evaluates everything to zeros, for a limited number of times.
    struct Zeros(Cell<usize>);

    impl ConstEval for Zeros {
        fn evaluate(&self, _: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
            let left = self.0.get().checked_sub(1).ok_or_else(|| ConstError::new("no evaluations left"))?;
            self.0.set(left);
            let zeros =
                |value: &ValueId| Some(Literal::splat(func[*value].ty.elem, &func[*value].ty.fixed_dims()?, 0.0));
            values.iter().map(zeros).collect::<Option<_>>().ok_or_else(|| ConstError::new("open extents"))
        }
    }

    #[test]
    fn a_rule_tested_on_too_few_programs_is_rejected() {
        let rule = &crate::parse("r: neg(?x: f32[2]) => neg(?x)").unwrap()[0];
        let tried = |times: usize| check(rule, &Zeros(Cell::new(2 * times)), 1);
        assert!(tried(LEAST).is_ok());
        let too_few = tried(LEAST - 1).unwrap_err();
        assert!(matches!(too_few, Untrue::TooFew { line: 1, compared, .. } if compared == LEAST - 1));
    }
}
