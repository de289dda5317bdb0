//! Prints attributes as JSON text.

use std::fmt::Write;

use netc_ir::{Attr, Attrs};
use serde_json::Value;

/// Prints JSON text with every non-ASCII character escaped, as Python's `json` does.
pub(crate) fn print_ascii(attr: &Attr) -> String {
    let mut out = String::new();
    for c in print(attr).chars() {
        match c.is_ascii() {
            true => out.push(c),
            // In JSON, non-ASCII characters occur only in strings.
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out
}

/// Prints JSON text with the spacing of Python's `json.dumps`.
pub(crate) fn print(attr: &Attr) -> String {
    let mut out = String::new();
    write(attr, &mut out);
    out
}

fn write(attr: &Attr, out: &mut String) {
    match attr {
        Attr::Null | Attr::Operand(_) | Attr::NonJson(_) => out.push_str("null"),
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
