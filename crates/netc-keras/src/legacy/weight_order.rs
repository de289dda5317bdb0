//! In which order Keras lists the weights of a layer in an HDF5 file, and what it calls them there.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Name, UniqueNames};

use crate::config::path::join;
use crate::config::version::Era;
use crate::legacy::parts::{self, Part, is_model, may_have_weights, of_model, own, parts, trains};

/// A weight of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its place in the layer's group of a `.keras` file.
    pub(crate) place: Name,
    /// Its name below the layer's, such as `kernel`.
    pub(crate) name: String,
    /// Whether training changes it; `None` if only the class knows.
    pub(crate) trained: Option<bool>,
}

/// Where a weight stands whose place in the layer's group of a `.keras` file its list does not say: below this, by its
/// number in the list. A `.keras` file cannot have it.
pub(crate) const LISTED: &str = "listed/";

/// The weights of the layer of a class that have these places, in Keras's order; `None` if netc does not know the order,
/// or Keras would make other weights. The states of random numbers are not listed, and a weight with two places once.
pub(crate) fn listing(class: &str, config: &Attrs, era: Era, places: &[Name]) -> Option<Vec<Listed>> {
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
    let Made { mut listed, twice } = Lister { era, count: &count }.list(class, config)?;
    listed.retain(|weight| known.contains(&*weight.place));
    let twice: BTreeSet<Name> = twice.into_iter().map(|(other, _)| other).collect();
    let is_listed = |place: &&Name| !place.split('/').any(|part| part == "seed_generator");
    let number = places.iter().filter(is_listed).filter(|place| !twice.contains(*place)).count();
    let mut names = UniqueNames::default();
    listed.iter_mut().for_each(|weight| weight.name = names.take(&weight.name).to_string());
    (listed.len() == number).then_some(listed)
}

/// A weight known only by its number in the list. Its name has two parts, so that nobody takes it for the layer's own.
fn by_number(place: &Name) -> Listed {
    Listed { place: place.clone(), name: place.to_string(), trained: None }
}

/// The places of the weights that a file lists.
pub(crate) struct Places {
    /// The place of each weight, in the order of the list.
    pub(crate) of_listed: Vec<Name>,
    /// Other places of some weights, with the first.
    pub(crate) twice: Vec<(Name, Name)>,
}

/// The place in the layer's group of a `.keras` file of each weight that the layer of a class lists, in order. `names`
/// are what the file calls them.
pub(crate) fn places(class: &str, config: &Attrs, era: Era, names: &[&str]) -> Places {
    let numbered = || (0..names.len()).map(|i| format!("{LISTED}{i}").into()).collect();
    if !class.starts_with("keras.") && holds_layers(config, era, names) {
        return Places { of_listed: numbered(), twice: Vec::new() };
    }
    if is_quantized(config) && QUANTIZED.contains(&class) {
        let of_listed = of_quantized(names).unwrap_or_else(numbered);
        return Places { of_listed, twice: Vec::new() };
    }
    let known = exact_places(class, config, era, names.len()).or_else(|| {
        let of_listed = of_projections(class, config, names).or_else(|| shared_out(class, config, era, names.len()))?;
        Some(Places { of_listed, twice: Vec::new() })
    });
    let own = || (0..names.len()).map(|i| format!("vars/{i}").into()).collect();
    known.unwrap_or_else(|| Places { of_listed: own(), twice: Vec::new() })
}

/// Whether the weights of a custom layer may be those of layers in it: a name has more parts than the layer's and its own,
/// or, before Keras 3 where layers in a layer need not name theirs, the configuration declares a layer.
fn holds_layers(config: &Attrs, era: Era, names: &[&str]) -> bool {
    let layer = config.get("name").and_then(Attr::as_str).unwrap_or_default();
    let is_own = |weight: &&str| match weight.rsplit_once('/') {
        Some((scope, _)) => scope.strip_suffix(layer).is_some_and(|outer| outer.is_empty() || outer.ends_with('/')),
        None => true,
    };
    let is_layer = |value: &Attr| value.get("config").is_some_and(|config| config.get("trainable").is_some());
    let declares = |value: &Attr| is_layer(value) || value.as_list().unwrap_or_default().iter().any(is_layer);
    let may_hide = era == Era::Before3 && config.iter().any(|(_, value)| declares(value));
    !names.is_empty() && (may_hide || !names.iter().all(is_own))
}

/// Classes that list their weights in a different order when quantised or with LoRA adapters.
const QUANTIZED: &[&str] = &["keras.Dense", "keras.EinsumDense", "keras.Embedding"];

/// The weights of those in the order in which a `.keras` file has them. It has none of adapters: the kernel is the sum.
const QUANTIZED_WEIGHTS: [&str; 5] = ["kernel", "embeddings", "bias", "kernel_scale", "embeddings_scale"];

/// The places of the weights of a quantised or LoRA layer, by their names. `None` if it has others.
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

/// The places of `n` weights by the rule of Keras, if the layer makes so many. What it does not know of the layers in it,
/// they share alike.
pub(crate) fn exact_places(class: &str, config: &Attrs, era: Era, n: usize) -> Option<Places> {
    let counted = |unknown: usize| {
        let count = move |_: &str, class: &str| if may_have_weights(class) { unknown } else { 0 };
        Lister { era, count: &count }.list(class, config)
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

/// How many weights the layer of a class makes, as far as netc knows those of its class and of the layers in it.
pub(crate) fn least(class: &str, config: &Attrs, era: Era) -> usize {
    Lister { era, count: &|_, _| 0 }.list(class, config).map_or(0, |made| made.listed.len())
}

/// Whether the layer of a class may make weights.
pub(crate) fn makes_weights(class: &str, config: &Attrs, era: Era) -> bool {
    let count = |_: &str, class: &str| usize::from(may_have_weights(class));
    Lister { era, count: &count }.list(class, config).is_none_or(|made| !made.listed.is_empty())
}

/// The names of the layers in a model that may have weights, and of those in models in it, wrapped ones too.
pub(crate) fn layers_with_weights(model: &Attrs, era: Era) -> Vec<Name> {
    let mut names = Vec::new();
    let mut waiting = of_model(model, era);
    while let Some(part) = waiting.pop() {
        let is_model = |part: &Part| is_model(&part.class, &part.config);
        let inner = parts(&part.class, &part.config, era);
        if is_model(&part) {
            waiting.extend(inner);
        } else {
            waiting.extend(inner.into_iter().filter(is_model));
            if makes_weights(&part.class, &part.config, era) {
                names.push(Name::from(part.scope));
            }
        }
    }
    names
}

/// The places of the weights of projections, which are told apart by their names: `.../query/kernel:0`.
fn of_projections(class: &str, config: &Attrs, names: &[&str]) -> Option<Vec<Name>> {
    if !matches!(class, "keras.MultiHeadAttention" | "keras.GroupQueryAttention") {
        return None;
    }
    let all = parts(class, &config.clone().with("use_gate", true), Era::Keras3);
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

/// The places of `n` weights, where each of the innermost layers has as many.
fn shared_out(class: &str, config: &Attrs, era: Era, n: usize) -> Option<Vec<Name>> {
    let mut groups = Vec::new();
    innermost(class, config, era, "", &mut groups);
    let each = n.checked_div(groups.len()).filter(|each| each * groups.len() == n)?;
    let of_group = |group: &String| (0..each).map(|i| format!("{group}vars/{i}").into()).collect::<Vec<_>>();
    Some(groups.iter().flat_map(of_group).collect())
}

fn innermost(class: &str, config: &Attrs, era: Era, group: &str, groups: &mut Vec<String>) {
    let parts = parts(class, config, era);
    if parts.is_empty() {
        groups.push(group.into());
    }
    for part in parts {
        innermost(&part.class, &part.config, era, &format!("{group}{}/", part.group), groups);
    }
}

/// Lists the weights of layers in Keras's order.
struct Lister<'a> {
    era: Era,
    /// How many weights a layer makes itself that [`own`] does not know, by its group with a slash, and its class.
    count: &'a dyn Fn(&str, &str) -> usize,
}

/// The weights of a layer in Keras's order, and the places that some of them have besides.
struct Made {
    listed: Vec<Listed>,
    twice: Vec<(Name, Name)>,
}

/// The weights of a layer: those that count as trained, then the others. In Keras 3 all are in the first list, in the order
/// in which they were made.
#[derive(Default)]
struct Lists {
    trained: Vec<Listed>,
    others: Vec<Listed>,
    twice: Vec<(Name, Name)>,
}

impl Lister<'_> {
    fn list(&self, class: &str, config: &Attrs) -> Option<Made> {
        let Lists { trained, others, twice } = self.lists(class, config, "")?;
        let mut listed: Vec<Listed> = Vec::new();
        // Where the weights with two places are in the list, once they are.
        let mut first: BTreeMap<Name, Option<usize>> = twice.iter().map(|(_, place)| (place.clone(), None)).collect();
        for weight in trained.into_iter().chain(others) {
            match first.get_mut(&weight.place) {
                Some(Some(at)) => {
                    // The layer that makes the weight decides.
                    if self.era == Era::Keras3 {
                        listed[*at].trained = weight.trained;
                    }
                    continue;
                }
                Some(at) => *at = Some(listed.len()),
                None => {}
            }
            listed.push(weight);
        }
        if self.era == Era::Keras3 && trains(config) {
            // `trainable_weights`, then `non_trainable_weights`.
            listed.sort_by_key(|weight| weight.trained == Some(false));
        }
        Some(Made { listed, twice })
    }

    /// The weights of a layer whose group is `group`, which ends with a slash or is empty.
    fn lists(&self, class: &str, config: &Attrs, group: &str) -> Option<Lists> {
        let mut lists = self.own(class, config, group)?;
        let mut below = Lists::default();
        for part in parts(class, config, self.era) {
            let of_part = self.lists(&part.class, &part.config, &format!("{group}{}/", part.group))?;
            let scoped = |mut weight: Listed| {
                if !part.scope.is_empty() {
                    weight.name = format!("{}/{}", part.scope, weight.name);
                }
                weight
            };
            let (trained, others) = (of_part.trained.into_iter().map(scoped), of_part.others.into_iter().map(scoped));
            // A frozen layer asks each layer in it for all of its weights.
            if self.era == Era::Before3 && !trains(config) && !is_model(class, config) {
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
        if self.era == Era::Before3 && !trains(config) {
            let frozen = std::mem::take(&mut lists.trained).into_iter().chain(std::mem::take(&mut lists.others));
            lists.others = frozen.map(|weight| Listed { trained: weight.trained.map(|_| false), ..weight }).collect();
        }
        Some(lists)
    }

    /// Those that the layer makes itself; `None` if they are others than it makes by its class.
    fn own(&self, class: &str, config: &Attrs, group: &str) -> Option<Lists> {
        let mut lists = Lists::default();
        let Some(known) = own(class, config) else {
            let weight = |i: usize| Listed {
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
            // In Keras 3 only the innermost layers know their own flags: the layers in a layer are made anew.
            let weight = Listed { place, name: name.into(), trained: Some(trained && trains(config)) };
            if trained || self.era == Era::Keras3 {
                lists.trained.push(weight);
            } else {
                lists.others.push(weight);
            }
        }
        Some(lists)
    }
}

/// Whether the layer's weights are not those of its class: it is quantised or has LoRA adapters.
fn is_quantized(config: &Attrs) -> bool {
    let says = |key| config.get(key).is_some_and(|value| !value.is_null());
    let policy = config.get("dtype").and_then(|dtype| dtype.get("class_name")).and_then(Attr::as_str);
    says("lora_rank") || says("quantization_config") || policy.is_some_and(|class| class.starts_with("Quantized"))
}

/// The path and weight group of each innermost layer of the model at `path`. Layers in wrappers are left out.
pub(crate) fn layers_of_model(class: &str, config: &Attrs, era: Era, path: &str) -> Vec<(String, String)> {
    let mut layers = Vec::new();
    for part in parts(class, config, era) {
        let path = join(path, &part.scope);
        if is_model(&part.class, &part.config) {
            let inner = layers_of_model(&part.class, &part.config, era, &path);
            layers.extend(inner.into_iter().map(|(path, group)| (path, join(&part.group, &group))));
        } else {
            layers.push((path, part.group));
        }
    }
    layers
}

#[cfg(test)]
mod tests;
