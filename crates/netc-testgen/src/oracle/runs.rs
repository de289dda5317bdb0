//! Oracles of runs: a transform keeps the computed values.

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::{Plan, Tensor, compare, inputs, own_rounding};
use netc_ir::{MAIN, Module, Output, print};
use netc_pass::{Context, Fidelity, Manager, Pipeline, chain};
use netc_passes::analysis::{is_within, measured_bound, rounding_bounds};
use netc_passes::{inline, lower};

use super::{Wrong, print_parse, require};

/// The seed and batch of the inputs of modules.
const INPUTS: (u64, u64) = (11, 2);

/// Checks that `after` verifies and has the signature and the outputs of `before`. Both are lowered with `dialects`.
///
/// - [`Fidelity::Exact`]: the outputs have the same bits.
/// - [`Fidelity::Rounding`]: each output is within the bound derived from the lengths of sums, or within the measured
///   rounding errors of both programs. Programs that compute an infinity or NaN on the way pass.
/// - [`Fidelity::Other`]: `after` only has to verify.
pub fn same_outputs(before: &Module, after: &Module, fidelity: Fidelity, dialects: &Dialects) -> Result<(), Wrong> {
    if fidelity == Fidelity::Other {
        return print_parse(after);
    }
    Reference::of(before, dialects)?.agrees(after, fidelity)
}

/// Checks that the outputs of `after` are within `tolerance` of those of `before`, relative to the largest element of
/// each. Both are lowered with `dialects`. Skips the round trip through text, so it is fast enough for whole networks.
pub fn near_outputs(before: &Module, after: &Module, tolerance: f64, dialects: &Dialects) -> Result<(), Wrong> {
    let after = lowered(after, dialects)?;
    let wrong = || "the networks compute different values".into();
    Reference::of(before, dialects)?.near(&after, &Near::Within(tolerance), wrong)
}

/// A module with its outputs, to compare others with.
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

    /// Checks `after` as [`same_outputs`] does.
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

    /// Checks that the outputs of `after`, which is lowered, are `near`.
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
                format!("relative error {:e} exceeds the bound {bound:e}: {}", apart.norm_rel, wrong())
            })?;
        }
        Ok(())
    }

    /// Whether all floats that the program computes are finite. Rewrites that may change rounding hold only for finite
    /// numbers: `(x + y) * c` and `x * c + y * c` can differ completely if `c` is infinite.
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

    /// Whether the rounding errors of both programs explain the distance `apart` in output `i`.
    fn explains(&self, after: &Module, outputs: &[Tensor], i: usize, apart: f64) -> Result<bool, Wrong> {
        let own = [lost(&self.lowered, &self.given, &self.outputs, i)?, lost(after, &self.given, outputs, i)?];
        Ok(apart <= measured_bound(own))
    }
}

/// How close the outputs of two programs must be.
enum Near {
    /// The same bits.
    Equal,
    /// Within a tolerance relative to the largest element.
    Within(f64),
    /// Each output within its bound, or within the measured rounding errors of both programs.
    Rounding(Vec<f64>),
}

/// The rounding error of output `i` of a program that computed `outputs` from `given`.
fn lost(module: &Module, given: &[Tensor], outputs: &[Tensor], i: usize) -> Result<f64, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let lost = own_rounding(&Default::default(), module, main, &store, given, outputs)
        .map_err(|e| format!("{e}\n{}", print(module)))?;
    Ok(lost.get(i).copied().unwrap_or(0.0))
}

/// Lowers the module to core ops.
pub fn lowered(module: &Module, dialects: &Dialects) -> Result<Module, Wrong> {
    lower::lower_module(module, dialects).map_err(|e| format!("does not lower: {}", chain(&e)))
}

fn bounds(module: &Module) -> Result<Vec<f64>, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    Ok(rounding_bounds(module, main))
}

/// Checks that the module lowers with `dialects`, and that two runs of the result give the same bits.
pub fn lower_exec(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let lowered = lowered(module, dialects).map_err(|e| format!("{e}\n{}", print(module)))?;
    print_parse(&lowered)?;
    let given = random_inputs(&lowered)?;
    let first = run(&lowered, MAIN, &given)?;
    require(run(&lowered, MAIN, &given)? == first, || differs("the second run", module, &lowered))
}

/// Describes two programs that compute different values.
pub fn differs(what: &str, before: &Module, after: &Module) -> Wrong {
    format!("{what} gives other values:\n{}\n---\n{}", print(before), print(after))
}

/// Checks that `@main` keeps its signature: the names, order and types of its parameters, and the names of its outputs.
pub(super) fn keeps_signature(before: &Module, after: &Module) -> Result<(), Wrong> {
    let signature = |module: &Module| {
        let main = module.main()?;
        let params: Vec<_> = main.params.iter().map(|p| (p.name.clone(), main[p.value].ty.clone(), p.layer)).collect();
        let outputs: Vec<_> = main.outputs.iter().map(|o| o.name.clone()).collect();
        Some((params, outputs))
    };
    require(signature(before) == signature(after), || {
        format!("the signature of @main changed; the program is now:\n{}", print(after))
    })
}

/// Random inputs for `@main`, from a fixed seed.
pub fn random_inputs(module: &Module) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())
}

/// Runs the function `func`, which consists of core ops, on the inputs `given`.
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
    fn programs_with_infinities_pass_when_rounding_may_change() {
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
