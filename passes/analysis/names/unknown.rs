//! Hints for unknown names: a path that ends in the name, the layer around it, or similar names.

use netc_ir::{Layer, LayerId, Name, OpId, OpKind, WeightId};
use netc_pass::nearest_of;

use super::super::models::Models;
use super::CutError;
use super::index::Names;

/// The maximum number of layer paths to search.
const MAX_PATHS: usize = 1 << 17;

/// The maximum number of paths that an error lists.
const PATHS_SHOWN: usize = 8;

impl Names<'_> {
    /// The error for `text`, which names nothing.
    pub(super) fn unknown(&self, text: &str) -> CutError {
        let paths = self.paths();
        let ends = |path: &&String| path.strip_suffix(text).is_some_and(|rest| rest.ends_with('/'));
        let meant: Vec<&str> = paths.iter().filter(ends).map(String::as_str).collect();
        if !meant.is_empty() {
            return CutError::Nested { name: text.into(), hint: listed(&meant) };
        }
        if let Some(opaque) = self.opaque(text) {
            return opaque;
        }
        let scope = self.scope(self.main);
        let alike = alike(text, scope.all().into_iter().chain(paths.iter().map(String::as_str)));
        match alike.first() {
            Some(first) if first.contains('/') => {
                return CutError::Nested { name: text.into(), hint: listed(&alike) };
            }
            Some(_) => {
                return CutError::Unknown { kind: "layer", name: text.into(), hint: format!("; {}", listed(&alike)) };
            }
            None => {}
        }
        let (kind, wanted) = if scope.has_layers() { ("layer", text) } else { ("value", text.trim_start_matches('%')) };
        let own = scope.all().into_iter().map(|name| (name, name));
        // A text without a slash is compared with the last names of paths.
        let last = |path: &'_ String| if text.contains('/') { 0 } else { path.rfind('/').map_or(0, |at| at + 1) };
        let inside = paths.iter().map(|path| (&path[last(path)..], path.as_str()));
        let hint = nearest_of(wanted, own.chain(inside));
        CutError::Unknown { kind, name: text.into(), hint }
    }

    /// The paths of all layers in nested models.
    fn paths(&self) -> Vec<String> {
        let models = Models::openable(self.module, self.main);
        let mut paths = Vec::new();
        for model in 1..models.len() as u32 {
            let Some(prefix) = self.prefix(&models, model, false) else { continue };
            let applied = models.func(model).ops().filter(|(_, op)| op.kind.layer().is_some());
            let scope = self.scope(models.func_id(model));
            for (op, _) in applied {
                if paths.len() == MAX_PATHS {
                    return paths;
                }
                paths.extend(scope.spell(op, false).map(|name| format!("{prefix}{name}")));
            }
        }
        paths
    }

    /// The error for the name or path of a layer inside another layer that is one op, if it is that.
    fn opaque(&self, text: &str) -> Option<CutError> {
        let models = Models::openable(self.module, self.main);
        (0..models.len() as u32).find_map(|model| {
            let prefix = self.prefix(&models, model, false)?;
            let rest = text.strip_prefix(prefix.as_str()).unwrap_or(text);
            let id = self.layer_with(&models, model, rest)?;
            let layer = &self.module[id];
            let class = self.dialects.class(&layer.class).to_string();
            Some(CutError::Opaque { name: text.into(), layer: format!("{prefix}{}", layer.name), class })
        })
    }

    /// The layer of `model` that contains a layer called `rest`, or that the path `rest` begins with. Nested models
    /// that can be opened do not count.
    fn layer_with(&self, models: &Models<'_>, model: u32, rest: &str) -> Option<LayerId> {
        let (scope, func) = (self.scope(models.func_id(model)), models.func(model));
        let is_closed = |op: &OpId| models.called(models.slot(model, *op)).is_none();
        let heads = rest.match_indices('/').filter_map(|(at, _)| scope.layer_named(&rest[..at])?.first());
        let by_path = heads.filter(|op| is_closed(op)).find_map(|op| func[*op].kind.layer());
        by_path.or_else(|| {
            func.ops().filter(|(id, _)| is_closed(id)).find_map(|(_, op)| {
                let id = op.kind.layer()?;
                let inside = match &op.kind {
                    OpKind::Call(call) => {
                        let layers = self.module[call.callee].layers();
                        layers.into_iter().any(|inner| &*self.module[inner].name == rest)
                    }
                    OpKind::Source(_) | OpKind::Core(_) => self.has_inside(&self.module[id], rest),
                };
                inside.then_some(id)
            })
        })
    }

    /// Whether the declaration of `layer`, or the paths of its weights, name an inner layer `name`.
    fn has_inside(&self, layer: &Layer, name: &str) -> bool {
        let has_part = |(place, _): &(Name, WeightId)| place.split('/').any(|part| part == name);
        self.dialects.declares_inside(layer, name) || layer.weights.iter().any(has_part)
    }
}

/// The paths that differ from `text` only in case, in separators, or in the names of the outer models.
fn alike<'p>(text: &str, paths: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let plain = |path: &str| path.to_lowercase().replace(['.', '\\'], "/");
    let text = plain(text);
    let paths: Vec<(String, &str)> = paths.map(|path| (plain(path), path)).collect();
    let mut ends = std::iter::once(0).chain(text.match_indices('/').map(|(at, _)| at + 1)).map(|start| &text[start..]);
    let ending = |end: &str| {
        let is_end = |path: &str| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        paths.iter().filter(|(plain, _)| is_end(plain)).map(|(_, path)| *path).collect::<Vec<_>>()
    };
    ends.find_map(|end| Some(ending(end)).filter(|found| !end.is_empty() && !found.is_empty())).unwrap_or_default()
}

/// Formats `did you mean ...?` with some of the paths.
fn listed(paths: &[&str]) -> String {
    let more = paths.len().saturating_sub(PATHS_SHOWN);
    let shown: Vec<String> = paths.iter().take(PATHS_SHOWN).map(|path| format!("`{path}`")).collect();
    match &shown[..] {
        all if more > 0 => format!("did you mean {} or one of {more} more?", all.join(", ")),
        [rest @ .., last] if !rest.is_empty() => format!("did you mean {} or {last}?", rest.join(", ")),
        all => format!("did you mean {}?", all.join(", ")),
    }
}
