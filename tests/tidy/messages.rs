//! Every message of netc on one page, `tests/tidy/snapshots/messages.snap`, to be read as a user reads them.
//!
//! A message is a string of three words or more outside tests, doc comments and assertions: errors, remarks, notes, and
//! the help of passes and options.

use std::fmt::Write;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Macros and methods whose text only a bug in netc prints.
const FOR_BUGS: &[&str] =
    &["assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "expect", "panic", "unreachable"];

/// Attributes whose text a user reads.
const FOR_USERS: &[&str] = &["error"];

#[test]
fn messages_read_well() {
    let mut page = String::new();
    for (path, text) in crate::sources().filter(|(path, _)| has_messages(path)) {
        let tokens: TokenStream = text.parse().unwrap();
        let mut messages = Vec::new();
        collect(tokens, &mut messages);
        if !messages.is_empty() {
            writeln!(page, "{}", path.display()).unwrap();
            messages.iter().for_each(|message| writeln!(page, "  {message}").unwrap());
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("messages", page));
}

#[test]
fn messages_are_strings_of_three_words_outside_tests() {
    let text = r##"
        /// Not this doc comment.
        #[error("found {0}, expected {1}")]
        #[doc = "not this one"]
        enum E {}
        fn f() -> String { assert!(x, "not this text either"); y.expect("nor this one here"); format!("one \"two\" \
            three") }
        #[cfg(test)]
        mod tests { fn g() -> &'static str { "not in a test" } }
        const A: &str = "two words";
        const B: &str = r#"a raw string"#;
    "##;
    let mut messages = Vec::new();
    collect(text.parse().unwrap(), &mut messages);
    assert_eq!(messages, ["found {0}, expected {1}", "one \"two\" three", "a raw string"]);
}

fn has_messages(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_source = text.starts_with("passes/") || text.starts_with("crates/") && text.contains("/src/");
    is_source && !text.contains("testgen") && !crate::is_test(path)
}

/// Adds the messages in `tokens`, in order.
fn collect(tokens: TokenStream, messages: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    // The last identifier, which may name a macro or a method, and whether the next block is a test.
    let (mut word, mut in_test) = (String::new(), false);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) => word = ident.to_string(),
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                tokens.next_if(|t| t.to_string() == "!");
                let Some(TokenTree::Group(group)) = tokens.next_if(|t| matches!(t, TokenTree::Group(_))) else {
                    continue;
                };
                in_test |= group.stream().to_string() == "cfg (test)";
                let name = group.stream().into_iter().next().map(|name| name.to_string());
                if name.is_some_and(|name| FOR_USERS.contains(&&*name)) {
                    collect(group.stream(), messages);
                }
            }
            TokenTree::Group(group) => {
                let is_skipped = if group.delimiter() == Delimiter::Brace {
                    std::mem::take(&mut in_test)
                } else {
                    FOR_BUGS.contains(&&*word)
                };
                if !is_skipped {
                    collect(group.stream(), messages);
                }
                word.clear();
            }
            TokenTree::Literal(literal) => {
                messages.extend(string(&literal.to_string()).filter(|text| is_message(text)));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_test = false,
            TokenTree::Punct(_) => {}
        }
    }
}

fn is_message(text: &str) -> bool {
    let words = text.split_whitespace().filter(|word| word.contains(char::is_alphabetic) || word.contains('{'));
    words.count() >= 3 && text.contains(|c: char| c.is_alphabetic())
}

/// The text of a string literal on one line.
fn string(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').replace('\n', "\\n"));
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    // A backslash at the end of a line joins it to the next.
    let mut joined = String::new();
    for (i, part) in inner.split("\\\n").enumerate() {
        joined.push_str(if i == 0 { part } else { part.trim_start() });
    }
    Some(joined.replace("\\\"", "\"").replace('\n', "\\n"))
}
