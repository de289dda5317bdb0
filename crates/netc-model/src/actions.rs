//! Operations on a model: merge, rewrite, split, extract, run, save.

use std::path::Path;
use std::sync::LazyLock;

use netc_exec::Tensor;
use netc_format::Format;
use netc_pass::{Context, Fidelity, Fuel, Manager, PassCall, Pipeline};
use netc_passes::analysis::Costs;
use netc_passes::{extract, merge, split};

use crate::error::{ModelError, Result};
use crate::model::Model;
use crate::pipeline::PassTools;
use crate::save::{Destination, Saved};
use crate::stage_graph::StageGraph;
use crate::stages::Stages;
use crate::verify::{Executable, Random, RunInputs};

impl Model {
    /// Merges the stages of a manifest back into one model. Returns any other model unchanged.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// # model.split(["sum"])?.save(folder.path(), None)?;
    /// let stages = netc.open(folder.path().join("manifest.json"))?;
    /// let whole = stages.merged()?;
    /// assert_eq!(whole.module.main().map(|main| main.num_ops()), model.module.main().map(|main| main.num_ops()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The stages do not form one model.
    pub fn merged(mut self) -> Result<Self> {
        let Some(manifest) = self.manifest() else { return Ok(self) };
        if StageGraph::of(&self.module, self.main).is_none() {
            return Ok(self);
        }
        let place = format!("cannot merge the stages of `{}` into one model", manifest.display());
        let merge = Pipeline::from(PassCall::new(merge::INFO.name));
        let session = self.session().clone();
        let mut context = Context::new(session.dialects());
        let merged = Manager::new(session.registry()).run(&mut self.module, &merge, &mut context);
        merged.map_err(|e| ModelError::because(place, e))?;
        self.find_main();
        Ok(self)
    }

    /// Runs a pipeline on a copy of the model. Also returns the fidelity of the passes that ran.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let (simple, fidelity) = model.rewritten(&"@simplify".parse()?)?;
    /// assert_eq!(fidelity, netc_pass::Fidelity::Rounding);
    /// assert_eq!(simple.run(&simple.random_inputs(Default::default())?)?[0].dims(), [1, 10]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The pipeline names an unknown pass, or a pass fails.
    pub fn rewritten(&self, pipeline: &Pipeline) -> Result<(Self, Fidelity)> {
        let mut model = self.clone();
        model.remove_training_state();
        let tools = PassTools::of(self.session());
        let mut context = tools.context(&self.module, Fuel::unlimited());
        let ran = Manager::new(self.session().registry()).run(&mut model.module, pipeline, &mut context);
        let fidelity = ran.map_err(ModelError::from_error)?.fidelity;
        model.find_main();
        Ok((model, fidelity))
    }

    /// Splits the model into stages. A cut is the name of a layer, or several names joined by `+`. Layers of nested
    /// models are named by path: `backbone/conv1`.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let stages = model.split(["relu", "sum"])?;
    /// assert_eq!(stages.graph().stages.len(), 3);
    ///
    /// let error = model.split(["sun"]).err().ok_or("split")?;
    /// assert!(error.chain().contains("did you mean `sum`?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The model cannot be cut there. The error names the nearest valid cut.
    pub fn split<'c>(&self, cuts: impl IntoIterator<Item = &'c str>) -> Result<Stages> {
        let at = cuts.into_iter().map(str::to_string).collect();
        let call = PassCall { options: vec![(String::new(), at)], ..PassCall::new(split::INFO.name) };
        let pipeline = Pipeline::from(call);
        let (split, fidelity) = self.rewritten(&pipeline)?;
        Stages::new(self.clone(), split, &pipeline, fidelity)
    }

    /// Extracts the part of the model between two places, written `FROM..TO`. Omit `FROM` to start at the inputs, `TO`
    /// to end at the outputs.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let middle = model.extract("relu..sum")?;
    /// let inputs = middle.random_inputs(Default::default())?;
    /// assert_eq!(middle.run(&inputs)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An end of the part is not a layer, or the part reads a mask that is made outside of it.
    pub fn extract(&self, part: &str) -> Result<Self> {
        let call = PassCall { options: vec![(String::new(), vec![part.into()])], ..PassCall::new(extract::INFO.name) };
        Ok(self.rewritten(&Pipeline::from(call))?.0)
    }

    /// Random inputs for the model, in the order of its parameters.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// use netc_model::Random;
    ///
    /// let inputs = model.random_inputs(Random { seed: 7, batch: 2 })?;
    /// assert_eq!(inputs[0].dims(), [2, 8, 8, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Model::run`].
    pub fn random_inputs(&self, random: Random) -> Result<Vec<Tensor>> {
        Executable::new(self.session(), &self.module, RunInputs::Random(random.batch))?.random_inputs(random)
    }

    /// Runs the model on inputs in the order of its parameters and returns its outputs.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let inputs = model.random_inputs(Default::default())?;
    /// let outputs = model.run(&inputs)?;
    /// assert_eq!(outputs[0].dims(), [1, 10]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A layer is unsupported, inputs have the wrong shape or type, weights are damaged, or the run exceeds the
    /// session's limits on memory and steps.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.check_weights()?;
        let executable = Executable::new(self.session(), &self.module, RunInputs::Tensors(inputs))?;
        let inputs = netc_exec::inputs::fit(executable.func(), inputs.to_vec()).map_err(ModelError::from_error)?;
        executable.run(&inputs, &mut |_, _| {})
    }

    /// Writes the model to `path`. The extension selects the format. Stages of a split need a folder.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let saved = model.save(folder.path().join("tiny.h5"))?;
    /// assert_eq!(saved.paths.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The extension is unknown, the format does not support the model, or a file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<Saved> {
        self.save_as(path.as_ref(), None)
    }

    /// Writes the model to `path` in a given format.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let format = netc.formats().named("tfjs");
    /// model.save_as(&folder.path().join("web"), format)?;
    /// assert!(folder.path().join("web/model.json").is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Model::save`].
    pub fn save_as(&self, path: &Path, format: Option<&'static Format>) -> Result<Saved> {
        let graph = StageGraph::of(&self.module, self.main);
        let destination = Destination::of(path, self, graph.as_ref(), format, false)?;
        let costs = LazyLock::new(|| Costs::of(&self.module, self.dialects()));
        destination.write(self, &[], &costs, None)
    }
}
