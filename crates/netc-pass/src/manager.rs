//! Runs pipelines: verifies the module after each pass, notifies observers, and keeps a record.

mod record;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use netc_ir::{Module, Violations, verify_changes};
use thiserror::Error as ThisError;

use crate::context::Context;
use crate::pass::{Fidelity, Pass, PassError, Result};
use crate::pipeline::{PassCall, Pipeline, PipelineStep};
use crate::registry::Registry;

pub use record::Record;

/// The maximum depth of references between named pipelines.
const MAX_DEPTH: usize = 32;

/// Why a pipeline did not finish.
#[derive(Debug, ThisError)]
pub enum PipelineError {
    /// A pass cannot be built, or a name is unknown. No pass ran.
    #[error(transparent)]
    Options(#[from] PassError),
    /// A pass failed.
    #[error(transparent)]
    Failed(#[from] Box<FailedPass>),
}

/// A pass that failed.
#[derive(Debug)]
pub struct FailedPass {
    /// The number of passes that ran before it.
    pub number: usize,
    /// The pass.
    pub call: PassCall,
    /// The failure. After [`Failure::Error`] the module is as before the pass; otherwise it is as the pass left it.
    pub cause: Failure,
}

impl fmt::Display for FailedPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pass `{}`{}", self.call, self.cause)
    }
}

impl Error for FailedPass {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            // The message already includes that of the error.
            Failure::Error(error) => error.source(),
            Failure::Panic(_) | Failure::Broken(_) | Failure::Rejected(_) => None,
        }
    }
}

/// Why a pass failed. All variants but the first indicate a bug in the pass.
#[derive(Debug, ThisError)]
pub enum Failure {
    /// It returned an error.
    #[error(": {0}")]
    Error(PassError),
    /// It panicked.
    #[error(" panicked (a bug in the pass): {0}")]
    Panic(String),
    /// It left an invalid module.
    #[error(" left a module that breaks the rules of the IR (a bug in the pass):\n{0}")]
    Broken(Violations),
    /// An observer rejected its result.
    #[error(": {0}")]
    Rejected(String),
}

/// A pass that is about to run or has run.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// The number of passes that ran before it.
    pub number: usize,
    /// The pass.
    pub call: &'a PassCall,
    /// How far it may change values.
    pub fidelity: Fidelity,
    /// The module before or after.
    pub module: &'a Module,
}

/// Watches a running pipeline.
///
/// ```
/// use netc_dialect::Dialects;
/// use netc_ir::{Module, parse};
/// use netc_pass::{Context, Event, Manager, Observer, Pipeline, Registry};
///
/// /// Prints the program after each pass.
/// struct Printer;
///
/// impl Observer for Printer {
///     fn after(&mut self, event: Event<'_>) -> Result<(), String> {
///         println!("after {}:\n{}", event.call, netc_ir::print(event.module));
///         Ok(())
///     }
/// }
///
/// let (registry, dialects, mut printer) = (Registry::default(), Dialects::new(), Printer);
/// let mut module = parse("netc 1\nfunc @main(%x: f32[N]) -> (%x) {\n}")?;
/// let mut manager = Manager::new(&registry).observe(&mut printer);
/// manager.run(&mut module, &Pipeline(Vec::new()), &mut Context::new(&dialects))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Observer {
    /// Called before each pass.
    fn before(&mut self, _event: Event<'_>) {}

    /// Called after each pass, once its module has been verified. An error ends the pipeline.
    fn after(&mut self, _event: Event<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Runs pipelines of the passes of a registry.
pub struct Manager<'a> {
    registry: &'a Registry,
    observers: Vec<&'a mut dyn Observer>,
    max_passes: usize,
}

impl<'a> Manager<'a> {
    /// A manager without observers.
    pub fn new(registry: &'a Registry) -> Self {
        Self { registry, observers: Vec::new(), max_passes: usize::MAX }
    }

    /// Adds an observer. Observers are called in the order in which they were added.
    pub fn observe(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observers.push(observer);
        self
    }

    /// Stops after `passes` passes.
    pub fn stop_after(mut self, passes: usize) -> Self {
        self.max_passes = passes;
        self
    }

    /// Runs `pipeline` on `module`.
    ///
    /// Builds every pass before the first runs. If the context is interrupted, the pipeline ends after the current pass
    /// and the module keeps the changes so far.
    pub fn run(
        &mut self,
        module: &mut Module,
        pipeline: &Pipeline,
        context: &mut Context<'_>,
    ) -> Result<Record, PipelineError> {
        let steps = self.make(pipeline, 0)?;
        let mut root = Record::new(pipeline.to_string(), module.num_ops());
        let mut run = Run { manager: self, context, passes: 0 };
        run.steps(&steps, module, &mut root)?;
        root.interrupted = run.context.interrupted();
        Ok(root)
    }

    fn make(&self, pipeline: &Pipeline, depth: usize) -> Result<Vec<Made>> {
        pipeline.0.iter().map(|step| self.make_step(step, depth)).collect()
    }

    fn make_step(&self, step: &PipelineStep, depth: usize) -> Result<Made> {
        let name = || step.to_string();
        Ok(match step {
            PipelineStep::Pass(call) => {
                let pass = self.registry.build(call)?;
                let fidelity = pass.fidelity().unwrap_or(self.registry.pass(&call.name)?.fidelity);
                Made::Pass { call: call.clone(), fidelity, pass }
            }
            PipelineStep::Fix { max, body } => {
                Made::Several { name: name(), rounds: *max, steps: self.make(body, depth)? }
            }
            PipelineStep::Named(named) => {
                if depth == MAX_DEPTH {
                    return Err(PassError::new(format!("pipeline `@{named}` contains itself")));
                }
                let text = self.registry.pipeline(named)?.text;
                let body: Pipeline = text.parse().map_err(|e| PassError::because(format!("pipeline `@{named}`"), e))?;
                Made::Several { name: name(), rounds: 1, steps: self.make(&body, depth + 1)? }
            }
        })
    }
}

/// A step whose passes are built.
enum Made {
    Pass {
        call: PassCall,
        fidelity: Fidelity,
        pass: Box<dyn Pass>,
    },
    /// Steps that run up to `rounds` times: until they rewrite nothing, or until an earlier program comes back.
    Several {
        name: String,
        rounds: u64,
        steps: Vec<Made>,
    },
}

struct Run<'r, 'a, 'c> {
    manager: &'r mut Manager<'a>,
    context: &'r mut Context<'c>,
    /// The number of passes that have run.
    passes: usize,
}

impl Run<'_, '_, '_> {
    /// Runs `steps` and adds their records to `record`.
    fn steps(&mut self, steps: &[Made], module: &mut Module, record: &mut Record) -> Result<(), Box<FailedPass>> {
        for step in steps {
            if self.context.interrupted() || self.passes == self.manager.max_passes {
                return Ok(());
            }
            let done = match step {
                Made::Pass { call, fidelity, pass } => self.pass(call, *fidelity, &**pass, module)?,
                Made::Several { name, rounds, steps } => self.rounds(name, *rounds, steps, module)?,
            };
            record.add(done);
        }
        Ok(())
    }

    fn rounds(
        &mut self,
        name: &str,
        rounds: u64,
        steps: &[Made],
        module: &mut Module,
    ) -> Result<Record, Box<FailedPass>> {
        let mut record = Record::new(name.into(), module.num_ops());
        // The program after round 1, 2, 4, 8, ... If it comes back, the rounds would cycle forever (R. P. Brent, "An
        // improved Monte Carlo factorization algorithm", BIT 20, 1980).
        let mut earlier: Option<Module> = None;
        for round in 1..=rounds {
            let before = self.context.fuel.burnt();
            self.steps(steps, module, &mut record)?;
            if self.context.fuel.burnt() == before || earlier.as_ref() == Some(module) {
                break;
            }
            if round.is_power_of_two() && round < rounds {
                earlier = Some(module.clone());
            }
        }
        Ok(record)
    }

    fn pass(
        &mut self,
        call: &PassCall,
        fidelity: Fidelity,
        pass: &dyn Pass,
        module: &mut Module,
    ) -> Result<Record, Box<FailedPass>> {
        let number = self.passes;
        let failed = |cause| Box::new(FailedPass { number, call: call.clone(), cause });
        let mut record = Record::new(call.to_string(), module.num_ops());
        let rewrites = self.context.fuel.burnt();

        let start = now();
        for observer in &mut self.manager.observers {
            observer.before(Event { number, call, fidelity, module });
        }
        let ready = now();
        let ran = catch_unwind(AssertUnwindSafe(|| pass.run(module, self.context)));
        let done = now();
        ran.map_err(|panic| failed(Failure::Panic(message(&*panic))))?.map_err(|e| failed(Failure::Error(e)))?;
        verify_changes(module).map_err(|e| failed(Failure::Broken(e)))?;
        self.passes += 1;
        for observer in &mut self.manager.observers {
            let accepted = observer.after(Event { number, call, fidelity, module });
            accepted.map_err(|note| failed(Failure::Rejected(note)))?;
        }
        record.number = Some(number);
        record.time = between(ready, done);
        record.overhead = between(start, ready) + between(done, now());
        record.ops_after = module.num_ops();
        record.rewrites = self.context.fuel.burnt() - rewrites;
        if record.rewrites > 0 {
            record.fidelity = fidelity;
        }
        record.counts = self.context.take_counts();
        Ok(record)
    }
}

/// The time, or `None` on WebAssembly, which has no clock.
fn now() -> Option<Instant> {
    (!cfg!(target_family = "wasm")).then(Instant::now)
}

/// The time between two clock readings, or 0 without a clock.
fn between(from: Option<Instant>, to: Option<Instant>) -> Duration {
    from.zip(to).map_or(Duration::ZERO, |(from, to)| to - from)
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests;
