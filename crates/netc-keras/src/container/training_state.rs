//! Training state: the compile configuration and the state of the optimizer.
//!
//! A module holds it as a declaration of the class [`TRAINING_STATE`], which no op applies. It is valid only for the
//! unchanged model: an optimizer has variables for each trained weight, in the order of these weights.

use netc_format::module::TRAINING_STATE;
use netc_ir::{Attr, Attrs, Layer, Name, WeightId};

use crate::container::variable::{Variable, Variables, take_below};
use crate::error::Result;

/// The group of the optimizer's variables in an archive, and the default name of an optimizer.
pub(crate) const GROUP: &str = "optimizer";

/// The key of the compile configuration in a Keras 3 model's object.
pub(crate) const COMPILE_CONFIG: &str = "compile_config";

/// The attribute of an HDF5 file that holds the compile configuration.
pub(crate) const TRAINING_CONFIG: &str = "training_config";

/// The group of an HDF5 file that holds the optimizer's variables.
pub(crate) const OPTIMIZER_WEIGHTS: &str = "optimizer_weights";

/// The training state of a model, as its file records it.
pub(crate) struct TrainingState {
    /// The name of the optimizer.
    name: Name,
    /// The compile configuration, under the file's own key for it.
    config: Attrs,
    /// The optimizer's variables in order, with their places in its group.
    variables: Vec<(Name, Variable)>,
}

impl TrainingState {
    /// The training state of the model `object`, from an archive or JSON. Takes the optimizer's variables out of
    /// `variables`. `None` if the model is not compiled.
    pub(crate) fn of_object(object: &Attr, variables: &mut Variables) -> Option<Self> {
        let variables = take_below(&mut variables.datasets, GROUP, |_| true);
        let config = config_of(object.as_map()?)?;
        Some(Self::new(COMPILE_CONFIG, config.clone(), "optimizer", variables))
    }

    /// The training state of an HDF5 file; `config` is the attribute [`TRAINING_CONFIG`].
    pub(crate) fn of_hdf5(config: Attr, variables: Vec<(String, Variable)>) -> Self {
        let variables = variables.into_iter().map(|(name, variable)| (name.into(), variable)).collect();
        Self::new(TRAINING_CONFIG, config, "optimizer_config", variables)
    }

    fn new(key: &str, config: Attr, optimizer: &str, variables: Vec<(Name, Variable)>) -> Self {
        let name = config.get(optimizer).and_then(|o| o.get("config")?.get("name")?.as_str()).unwrap_or(GROUP).into();
        Self { name, config: Attrs::new().with(key, config), variables }
    }

    /// Makes the declaration. `declare` turns the variables into its weights.
    pub(crate) fn declaration(
        self,
        declare: impl FnOnce(Vec<(Name, Variable)>) -> Result<Vec<(Name, WeightId)>>,
    ) -> Result<Layer> {
        let weights = declare(self.variables)?;
        Ok(Layer { name: self.name, class: TRAINING_STATE.into(), config: self.config, weights, assets: Vec::new() })
    }
}

/// The compile configuration of a model's object, unless it is empty, which means not compiled.
pub(crate) fn config_of(object: &Attrs) -> Option<&Attr> {
    object.get(COMPILE_CONFIG).filter(|config| config.as_map().is_some_and(|map| !map.is_empty()))
}
