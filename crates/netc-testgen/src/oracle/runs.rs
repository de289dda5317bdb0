//! What is computed before and after a transform is the same.

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::{Plan, Tensor, compare, inputs, own_rounding};
use netc_ir::{MAIN, Module, Output, print};
use netc_pass::{Context, Fidelity, Manager, Pipeline, chain};
use netc_passes::analysis::{is_within, measured_bound, rounding_bounds};
use netc_passes::{inline, lower};

use super::{Wrong, print_parse, require};

/// The seed and the batch of the inputs that modules are run on.
const INPUTS: (u64, u64) = (11, 2);

/// `after` verifies and has the signature of `before` and its outputs: with the same bits if `fidelity` is exact, within
/// the bound that the lengths of sums in both give, or their own rounding, if it is rounding: then nothing is asked where
/// `before` computes infinities or NaN on the way. If it is other, nothing but verifying is asked. Both are lowered with
/// `dialects`.
pub fn same_outputs(before: &Module, after: &Module, fidelity: Fidelity, dialects: &Dialects) -> Result<(), Wrong> {
    if fidelity == Fidelity::Other {
        return print_parse(after);
    }
    Reference::of(before, dialects)?.agrees(after, fidelity)
}

/// The outputs of `after` are within `tolerance` of those of `before`, relative to the largest element of each. Both are
/// lowered with `dialects`. Their texts are not looked at: this is for networks too.
pub fn near_outputs(before: &Module, after: &Module, tolerance: f64, dialects: &Dialects) -> Result<(), Wrong> {
    let after = lowered(after, dialects)?;
    let wrong = || "another network computes other values".into();
    Reference::of(before, dialects)?.near(&after, &Near::Within(tolerance), wrong)
}

/// A module that ran, for others to be compared with.
pub(super) struct Reference<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    lowered: Module,
    given: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

impl<'m> Reference<'m> {
    pub(super) fn of(module: &'m Module, dialects: &'m Dialects) -> Result<Self, Wrong> {
        let lowered = lowered(module, dialects)?;
        let given = random_inputs(&lowered)?;
        let outputs = run(&lowered, MAIN, &given)?;
        Ok(Self { module, dialects, lowered, given, outputs })
    }

    /// What [`same_outputs`] asks of `after`.
    pub(super) fn agrees(&self, after: &Module, fidelity: Fidelity) -> Result<(), Wrong> {
        if after == self.module {
            return Ok(());
        }
        print_parse(after)?;
        if fidelity == Fidelity::Other {
            return Ok(());
        }
        keeps_signature(self.module, after)?;
        let lowered = lowered(after, self.dialects)?;
        let near = if fidelity == Fidelity::Exact {
            Near::Equal
        } else {
            Near::Rounding(bounds(&self.lowered)?.iter().zip(bounds(&lowered)?).map(|(a, b)| a + b).collect())
        };
        self.near(&lowered, &near, || differs("it", self.module, after))
    }

    /// `after`, which is lowered, gives outputs so near.
    fn near(&self, after: &Module, near: &Near, wrong: impl Fn() -> Wrong) -> Result<(), Wrong> {
        let outputs = run(after, MAIN, &self.given)?;
        require(self.outputs.len() == outputs.len(), || {
            format!("{} outputs became {}", self.outputs.len(), outputs.len())
        })?;
        for (i, (x, y)) in self.outputs.iter().zip(&outputs).enumerate() {
            let apart = compare(y, x).map_err(|e| e.to_string())?;
            let (holds, bound) = match near {
                Near::Equal => (false, 0.0),
                Near::Within(tolerance) => (is_within(apart.norm_rel, *tolerance), *tolerance),
                Near::Rounding(bounds) => {
                    let bound = bounds.get(i).copied().unwrap_or(0.0);
                    let rounds =
                        is_within(apart.norm_rel, bound) || self.explains(after, &outputs, i, apart.max_abs)?;
                    (rounds || apart.bit_equal || !self.is_finite()?, bound)
                }
            };
            require(apart.bit_equal || holds, || {
                format!("by {:e}, with a bound of {bound:e}: {}", apart.norm_rel, wrong())
            })?;
        }
        Ok(())
    }

    /// Whether all floats that the program computes are finite. Algebra that rounds is that of numbers: `(x + y) * c` and
    /// `x * c + y * c` differ by more where `c` is infinite.
    fn is_finite(&self) -> Result<bool, Wrong> {
        let (mut whole, registry) = (self.lowered.clone(), netc_passes::registry());
        let inline = Pipeline::of_passes([inline::INFO.name]).map_err(|e| e.to_string())?;
        let inlined = Manager::new(&registry).run(&mut whole, &inline, &mut Context::new(self.dialects));
        inlined.map_err(|e| e.to_string())?;
        let main = whole.func_named(MAIN).ok_or("there is no @main")?;
        let func = &mut whole[main];
        let floats = func.values_in_order().filter(|v| func[*v].ty.elem.is_float());
        func.outputs = floats.enumerate().map(|(i, value)| Output { name: format!("{i}").into(), value }).collect();
        let values = run(&whole, MAIN, &self.given)?;
        Ok(values.iter().all(|tensor| tensor.to_f64s().iter().all(|x| x.is_finite())))
    }

    /// Whether the rounding of both programs explains that elements of output `i` are so far apart.
    fn explains(&self, after: &Module, outputs: &[Tensor], i: usize, apart: f64) -> Result<bool, Wrong> {
        let own = [lost(&self.lowered, &self.given, &self.outputs, i)?, lost(after, &self.given, outputs, i)?];
        Ok(apart <= measured_bound(own))
    }
}

/// How near the outputs of two programs have to be.
enum Near {
    /// The same bits.
    Equal,
    /// Relative to the largest element.
    Within(f64),
    /// Each within its bound, or within what rounding takes of the two programs.
    Rounding(Vec<f64>),
}

/// What rounding takes of output `i` of a program that gave `outputs` for `given`.
fn lost(module: &Module, given: &[Tensor], outputs: &[Tensor], i: usize) -> Result<f64, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let lost = own_rounding(&Default::default(), module, main, &store, given, outputs)
        .map_err(|e| format!("{e}\n{}", print(module)))?;
    Ok(lost.get(i).copied().unwrap_or(0.0))
}

/// The module as core ops.
pub fn lowered(module: &Module, dialects: &Dialects) -> Result<Module, Wrong> {
    lower::lower_module(module, dialects).map_err(|e| format!("does not lower: {}", chain(&e)))
}

fn bounds(module: &Module) -> Result<Vec<f64>, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    Ok(rounding_bounds(module, main))
}

/// The module lowers with `dialects`, and what comes of it runs and gives the same bits each time.
pub fn lower_exec(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let lowered = lowered(module, dialects).map_err(|e| format!("{e}\n{}", print(module)))?;
    print_parse(&lowered)?;
    let given = random_inputs(&lowered)?;
    let first = run(&lowered, MAIN, &given)?;
    require(run(&lowered, MAIN, &given)? == first, || differs("the second run", module, &lowered))
}

/// The words for two programs that compute different values.
pub fn differs(what: &str, before: &Module, after: &Module) -> Wrong {
    format!("{what} gives other values:\n{}\n---\n{}", print(before), print(after))
}

/// `@main` takes and returns the same, in name, order and type.
pub(super) fn keeps_signature(before: &Module, after: &Module) -> Result<(), Wrong> {
    let signature = |module: &Module| {
        let main = module.main()?;
        let params: Vec<_> = main.params.iter().map(|p| (p.name.clone(), main[p.value].ty.clone(), p.layer)).collect();
        let outputs: Vec<_> = main.outputs.iter().map(|o| o.name.clone()).collect();
        Some((params, outputs))
    };
    require(signature(before) == signature(after), || format!("@main has another signature:\n{}", print(after)))
}

/// Inputs for `@main`, always the same.
pub fn random_inputs(module: &Module) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())
}

/// The outputs of the function `func`, which consists of core ops, on the inputs `given`.
pub fn run(module: &Module, func: &str, given: &[Tensor]) -> Result<Vec<Tensor>, Wrong> {
    let place = |e: &dyn std::error::Error| format!("@{func} does not run: {e:?}\n{}", print(module));
    let id = module.func_named(func).ok_or_else(|| format!("there is no @{func}"))?;
    let store = Store::open(module).map_err(|e| place(&e))?;
    Plan::new(module, id, &store).and_then(|plan| plan.run(given)).map_err(|e| place(&e))
}

#[cfg(test)]
mod tests {
    use netc_ir::parse;

    use super::*;

    fn agree(before: &str, after: &str) -> Result<(), Wrong> {
        let program = |body: &str| parse(&format!("netc 1\nfunc @main(%x: f32[3]) -> (%y) {{\n{body}\n}}")).unwrap();
        same_outputs(&program(before), &program(after), Fidelity::Rounding, &Dialects::new())
    }

    #[test]
    fn what_rounds_is_asked_of_finite_numbers_alone() {
        let by = |c: &str| {
            format!(
                "%c = constant() {{value = {c}}} : f32[]\n%q = div(%x, %c) : f32[3]\n\
                 %one = constant() {{value = 1.0}} : f32[]\n%y = min(%q, %one) : f32[3]"
            )
        };
        let other = by("4.0");
        assert!(agree(&by("2.0"), &other).is_err());
        assert!(agree(&by("0.0"), &other).is_ok());
        assert!(agree(&other, &by("0.0")).is_err());
    }
}
