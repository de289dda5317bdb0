//! Pipelines as text: `split=mixed9`, or `split{at=[mixed3,mixed7]}`, one after the other with commas between.

use std::fmt;

use thiserror::Error;

/// One pass of a pipeline with its options. It prints as it parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassCall {
    /// The pass.
    pub name: String,
    /// Its options; the one set by `name=value` has an empty name.
    pub options: Vec<(String, Vec<String>)>,
}

impl PassCall {
    /// The values of the option `name`. A pass is built with its options under their names.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }
}

impl fmt::Display for PassCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let [(name, values)] = self.options.as_slice()
            && name.is_empty()
        {
            return write!(f, "={}", values.join(","));
        }
        if self.options.is_empty() {
            return Ok(());
        }
        let options = self.options.iter().map(|(n, v)| match v.as_slice() {
            [] => n.clone(),
            [one] => format!("{n}={one}"),
            many => format!("{n}=[{}]", many.join(",")),
        });
        write!(f, "{{{}}}", options.collect::<Vec<_>>().join(","))
    }
}

/// Text that is not a pass with options.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a pass with options: {note}")]
pub struct PipelineSyntaxError {
    /// The text.
    pub text: String,
    /// What was found and what was expected.
    pub note: String,
}

/// Reads one `--pass` argument: `name`, `name=value,...` or `name{option=value,option=[value,...]}`.
pub fn parse_pipeline(text: &str) -> Result<PassCall, PipelineSyntaxError> {
    let text = text.trim();
    let error = |note: &str| PipelineSyntaxError { text: text.into(), note: note.into() };
    let end = text.find(['=', '{']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(error("expected the name of a pass"));
    }
    let options = match rest.chars().next() {
        None => Vec::new(),
        Some('=') => vec![(String::new(), split_list(&rest[1..]))],
        Some(_) => {
            let inner = rest[1..].strip_suffix('}').ok_or_else(|| error("the options have no `}`"))?;
            split_outside_brackets(inner).into_iter().map(option).collect()
        }
    };
    if options.iter().any(|(_, values)| values.iter().any(String::is_empty)) {
        return Err(error("a value is empty"));
    }
    Ok(PassCall { name: name.into(), options })
}

fn option(text: &str) -> (String, Vec<String>) {
    match text.split_once('=') {
        None => (text.trim().into(), Vec::new()),
        Some((name, value)) => {
            let value = value.trim();
            let inner = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
            let values = inner.map_or_else(|| vec![value.to_string()], split_list);
            (name.trim().into(), values)
        }
    }
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(|v| v.trim().to_string()).collect()
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// `; did you mean ...?` for the names nearest to `wanted`, or nothing if none is near.
pub fn nearest(wanted: &str, names: &[&str]) -> String {
    let mut scored: Vec<(f64, &str)> = names.iter().map(|n| (strsim::jaro_winkler(wanted, n), *n)).collect();
    scored.retain(|(score, _)| *score > 0.7);
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near: Vec<String> = scored.iter().take(3).map(|(_, n)| format!("`{n}`")).collect();
    match near.as_slice() {
        [] => String::new(),
        [last] => format!("; did you mean {last}?"),
        [rest @ .., last] => format!("; did you mean {} or {last}?", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_parses() {
        for text in ["dce", "split=mixed9", "split=mixed3,mixed7", "split{at=[a,b],relay}", "saturate{iters=8}"] {
            assert_eq!(parse_pipeline(text).map(|c| c.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn malformed_text_is_an_error() {
        for text in ["", "=x", "split=", "split{at=a", "sp lit"] {
            assert!(parse_pipeline(text).is_err(), "{text}");
        }
    }

    #[test]
    fn suggests_what_is_near() {
        assert_eq!(nearest("mixd9", &["mixed9", "avg_pool"]), "; did you mean `mixed9`?");
        assert_eq!(nearest("zzz", &["mixed9"]), "");
    }
}
