//! JSON as attributes and back, without loss.
//!
//! Python's `json` writes `NaN`, `Infinity` and `-Infinity`, which JSON does not have; they are read and written
//! as Python does. Integers of any size that `i128` holds stay integers, `1.0` stays a float.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use netc_ir::{Attr, Attrs, F64, Name};
use serde_json::Value;
use thiserror::Error;

/// Stands for a number that JSON does not have, on its way through the parser. No Keras key begins like it.
const NON_FINITE: &str = "\u{1}netc-float:";

/// Models in models that are read and written. More would overflow the stack of a thread somewhere.
pub(crate) const MAX_NESTING: usize = 256;

/// Levels of lists and objects that are read: a model in a model has three.
const MAX_LEVELS: usize = 4 * MAX_NESTING;

/// Levels that `serde_json` reads on any stack.
const SHALLOW: usize = 100;

/// Why a text is no JSON that is read.
#[derive(Debug, Error)]
pub enum JsonError {
    /// It is no JSON; with the cause, and line and column in the part that was read at once.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It nests too deep.
    #[error("nested deeper than {MAX_LEVELS} levels; netc reads at most {MAX_NESTING} levels of nested models")]
    Depth,
    /// Deep down, an object has a list or an object as a key, or a key twice.
    #[error(
        "not JSON: more than {SHALLOW} levels deep, an object has a list or an object as a key, or the same key twice"
    )]
    Key,
}

/// Reads JSON text.
pub(crate) fn parse(text: &str) -> Result<Attr, JsonError> {
    let text = quote_non_finite(text);
    let levels = levels(&text);
    if levels > MAX_LEVELS {
        return Err(JsonError::Depth);
    }
    Reader::default().parse(&text, levels)
}

/// Whether there are more than [`SHALLOW`] levels of lists and objects: what follows them needs a large stack.
pub(crate) fn is_deep(attr: &Attr) -> bool {
    is_deeper(attr, SHALLOW)
}

fn is_deeper(attr: &Attr, levels: usize) -> bool {
    let is_inner_deeper = |value: &Attr| levels == 0 || is_deeper(value, levels - 1);
    match attr {
        Attr::List(items) => items.iter().any(is_inner_deeper),
        Attr::Map(map) => map.iter().any(|(_, value)| is_inner_deeper(value)),
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Operand(_) => false,
    }
}

/// The text with the lists and objects that are more than [`SHALLOW`] levels deep cut out, each with a marked string in
/// its place, and what was cut out.
fn cut(text: &str, levels: usize) -> (Cow<'_, str>, Vec<&str>) {
    let mut parts = Vec::new();
    if levels <= SHALLOW {
        return (text.into(), parts);
    }
    // Where the text goes on that is kept, and where the part begins that is being cut out.
    let (mut outer, mut kept, mut begun) = (String::new(), 0, None);
    for (at, depth, opens) in brackets(text) {
        if opens && depth == SHALLOW + 1 {
            let _ = write!(outer, "{}\"\\u0001{}{}\"", &text[kept..at], &PART[1..], parts.len());
            begun = Some(at);
        } else if !opens
            && depth == SHALLOW
            && let Some(start) = begun.take()
        {
            kept = at + 1;
            parts.push(&text[start..kept]);
        }
    }
    match begun {
        Some(start) => parts.push(&text[start..]),
        None => outer.push_str(&text[kept..]),
    }
    (outer.into(), parts)
}

/// How many levels of lists and objects there are at most around a place in the text.
fn levels(text: &str) -> usize {
    brackets(text).map(|(_, depth, _)| depth).max().unwrap_or(0)
}

/// The brackets outside of strings: the place of each, how many are open after it, and whether it opens.
fn brackets(text: &str) -> impl Iterator<Item = (usize, usize, bool)> {
    let mut bytes = text.bytes().enumerate();
    let (mut depth, mut in_string) = (0usize, false);
    std::iter::from_fn(move || {
        loop {
            match bytes.next()? {
                (_, b'"') => in_string = !in_string,
                (_, b'\\') if in_string => drop(bytes.next()),
                (at, b'[' | b'{') if !in_string => {
                    depth += 1;
                    return Some((at, depth, true));
                }
                (at, b']' | b'}') if !in_string => {
                    depth = depth.saturating_sub(1);
                    return Some((at, depth, false));
                }
                _ => {}
            }
        }
    })
}

/// JSON text in which every character beyond ASCII is escaped, as Python's `json` writes it.
pub(crate) fn print_ascii(attr: &Attr) -> String {
    let mut out = String::new();
    for c in print(attr).chars() {
        match c.is_ascii() {
            true => out.push(c),
            // In JSON such characters stand in strings alone.
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out
}

/// Puts `NaN`, `Infinity` and `-Infinity` outside of strings into marked strings.
fn quote_non_finite(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|w| !in_string && rest.starts_with(w));
        let taken = match word {
            Some(word) => {
                out.push('"');
                out.push_str("\\u0001netc-float:");
                out.push_str(word);
                out.push('"');
                word.len()
            }
            None => {
                in_string ^= c == '"';
                let escaped = if in_string && c == '\\' { rest[1..].chars().next() } else { None };
                let len = c.len_utf8() + escaped.map_or(0, char::len_utf8);
                out.push_str(&rest[..len]);
                len
            }
        };
        rest = &rest[taken..];
    }
    out.into()
}

/// Stands for a list or object that is read apart, with its number.
const PART: &str = "\u{1}netc-part:";

/// Shares the text of keys: a configuration has thousands of entries under a few dozen keys.
#[derive(Default)]
struct Reader {
    keys: HashMap<String, Name>,
    /// Lists and objects that were read apart, until they are put into their places.
    parts: Vec<Option<Attr>>,
    /// Whether two strings stood for one part.
    is_ambiguous: bool,
}

impl Reader {
    fn key(&mut self, key: String) -> Name {
        if let Some(known) = self.keys.get(&key) {
            return known.clone();
        }
        let name: Name = key.as_str().into();
        self.keys.insert(key, name.clone());
        name
    }

    /// Reads text as deep as it may be: `serde_json` reads no more than 128 levels at once.
    /// The text has at most `levels` levels.
    fn parse(&mut self, text: &str, levels: usize) -> Result<Attr, JsonError> {
        let (outer, parts) = cut(text, levels);
        let inner = levels.saturating_sub(SHALLOW);
        let parts = parts.into_iter().map(|part| self.parse(part, inner).map(Some)).collect::<Result<Vec<_>, _>>()?;
        let value = serde_json::from_str(&outer)?;
        self.parts = parts;
        self.is_ambiguous = false;
        let attr = self.attr(value);
        // A string of the input can look like the mark of a part. Then one of the two finds the part taken.
        let is_left = self.parts.iter().any(Option::is_some);
        if is_left || self.is_ambiguous { Err(JsonError::Key) } else { Ok(attr) }
    }

    /// The part that a marked string stands for.
    fn part(&mut self, text: &str) -> Option<Attr> {
        let part = self.parts.get_mut(text.strip_prefix(PART)?.parse::<usize>().ok()?)?.take();
        self.is_ambiguous |= part.is_none();
        part
    }

    fn attr(&mut self, value: Value) -> Attr {
        match value {
            Value::Null => Attr::Null,
            Value::Bool(b) => Attr::Bool(b),
            Value::Number(n) => number(n.as_str()),
            Value::String(s) => match s.strip_prefix(NON_FINITE) {
                Some("NaN") => Attr::Float(F64::new(f64::NAN)),
                Some("Infinity") => Attr::Float(F64::new(f64::INFINITY)),
                Some("-Infinity") => Attr::Float(F64::new(f64::NEG_INFINITY)),
                Some(_) | None => self.part(&s).unwrap_or_else(|| Attr::Str(s.into())),
            },
            Value::Array(items) => Attr::List(items.into_iter().map(|item| self.attr(item)).collect()),
            Value::Object(map) => Attr::Map(map.into_iter().map(|(k, v)| (self.key(k), self.attr(v))).collect()),
        }
    }
}

fn number(text: &str) -> Attr {
    match text.parse::<i128>() {
        Ok(i) => Attr::Int(i),
        Err(_) => Attr::Float(F64::new(text.parse().unwrap_or(f64::NAN))),
    }
}

/// Writes JSON text as Python's `json.dumps` does.
pub(crate) fn print(attr: &Attr) -> String {
    let mut out = String::new();
    write(attr, &mut out);
    out
}

fn write(attr: &Attr, out: &mut String) {
    match attr {
        Attr::Null | Attr::Operand(_) => out.push_str("null"),
        Attr::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Attr::Int(i) => out.push_str(&i.to_string()),
        Attr::Float(x) => write_float(x.get(), out),
        Attr::Str(s) => out.push_str(&Value::String(s.to_string()).to_string()),
        Attr::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write(item, out);
            }
            out.push(']');
        }
        Attr::Map(map) => write_map(map, out),
    }
}

fn write_map(map: &Attrs, out: &mut String) {
    out.push('{');
    for (i, (key, value)) in map.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        out.push_str(&Value::String(key.to_string()).to_string());
        out.push_str(": ");
        write(value, out);
    }
    out.push('}');
}

fn write_float(x: f64, out: &mut String) {
    if x.is_nan() {
        out.push_str("NaN");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let _ = write!(out, "{x:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        for text in [
            r#"{"a": [1, 1.0, -3, 1e-7, 139808608355600, 18446744073709551616], "b": {"c": null, "d": true}}"#,
            r#"{"x": NaN, "y": [Infinity, -Infinity], "s": "NaN \" Infinity \\", "n": "é"}"#,
        ] {
            assert_eq!(print(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn deep_nesting_is_read_or_an_error() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for levels in [SHALLOW, SHALLOW + 1, MAX_LEVELS] {
            assert_eq!(print(&parse(&nested(levels)).unwrap()), nested(levels));
            let twice = format!("[{0}, {{\"a\": {0}, \"b\": 1}}]", nested(levels - 2));
            assert_eq!(print(&parse(&twice).unwrap()), twice);
        }
        for levels in [MAX_LEVELS + 1, 1_000_000] {
            assert!(matches!(parse(&nested(levels)), Err(JsonError::Depth)));
        }
        for wrong in [nested(200) + " 1", "[".repeat(200), "[".repeat(150) + &"]".repeat(149), nested(150) + "]"] {
            assert!(matches!(parse(&wrong), Err(JsonError::Syntax(_))), "{wrong}");
        }
        let around = |text: &str| "[".repeat(SHALLOW) + text + &"]".repeat(SHALLOW);
        for wrong in ["{[1]: 2}", "{[[1]]: [2]}"].map(around) {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
        let marked = r#""\u0001netc-part:0""#;
        assert!(parse(&format!("[{marked}, {}]", around("[1]"))).is_err());
        assert!(parse(&format!("[{}, {marked}]", around("[1]"))).is_err());
        assert_eq!(print(&parse(marked).unwrap()), marked);
        // The key of an object on the last level that is read at once.
        let key = "[".repeat(SHALLOW - 1) + "{[1]: 2}" + &"]".repeat(SHALLOW - 1);
        assert!(matches!(parse(&key), Err(JsonError::Key)));
        assert_eq!(levels(r#"["[[[", "\\[[", {}]"#), 2);
    }
}
