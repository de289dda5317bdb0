//! Attributes: an ordered, typed tree that preserves everything in the JSON or protobuf it came from.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::id::{FuncId, WeightId};
use crate::name::Name;

/// The maximum nesting of maps and lists around a value. Deeper trees cannot be printed.
pub(crate) const MAX_LEVELS: usize = 128;

/// A node of an attribute tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Attr {
    /// JSON's `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer. 128 bits hold every integer that JSON writers emit.
    Int(i128),
    /// A floating-point number. Its text has a decimal point or an exponent, so `1.0` stays a float.
    Float(F64),
    /// Text.
    Str(Name),
    /// A sequence.
    List(Vec<Attr>),
    /// Named entries, in order.
    Map(Attrs),
    /// The op's operand with this index, in a tree of call arguments. Text: `$0`.
    Operand(u32),
    /// A value that JSON cannot represent.
    NonJson(NonJson),
}

/// An attribute that JSON cannot represent. A separate type, so that code for JSON handles all of them in one arm.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NonJson {
    /// Arbitrary bytes. Text: `bytes("00ff")`.
    Bytes(Arc<[u8]>),
    /// A tensor. It can be large, so it is a weight of the module. Text: `w0`.
    Weight(WeightId),
    /// A function, such as the body of a loop. Text: `@body`.
    Func(FuncId),
}

impl NonJson {
    /// Whether it refers to an entry of a module table.
    fn is_reference(&self) -> bool {
        match self {
            Self::Bytes(_) => false,
            Self::Weight(_) | Self::Func(_) => true,
        }
    }
}

impl Attr {
    /// A string attribute.
    pub fn str(text: impl Into<Name>) -> Self {
        Self::Str(text.into())
    }

    /// A list of integers.
    pub fn ints<T: Into<i128>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(|i| Self::Int(i.into())).collect())
    }

    /// The entry `key`, if this is a map that has one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&Attrs> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The text, if this is text, as a name that clones cheaply.
    pub fn as_name(&self) -> Option<&Name> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The integer, if this is an integer that fits in an `i64`.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(i) = self { i64::try_from(*i).ok() } else { None }
    }

    /// The number, if this is an integer or a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(x.get()),
            Self::Null
            | Self::Bool(_)
            | Self::Str(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Operand(_)
            | Self::NonJson(_) => None,
        }
    }

    /// The operand index, if this is one.
    pub fn as_operand(&self) -> Option<u32> {
        if let Self::Operand(i) = self { Some(*i) } else { None }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(b) = self { Some(*b) } else { None }
    }

    /// Whether this is [`Attr::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The direct children: the items of a list or the values of a map.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let entries = self.as_map().into_iter().flat_map(Attrs::iter);
        self.as_list().unwrap_or_default().iter().chain(entries.map(|(_, value)| value))
    }

    /// Applies `edit` to each direct child of a list or map. Returns other values unchanged.
    pub fn map_children(&self, mut edit: impl FnMut(&Self) -> Self) -> Self {
        let edited = self.try_map_children(|value| Ok::<_, std::convert::Infallible>(edit(value)));
        edited.unwrap_or_else(|never| match never {})
    }

    /// Like [`Attr::map_children`], but stops at the first error.
    ///
    /// # Errors
    /// The first error of `edit`.
    pub fn try_map_children<E>(&self, mut edit: impl FnMut(&Self) -> Result<Self, E>) -> Result<Self, E> {
        if let Self::List(items) = self {
            return Ok(Self::List(items.iter().map(edit).collect::<Result<_, E>>()?));
        }
        if let Self::Map(map) = self {
            let entries = map.iter().map(|(key, value)| Ok((key.clone(), edit(value)?)));
            return Ok(Self::Map(entries.collect::<Result<_, E>>()?));
        }
        Ok(self.clone())
    }

    /// Whether every value in the tree has at most `levels` levels of maps and lists around it.
    fn fits(&self, levels: usize) -> bool {
        let inner = levels.checked_sub(1);
        self.children().all(|value| inner.is_some_and(|n| value.fits(n)))
    }

    /// Calls `visit` with every operand index in the tree, in order.
    pub fn for_each_operand(&self, visit: &mut impl FnMut(u32)) {
        if let Self::Operand(i) = self {
            visit(*i);
        }
        self.children().for_each(|value| value.for_each_operand(visit));
    }

    fn for_each_non_json(&self, visit: &mut impl FnMut(&NonJson)) {
        if let Self::NonJson(it) = self {
            visit(it);
        }
        self.children().for_each(|value| value.for_each_non_json(visit));
    }

    fn for_each_non_json_mut(&mut self, edit: &mut impl FnMut(&mut NonJson)) {
        match self {
            Self::NonJson(it) => edit(it),
            Self::List(items) => items.iter_mut().for_each(|a| a.for_each_non_json_mut(edit)),
            Self::Map(map) => map.for_each_non_json_mut(edit),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_) | Self::Operand(_) => {}
        }
    }
}

impl From<NonJson> for Attr {
    fn from(it: NonJson) -> Self {
        Self::NonJson(it)
    }
}

impl From<bool> for Attr {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Attr {
    fn from(i: i64) -> Self {
        Self::Int(i.into())
    }
}

impl From<f64> for Attr {
    fn from(x: f64) -> Self {
        Self::Float(F64::new(x))
    }
}

impl From<&str> for Attr {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<Name> for Attr {
    fn from(text: Name) -> Self {
        Self::Str(text)
    }
}

impl From<Attrs> for Attr {
    fn from(map: Attrs) -> Self {
        Self::Map(map)
    }
}

/// Named attributes, in the order in which they were written. Clones are copy-on-write.
///
/// ```
/// use netc_ir::{Attr, Attrs};
///
/// let config = Attrs::new().with("units", 10).with("activation", "relu");
/// assert_eq!(config.get("units").and_then(Attr::as_int), Some(10));
/// assert_eq!(config.get("kernel"), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Attrs(
    /// `None` if empty.
    Option<Arc<Vec<(Name, Attr)>>>,
);

impl Attrs {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The attribute `key`.
    pub fn get(&self, key: &str) -> Option<&Attr> {
        self.entries().iter().find(|(k, _)| &**k == key).map(|(_, v)| v)
    }

    /// Sets `key`: replaces its value, or appends it if there is none.
    pub fn set(&mut self, key: impl AsRef<str> + Into<Name>, value: impl Into<Attr>) {
        let entries = self.entries_mut();
        match entries.iter_mut().find(|(k, _)| **k == *key.as_ref()) {
            Some((_, v)) => *v = value.into(),
            None => entries.push((key.into(), value.into())),
        }
    }

    /// Appends `key` without checking whether it already exists.
    pub fn push(&mut self, key: impl Into<Name>, value: impl Into<Attr>) {
        self.entries_mut().push((key.into(), value.into()));
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Attr> {
        let at = self.iter().position(|(k, _)| &**k == key)?;
        let entries = self.entries_mut();
        let value = entries.remove(at).1;
        if entries.is_empty() {
            self.0 = None;
        }
        Some(value)
    }

    /// Sets `key` to `value` and returns the attributes.
    #[must_use]
    pub fn with(mut self, key: impl AsRef<str> + Into<Name>, value: impl Into<Attr>) -> Self {
        self.set(key, value);
        self
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &(Name, Attr)> {
        self.entries().iter()
    }

    /// The entries in order, with mutable values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Name, &mut Attr)> {
        self.0.as_mut().map(Arc::make_mut).into_iter().flatten().map(|(key, value)| (&*key, value))
    }

    /// Calls `visit` with every value in the tree that JSON cannot represent, in order.
    pub fn for_each_non_json(&self, visit: &mut impl FnMut(&NonJson)) {
        self.iter().for_each(|(_, a)| a.for_each_non_json(visit));
    }

    /// Whether JSON can represent the whole tree, apart from operand references.
    pub fn is_json(&self) -> bool {
        let mut is_json = true;
        self.for_each_non_json(&mut |_| is_json = false);
        is_json
    }

    /// Whether the tree refers to an entry of a module table.
    pub fn has_references(&self) -> bool {
        let mut has = false;
        self.for_each_non_json(&mut |it| has |= it.is_reference());
        has
    }

    /// Calls `edit` with every value in the tree that JSON cannot represent, if the tree has references. A tree without
    /// references is not touched and stays shared.
    pub(crate) fn for_each_non_json_mut(&mut self, edit: &mut impl FnMut(&mut NonJson)) {
        if self.has_references() {
            self.iter_mut().for_each(|(_, a)| a.for_each_non_json_mut(edit));
        }
    }

    /// Whether the tree is shallow enough to print, as the verifier requires.
    pub fn is_printable(&self) -> bool {
        self.iter().all(|(_, a)| a.fits(MAX_LEVELS - 1))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> &[(Name, Attr)] {
        self.0.as_ref().map_or(&[], |entries| entries)
    }

    fn entries_mut(&mut self) -> &mut Vec<(Name, Attr)> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl FromIterator<(Name, Attr)> for Attrs {
    fn from_iter<I: IntoIterator<Item = (Name, Attr)>>(iter: I) -> Self {
        let entries: Vec<(Name, Attr)> = iter.into_iter().collect();
        Self((!entries.is_empty()).then(|| entries.into()))
    }
}

impl IntoIterator for Attrs {
    type Item = (Name, Attr);
    type IntoIter = std::vec::IntoIter<(Name, Attr)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

/// A float compared and hashed by its bits, so that attributes are `Eq + Ord + Hash`. All NaNs are equal.
#[derive(Clone, Copy)]
pub struct F64(f64);

impl F64 {
    /// Wraps `x`.
    pub fn new(x: f64) -> Self {
        Self(if x.is_nan() { f64::NAN } else { x })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for F64 {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for F64 {}

impl PartialOrd for F64 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for F64 {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for F64 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for F64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn editing_references_copies_only_trees_with_references() {
        let bytes = Attrs::new().with("b", NonJson::Bytes([0, 255].as_slice().into()));
        let mut shared = bytes.clone();
        shared.for_each_non_json_mut(&mut |_| panic!("visited a tree without references"));
        assert!(!bytes.is_json() && !bytes.has_references());

        let list = Attr::List(vec![NonJson::Weight(WeightId::new(1)).into(), NonJson::Func(FuncId::new(2)).into()]);
        let mut attrs = bytes.clone().with("map", Attrs::new().with("list", list));
        let before = attrs.clone();
        attrs.for_each_non_json_mut(&mut |it| {
            if let NonJson::Func(id) = it {
                *id = FuncId::new(7);
            }
        });
        let mut found = Vec::new();
        attrs.for_each_non_json(&mut |it| found.push(format!("{it:?}")));
        assert_eq!(found, ["Bytes([0, 255])", "Weight(w1)", "Func(f7)"]);
        assert!(attrs != before && before < attrs, "the edit must not change the clone");
    }

    #[test]
    fn children_are_direct_items_and_values() {
        let list = Attr::ints([2, 3]);
        let map = Attr::Map(Attrs::new().with("a", list.clone()).with("b", "text"));
        let children = |attr: &Attr| attr.children().cloned().collect::<Vec<_>>();
        assert_eq!(children(&list), [Attr::Int(2), Attr::Int(3)]);
        assert_eq!(children(&map), [list.clone(), "text".into()]);
        assert_eq!(children(&Attr::Operand(1)), []);
        let null = |_: &Attr| Attr::Null;
        assert_eq!(list.map_children(null), Attr::List(vec![Attr::Null, Attr::Null]));
        assert_eq!(map.map_children(null), Attr::Map(Attrs::new().with("a", Attr::Null).with("b", Attr::Null)));
        assert_eq!(Attr::Operand(1).map_children(null), Attr::Operand(1));
        assert_eq!(
            map.try_map_children(|value| value.as_list().map(|_| Attr::Null).ok_or(value.clone())),
            Err("text".into())
        );
    }

    #[test]
    fn floats_are_ordered_totally_and_compared_by_bits() {
        let [nan, negative, zero, one] = [f64::NAN, -0.0, 0.0, 1.0].map(F64::new);
        assert_eq!(nan, nan);
        assert_ne!(negative, zero);
        assert!(negative < zero && zero < one && one < nan);
        assert_eq!(one.cmp(&one), Ordering::Equal);
        let hash = |x: F64| {
            let mut hasher = std::hash::DefaultHasher::new();
            x.hash(&mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        assert_ne!(hash(negative), hash(zero));
        assert_eq!([nan, negative, zero, zero].into_iter().collect::<HashSet<_>>().len(), 3);
    }
}
