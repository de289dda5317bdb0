//! Writes the training state.

use netc_format::Note;
use netc_format::module::training_state;
use netc_ir::{Attr, Attrs, FuncId, Layer, LayerId, MAIN, Module};

use crate::config::path::join;
use crate::config::version::KerasVersion;
use crate::container::hdf5::write::Tree;
use crate::container::training_state::{COMPILE_CONFIG, GROUP, TRAINING_CONFIG};
use crate::export::exporter::{Container, Exporter};
use crate::export::lists;

/// The training state's declaration and its configuration under `key`, if the function is the whole model.
fn declaration_for<'m>(module: &'m Module, func: FuncId, key: &str) -> Option<(&'m Layer, &'m Attr)> {
    let layer = &module[training_state(module).next().filter(|_| &*module[func].name == MAIN)?];
    carried(module, layer, key).map(|config| (layer, config))
}

/// The declaration's configuration under `key`. An archive is for Keras 3, which cannot read that of Keras 2.
fn carried<'m>(module: &Module, layer: &'m Layer, key: &str) -> Option<&'m Attr> {
    let is_read = key != COMPILE_CONFIG || KerasVersion::of(&module.attrs) == KerasVersion::Keras3;
    layer.config.get(key).filter(|_| is_read)
}

/// Adds the compile configuration to the object of a model.
pub(super) fn add_to_object(module: &Module, func: FuncId, object: &mut Attrs) {
    if let Some((_, config)) = declaration_for(module, func, COMPILE_CONFIG) {
        object.set(COMPILE_CONFIG, config.clone());
    }
}

/// Adds the optimizer's variables to the weights of an archive.
pub(super) fn add_to_weights(exporter: &mut Exporter<'_>, module: &Module, func: FuncId) {
    let Some((layer, _)) = declaration_for(module, func, COMPILE_CONFIG) else { return };
    exporter.weights.at(&join(GROUP, "vars")).set_name(&layer.name);
    layer.weights.iter().for_each(|(place, id)| exporter.weights.add_weight(&join(GROUP, place), *id));
}

/// The compile configuration and the group of the optimizer's variables for an HDF5 file.
pub(super) fn for_hdf5(module: &Module, func: FuncId) -> Option<(&Attr, Tree)> {
    let (layer, config) = declaration_for(module, func, TRAINING_CONFIG)?;
    let mut variables = Tree::default();
    lists::add_list(&mut variables, layer.weights.iter().map(|(name, id)| (&**name, *id)));
    Some((config, variables))
}

/// Notes that a file drops the training state because its format differs from the one that was read.
pub(super) fn omissions(module: &Module, container: Container) -> Vec<Note> {
    let key = match container {
        Container::Archive => Some(COMPILE_CONFIG),
        Container::Hdf5 => Some(TRAINING_CONFIG),
        Container::Tfjs => None,
    };
    let has = |layer: LayerId| key.is_some_and(|key| carried(module, &module[layer], key).is_some());
    training_state(module)
        .next()
        .filter(|layer| !has(*layer))
        .map(|_| Note::training_state_dropped())
        .into_iter()
        .collect()
}
