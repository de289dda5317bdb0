//! Parses the parts of a cut. A path leads into nested models: `resnet50/conv4_block1_out` is the layer
//! `conv4_block1_out` of the nested model `resnet50`. If that is applied several times, the path names the application:
//! `tower@1/conv`.

use netc_ir::{FuncId, OpId, ValueId};

use super::super::models::callee;
use super::index::{Found, Names, Scope};
use super::{BEFORE, CutError, choices};

/// A part of a cut, separated by `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutPart {
    /// The text as given, without `before:`.
    pub(crate) text: String,
    /// Whether the cut is before the place.
    pub(crate) before: bool,
    /// The calls of nested models around it, from the outermost in.
    pub(crate) calls: Vec<OpId>,
    /// The op, in the function of the last call.
    pub(crate) op: OpId,
    /// The named result, if the text names a value rather than a layer.
    pub(crate) value: Option<ValueId>,
}

/// How to treat the name of a layer with several applications.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Several {
    /// It means all of them.
    All,
    /// It is an error, because it is ambiguous.
    Refused,
}

/// The maximum number of places that a name may stand for.
const MAX_PLACES: usize = 1 << 16;

impl Names<'_> {
    /// The parts of the cut `spec`.
    pub(crate) fn parts(&self, spec: &str) -> Result<Vec<CutPart>, CutError> {
        self.all_parts(spec, Several::Refused)
    }

    /// The parts of the cut `spec`, where the name of a shared layer means all of its applications.
    pub(crate) fn places(&self, spec: &str) -> Result<Vec<CutPart>, CutError> {
        self.all_parts(spec, Several::All)
    }

    fn all_parts(&self, spec: &str, several: Several) -> Result<Vec<CutPart>, CutError> {
        let mut parts = Vec::new();
        for text in self.texts(spec)? {
            let before = text.starts_with(BEFORE) && !self.is_place(text);
            let name = if before { &text[BEFORE.len()..] } else { text };
            parts.extend(self.part(name, before, several)?);
        }
        Ok(parts)
    }

    /// Splits `spec` at `+` into the longest texts that are names.
    fn texts<'t>(&self, spec: &'t str) -> Result<Vec<&'t str>, CutError> {
        let ends: Vec<usize> = spec.match_indices('+').map(|(at, _)| at).chain([spec.len()]).collect();
        let longest = if ends.len() == 1 { 0 } else { self.pluses().saturating_mul(spec.matches('/').count() + 1) };
        let (mut texts, mut start, mut next) = (Vec::new(), 0, 0);
        while next < ends.len() {
            let last = ends.len().min(next + 1 + longest) - 1;
            let is_named =
                |text: &str| self.is_place(text) || text.strip_prefix(BEFORE).is_some_and(|t| self.is_place(t));
            let end = (next + 1..=last).rev().find(|end| is_named(&spec[start..ends[*end]])).unwrap_or(next);
            let text = &spec[start..ends[end]];
            if text.is_empty() || text == BEFORE {
                return Err(CutError::Empty { spec: spec.into() });
            }
            texts.push(text);
            (start, next) = (ends[end] + 1, end + 1);
        }
        Ok(texts)
    }

    /// The maximum number of `+` in the name of a layer, or of a value of `@main`.
    fn pluses(&self) -> usize {
        *self.most_pluses.get_or_init(|| {
            let main = &self.module[self.main];
            let values = main.values_in_order().filter_map(|value| main[value].name.as_deref());
            let names = self.module.layers.iter().map(|layer| &*layer.name).chain(values);
            names.map(|name| name.matches('+').count()).max().unwrap_or(0)
        })
    }

    /// Whether the whole `text` names a place.
    fn is_place(&self, text: &str) -> bool {
        self.walk(text, Several::All).is_ok_and(|places| !places.is_empty())
    }

    fn part(&self, text: &str, before: bool, several: Several) -> Result<Vec<CutPart>, CutError> {
        let places = self.walk(text, several)?;
        if places.is_empty() {
            return Err(self.unknown(text));
        }
        let mut parts = Vec::new();
        for (calls, func, found) in places {
            let part = |op, value| CutPart { text: text.into(), before, calls: calls.clone(), op, value };
            match found {
                Found::Value(value) => match self.module[func].producer(value) {
                    Some(op) => parts.push(part(op, Some(value))),
                    None => return Err(CutError::Input { name: text.into() }),
                },
                Found::Layer(ops) => match (&ops[..], several) {
                    ([], _) => return Err(CutError::Input { name: text.into() }),
                    ([op], _) => parts.push(part(*op, None)),
                    (_, Several::All) => parts.extend(ops.iter().map(|op| part(*op, None))),
                    (_, Several::Refused) => return Err(several_applications(text, ops.len())),
                },
            }
        }
        Ok(parts)
    }

    /// Follows the path. Returns each place with the calls on the way and its function. Empty if a name on the way is
    /// unknown.
    fn walk(&self, path: &str, several: Several) -> Result<Vec<(Vec<OpId>, FuncId, Found)>, CutError> {
        let mut found = Vec::new();
        let mut open = vec![(Vec::new(), self.main, path)];
        while let Some((calls, func, rest)) = open.pop() {
            let scope = self.scope(func);
            let model = if scope.is_name(rest) { None } else { scope.first_model(rest, several)? };
            let Some((ops, below)) = model else {
                // Only values of `@main` can be named: the values of nested models are not in any file.
                let place = scope.find(rest)?.filter(|found| calls.is_empty() || matches!(found, Found::Layer(_)));
                found.extend(place.map(|place| (calls, func, place)));
                continue;
            };
            if found.len() + open.len() + ops.len() > MAX_PLACES {
                return Err(several_applications(path, found.len() + open.len() + ops.len()));
            }
            for op in ops.into_iter().rev() {
                let calls: Vec<OpId> = calls.iter().copied().chain([op]).collect();
                open.extend(callee(&scope.func()[op]).map(|callee| (calls, callee, below)));
            }
        }
        Ok(found)
    }
}

impl Scope<'_, '_> {
    /// The calls of the nested model at the beginning of the path, and the rest of the path.
    fn first_model(self, path: &str, several: Several) -> Result<Option<(Vec<OpId>, &str)>, CutError> {
        let mut error = None;
        for (at, _) in path.match_indices('/') {
            match self.find(&path[..at]) {
                Ok(Some(Found::Layer(ops))) if ops.first().is_some_and(|op| callee(&self.func()[*op]).is_some()) => {
                    if ops.len() > 1 && several == Several::Refused {
                        return Err(several_applications(&path[..at], ops.len()));
                    }
                    return Ok(Some((ops, &path[at + 1..])));
                }
                Ok(Some(Found::Layer(_) | Found::Value(_)) | None) => {}
                Err(found) => error = error.or(Some(found)),
            }
        }
        error.map_or(Ok(None), Err)
    }
}

fn several_applications(name: &str, count: usize) -> CutError {
    CutError::SeveralApplications { name: name.into(), count, choices: choices(name, count) }
}
