//! A model with what it is called.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::Tensor;
use netc_format::module::{is_architecture, training_state};
use netc_format::{Format, Note};
use netc_ir::{Attr, FileId, FuncId, LayerId, MAIN, Module, Name, WeightData, WeightId};
use netc_pass::{Context, Fidelity, Fuel, Manager, PassCall, Pipeline};
use netc_passes::analysis::Costs;
use netc_passes::{Entry, extract, merge, remove_unused, split};

use crate::error::{ModelError, Result};
use crate::pipeline::PassTools;
use crate::save::{Destination, Saved};
use crate::session::Session;
use crate::stage_graph::StageGraph;
use crate::stages::Stages;
use crate::verify::{Executable, Given, Random};

/// A model: a program whose `@main` is its graph, with what it is called and where it is from.
///
/// The weights stay in their files until something asks for them.
#[derive(Clone)]
pub struct Model {
    /// The program.
    pub module: Module,
    /// Its function `@main`.
    pub main: FuncId,
    /// The stem of the files that are written from it.
    pub name: String,
    /// What a user should know of the file that was read.
    pub notes: Vec<Note>,
    session: Session,
    /// The file that was read; those of weights are in the module's table too.
    source: Option<PathBuf>,
    is_manifest: bool,
    /// The layers for losses and metrics that it had when it was read.
    losses: Vec<Name>,
}

impl Model {
    pub(crate) fn new(session: &Session, module: Module, name: String, notes: Vec<Note>, place: &str) -> Result<Self> {
        let Some(main) = module.func_named(MAIN) else {
            return Err(ModelError::failed(format!("`{place}` has no function `@{MAIN}`")));
        };
        let (source, losses) = (None, Vec::new());
        Ok(Self { module, main, name, notes, session: session.clone(), source, is_manifest: false, losses })
    }

    /// The model of a manifest.
    pub(crate) fn of_manifest(self) -> Self {
        Self { is_manifest: true, ..self }
    }

    /// Looks at the model as it was read from `source`: its losses, and the training state, which is removed unless it is
    /// to be kept.
    pub(crate) fn finish(&mut self, source: Option<&Path>, keep_training_state: bool) {
        self.source = source.filter(|path| path.exists()).map(Path::to_path_buf);
        self.losses = self.session.dialects().losses(&self.module);
        if !keep_training_state {
            self.remove_training_state();
        }
    }

    /// Removes the compile configuration and the optimizer's state, with a note if there were any.
    pub fn remove_training_state(&mut self) {
        if remove_training_state(&mut self.module) {
            self.notes.push(Note::training_state_left_out());
        }
    }

    /// What it was opened with.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the model is: its class in its framework.
    pub fn class(&self) -> &str {
        self.module[self.main].attrs.get("class").and_then(Attr::as_str).unwrap_or("program")
    }

    /// How many parameters there are, where weights have `elements`; not known of an architecture without weights.
    pub fn parameters(&self, elements: u64) -> Option<u64> {
        (!is_architecture(&self.module)).then_some(elements)
    }

    /// The manifest that was read, if the model is stages from files.
    pub fn manifest(&self) -> Option<&Path> {
        self.source.as_deref().filter(|_| self.is_manifest)
    }

    /// The files that the model is read from: the one that was opened, and those that the weights are in.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.module.files.iter().map(|f| PathBuf::from(&**f)).chain(self.source.clone())
    }

    /// The layers for losses and metrics that it had when it was read.
    pub fn losses(&self) -> &[Name] {
        &self.losses
    }

    /// Refuses weights that are damaged, as their files' checksums show, before they are computed with.
    ///
    /// # Errors
    /// Weights that are damaged or cannot be read.
    pub fn check_weights(&self) -> Result<()> {
        self.check_payload(&Store::open(&self.module).map_err(ModelError::from_error)?)
    }

    /// Refuses weights that are damaged, as the checksums of the files show which `store` reads. Those that it has read or
    /// copied are not read again.
    pub(crate) fn check_payload(&self, store: &Store) -> Result<()> {
        let formats = self.session.formats();
        let check = |(id, path): (FileId, &Name)| formats.check_payload(Path::new(&**path), &store.copied(id));
        store.files().try_for_each(|file| check(file).map_err(ModelError::from_error))
    }

    /// The model, or if it is the stages of a manifest, the model that they are together.
    ///
    /// # Errors
    /// Stages that are not one model.
    pub fn merged(mut self) -> Result<Self> {
        let Some(manifest) = self.manifest() else { return Ok(self) };
        if StageGraph::of(&self.module, self.main).is_none() {
            return Ok(self);
        }
        let place = format!("the stages of `{}` are not one model", manifest.display());
        let merge = Pipeline::from(PassCall::new(merge::INFO.name));
        let mut context = Context::new(self.session.dialects());
        let merged = Manager::new(self.session.registry()).run(&mut self.module, &merge, &mut context);
        merged.map_err(|e| ModelError::because(place, e))?;
        self.find_main();
        Ok(self)
    }

    /// Finds `@main` again after a rewrite.
    pub fn find_main(&mut self) {
        self.main = self.module.func_named(MAIN).unwrap_or(self.main);
    }

    /// The model that a pipeline makes of this one, and the most that a pass of it may change of the values.
    ///
    /// # Errors
    /// A pipeline that names no passes, and a pass that fails.
    pub fn rewritten(&self, pipeline: &Pipeline) -> Result<(Self, Fidelity)> {
        let mut model = self.clone();
        remove_training_state(&mut model.module);
        let tools = PassTools::of(&self.session);
        let mut context = tools.context(&self.module, Fuel::unlimited());
        let ran = Manager::new(self.session.registry()).run(&mut model.module, pipeline, &mut context);
        let fidelity = ran.map_err(ModelError::from_error)?.fidelity;
        model.find_main();
        Ok((model, fidelity))
    }

    /// The stages that the model is cut into. A cut is the name of a layer, or several joined by `+`; layers of nested
    /// models are named by path, `backbone/conv1`.
    ///
    /// # Errors
    /// A place where the model cannot be cut, with the nearest where it can.
    pub fn split<'c>(&self, cuts: impl IntoIterator<Item = &'c str>) -> Result<Stages> {
        let at = cuts.into_iter().map(str::to_string).collect();
        let call = PassCall { options: vec![(String::new(), at)], ..PassCall::new(split::INFO.name) };
        Stages::new(self.clone(), &Pipeline::from(call))
    }

    /// The part of the model between two places, `FROM..TO`, either of which may be left out.
    ///
    /// # Errors
    /// Places that are no layers, and a part that would not find a mask that it reads.
    pub fn extract(&self, part: &str) -> Result<Self> {
        let call = PassCall { options: vec![(String::new(), vec![part.into()])], ..PassCall::new(extract::INFO.name) };
        Ok(self.rewritten(&Pipeline::from(call))?.0)
    }

    /// Random inputs for the model, in the order of its parameters.
    ///
    /// # Errors
    /// As for [`Model::run`].
    pub fn random_inputs(&self, random: Random) -> Result<Vec<Tensor>> {
        Executable::new(&self.session, &self.module, Given::Random(random.batch))?.random_inputs(random)
    }

    /// Runs the model on inputs in the order of its parameters, and gives its outputs.
    ///
    /// # Errors
    /// A layer without a meaning, inputs that do not fit, damaged weights, and a run that needs more memory or steps than
    /// the session allows.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.check_weights()?;
        let executable = Executable::new(&self.session, &self.module, Given::Tensors(inputs))?;
        let inputs = netc_exec::inputs::fit(executable.func(), inputs.to_vec()).map_err(ModelError::from_error)?;
        executable.run(&inputs, &mut |_, _| {})
    }

    /// Writes the model to `path`. The extension says the format; stages of a split need a folder.
    ///
    /// # Errors
    /// A path that says no format, a model that the format does not have, and a file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<Saved> {
        self.save_as(path.as_ref(), None)
    }

    /// Writes the model to `path` in a format.
    ///
    /// # Errors
    /// As for [`Model::save`].
    pub fn save_as(&self, path: &Path, format: Option<&'static Format>) -> Result<Saved> {
        let graph = StageGraph::of(&self.module, self.main);
        let destination = Destination::of(path, self, graph.as_ref(), format, false)?;
        let costs = LazyLock::new(|| Costs::of(&self.module, self.dialects()));
        destination.write(self, &[], &costs, None)
    }

    pub(crate) fn dialects(&self) -> &Dialects {
        self.session.dialects()
    }
}

/// Removes the training state from a program, and says whether there was any.
fn remove_training_state(module: &mut Module) -> bool {
    let declared: Vec<LayerId> = training_state(module).collect();
    if declared.is_empty() {
        return false;
    }
    let weights: Vec<WeightId> = declared.iter().flat_map(|layer| module[*layer].data()).collect();
    let files = weights.iter().filter_map(|weight| match module[*weight].data {
        WeightData::File { file, .. } => Some(Entry::File(file)),
        WeightData::Inline(_) | WeightData::Random { .. } => None,
    });
    let entries: Vec<Entry> = declared
        .iter()
        .map(|layer| Entry::Layer(*layer))
        .chain(weights.iter().map(|weight| Entry::Weight(*weight)))
        .chain(files)
        .collect();
    remove_unused(module, &entries);
    true
}
