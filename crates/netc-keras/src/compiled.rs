//! What a compiled model has beside its layers: the compile configuration and the state of the optimizer.
//!
//! A module holds them as a declaration of the class [`TRAINING_STATE`], which no op applies. They belong to the model exactly as it
//! was read: an optimizer has variables for each weight that is trained, in the order of these weights.

use netc_format::Note;
use netc_format::module::{TRAINING_STATE, training_state};
use netc_ir::{Attr, Attrs, FuncId, Layer, LayerId, MAIN, Module, Name, WeightId};

use crate::error::Problem;
use crate::export::{self, Container, Exporter};
use crate::graph::join;
use crate::h5read::{Variable, Variables};
use crate::h5write::Tree;
use crate::legacy::Era;
use crate::weights::take_below;

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
        declare: impl FnOnce(Vec<(Name, Variable)>) -> Result<Vec<(Name, WeightId)>, Problem>,
    ) -> Result<Layer, Problem> {
        let weights = declare(self.variables)?;
        Ok(Layer { name: self.name, class: TRAINING_STATE.into(), config: self.config, weights, assets: Vec::new() })
    }
}

/// The compile configuration of the model that the object is; it is empty where that is not compiled.
pub(crate) fn config_of(object: &Attrs) -> Option<&Attr> {
    object.get(COMPILE_CONFIG).filter(|config| config.as_map().is_some_and(|map| !map.is_empty()))
}

/// The declaration with what it has under `key`, for a file of the function, which must be the whole model.
fn declaration_for<'m>(module: &'m Module, func: FuncId, key: &str) -> Option<(&'m Layer, &'m Attr)> {
    let layer = &module[training_state(module).next().filter(|_| &*module[func].name == MAIN)?];
    carried(module, layer, key).map(|config| (layer, config))
}

/// What the declaration has under `key`. An archive is of Keras 3, which reads none of Keras 2.
fn carried<'m>(module: &Module, layer: &'m Layer, key: &str) -> Option<&'m Attr> {
    let is_read = key != COMPILE_CONFIG || Era::of(&module.attrs) == Era::Keras3;
    layer.config.get(key).filter(|_| is_read)
}

/// Adds the compile configuration to the object of a model.
pub(crate) fn add_to_object(module: &Module, func: FuncId, object: &mut Attrs) {
    if let Some((_, config)) = declaration_for(module, func, COMPILE_CONFIG) {
        object.set(COMPILE_CONFIG, config.clone());
    }
}

/// Adds the optimizer's variables to the weights of an archive.
pub(crate) fn add_to_weights(exporter: &mut Exporter<'_>, module: &Module, func: FuncId) {
    let Some((layer, _)) = declaration_for(module, func, COMPILE_CONFIG) else { return };
    exporter.weights.at(&join(GROUP, "vars")).set_name(&layer.name);
    layer.weights.iter().for_each(|(place, id)| exporter.weights.add_weight(&join(GROUP, place), *id));
}

/// What an HDF5 file has of it: the configuration, and the group of the optimizer's variables.
pub(crate) fn for_hdf5(module: &Module, func: FuncId) -> Option<(&Attr, Tree)> {
    let (layer, config) = declaration_for(module, func, TRAINING_CONFIG)?;
    let mut variables = Tree::default();
    export::add_list(&mut variables, layer.weights.iter().map(|(name, id)| (&**name, *id)));
    Some((config, variables))
}

/// Says that both are left out of a file, where that has another form than the one which was read; for the user.
pub(crate) fn omissions(module: &Module, container: Container) -> Vec<Note> {
    let key = match container {
        Container::Archive => Some(COMPILE_CONFIG),
        Container::Hdf5 => Some(TRAINING_CONFIG),
        Container::Tfjs => None,
    };
    let has = |layer: LayerId| key.is_some_and(|key| carried(module, &module[layer], key).is_some());
    training_state(module)
        .next()
        .filter(|layer| !has(*layer))
        .map(|_| Note::training_state_left_out())
        .into_iter()
        .collect()
}
