//! What a compiled model has beside its layers: the compile configuration and the state of the optimizer.
//!
//! A module holds them as a declaration of the class [`TRAINING_STATE`], which no op applies. They belong to the model exactly as it
//! was read: an optimizer has variables for each weight that is trained, in the order of these weights.

use netc_format::module::TRAINING_STATE;
use netc_ir::{Attr, Attrs, Layer, Name, WeightId};

use crate::container::variable::{Variable, Variables, take_below};
use crate::error::Result;

/// The group of the optimizer's variables in an archive, and the name of an optimizer that has none.
pub(crate) const GROUP: &str = "optimizer";

/// The key of a model's object in Keras 3.
pub(crate) const COMPILE_CONFIG: &str = "compile_config";

/// The attribute of an HDF5 file with a whole model, and the group of the optimizer's variables in it.
pub(crate) const TRAINING_CONFIG: &str = "training_config";

pub(crate) const OPTIMIZER_WEIGHTS: &str = "optimizer_weights";

/// How a model was compiled, and the state of its optimizer, as a file has them.
pub(crate) struct Compiled {
    /// The name of the optimizer.
    name: Name,
    /// What the file says, under its key for it.
    config: Attrs,
    /// The optimizer's variables in their order, by their place in its group.
    variables: Vec<(Name, Variable)>,
}

impl Compiled {
    /// That of an archive with the model `object`, whose weights the variables are taken out of, or of a model in JSON.
    pub(crate) fn of_object(object: &Attr, variables: &mut Variables) -> Option<Self> {
        let variables = take_below(&mut variables.datasets, GROUP, |_| true);
        let config = config_of(object.as_map()?)?;
        Some(Self::new(COMPILE_CONFIG, config.clone(), "optimizer", variables))
    }

    /// That of an HDF5 file, whose attribute is `config`.
    pub(crate) fn of_hdf5(config: Attr, variables: Vec<(String, Variable)>) -> Self {
        let variables = variables.into_iter().map(|(name, variable)| (name.into(), variable)).collect();
        Self::new(TRAINING_CONFIG, config, "optimizer_config", variables)
    }

    fn new(key: &str, config: Attr, optimizer: &str, variables: Vec<(Name, Variable)>) -> Self {
        let name = config.get(optimizer).and_then(|o| o.get("config")?.get("name")?.as_str()).unwrap_or(GROUP).into();
        Self { name, config: Attrs::new().with(key, config), variables }
    }

    /// The declaration, whose weights are the variables as `declare` makes them.
    pub(crate) fn declaration(
        self,
        declare: impl FnOnce(Vec<(Name, Variable)>) -> Result<Vec<(Name, WeightId)>>,
    ) -> Result<Layer> {
        let weights = declare(self.variables)?;
        Ok(Layer { name: self.name, class: TRAINING_STATE.into(), config: self.config, weights, assets: Vec::new() })
    }
}

/// The compile configuration of the model that the object is; it is empty where that is not compiled.
pub(crate) fn config_of(object: &Attrs) -> Option<&Attr> {
    object.get(COMPILE_CONFIG).filter(|config| config.as_map().is_some_and(|map| !map.is_empty()))
}
