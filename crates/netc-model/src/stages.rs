//! Split models.

use std::path::Path;
use std::sync::LazyLock;

use netc_format::Format;
use netc_pass::{Fidelity, Pipeline};
use netc_passes::analysis::Costs;

use crate::error::{ModelError, Result};
use crate::model::Model;
use crate::save::{Destination, Saved};
use crate::stage_graph::StageGraph;
use crate::verify::{Executable, Random, RunInputs, Verification, verify};

/// The stages of a split model: a program whose `@main` only calls them.
pub struct Stages {
    whole: Model,
    model: Model,
    graph: StageGraph,
    passes: Vec<String>,
    fidelity: Fidelity,
}

impl Stages {
    /// The stages of `model`, which `pipeline` produced from `whole`.
    pub(crate) fn new(whole: Model, model: Model, pipeline: &Pipeline, fidelity: Fidelity) -> Result<Self> {
        let passes = pipeline.0.iter().map(ToString::to_string).collect();
        let Some(graph) = StageGraph::of(&model.module, model.main) else {
            return Err(ModelError::failed(format!("`{pipeline}` does not produce stages")));
        };
        Ok(Self { whole, model, graph, passes, fidelity })
    }

    /// The program that calls the stages in order.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How the stages connect.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// use netc_model::Origin;
    ///
    /// let stages = model.split(["sum"])?;
    /// assert_eq!(stages.graph().stages[0].inputs, [Origin::Input(0)]);
    /// assert_eq!(stages.graph().stages[1].inputs, [Origin::Stage(0, 0)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn graph(&self) -> &StageGraph {
        &self.graph
    }

    /// Runs the whole model and the stages on `inputs` random inputs and compares the outputs.
    ///
    /// ```
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let stages = model.split(["sum"])?;
    /// let verification = stages.verify(3)?;
    /// assert!(verification.bit_equal());
    /// assert_eq!(verification.worst(|difference| difference.max_abs), 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Model::run`].
    pub fn verify(&self, inputs: u64) -> Result<Verification> {
        self.whole.check_weights()?;
        let random = Random::default();
        let executable =
            |model: &Model| Executable::new(model.session(), &model.module, RunInputs::Random(random.batch));
        let (before, after) = (executable(&self.whole)?, executable(&self.model)?);
        verify(&before, &after, self.fidelity, inputs, random, &mut |_, _, _| {})
    }

    /// Writes the stages and a manifest that connects them to `folder`.
    ///
    /// `format` defaults to the session's first format that can hold a stage.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// let saved = model.split(["sum"])?.save(folder.path(), netc.formats().named("h5"))?;
    /// assert_eq!(saved.stages.len(), 2);
    /// assert!(folder.path().join("tiny.stage1.h5").is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The format does not support a stage, files in the folder would be lost, or a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>, format: Option<&'static Format>) -> Result<Saved> {
        let destination = Destination::of(folder.as_ref(), &self.model, Some(&self.graph), format, false)?;
        let costs = LazyLock::new(|| Costs::of(&self.model.module, self.model.dialects()));
        destination.write(&self.model, &self.passes, &costs, None)
    }
}
