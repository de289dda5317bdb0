//! Converts JSON to attributes and back without loss.
//!
//! Python's `json` writes `NaN`, `Infinity` and `-Infinity`, which JSON does not have, and integers of any size. This
//! module reads and writes them as Python does: integers that fit `i128` stay integers, `1.0` stays a float. The reader
//! does not recurse, so text may nest as deep as models do. It charges the values to a budget, because attributes can
//! take many times as much memory as the text.

mod print;

pub(crate) use print::{print, print_ascii};

use std::borrow::Cow;
use std::collections::HashSet;
use std::mem::size_of;
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use netc_ir::{Attr, Attrs, Budget, F64, Name, Resource};

use crate::error::JsonError;
use netc_format::stack::MAX_LEVELS;

/// Levels of recursion that are safe on any stack.
const SHALLOW: usize = 100;

/// Bytes of a shared string beyond its characters: two counters and the allocator's overhead.
const NAME_OVERHEAD: usize = 32;

/// The longest string to share, in bytes.
const SHORT: usize = 64;

/// The most entries of a map to share.
const FEW: usize = 4;

/// The largest capacity, in items, of a buffer kept for reuse.
const SMALL: usize = 64;

/// Reads JSON text and charges its values to `budget`.
pub(crate) fn parse(text: &str, budget: &Budget) -> Result<Attr, JsonError> {
    Reader {
        text,
        at: 0,
        budget,
        texts: HashSet::default(),
        maps: HashSet::default(),
        spare_lists: Vec::new(),
        spare_maps: Vec::new(),
    }
    .document()
}

/// Parses the JSON text of a test.
#[cfg(test)]
pub(crate) fn parsed(text: &str) -> Attr {
    parse(text, &Budget::unlimited()).unwrap()
}

/// A list or object whose end is not yet read.
enum Open {
    List(Vec<Attr>),
    /// The entries, and the key of the next value.
    Map(Vec<(Name, Attr)>, Name),
}

/// The values that are written as words.
static WORDS: LazyLock<[(&str, Attr); 6]> = LazyLock::new(|| {
    let float = |x: f64| Attr::Float(F64::new(x));
    [
        ("null", Attr::Null),
        ("true", Attr::Bool(true)),
        ("false", Attr::Bool(false)),
        ("NaN", float(f64::NAN)),
        ("Infinity", float(f64::INFINITY)),
        ("-Infinity", float(f64::NEG_INFINITY)),
    ]
});

struct Reader<'t> {
    text: &'t str,
    /// The position of the next byte.
    at: usize,
    budget: &'t Budget,
    /// Short strings, to share equal ones: a configuration has thousands of entries under a few dozen keys, and repeats
    /// each layer's name.
    texts: HashSet<Name, RandomState>,
    /// Small maps without lists, to share equal ones: nearly all layers have the same dtype policy and one of a few
    /// initializers.
    maps: HashSet<Attrs, RandomState>,
    /// Buffers for lists and maps under construction. Finished items move to an allocation of their exact size.
    spare_lists: Vec<Vec<Attr>>,
    spare_maps: Vec<Vec<(Name, Attr)>>,
}

impl<'t> Reader<'t> {
    fn document(mut self) -> Result<Attr, JsonError> {
        let mut open = Vec::new();
        loop {
            // A value begins here. For a list or object, continue with its first value.
            let mut value = match self.peek() {
                Some(b'[' | b'{') if open.len() == MAX_LEVELS => return Err(JsonError::Depth),
                Some(b'[') => {
                    self.at += 1;
                    if self.peek() != Some(b']') {
                        open.push(Open::List(self.spare_lists.pop().unwrap_or_default()));
                        continue;
                    }
                    self.at += 1;
                    Attr::List(Vec::new())
                }
                Some(b'{') => {
                    self.at += 1;
                    if self.peek() != Some(b'}') {
                        let entries = self.spare_maps.pop().unwrap_or_default();
                        open.push(Open::Map(entries, self.key()?));
                        continue;
                    }
                    self.at += 1;
                    Attr::Map(Attrs::new())
                }
                _ => self.scalar()?,
            };
            // The value ends here, and perhaps the lists and objects around it.
            loop {
                match open.pop() {
                    None => return if self.peek().is_none() { Ok(value) } else { Err(self.expected("the end")) },
                    Some(Open::List(mut items)) => {
                        self.push(&mut items, value)?;
                        match self.peek() {
                            Some(b',') => {
                                self.at += 1;
                                open.push(Open::List(items));
                                break;
                            }
                            Some(b']') => {
                                self.at += 1;
                                value = Attr::List(fitted(items, &mut self.spare_lists, self.budget)?);
                            }
                            _ => return Err(self.expected("`,` or `]`")),
                        }
                    }
                    Some(Open::Map(mut entries, key)) => {
                        self.push(&mut entries, (key, value))?;
                        match self.peek() {
                            Some(b',') => {
                                self.at += 1;
                                open.push(Open::Map(entries, self.key()?));
                                break;
                            }
                            Some(b'}') => {
                                self.at += 1;
                                let entries = map(fitted(entries, &mut self.spare_maps, self.budget)?);
                                value = Attr::Map(self.shared_map(entries)?);
                            }
                            _ => return Err(self.expected("`,` or `}`")),
                        }
                    }
                }
            }
        }
    }

    /// The next byte after white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Adds an item. Doubles the capacity when it is full, and charges the growth.
    fn push<T>(&self, items: &mut Vec<T>, item: T) -> Result<(), JsonError> {
        if items.len() == items.capacity() {
            let more = items.len().max(4);
            self.budget.charge(Resource::Memory, (more * size_of::<T>()) as u64)?;
            items.try_reserve_exact(more).map_err(|_| JsonError::Memory)?;
        }
        items.push(item);
        Ok(())
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<Name, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.shared(key)
    }

    /// Returns the text as a name that equal texts share.
    fn shared(&mut self, text: Cow<'_, str>) -> Result<Name, JsonError> {
        if let Some(known) = self.texts.get(&*text) {
            return Ok(known.clone());
        }
        // The text and its table entry.
        self.budget.charge(Resource::Memory, (NAME_OVERHEAD + text.len() + 2 * size_of::<Name>()) as u64)?;
        let name: Name = text.into();
        self.texts.insert(name.clone());
        Ok(name)
    }

    /// Returns the map, shared with an equal one if it is small.
    fn shared_map(&mut self, map: Attrs) -> Result<Attrs, JsonError> {
        let is_small = map.len() <= FEW && map.iter().all(|(_, value)| is_flat(value));
        if map.is_empty() || !is_small {
            return Ok(map);
        }
        if let Some(known) = self.maps.get(&map) {
            self.budget.release(Resource::Memory, (map.len() * size_of::<(Name, Attr)>()) as u64);
            return Ok(known.clone());
        }
        self.budget.charge(Resource::Memory, 2 * size_of::<Attrs>() as u64)?;
        self.maps.insert(map.clone());
        Ok(map)
    }

    fn scalar(&mut self) -> Result<Attr, JsonError> {
        let text = self.text;
        let rest = &text[self.at..];
        if rest.starts_with('"') {
            let text = self.string()?;
            if text.len() <= SHORT {
                return self.shared(text).map(Attr::Str);
            }
            self.budget.charge(Resource::Memory, (NAME_OVERHEAD + text.len()) as u64)?;
            return Ok(Attr::Str(text.into()));
        }
        if let Some((word, value)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value.clone());
        }
        let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let number = &rest[..rest.bytes().take_while(is_of_number).count()];
        if !is_number(number) {
            return Err(self.expected("a value"));
        }
        self.at += number.len();
        Ok(match number.parse::<i128>() {
            Ok(i) => Attr::Int(i),
            Err(_) => Attr::Float(F64::new(number.parse().unwrap_or(f64::NAN))),
        })
    }

    /// Reads the string that begins here.
    fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        let start = self.at;
        let (mut end, mut is_escaped) = (start + 1, false);
        loop {
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => (end, is_escaped) = (end + 2, true),
                Some(0..=0x1f) => {
                    self.at = end;
                    return Err(self.expected("an escape instead of a control character"));
                }
                Some(_) => end += 1,
                None => return Err(self.expected("a closing quote")),
            }
        }
        self.at = end + 1;
        if !is_escaped {
            return Ok(self.text[start + 1..end].into());
        }
        serde_json::from_str(&self.text[start..=end]).map(Cow::Owned).map_err(|_| {
            self.at = start;
            self.expected("valid escapes")
        })
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        JsonError::Syntax { expected, line, column: 1 + before.len() - line_start }
    }
}

/// Whether the value is a scalar, or a small map of scalars.
fn is_flat(value: &Attr) -> bool {
    let is_scalar = |value: &Attr| !matches!(value, Attr::List(_) | Attr::Map(_));
    if let Attr::Map(map) = value {
        map.len() <= FEW && map.iter().all(|(_, value)| is_scalar(value))
    } else {
        is_scalar(value)
    }
}

/// Moves the items to an allocation of their exact size. Returns a small buffer to `spare`.
fn fitted<T>(mut items: Vec<T>, spare: &mut Vec<Vec<T>>, budget: &Budget) -> Result<Vec<T>, JsonError> {
    if items.capacity() > SMALL {
        let unused = items.capacity() - items.len();
        items.shrink_to_fit();
        budget.release(Resource::Memory, (unused * size_of::<T>()) as u64);
        return Ok(items);
    }
    budget.charge(Resource::Memory, (items.len() * size_of::<T>()) as u64)?;
    let mut exact = Vec::new();
    exact.try_reserve_exact(items.len()).map_err(|_| JsonError::Memory)?;
    exact.append(&mut items);
    spare.push(items);
    Ok(exact)
}

/// Whether the text is a number in JSON's grammar.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let text = text.strip_prefix('-').unwrap_or(text);
    let integer = digits(text);
    if integer == 0 || integer > 1 && text.starts_with('0') {
        return false;
    }
    let mut rest = &text[integer..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Objects with at most this many keys are checked for repeated keys pair by pair.
const FEW_KEYS: usize = 32;

/// Makes an object from its entries. For a repeated key, the last value counts, at the position of the first, as in
/// Python. Equal keys must share one string.
fn map(entries: Vec<(Name, Attr)>) -> Attrs {
    let is_new = |(i, (key, _)): (usize, &(Name, Attr))| entries[..i].iter().all(|(k, _)| !Name::ptr_eq(k, key));
    if entries.len() <= FEW_KEYS && entries.iter().enumerate().all(is_new) {
        return entries.into_iter().collect();
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    // The sort is stable: positions of equal keys stay in order.
    order.sort_by(|a, b| entries[*a].0.cmp(&entries[*b].0));
    if order.windows(2).all(|pair| entries[pair[0]].0 != entries[pair[1]].0) {
        return entries.into_iter().collect();
    }
    let mut last: Vec<Option<usize>> = vec![None; entries.len()];
    for same in order.chunk_by(|a, b| entries[*a].0 == entries[*b].0) {
        last[same[0]] = same.last().copied();
    }
    last.into_iter().flatten().map(|at| entries[at].clone()).collect()
}

/// Whether lists and objects nest deeper than [`SHALLOW`], so that recursion needs a large stack.
pub(crate) fn is_deep(attr: &Attr) -> bool {
    is_deeper(attr, SHALLOW)
}

fn is_deeper(attr: &Attr, levels: usize) -> bool {
    attr.children().any(|value| levels == 0 || is_deeper(value, levels - 1))
}

#[cfg(test)]
mod tests;
