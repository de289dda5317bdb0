//! Converts weight groups in archives from before Keras 3.1 to the current names.
//!
//! Since 2.15 the layers of a model are in `layers`. Before, they were in `_layer_checkpoint_dependencies`, and up to
//! 2.13 a layer with weights counted twice there. Up to Keras 3.0 the projections of an attention layer had only
//! private names.

use std::collections::BTreeMap;

use netc_ir::{Attr, Attrs, Name};

use crate::config::classes::dialect_class;
use crate::config::names::GroupNames;
use crate::config::path::join;
use crate::config::version::KerasVersion;
use crate::container::variable::{Variable, take_below};
use crate::legacy::parts::{Part, is_model, parts};

/// The key of the layers of a model until Keras 2.14.
const DEPENDENCIES: &str = "_layer_checkpoint_dependencies";

/// Whether a module with these attributes is from a Keras with older group names.
pub(crate) fn has_old_groups(module: &Attrs) -> bool {
    let version = major_minor(module);
    version.is_some_and(|version| version < (3, 1))
}

/// Major and minor version.
fn major_minor(module: &Attrs) -> Option<(u32, u32)> {
    let mut numbers = module.get("keras_version")?.as_str()?.split('.').map_while(|n| n.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Moves the weights of the model `object` to the groups used since Keras 3.1. `module` has the attributes of the
/// module, with its Keras version.
pub(crate) fn with_new_groups(object: &Attr, datasets: &mut BTreeMap<String, Variable>, module: &Attrs) {
    let (Some(object), true) = (object.as_map(), has_old_groups(module)) else { return };
    let version = KerasVersion::of(module);
    let counts_twice = major_minor(module).is_some_and(|version| version < (2, 14));
    let mut renamer = Renamer { version, counts_twice, datasets, renamed: BTreeMap::new() };
    let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    renamer.parts(&dialect_class(object, version), &config, "", "");
    let mut renamed = renamer.renamed;
    datasets.append(&mut renamed);
}

struct Renamer<'a> {
    version: KerasVersion,
    counts_twice: bool,
    datasets: &'a mut BTreeMap<String, Variable>,
    renamed: BTreeMap<String, Variable>,
}

impl Renamer<'_> {
    /// Whether there is a weight below a group.
    fn is_group(&self, group: &str) -> bool {
        let prefix = format!("{group}/");
        self.datasets.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }

    /// Renames the weights of a layer's inner layers, from the group `old` to `new`.
    fn parts(&mut self, class: &str, config: &Attrs, old: &str, new: &str) {
        let dependencies = join(old, DEPENDENCIES);
        let listed = is_model(class, config) && self.is_group(&dependencies);
        let mut groups = GroupNames::default();
        for part in parts(class, config, self.version) {
            let mut group = join(old, &part.group);
            if listed {
                let class = part.class.rsplit('.').next().unwrap_or_default();
                group = join(&dependencies, &groups.next(class));
                if self.counts_twice && self.is_group(&group) {
                    groups.next(class);
                }
            } else if !self.is_group(&group) {
                group = join(old, &part.old_group);
            }
            let new = join(new, &part.group);
            self.parts(&part.class, &part.config, &group, &new);
            if group != new {
                let own = take_below(self.datasets, &group, |_| true);
                self.renamed.extend(own.into_iter().map(|(place, weight)| (join(&new, &place), weight)));
            }
        }
    }
}

/// The places in an archive from before Keras 3.1 of the weights at `places` in a layer's group.
pub(crate) fn places_in_old_groups<'p>(
    class: &str,
    config: &Attrs,
    version: KerasVersion,
    places: impl IntoIterator<Item = &'p Name>,
) -> Vec<String> {
    let layer = OldGroups::of(parts(class, config, version), version);
    places.into_iter().map(|place| layer.place(place)).collect()
}

/// The inner layers of a layer, by group. Each has its group before Keras 3.1 and its own inner layers.
struct OldGroups(BTreeMap<String, (String, OldGroups)>);

impl OldGroups {
    fn of(layers: Vec<Part>, version: KerasVersion) -> Self {
        let inner = |part: Part| {
            let inner = Self::of(parts(&part.class, &part.config, version), version);
            (part.group, (part.old_group, inner))
        };
        Self(layers.into_iter().map(inner).collect())
    }

    fn place(&self, place: &str) -> String {
        for (at, _) in place.match_indices('/') {
            if let Some((old_group, inner)) = self.0.get(&place[..at]) {
                return join(old_group, &inner.place(&place[at + 1..]));
            }
        }
        place.into()
    }
}

#[cfg(test)]
mod tests {
    use netc_ir::{ElemType, Literal, Type};

    use super::*;
    use crate::container::variable::Bytes;

    /// A layer's object. `trainable` in its configuration marks it as a layer.
    fn object(class: &str, config: Attrs) -> Attr {
        let config = config.with("trainable", true);
        Attr::Map(Attrs::new().with("class_name", class).with("config", config))
    }

    fn model(layers: &[(&str, Attrs)]) -> Attrs {
        let layers = layers.iter().map(|(class, config)| object(class, config.clone()));
        Attrs::new().with("layers", Attr::List(layers.collect()))
    }

    /// Checks the paths that weights at the paths `old` get in a file of this Keras version.
    #[track_caller]
    fn check(version: &str, object: &Attr, old: &str, new: &str) {
        let weight = || {
            let literal = Literal::splat(ElemType::F32, &[], 0.0);
            Variable { ty: Type::fixed(ElemType::F32, &[]), bytes: Bytes::Read(literal) }
        };
        let mut datasets = old.split_whitespace().map(|path| (path.to_string(), weight())).collect();
        with_new_groups(object, &mut datasets, &Attrs::new().with("keras_version", version));
        let found: Vec<&str> = datasets.keys().map(String::as_str).collect();
        assert_eq!(found.join(" "), new, "{version}");
    }

    #[test]
    fn layers_with_weights_counted_twice_until_2_13() {
        let layers = [("Dense", Attrs::new()), ("Flatten", Attrs::new()), ("Dense", Attrs::new())];
        let whole = object("Sequential", model(&[&layers[..], &[("Sequential", model(&layers))]].concat()));
        let inner = |key: &str, last: &str| format!("{key}/dense/vars/0 {key}/dense{last}/vars/0");
        let old = |last: &str| {
            let key = DEPENDENCIES;
            format!("{} {}", inner(key, last), inner(&format!("{key}/sequential/{key}"), last))
        };
        let new = "layers/dense/vars/0 layers/dense_1/vars/0 layers/sequential/layers/dense/vars/0 \
                   layers/sequential/layers/dense_1/vars/0";
        check("2.13.1", &whole, &old("_2"), new);
        check("2.14.0", &whole, &old("_1"), new);
        check("2.15.0", &whole, new, new);
    }

    #[test]
    fn projections_had_private_names_until_keras_3_0() {
        let layers = [("MultiHeadAttention", Attrs::new()), ("GroupQueryAttention", Attrs::new())];
        let whole = object("Sequential", model(&layers));
        let old = "layers/grouped_query_attention/_query_dense/vars/0 layers/multi_head_attention/_query_dense/vars/0";
        let new = "layers/grouped_query_attention/_query_dense/vars/0 layers/multi_head_attention/query_dense/vars/0";
        check("3.0.5", &whole, old, new);
        check("3.1.0", &whole, new, new);
    }

    #[test]
    fn older_groups_are_restored() {
        let wrapped = Attrs::new().with("layer", object("MultiHeadAttention", Attrs::new()));
        let places = ["layer/query_dense/vars/0", "seed_generator/vars/0"].map(Name::from);
        let downgraded = places_in_old_groups("keras.TimeDistributed", &wrapped, KerasVersion::Keras3, &places);
        assert_eq!(downgraded, ["layer/_query_dense/vars/0", "seed_generator/vars/0"]);
    }
    #[test]
    fn older_places_of_many_layers_are_found_quickly() {
        let n = 10_000;
        let layers: Vec<(&str, Attrs)> = vec![("Dense", Attrs::new()); n];
        let wrapped = Attrs::new().with("layer", object("Sequential", model(&layers)));
        let places: Vec<Name> = (1..n).map(|i| format!("layer/layers/dense_{i}/vars/0").into()).collect();
        let downgraded = places_in_old_groups("keras.TimeDistributed", &wrapped, KerasVersion::Keras3, &places);
        assert!(downgraded.iter().map(String::as_str).eq(places.iter().map(|place| &**place)));
    }
}
