//! `--verify-each=values`: runs the program before and after each pass and compares the outputs.

use netc_exec::Tensor;
use netc_ir::Module;
use netc_model::Session;
use netc_model::verify::{self, Executable, RunInputs, Verification};
use netc_pass::{Event, Fidelity, Observer};

use crate::args::RandomArgs;
use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::report::verdict;

/// Runs the program between passes on the same inputs and rejects a pass that changes an output.
pub(super) struct ValueCheck<'a> {
    session: &'a Session,
    random: &'a RandomArgs,
    /// The program before the current pass and its outputs; `None` after a rejected pass.
    last: Option<Ran>,
}

/// A program, its inputs and its outputs.
struct Ran {
    executable: Executable,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

impl Ran {
    fn ran(&self) -> verify::Ran<'_> {
        verify::Ran { executable: &self.executable, outputs: &self.outputs }
    }
}

impl<'a> ValueCheck<'a> {
    /// Runs `module` before the first pass, so that a program that cannot run is not blamed on a pass.
    pub(super) fn new(session: &'a Session, random: &'a RandomArgs, module: &Module) -> Result<Self> {
        let mut check = Self { session, random, last: None };
        check.last = Some(check.run(module, None)?);
        Ok(check)
    }

    /// Runs `module` on `inputs`, or on random inputs.
    fn run(&self, module: &Module, inputs: Option<&[Tensor]>) -> Result<Ran> {
        let given = inputs.map_or(RunInputs::Random(self.random.batch), RunInputs::Tensors);
        let executable = Executable::new(self.session, module, given)?;
        let inputs = match inputs {
            Some(inputs) => inputs.to_vec(),
            None => executable.random_inputs(self.random.random())?,
        };
        let outputs = {
            let mut progress = Progress::new("checking values");
            executable.run(&inputs, &mut |done, total| progress.update(done, total))?
        };
        Ok(Ran { executable, inputs, outputs })
    }

    fn compare(&self, before: &Ran, event: Event<'_>) -> Result<Ran> {
        let after = self.run(event.module, Some(&before.inputs))?;
        let mut found =
            Verification::of(&before.executable, &after.executable, event.fidelity, 1, self.random.random())?;
        found.add(&before.inputs, before.ran(), after.ran())?;
        if found.passed() {
            return Ok(after);
        }
        Err(CliError::Verification(format!("the pass has a bug and changes outputs: {}", verdict(&found))))
    }
}

impl Observer for ValueCheck<'_> {
    fn after(&mut self, event: Event<'_>) -> Result<(), String> {
        let after = match self.last.take() {
            _ if event.fidelity == Fidelity::Other => self.run(event.module, None),
            Some(before) => self.compare(&before, event),
            None => self.run(event.module, None),
        };
        self.last = Some(after.map_err(|e| e.chain())?);
        Ok(())
    }
}
