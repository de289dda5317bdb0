//! Trying a rule: both sides of it on random tensors.

use netc_data::Rng;
use netc_ir::{Builder, ElemType, FuncId, Literal, Module, Number, ValueId, Weight, WeightData, print};
use netc_pass::{ConstError, ConstEval, Fidelity};
use thiserror::Error;

use crate::replace::{Replacement, Source};
use crate::rule::Rule;
use crate::sample::{Instance, fixed, sample};

/// Random programs that a rule is tried on.
pub const TRIALS: usize = 32;

/// Random tries to find one that it matches, for each.
const TRIES: usize = 4_000;

/// How far the sides of a rule that rounds may be apart in `f64`, relative to the largest element.
const TOLERANCE: f64 = 1e-9;

/// Why a rule is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
    /// No program was found that the rule applies to.
    #[error(
        "line {line}: the rule `{rule}` was not seen to apply to any of {TRIES} random programs: what is put in has \
         another type, or no program that can be computed has what is matched and required"
    )]
    Never {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
    },
    /// One side cannot be computed where the other can.
    #[error("line {line}: one side of the rule `{rule}` cannot be computed: {source}, in\n{program}")]
    Fails {
        /// The rule.
        rule: String,
        /// Its line.
        line: usize,
        /// Why not.
        source: ConstError,
        /// Both sides.
        program: String,
    },
}

/// Tries `rule` on random tensors, of every element type that it takes; those of an exact one have zeros with both
/// signs, infinities and NaN in them.
///
/// Fails where both sides do not give the same: the same bits, or, if the rule rounds, the same up to rounding in `f64`.
/// The same `seed` tries the same.
pub fn check(rule: &Rule, consts: &dyn ConstEval, seed: u64) -> Result<(), Untrue> {
    let mut rng = Rng::for_part(seed, &rule.name);
    let never = || Untrue::Never { rule: rule.name.to_string(), line: rule.line };
    let mut compared = false;
    for _ in 0..TRIALS {
        let Some(instance) = (0..TRIES).find_map(|_| sample(rule, &mut rng)) else { break };
        compared |= try_on(rule, &instance, consts, &mut rng)?;
    }
    if compared { Ok(()) } else { Err(never()) }
}

/// Whether both sides could be compared: what cannot be computed before a rewrite says nothing of it.
fn try_on(rule: &Rule, instance: &Instance, consts: &dyn ConstEval, rng: &mut Rng) -> Result<bool, Untrue> {
    let program = Program::of(rule, instance, rng);
    let evaluate = |values: &[ValueId]| consts.evaluate(&program.module, &program.module[FuncId::new(0)], values);
    let (name, line) = (rule.name.to_string(), rule.line);
    let (from, to) = match (evaluate(&program.from), evaluate(&program.to)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(_), _) => return Ok(false),
        (Ok(_), Err(source)) => {
            return Err(Untrue::Fails { rule: name, line, source, program: print(&program.module) });
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
                let literal = random_literal(ty.elem, &fixed(ty), rule.fidelity, rng);
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
    let value = |new: &[ValueId], source: &Source<usize>| match source {
        Source::Old(i) => tensors[*i],
        Source::New(i) => new[*i],
    };
    for op in &side.ops {
        let operands: Vec<ValueId> = op.operands.iter().map(|source| value(&new, source)).collect();
        let id = builder.op(op.op.clone(), &operands, [(op.ty.clone(), None)]);
        new.push(builder.results(id)[0]);
    }
    side.results.iter().map(|source| value(&new, source)).collect()
}

/// Random elements: small numbers, and for exact rules some that are special.
fn random_literal(elem: ElemType, dims: &[u64], fidelity: Fidelity, rng: &mut Rng) -> Literal {
    const SPECIAL: [f64; 8] = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3e38];
    let special = elem.is_float() && fidelity == Fidelity::Exact && rng.below(2) == 0;
    let mut number = || {
        if special && rng.below(2) == 0 {
            Number::Float(SPECIAL[rng.below(SPECIAL.len() as u64) as usize])
        } else if elem.is_float() {
            Number::Float(rng.uniform(-2.0, 2.0))
        } else if elem.is_signed_int() {
            Number::Int(i128::from(rng.below(9)) - 4)
        } else {
            Number::Int(i128::from(rng.below(if elem == ElemType::Bool { 2 } else { 9 })))
        }
    };
    let count = dims.iter().product::<u64>();
    Literal::dense(elem, dims, (0..count).map(|_| number()).collect::<Vec<_>>())
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
            let infinite = x.is_infinite() && x.total_cmp(&y).is_eq();
            same || infinite || fidelity != Fidelity::Exact && (x - y).abs() <= TOLERANCE * largest.max(1.0)
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
