//! Notes on what a written file changes compared with the file that was read.

use std::fmt;

use netc_format::Note;
use netc_ir::{Attr, Attrs, Layer, Module, Name};

use crate::config::keys::{ACTIVATIONS, INNER, RENAMED};
use crate::config::version::{KERAS_2, KerasVersion};
use crate::config::{json, tf};
use crate::export::exporter::Container;
use crate::export::training_state;
use crate::legacy::{self, GateChange, upgrade, without_slashes};

/// The code of notes about layers converted to another Keras version.
const CONVERTED: &str = "layers-converted";

/// Notes on what [`write`](crate::write()) and [`write_json`](crate::write_json) drop, and what they convert from Keras
/// 2 to Keras 3.
pub(crate) fn changes(module: &Module) -> Vec<Note> {
    let mut changes = training_state::omissions(module, Container::Archive);
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        return changes;
    }
    let version = module.attrs.get("keras_version").and_then(Attr::as_str).unwrap_or_default();
    let listed = ConfigChanges::of(module);
    let note = format!("the layers are converted from Keras {version} to Keras 3{listed}");
    changes.push(Note::new(CONVERTED, note));
    let (scaled, clipped): (Vec<_>, Vec<_>) =
        legacy::gate_changes(module).partition(|(_, change)| matches!(change, GateChange::Scaled(..)));
    for (layers, what) in [
        (
            scaled,
            "the file has its weights times 1.2, for which `hard_sigmoid` of Keras 3 gives the same up to rounding \
             (compare with `netc diff --tolerance 1e-6`; `--verify` checks the model before this change)",
        ),
        (clipped, "it becomes a `Sequential` that computes this"),
    ] {
        let Some((first, _)) = layers.first() else { continue };
        let others = match layers.len() - 1 {
            0 => String::new(),
            n => format!("; likewise for {n} more"),
        };
        let function = format!("`hard_sigmoid` of the layer `{}` is clip(0.2 * x + 0.5, 0, 1)", module[*first].name);
        changes.push(Note::new("hard-sigmoid-converted", format!("{function}: {what}{others}")));
    }
    changes.extend(operations(module));
    changes.extend(functions(module));
    let renamed = without_slashes(module);
    let names = module.layers.iter().zip(&renamed.layers).map(|(old, new)| (&old.name, &new.name));
    let mut renamed = names.filter(|(old, new)| old != new);
    if let Some((old, new)) = renamed.next() {
        let others = match renamed.count() {
            0 => String::new(),
            n => format!(", and {n} more likewise"),
        };
        let note = format!("the layer `{old}` is renamed to `{new}`{others}: Keras 3 does not allow slashes in names");
        changes.push(Note::new("layers-renamed", note));
    }
    changes
}

/// Notes that TensorFlow operations become Keras 3 operations.
fn operations(module: &Module) -> Option<Note> {
    let mut named = module.layers.iter().filter(|layer| tf::is_operation(&layer.class));
    let first = named.next()?;
    let others = match named.count() {
        0 => String::new(),
        n => format!(", and {n} more likewise"),
    };
    let note = format!("`{}` is written as the equivalent operation of `keras.ops`{others}", first.class);
    Some(Note::new("operations-converted", note))
}

/// Notes what Keras 3 needs to load the bytecode of a `Lambda`.
fn functions(module: &Module) -> Option<Note> {
    let has_bytecode = |layer: &&Layer| {
        let upgraded = upgrade(layer, KerasVersion::Legacy);
        let config = upgraded.config.get("config").and_then(Attr::as_map);
        &*layer.class == "keras.Lambda" && config.is_some_and(legacy::has_bytecode)
    };
    let layer = module.layers.iter().find(has_bytecode)?;
    let note = format!(
        "`{}` is a `Lambda`: Keras 3 loads it only with `safe_mode=False`, and its bytecode runs only in the Python \
         version that made it, without the globals of its module",
        layer.name
    );
    Some(Note::new("lambda-bytecode", note))
}

/// Notes on what [`write_hdf5`](crate::write_hdf5) changes.
pub(crate) fn changes_for_hdf5(module: &Module) -> Vec<Note> {
    let mut changes = training_state::omissions(module, Container::Hdf5);
    let is_converted = module.attrs.get("format").and_then(Attr::as_str) != Some("keras-h5");
    if is_converted && KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        let note = format!("the file is for Keras 3; `--format h5-keras2` writes one for tf.keras {KERAS_2}");
        changes.push(Note::new("for-keras-3", note));
    }
    changes
}

/// Notes on what [`write_hdf5_of_keras_2`](crate::write_hdf5_of_keras_2) changes.
pub(crate) fn changes_for_hdf5_of_keras_2(module: &Module) -> Vec<Note> {
    match KerasVersion::of(&module.attrs) {
        KerasVersion::Legacy => changes_for_hdf5(module),
        KerasVersion::Keras3 => changes_for_tfjs(module),
    }
}

/// Notes on what [`write_tfjs`](crate::write_tfjs) changes. TensorFlow.js reads only Keras 2 declarations.
pub(crate) fn changes_for_tfjs(module: &Module) -> Vec<Note> {
    let version = module.attrs.get("keras_version").and_then(Attr::as_str).unwrap_or("3");
    let mut changes = training_state::omissions(module, Container::Tfjs);
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        let note = format!("the layers are converted from Keras {version} to Keras {KERAS_2}");
        changes.push(Note::new(CONVERTED, note));
    }
    let is_dict = |key: &&str| module.main().and_then(|main| main.attrs.get(key)?.as_map()).is_some();
    for key in ["inputs", "outputs"].into_iter().filter(is_dict) {
        let note = format!("the {key} are a dict in Keras; TensorFlow.js gets a list in the order of the keys");
        changes.push(Note::new("dict-as-list", note));
    }
    changes
}

/// Changes to configurations, each with the first layer that has it and the number of layers.
#[derive(Default)]
struct ConfigChanges(Vec<(String, Name, usize)>);

impl ConfigChanges {
    /// The changes to the configurations of layers from before Keras 3.
    fn of(module: &Module) -> Self {
        let mut listed = Self::default();
        // Operations and functions have notes of their own.
        let is_other = |layer: &&Layer| !tf::is_operation(&layer.class) && &*layer.class != "keras.Lambda";
        for layer in module.layers.iter().filter(is_other) {
            let upgraded = upgrade(layer, KerasVersion::Legacy);
            let mut found = Vec::new();
            object(&layer.config, &upgraded.config, &mut found);
            found.sort();
            found.dedup();
            found.into_iter().for_each(|change| listed.add(change, layer));
        }
        listed
    }

    fn add(&mut self, change: String, layer: &Layer) {
        match self.0.iter_mut().find(|(known, ..)| *known == change) {
            Some((_, _, number)) => *number += 1,
            None => self.0.push((change, layer.name.clone(), 1)),
        }
    }
}

impl fmt::Display for ConfigChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (change, layer, number)) in self.0.iter().enumerate() {
            write!(f, "{} {change} (`{layer}`", if i == 0 { ":" } else { "," })?;
            match number - 1 {
                0 => f.write_str(")")?,
                others => write!(f, " and {others} more)")?,
            }
        }
        Ok(())
    }
}

/// Collects the changes to the object of a layer and to the layers in its configuration.
fn object(old: &Attrs, new: &Attrs, found: &mut Vec<String>) {
    let class = |object: &Attrs| object.get("class_name").and_then(Attr::as_str).unwrap_or_default().to_string();
    let (old_class, new_class) = (class(old), class(new));
    // `Model` means `Functional`, and Keras 3 separates the package from the name of a user's class.
    if old_class != new_class && old_class != "Model" && !old_class.ends_with(&format!(">{new_class}")) {
        found.push(format!("`{old_class}` becomes `{new_class}`"));
    }
    let config = |object: &Attrs| object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let (old, new) = (config(old), config(new));
    let renamed = |key: &str| RENAMED.iter().find(|(of, old, _)| *of == old_class && *old == key).map(|(.., new)| *new);
    for (key, value) in old.iter() {
        match (new.get(key), renamed(key)) {
            (_, Some(new)) => found.push(format!("`{key}` becomes `{new}`")),
            (None, None) if value.is_null() => {}
            (None, None) => found.push(format!("`{key}` is dropped")),
            (Some(new), None) if INNER.contains(&&**key) || &**key == "layers" => inner(value, new, found),
            // `hard_sigmoid` has notes of its own.
            (Some(new), None) if new != value && !ACTIVATIONS.contains(&&**key) => {
                found.push(format!("`{key}` becomes `{}`", json::print(new)));
            }
            (Some(_), None) => {}
        }
    }
    let is_new = |key: &str| old.get(key).is_none() && !old.iter().any(|(old, _)| renamed(old) == Some(key));
    let said = new.iter().filter(|(key, _)| is_new(key));
    found.extend(said.map(|(key, value)| format!("`{key} = {}` is added", json::print(value))));
}

/// Collects the changes to a layer in a configuration, or to a list of layers.
fn inner(old: &Attr, new: &Attr, found: &mut Vec<String>) {
    match (old, new) {
        (Attr::Map(old), Attr::Map(new)) => object(old, new, found),
        (Attr::List(old), Attr::List(new)) => old.iter().zip(new).for_each(|(old, new)| inner(old, new, found)),
        _ => {}
    }
}
