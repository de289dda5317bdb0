//! The order and names of a layer's weights in the lists of an HDF5 file.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Name, UniqueNames};

use crate::config::path::join;
use crate::config::version::KerasVersion;
use crate::legacy::parts::{self, Part, is_model, may_have_weights, of_model, own, parts, trains};

/// A weight of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedWeight {
    /// Its place in the layer's group of a `.keras` file.
    pub(crate) place: Name,
    /// Its name below the layer's name, such as `kernel`.
    pub(crate) name: String,
    /// Whether it is trainable; `None` if only the class knows.
    pub(crate) trained: Option<bool>,
}

/// The prefix of weights whose place in a `.keras` file is unknown. Their number in the list follows. A `.keras` file
/// cannot store them.
pub(crate) const LISTED: &str = "listed/";

/// The weights at these places of a layer, in Keras's order. `None` if netc does not know the order, or Keras would
/// create other weights. Omits random number states, and lists a weight with two places once.
pub(crate) fn weight_list(
    class: &str,
    config: &Attrs,
    version: KerasVersion,
    places: &[Name],
) -> Option<Vec<ListedWeight>> {
    if !class.starts_with("keras.") && places.first().is_some_and(|place| place.starts_with(LISTED)) {
        let listed = |place: &Name| place.starts_with(LISTED).then(|| by_number(place));
        return places.iter().map(listed).collect();
    }
    let known: BTreeSet<&str> = places.iter().map(|place| &**place).collect();
    let count = |group: &str, _: &str| {
        let group = format!("{group}vars/");
        let below = known.range(group.as_str()..).map_while(|place| place.strip_prefix(group.as_str()));
        below.filter(|number| !number.contains('/')).count()
    };
    let OrderedWeights { mut listed, twice } = Lister { version, count: &count }.list(class, config)?;
    listed.retain(|weight| known.contains(&*weight.place));
    let twice: BTreeSet<Name> = twice.into_iter().map(|(other, _)| other).collect();
    let is_listed = |place: &&Name| !place.split('/').any(|part| part == "seed_generator");
    let number = places.iter().filter(is_listed).filter(|place| !twice.contains(*place)).count();
    let mut names = UniqueNames::default();
    listed.iter_mut().for_each(|weight| weight.name = names.take(&weight.name).to_string());
    (listed.len() == number).then_some(listed)
}

/// A weight known only by its number in the list. Its name has two parts, so that it is not taken for the layer's own
/// weight.
fn by_number(place: &Name) -> ListedWeight {
    ListedWeight { place: place.clone(), name: place.to_string(), trained: None }
}

/// The places of the weights that a file lists.
pub(crate) struct Places {
    /// The place of each weight, in the order of the list.
    pub(crate) of_listed: Vec<Name>,
    /// Second places of some weights, each with the first place.
    pub(crate) twice: Vec<(Name, Name)>,
}

/// The place in the layer's group of a `.keras` file for each weight in the layer's list. `names` are their names in
/// the list.
pub(crate) fn places(class: &str, config: &Attrs, version: KerasVersion, names: &[&str]) -> Places {
    let numbered = || (0..names.len()).map(|i| format!("{LISTED}{i}").into()).collect();
    if !class.starts_with("keras.") && holds_layers(config, version, names) {
        return Places { of_listed: numbered(), twice: Vec::new() };
    }
    if is_quantized(config) && QUANTIZED.contains(&class) {
        let of_listed = of_quantized(names).unwrap_or_else(numbered);
        return Places { of_listed, twice: Vec::new() };
    }
    let known = exact_places(class, config, version, names.len()).or_else(|| {
        let of_listed =
            of_projections(class, config, names).or_else(|| shared_out(class, config, version, names.len()))?;
        Some(Places { of_listed, twice: Vec::new() })
    });
    let own = || (0..names.len()).map(|i| format!("vars/{i}").into()).collect();
    known.unwrap_or_else(|| Places { of_listed: own(), twice: Vec::new() })
}

/// Whether the weights of a custom layer may belong to inner layers. This is so if a name has parts other than the
/// layer's name and the weight's own. Before Keras 3 inner layers need not appear in names, so a layer declared in the
/// configuration counts as well.
fn holds_layers(config: &Attrs, version: KerasVersion, names: &[&str]) -> bool {
    let layer = config.get("name").and_then(Attr::as_str).unwrap_or_default();
    let is_own = |weight: &&str| match weight.rsplit_once('/') {
        Some((scope, _)) => scope.strip_suffix(layer).is_some_and(|outer| outer.is_empty() || outer.ends_with('/')),
        None => true,
    };
    let is_layer = |value: &Attr| value.get("config").is_some_and(|config| config.get("trainable").is_some());
    let declares = |value: &Attr| is_layer(value) || value.as_list().unwrap_or_default().iter().any(is_layer);
    let may_hide = version == KerasVersion::Legacy && config.iter().any(|(_, value)| declares(value));
    !names.is_empty() && (may_hide || !names.iter().all(is_own))
}

/// Classes that list their weights in another order if quantized or with LoRA adapters.
const QUANTIZED: &[&str] = &["keras.Dense", "keras.EinsumDense", "keras.Embedding"];

/// Their weights in the order of a `.keras` file, which has no adapters because they are merged into the kernel.
const QUANTIZED_WEIGHTS: [&str; 5] = ["kernel", "embeddings", "bias", "kernel_scale", "embeddings_scale"];

/// The places of the weights of a quantized or LoRA layer, by name. `None` if a name is unknown.
fn of_quantized(names: &[&str]) -> Option<Vec<Name>> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().trim_end_matches(":0").to_string();
    let last: Vec<String> = names.iter().map(|name| last(name)).collect();
    let present: Vec<&str> = QUANTIZED_WEIGHTS.into_iter().filter(|known| last.iter().any(|n| n == known)).collect();
    let place = |(i, name): (usize, &String)| match present.iter().position(|known| known == name) {
        Some(number) => Some(format!("vars/{number}").into()),
        None if name.starts_with("lora_") => Some(format!("{LISTED}{i}").into()),
        None => None,
    };
    last.iter().enumerate().map(place).collect()
}

/// The places of `n` weights by Keras's rule, if the layer creates that many. Assumes that all inner layers of unknown
/// class have the same number of weights.
pub(crate) fn exact_places(class: &str, config: &Attrs, version: KerasVersion, n: usize) -> Option<Places> {
    let counted = |unknown: usize| {
        let count = move |_: &str, class: &str| if may_have_weights(class) { unknown } else { 0 };
        Lister { version, count: &count }.list(class, config)
    };
    let none = counted(0)?;
    let more = counted(1)?.listed.len() - none.listed.len();
    let rest = n.checked_sub(none.listed.len())?;
    let made = match (rest, more) {
        (0, _) => none,
        (_, 0) => return None,
        _ if rest.is_multiple_of(more) => counted(rest / more)?,
        _ => return None,
    };
    let of_listed = made.listed.into_iter().map(|weight| weight.place).collect();
    Some(Places { of_listed, twice: made.twice })
}

/// The least number of weights that the layer creates: those of the classes that netc knows.
pub(crate) fn least(class: &str, config: &Attrs, version: KerasVersion) -> usize {
    Lister { version, count: &|_, _| 0 }.list(class, config).map_or(0, |made| made.listed.len())
}

/// Whether the layer may create weights.
pub(crate) fn makes_weights(class: &str, config: &Attrs, version: KerasVersion) -> bool {
    let count = |_: &str, class: &str| usize::from(may_have_weights(class));
    Lister { version, count: &count }.list(class, config).is_none_or(|made| !made.listed.is_empty())
}

/// The names of the layers that may have weights in a model and in its nested models, including wrapped ones.
pub(crate) fn layers_with_weights(model: &Attrs, version: KerasVersion) -> Vec<Name> {
    let mut names = Vec::new();
    let mut waiting = of_model(model, version);
    while let Some(part) = waiting.pop() {
        let is_model = |part: &Part| is_model(&part.class, &part.config);
        let inner = parts(&part.class, &part.config, version);
        if is_model(&part) {
            waiting.extend(inner);
        } else {
            waiting.extend(inner.into_iter().filter(is_model));
            if makes_weights(&part.class, &part.config, version) {
                names.push(Name::from(part.scope));
            }
        }
    }
    names
}

/// The places of the weights of an attention layer's projections, which their names identify: `.../query/kernel:0`.
fn of_projections(class: &str, config: &Attrs, names: &[&str]) -> Option<Vec<Name>> {
    if !matches!(class, "keras.MultiHeadAttention" | "keras.GroupQueryAttention") {
        return None;
    }
    let all = parts(class, &config.clone().with("use_gate", true), KerasVersion::Keras3);
    let part = |name: &&str| {
        let scope = name.rsplit('/').nth(1)?;
        all.iter().find(|part| part.scope == scope).map(|part| &part.group)
    };
    let groups: Vec<&String> = names.iter().map(part).collect::<Option<_>>()?;
    let mut numbers: BTreeMap<&String, usize> = BTreeMap::new();
    let place = |group| {
        let number = numbers.entry(group).or_insert(0);
        *number += 1;
        format!("{group}/vars/{}", *number - 1).into()
    };
    Some(groups.into_iter().map(place).collect())
}

/// The places of `n` weights, if all innermost layers have the same number.
fn shared_out(class: &str, config: &Attrs, version: KerasVersion, n: usize) -> Option<Vec<Name>> {
    let mut groups = Vec::new();
    innermost(class, config, version, "", &mut groups);
    let each = n.checked_div(groups.len()).filter(|each| each * groups.len() == n)?;
    let of_group = |group: &String| (0..each).map(|i| format!("{group}vars/{i}").into()).collect::<Vec<_>>();
    Some(groups.iter().flat_map(of_group).collect())
}

fn innermost(class: &str, config: &Attrs, version: KerasVersion, group: &str, groups: &mut Vec<String>) {
    let parts = parts(class, config, version);
    if parts.is_empty() {
        groups.push(group.into());
    }
    for part in parts {
        innermost(&part.class, &part.config, version, &format!("{group}{}/", part.group), groups);
    }
}

/// Lists the weights of layers in Keras's order.
struct Lister<'a> {
    version: KerasVersion,
    /// The number of weights of a layer that [`own`] does not know, by its group (ending with a slash) and its class.
    count: &'a dyn Fn(&str, &str) -> usize,
}

/// The weights of a layer in Keras's order, and the second places of some of them.
struct OrderedWeights {
    listed: Vec<ListedWeight>,
    twice: Vec<(Name, Name)>,
}

/// The weights of a layer: those that count as trainable, and the others. For Keras 3 all are in the first list, in
/// creation order.
#[derive(Default)]
struct Lists {
    trained: Vec<ListedWeight>,
    others: Vec<ListedWeight>,
    twice: Vec<(Name, Name)>,
}

impl Lister<'_> {
    fn list(&self, class: &str, config: &Attrs) -> Option<OrderedWeights> {
        let Lists { trained, others, twice } = self.lists(class, config, "")?;
        let mut listed: Vec<ListedWeight> = Vec::new();
        // The position in the list of each weight with two places, once it is listed.
        let mut first: BTreeMap<Name, Option<usize>> = twice.iter().map(|(_, place)| (place.clone(), None)).collect();
        for weight in trained.into_iter().chain(others) {
            match first.get_mut(&weight.place) {
                Some(Some(at)) => {
                    // The layer that creates the weight decides.
                    if self.version == KerasVersion::Keras3 {
                        listed[*at].trained = weight.trained;
                    }
                    continue;
                }
                Some(at) => *at = Some(listed.len()),
                None => {}
            }
            listed.push(weight);
        }
        if self.version == KerasVersion::Keras3 && trains(config) {
            // `trainable_weights`, then `non_trainable_weights`.
            listed.sort_by_key(|weight| weight.trained == Some(false));
        }
        Some(OrderedWeights { listed, twice })
    }

    /// The weights of a layer whose group is `group`, which ends with a slash or is empty.
    fn lists(&self, class: &str, config: &Attrs, group: &str) -> Option<Lists> {
        let mut lists = self.own(class, config, group)?;
        let mut below = Lists::default();
        for part in parts(class, config, self.version) {
            let of_part = self.lists(&part.class, &part.config, &format!("{group}{}/", part.group))?;
            let scoped = |mut weight: ListedWeight| {
                if !part.scope.is_empty() {
                    weight.name = format!("{}/{}", part.scope, weight.name);
                }
                weight
            };
            let (trained, others) = (of_part.trained.into_iter().map(scoped), of_part.others.into_iter().map(scoped));
            // A frozen layer lists all weights of each inner layer together.
            if self.version == KerasVersion::Legacy && !trains(config) && !is_model(class, config) {
                below.others.extend(trained.chain(others));
            } else {
                below.trained.extend(trained);
                below.others.extend(others);
            }
            below.twice.extend(of_part.twice);
        }
        lists.trained.extend(below.trained);
        lists.others.extend(below.others);
        lists.twice.extend(below.twice);
        if self.version == KerasVersion::Legacy && !trains(config) {
            let frozen = std::mem::take(&mut lists.trained).into_iter().chain(std::mem::take(&mut lists.others));
            lists.others =
                frozen.map(|weight| ListedWeight { trained: weight.trained.map(|_| false), ..weight }).collect();
        }
        Some(lists)
    }

    /// The weights that the layer creates itself; `None` if they differ from those of its class.
    fn own(&self, class: &str, config: &Attrs, group: &str) -> Option<Lists> {
        let mut lists = Lists::default();
        let Some(known) = own(class, config) else {
            let weight = |i: usize| ListedWeight {
                place: format!("{group}vars/{i}").into(),
                name: format!("variable_{i}"),
                trained: None,
            };
            lists.trained = (0..(self.count)(group, class)).map(weight).collect();
            return Some(lists);
        };
        if is_quantized(config) && !known.is_empty() {
            return None;
        }
        for (i, parts::Own { name, trained, same_as }) in known.into_iter().enumerate() {
            let own: Name = format!("{group}vars/{i}").into();
            let place = same_as.map_or_else(|| own.clone(), |place| format!("{group}{place}").into());
            if place != own {
                lists.twice.push((own, place.clone()));
            }
            // In Keras 3 only the innermost layers keep their flags, because a loaded layer creates its inner layers
            // again.
            let weight = ListedWeight { place, name: name.into(), trained: Some(trained && trains(config)) };
            if trained || self.version == KerasVersion::Keras3 {
                lists.trained.push(weight);
            } else {
                lists.others.push(weight);
            }
        }
        Some(lists)
    }
}

/// Whether the layer is quantized or has LoRA adapters, so that its weights differ from those of its class.
fn is_quantized(config: &Attrs) -> bool {
    let says = |key| config.get(key).is_some_and(|value| !value.is_null());
    let policy = config.get("dtype").and_then(|dtype| dtype.get("class_name")).and_then(Attr::as_str);
    says("lora_rank") || says("quantization_config") || policy.is_some_and(|class| class.starts_with("Quantized"))
}

/// The path and weight group of each leaf layer of the model at `path`, except layers inside wrappers.
pub(crate) fn layers_of_model(class: &str, config: &Attrs, version: KerasVersion, path: &str) -> Vec<(String, String)> {
    let mut layers = Vec::new();
    for part in parts(class, config, version) {
        let path = join(path, &part.scope);
        if is_model(&part.class, &part.config) {
            let inner = layers_of_model(&part.class, &part.config, version, &path);
            layers.extend(inner.into_iter().map(|(path, group)| (path, join(&part.group, &group))));
        } else {
            layers.push((path, part.group));
        }
    }
    layers
}

#[cfg(test)]
mod tests;
