//! Shows attributes in messages.

use netc_ir::Attr;

/// Describes an attribute for a message.
pub(crate) fn shown(attr: &Attr) -> String {
    found(Some(attr))
}

/// Describes an attribute, or its absence, for a message.
pub(crate) fn found(attr: Option<&Attr>) -> String {
    match attr {
        None => "missing".into(),
        Some(Attr::Null) => "null".into(),
        Some(Attr::Bool(b)) => b.to_string(),
        Some(Attr::Int(i)) => i.to_string(),
        Some(Attr::Float(x)) => format!("{x:?}"),
        Some(Attr::Str(s)) => format!("\"{}\"", s.chars().take(60).collect::<String>()),
        Some(Attr::List(items)) if items.len() <= 8 => {
            format!("[{}]", items.iter().map(|a| found(Some(a))).collect::<Vec<_>>().join(", "))
        }
        Some(Attr::List(items)) => format!("a list of {}", items.len()),
        Some(Attr::Map(map)) => match map.get("class_name").and_then(Attr::as_str) {
            Some(class) => format!("an object of class \"{}\"", class.chars().take(60).collect::<String>()),
            None => "an object".into(),
        },
        Some(Attr::Operand(_)) => "a tensor".into(),
        Some(Attr::NonJson(_)) => "bytes, a weight or a function".into(),
    }
}
