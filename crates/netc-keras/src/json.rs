//! JSON as attributes and back, without loss.
//!
//! Python's `json` writes `NaN`, `Infinity` and `-Infinity`, which JSON does not have; they are read and written
//! as Python does. Integers of any size that `i128` holds stay integers, `1.0` stays a float.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use netc_ir::{Attr, Attrs, F64, Name};
use serde_json::Value;

/// Stands for a number that JSON does not have, on its way through the parser. No Keras key begins like it.
const NON_FINITE: &str = "\u{1}netc-float:";

/// Reads JSON text. The error names line and column.
pub(crate) fn parse(text: &str) -> Result<Attr, serde_json::Error> {
    serde_json::from_str::<Value>(&quote_non_finite(text)).map(|value| Reader::default().attr(value))
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

/// Shares the text of keys: a configuration has thousands of entries under a few dozen keys.
#[derive(Default)]
struct Reader {
    keys: HashMap<String, Name>,
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

    fn attr(&mut self, value: Value) -> Attr {
        match value {
            Value::Null => Attr::Null,
            Value::Bool(b) => Attr::Bool(b),
            Value::Number(n) => number(n.as_str()),
            Value::String(s) => match s.strip_prefix(NON_FINITE) {
                Some("NaN") => Attr::Float(F64::new(f64::NAN)),
                Some("Infinity") => Attr::Float(F64::new(f64::INFINITY)),
                Some("-Infinity") => Attr::Float(F64::new(f64::NEG_INFINITY)),
                Some(_) | None => Attr::Str(s.into()),
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
    fn deep_nesting_is_an_error() {
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
