//! `netc [INPUT] [--pass P]... [-o OUT]`: read, rewrite, prove, write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use netc_data::Store;
use netc_ir::{FuncId, Module};
use netc_pass::{Context, Dialects, PassCall, PipelineError, parse_pipeline, run_pipeline};
use netc_passes::analysis::Costs;

use crate::args::{CompileArgs, Emit};
use crate::chain::Chain;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::manifest::{self, StageFile};
use crate::output::{Out, Outputs, Pending, cannot_write, refuse_input};
use crate::report::{Report, title};
use crate::verify::{Executable, Verification, verify};
use crate::{report, text};

pub(crate) fn run(args: &CompileArgs) -> Result<(), CliError> {
    let calls = parse_passes(&args.passes)?;
    let dialects = input::dialects(&args.model)?;
    let mut model = input::load_or_default(args.input.as_deref(), &dialects)?;
    let title = title(&model, &Costs::of(&model.module, &dialects));
    let original = args.verify.map(|_| model.module.clone());

    let mut context = Context::new(&dialects);
    run_pipeline(&mut model.module, &calls, &netc_passes::registry(), &mut context).map_err(pipeline_error)?;
    // Passes may have added functions.
    model.main = model.module.func_named(netc_ir::MAIN).unwrap_or(model.main);
    let verification = match (&original, args.verify) {
        (Some(original), Some(inputs)) => Some(compare(original, &model.module, &dialects, inputs, args)?),
        _ => None,
    };
    let chain = Chain::of(&model.module, model.main);
    let costs = Costs::of(&model.module, &dialects);
    let failed = verification.as_ref().is_some_and(|v| !v.bit_equal());
    let target = args.output.as_deref().filter(|_| !failed);
    let writer = Writer { model: &model, chain: chain.as_ref(), costs: &costs, verification: verification.as_ref() };
    let (files, written) = match target {
        Some(target) => writer.write(target)?,
        None => (writer.unwritten(), Vec::new()),
    };
    let report = Report {
        model: &model,
        title,
        passes: calls.iter().map(ToString::to_string).collect(),
        remarks: &context.remarks,
        chain: chain.as_ref(),
        files: &files,
        costs: &costs,
        verification: verification.as_ref(),
        written,
    };
    text::print(&match args.emit {
        Emit::Report => report.text(),
        Emit::Ir => netc_ir::print(&model.module),
        Emit::Json => format!("{:#}\n", report.json()),
    })?;
    match &verification {
        Some(v) if failed => {
            Err(CliError::Verification(format!("verification failed, nothing is written: {}", report::verdict(v))))
        }
        Some(_) | None => Ok(()),
    }
}

fn parse_passes(passes: &[String]) -> Result<Vec<PassCall>, CliError> {
    passes.iter().map(|p| parse_pipeline(p).map_err(|e| CliError::Usage(e.to_string()))).collect()
}

fn pipeline_error(error: PipelineError) -> CliError {
    match error {
        PipelineError::Options(e) => CliError::Usage(e.to_string()),
        PipelineError::Pass { .. } | PipelineError::Broken { .. } => CliError::input(error.to_string()),
    }
}

fn compare(
    before: &Module,
    after: &Module,
    dialects: &Dialects,
    inputs: u64,
    args: &CompileArgs,
) -> Result<Verification, CliError> {
    let (before, after) = (Executable::new(before, dialects)?, Executable::new(after, dialects)?);
    verify(&before, &after, inputs, &args.random)
}

struct Writer<'a> {
    model: &'a Model,
    chain: Option<&'a Chain>,
    costs: &'a Costs<'a>,
    verification: Option<&'a Verification>,
}

type Written = (Vec<StageFile>, Vec<String>);

impl Writer<'_> {
    fn unwritten(&self) -> Vec<StageFile> {
        let stages = self.chain.map_or(&[][..], |c| &c.stages);
        stages.iter().map(|s| StageFile::unwritten(&self.model.module, s.func)).collect()
    }

    /// Writes what the target asks for: a program, a model, or the stages of a split model.
    fn write(&self, target: &Path) -> Result<Written, CliError> {
        match (target.extension().and_then(|e| e.to_str()), self.chain) {
            (Some("nir"), _) => self.program(target),
            (Some("keras"), None) => self.whole(target),
            (Some("keras"), Some(_)) => Err(CliError::Usage(format!(
                "the model is split into stages, which are several files: give a folder instead of `{}`",
                target.display()
            ))),
            (_, Some(chain)) => self.stages(chain, target),
            (_, None) => Err(CliError::Usage(format!(
                "`{}` is neither x.keras nor x.nir; a folder is for the stages of a split model",
                target.display()
            ))),
        }
    }

    fn program(&self, target: &Path) -> Result<Written, CliError> {
        refuse_input(self.model, target)?;
        let mut module = self.model.module.clone();
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for file in &mut module.files {
            *file = relative(Path::new(&**file), folder).into();
        }
        let mut outputs = Outputs::default();
        outputs.write(target, |out| {
            std::io::Write::write_all(out, netc_ir::print(&module).as_bytes()).map_err(|e| cannot_write(target, e))
        })?;
        outputs.commit()?;
        Ok((self.unwritten(), vec![target.display().to_string()]))
    }

    fn whole(&self, target: &Path) -> Result<Written, CliError> {
        refuse_input(self.model, target)?;
        let store = Store::open(&self.model.module).map_err(CliError::from_error)?;
        let mut outputs = Outputs::default();
        outputs.write(target, |out| self.keras(&store, self.model.main, out))?;
        outputs.commit()?;
        Ok((Vec::new(), vec![target.display().to_string()]))
    }

    fn stages(&self, chain: &Chain, folder: &Path) -> Result<Written, CliError> {
        if folder.exists() && !folder.is_dir() {
            return Err(CliError::input(format!("`{}` is a file; the stages need a folder", folder.display())));
        }
        let mut outputs = Outputs::in_folder(folder)?;
        let names: Vec<String> =
            (0..chain.stages.len()).map(|i| format!("{}.stage{i}.keras", self.model.name)).collect();
        let targets: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        targets.iter().try_for_each(|target| refuse_input(self.model, target))?;
        let store = Store::open(&self.model.module).map_err(CliError::from_error)?;
        let written = in_parallel(chain.stages.len(), |i| {
            let mut pending = Pending::at(&targets[i])?;
            let ports = pending.fill(|out| self.keras(&store, chain.stages[i].func, out))?;
            Ok((pending, ports))
        });
        let mut files = Vec::new();
        for (stage, name) in written.into_iter().zip(names) {
            let (pending, ports) = stage?;
            outputs.add(pending);
            files.push(StageFile { file: Some(name), inputs: ports.inputs, outputs: ports.outputs });
        }
        let target = folder.join("manifest.json");
        let manifest = manifest::write(self.model, chain, &files, self.costs, self.verification);
        outputs.write(&target, |out| {
            std::io::Write::write_all(out, format!("{manifest:#}\n").as_bytes()).map_err(|e| cannot_write(&target, e))
        })?;
        outputs.commit()?;
        Ok((files, targets.iter().chain([&target]).map(|t| t.display().to_string()).collect()))
    }

    fn keras(&self, store: &Store, func: FuncId, out: &mut Out<'_>) -> Result<netc_keras::Written, CliError> {
        netc_keras::write(&self.model.module, func, store, out).map_err(CliError::from_error)
    }
}

/// What `make` gives for `0..n`, in order, made on as many threads as the machine has cores: stages are separate
/// files, so their order of completion reaches none of them.
fn in_parallel<T: Send>(n: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n);
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n);
        std::iter::from_fn(claim).map(|i| (i, make(i))).collect::<Vec<_>>()
    };
    let mut made: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|w| w.join().ok()).flatten().collect()
    });
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, made)| made).collect()
}

/// `file` as it is found from `folder`; absolute where the two have nothing in common.
fn relative(file: &Path, folder: &Path) -> String {
    let (Ok(file), Ok(folder)) = (file.canonicalize(), folder.canonicalize()) else {
        return file.to_string_lossy().into_owned();
    };
    let common = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", folder.components().count() - common);
    let down = file.components().skip(common);
    let path: PathBuf = up.map(PathBuf::from).chain(down.map(|c| c.as_os_str().into())).collect();
    path.to_string_lossy().into_owned()
}
