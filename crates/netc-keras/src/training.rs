//! What a compiled model has beside its layers: how it is trained, and the state of its optimizer.
//!
//! A module holds it as the declaration of a layer of the class [`CLASS`] that no op applies. It is of the model as it was
//! read: an optimizer has variables for each weight that is trained, in their order.

use netc_ir::{Attr, Attrs, FuncId, Layer, LayerId, MAIN, Module, Name, WeightId};

use crate::export::{self, Container, Exporter};
use crate::graph::join;
use crate::h5read::{Variable, Variables};
use crate::h5write::Tree;
use crate::names::numeric_order;

/// The class of the declaration.
const CLASS: &str = "keras.Optimizer";

/// The group of the optimizer's variables in an archive, and its name where the file has none.
const GROUP: &str = "optimizer";

/// The key of the model's object in an archive.
const COMPILE_CONFIG: &str = "compile_config";

/// The attribute of an HDF5 file with a whole model, and the group of the optimizer's variables in it.
pub(crate) const TRAINING_CONFIG: &str = "training_config";
pub(crate) const OPTIMIZER_WEIGHTS: &str = "optimizer_weights";

/// What is said where it is not carried.
pub(crate) const LEFT_OUT: &str = "the compile configuration and the optimizer's state are left out";

/// How a model is trained, as a file has it.
pub(crate) struct Training {
    /// The name of the optimizer.
    pub(crate) name: Name,
    /// What the file says, under its key for it.
    pub(crate) config: Attrs,
    /// The optimizer's variables in their order, by their place in its group.
    pub(crate) variables: Vec<(Name, Variable)>,
}

impl Training {
    /// That of an archive with the model `object`, taken out of its weights.
    pub(crate) fn of_archive(object: &Attr, variables: &mut Variables) -> Option<Self> {
        let config = object.get(COMPILE_CONFIG).filter(|c| c.as_map().is_some_and(|m| !m.is_empty()))?;
        let prefix = format!("{GROUP}/");
        let mut below = variables.datasets.split_off(&prefix);
        // `0` follows the slash.
        let mut behind = below.split_off(&format!("{GROUP}0"));
        variables.datasets.append(&mut behind);
        let mut variables: Vec<(Name, Variable)> =
            below.into_iter().map(|(path, variable)| (path[prefix.len()..].into(), variable)).collect();
        variables.sort_by_cached_key(|(place, _)| numeric_order(place));
        Some(Self::new(COMPILE_CONFIG, config.clone(), "optimizer", variables))
    }

    /// That of an HDF5 file, whose attribute is `config`.
    pub(crate) fn of_hdf5(config: Attr, variables: Vec<(Name, Variable)>) -> Self {
        Self::new(TRAINING_CONFIG, config, "optimizer_config", variables)
    }

    fn new(key: &str, config: Attr, optimizer: &str, variables: Vec<(Name, Variable)>) -> Self {
        let name = config.get(optimizer).and_then(|o| o.get("config")?.get("name")?.as_str()).unwrap_or(GROUP).into();
        Self { name, config: Attrs::new().with(key, config), variables }
    }

    /// The declaration, with the variables as weights of the module.
    pub(crate) fn declaration(self, weights: Vec<(Name, WeightId)>) -> Layer {
        Layer { name: self.name, class: CLASS.into(), config: self.config, weights, assets: Vec::new() }
    }
}

/// The declaration of how the model is trained, if the module has one: it was compiled, and was read with
/// [`ReadOptions::training`](crate::ReadOptions::training).
pub fn training(module: &Module) -> Option<LayerId> {
    module.layers.iter().position(|layer| &*layer.class == CLASS).map(LayerId::new)
}

/// The declaration with what the file says under `key`, for a file of the whole model.
fn written<'m>(module: &'m Module, func: FuncId, key: &str) -> Option<(&'m Layer, &'m Attr)> {
    let layer = &module[training(module).filter(|_| &*module[func].name == MAIN)?];
    layer.config.get(key).map(|config| (layer, config))
}

/// Adds it to the object of a model in an archive, and to its weights.
pub(crate) fn add_to_archive(exporter: &mut Exporter<'_>, module: &Module, func: FuncId, object: &mut Attrs) {
    let Some((layer, config)) = written(module, func, COMPILE_CONFIG) else { return };
    object.set(COMPILE_CONFIG, config.clone());
    exporter.weights.at(&join(GROUP, "vars")).set_text("name", &layer.name);
    layer.weights.iter().for_each(|(place, id)| exporter.weights.add_weight(&join(GROUP, place), *id));
}

/// What an HDF5 file has of it: the configuration, and the group of the optimizer's variables.
pub(crate) fn for_hdf5(module: &Module, func: FuncId) -> Option<(&Attr, Tree)> {
    let (layer, config) = written(module, func, TRAINING_CONFIG)?;
    let mut variables = Tree::default();
    export::add_list(&mut variables, layer.weights.iter().map(|(name, id)| (&**name, *id)));
    Some((config, variables))
}

/// Says that it is left out of a file, where that has another form than the one which was read; for the user.
pub(crate) fn changes(module: &Module, container: Container) -> Vec<String> {
    let key = match container {
        Container::Archive => Some(COMPILE_CONFIG),
        Container::Hdf5 => Some(TRAINING_CONFIG),
        Container::Tfjs => None,
    };
    let has = |layer: LayerId| key.is_some_and(|key| module[layer].config.get(key).is_some());
    training(module).filter(|layer| !has(*layer)).map(|_| LEFT_OUT.into()).into_iter().collect()
}
