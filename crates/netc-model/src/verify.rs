//! Compares the values that two modules compute.

use std::sync::Arc;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::{Difference, ExecError, Host, Plan, Tensor, compare, inputs, own_rounding};
use netc_format::module::is_architecture;
use netc_ir::{Func, FuncId, MAIN, Module};
use netc_pass::Fidelity;
use netc_passes::analysis::{is_within, measured_bound, rounding_bounds};
use netc_passes::{bind, lower};

use crate::error::{ModelError, Remedy, Result};
use crate::limits;
use crate::session::Session;

/// A function that is ready to run.
pub struct Executable {
    plan: Plan,
    lowered: Module,
    main: FuncId,
    store: Store,
    host: Arc<Host>,
    /// The rounding error bound of each output.
    bounds: Vec<f64>,
}

/// Parameters of random inputs. The same seed gives the same inputs.
#[derive(Debug, Clone, Copy)]
pub struct Random {
    /// The seed of the first set of inputs. Each further set uses the next seed.
    pub seed: u64,
    /// Examples in each input.
    pub batch: u64,
}

impl Default for Random {
    fn default() -> Self {
        Self { seed: 0, batch: 1 }
    }
}

/// The inputs that a program will run on.
#[derive(Clone, Copy)]
pub enum RunInputs<'a> {
    /// Random inputs with this many examples.
    Random(u64),
    /// These inputs.
    Tensors(&'a [Tensor]),
}

impl RunInputs<'_> {
    fn extents(self, module: &Module) -> Option<Vec<Vec<u64>>> {
        match self {
            Self::Random(batch) => inputs::random_extents(module.main()?, batch).ok(),
            Self::Tensors(tensors) => Some(tensors.iter().map(|t| t.dims().to_vec()).collect()),
        }
    }
}

impl Executable {
    /// Lowers and plans `@main`.
    ///
    /// If this needs numbers for symbolic extents, as a loop over the steps of a sequence does, they are taken from
    /// `given`. Then the executable runs only on inputs with these extents.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// use netc_model::{Executable, RunInputs, Random};
    ///
    /// let random = Random::default();
    /// let executable = Executable::new(&netc, &model.module, RunInputs::Random(random.batch))?;
    /// let inputs = executable.random_inputs(random)?;
    /// let outputs = executable.run(&inputs, &mut |done, total| eprintln!("{done} of {total} steps"))?;
    /// assert_eq!(outputs, model.run(&inputs)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A layer is unsupported, or the run needs more memory or steps than the session allows.
    pub fn new(session: &Session, module: &Module, given: RunInputs<'_>) -> Result<Self> {
        if is_architecture(module) {
            return Err(ModelError::needs(Remedy::Weights, "cannot run an architecture without weights"));
        }
        Self::of(session, module).or_else(|error| match given.extents(module) {
            Some(extents) => Self::of(session, &bind(module, &extents)),
            None => Err(error),
        })
    }

    fn of(session: &Session, module: &Module) -> Result<Self> {
        let host = session.host();
        let ops = limits::max_ops(module, host.max_steps());
        let lowered = lower::lower_module_within(module, session.dialects(), ops).map_err(ModelError::from_error)?;
        let unknown = lower::unknown_layers(&lowered);
        if !unknown.is_empty() {
            return Err(unsupported(&unknown, session.dialects()));
        }
        let Some(main) = lowered.func_named(MAIN) else {
            return Err(ModelError::failed("there is no function `@main`"));
        };
        let store = Store::open(&lowered).map_err(ModelError::from_error)?;
        let plan = Plan::on(host, &lowered, main, &store).map_err(limits::explained)?;
        Ok(Self { plan, bounds: rounding_bounds(&lowered, main), lowered, main, store, host: host.clone() })
    }

    /// The lowered function.
    pub fn func(&self) -> &Func {
        &self.lowered[self.main]
    }

    /// Random inputs in the order of the parameters.
    ///
    /// # Errors
    /// The inputs do not fit into memory, or their types are unknown.
    pub fn random_inputs(&self, Random { seed, batch }: Random) -> Result<Vec<Tensor>> {
        let types = inputs::random_types(self.func(), batch).map_err(ModelError::from_error)?;
        self.plan.check(&types).map_err(limits::explained)?;
        inputs::random_inputs(self.func(), seed, batch).map_err(ModelError::from_error)
    }

    /// Runs on inputs in the order of the parameters. Calls `progress` with the number of finished and of all steps.
    ///
    /// # Errors
    /// The inputs do not fit, or the run exceeds the session's limits.
    pub fn run(&self, inputs: &[Tensor], progress: &mut (dyn FnMut(usize, usize) + Send)) -> Result<Vec<Tensor>> {
        self.plan.run_with(inputs, progress).map_err(limits::explained)
    }

    /// Measures the rounding error of each of `outputs`, which were computed from `inputs`.
    fn own_rounding(&self, inputs: &[Tensor], outputs: &[Tensor]) -> Result<Vec<f64>, ExecError> {
        own_rounding(&self.host, &self.lowered, self.main, &self.store, inputs, outputs)
    }
}

fn unsupported(unknown: &[lower::UnknownLayer], dialects: &Dialects) -> ModelError {
    let mut classes: Vec<&str> = unknown.iter().map(|u| dialects.class(&u.class)).collect();
    classes.sort_unstable();
    classes.dedup();
    let first = &unknown[0];
    let others = match unknown.len() - 1 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let what = match classes.as_slice() {
        [one] => format!("the class `{one}` is"),
        many => format!("the classes {} are", many.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")),
    };
    let context = format!("netc cannot run {first}{others}: {what} unsupported");
    ModelError::needs(Remedy::Layers(classes.into_iter().map(String::from).collect()), context)
}

/// A program that ran.
pub struct Ran<'a> {
    /// The program.
    pub executable: &'a Executable,
    /// Its outputs.
    pub outputs: &'a [Tensor],
}

/// The result of comparing two programs on random inputs.
pub struct Verification {
    /// Number of sets of random inputs.
    pub inputs: u64,
    /// The seed of the first set.
    pub seed: u64,
    /// Examples in each set.
    pub batch: u64,
    /// The allowed difference of each output, relative to its largest element. `None` requires equal bits.
    pub bounds: Option<Vec<f64>>,
    /// The largest measured bound, relative to the largest element of an output. Measured only for outputs that exceed
    /// their bound.
    measured: f64,
    /// Whether an output differs by more than its bound and the measured rounding of both programs.
    unexplained: bool,
    names: Vec<String>,
    /// The worst difference of each output.
    pub outputs: Vec<(String, Difference)>,
}

impl Verification {
    /// Starts a comparison of `a` with `b`, which was produced from `a` by passes of the given fidelity.
    ///
    /// # Errors
    /// The passes change what the model computes, or the numbers of inputs or outputs differ.
    pub fn of(a: &Executable, b: &Executable, fidelity: Fidelity, inputs: u64, random: Random) -> Result<Self> {
        if fidelity == Fidelity::Other {
            return Err(ModelError::Usage(
                "a pass changes what the model computes, so there is nothing to compare".into(),
            ));
        }
        let (f, g) = (a.func(), b.func());
        if f.params.len() != g.params.len() || f.outputs.len() != g.outputs.len() {
            return Err(ModelError::failed(format!(
                "cannot compare the models: one has {} inputs and {} outputs, the other has {} inputs and {} \
                 outputs",
                f.params.len(),
                f.outputs.len(),
                g.params.len(),
                g.outputs.len(),
            )));
        }
        let bounds = match fidelity {
            Fidelity::Exact => None,
            Fidelity::Rounding | Fidelity::Other => Some(a.bounds.iter().zip(&b.bounds).map(|(a, b)| a + b).collect()),
        };
        let names = f.outputs.iter().map(|o| o.name.to_string()).collect();
        let Random { seed, batch } = random;
        Ok(Self { inputs, seed, batch, bounds, measured: 0.0, unexplained: false, names, outputs: Vec::new() })
    }

    /// Compares the outputs for one more set of inputs, `given`.
    ///
    /// If they differ by more than their bounds, measures the rounding error of both programs.
    ///
    /// # Errors
    /// The outputs have different types, or a measurement exceeds the session's limits.
    pub fn add(&mut self, given: &[Tensor], before: Ran<'_>, after: Ran<'_>) -> Result<()> {
        let mut beyond = Vec::new();
        for (k, (x, y)) in before.outputs.iter().zip(after.outputs).enumerate() {
            let difference = compare(x, y).map_err(|m| {
                let name = &self.names[k];
                ModelError::failed(format!(
                    "cannot compare the models: output `{name}` is {} in one model and {} in the other",
                    m.found, m.expected
                ))
            })?;
            let bound = self.bounds.as_ref().and_then(|bounds| bounds.get(k));
            if bound.is_some_and(|bound| !difference.bit_equal && !is_within(difference.norm_rel, *bound)) {
                beyond.push((k, difference.clone()));
            }
            match self.outputs.get_mut(k) {
                Some((_, worst)) => merge(worst, difference),
                None => self.outputs.push((self.names[k].clone(), difference)),
            }
        }
        if beyond.is_empty() {
            return Ok(());
        }
        let lost = [before, after].map(|ran| ran.executable.own_rounding(given, ran.outputs));
        let [before, after] = match lost {
            [Ok(before), Ok(after)] => [before, after],
            [Err(error @ ExecError::TooLarge { .. }), _] | [_, Err(error @ ExecError::TooLarge { .. })] => {
                return Err(limits::explained(error));
            }
            // Rounding cannot be measured for programs that do not run with other float types.
            [Err(_), _] | [_, Err(_)] => {
                self.unexplained = true;
                return Ok(());
            }
        };
        for (k, difference) in beyond {
            let bound = measured_bound([before[k], after[k]]);
            self.unexplained |= difference.max_abs.is_nan() || difference.max_abs > bound;
            let relative = bound * difference.norm_rel / difference.max_abs;
            self.measured = self.measured.max(if relative.is_finite() { relative } else { 0.0 });
        }
        Ok(())
    }

    /// Whether each output is equal bit for bit or, if there are bounds, within its bound.
    pub fn passed(&self) -> bool {
        if self.bounds.is_some() { !self.unexplained } else { self.bit_equal() }
    }

    /// The largest bound of any output, if there are bounds.
    pub fn largest_bound(&self) -> Option<f64> {
        self.bounds.as_ref().map(|bounds| bounds.iter().copied().fold(self.measured, f64::max))
    }

    /// Whether every output is equal bit for bit.
    pub fn bit_equal(&self) -> bool {
        self.outputs.iter().all(|(_, d)| d.bit_equal)
    }

    /// The largest difference of any output by `measure`.
    pub fn worst(&self, measure: impl Fn(&Difference) -> f64) -> f64 {
        self.outputs.iter().map(|(_, d)| measure(d)).fold(0.0, f64::max)
    }

    /// Whether each output is equal bit for bit, or within `tolerance` of its largest element.
    pub fn within(&self, tolerance: f64) -> bool {
        self.outputs.iter().all(|(_, d)| d.bit_equal || d.norm_rel <= tolerance && tolerance > 0.0)
    }
}

/// Runs both programs on the same random inputs and compares each output.
///
/// Calls `progress` with what is running and the number of finished and of all steps.
///
/// ```
/// # use netc_format::Formats;
/// # use netc_model::Session;
/// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
/// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
/// # let model = netc.model(module, "tiny", "tiny")?;
/// use netc_model::{Executable, RunInputs, Random, verify};
///
/// let (simple, fidelity) = model.rewritten(&"@simplify".parse()?)?;
/// let random = Random::default();
/// let before = Executable::new(&netc, &model.module, RunInputs::Random(random.batch))?;
/// let after = Executable::new(&netc, &simple.module, RunInputs::Random(random.batch))?;
/// let verification = verify(&before, &after, fidelity, 2, random, &mut |_, _, _| {})?;
/// assert!(verification.passed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The models cannot be compared, or a run fails: see [`Executable::run`].
pub fn verify(
    a: &Executable,
    b: &Executable,
    fidelity: Fidelity,
    inputs: u64,
    random: Random,
    progress: &mut (dyn FnMut(&str, usize, usize) + Send),
) -> Result<Verification> {
    let mut found = Verification::of(a, b, fidelity, inputs, random)?;
    for i in 0..inputs {
        let given = a.random_inputs(Random { seed: random.seed.wrapping_add(i), ..random })?;
        let mut run = |executable: &Executable, which: &str| {
            let what = format!("input {} of {inputs}, {which} model", i + 1);
            executable.run(&given, &mut |done, total| progress(&what, done, total))
        };
        let (before, after) = (run(a, "first")?, run(b, "second")?);
        found.add(&given, Ran { executable: a, outputs: &before }, Ran { executable: b, outputs: &after })?;
    }
    Ok(found)
}

/// Merges `other` into `worst`, keeping the larger of each measure.
fn merge(worst: &mut Difference, other: Difference) {
    if other.max_abs > worst.max_abs {
        worst.worst = other.worst;
    }
    worst.elements += other.elements;
    worst.differing += other.differing;
    worst.bit_equal &= other.bit_equal;
    worst.max_abs = worst.max_abs.max(other.max_abs);
    worst.max_rel = worst.max_rel.max(other.max_rel);
    worst.norm_rel = worst.norm_rel.max(other.norm_rel);
    worst.max_ulp = worst.max_ulp.max(other.max_ulp);
    worst.first = worst.first.take().or(other.first);
}
