//! Phrases that have a plainer wording. They are refused in comments, pages and names of tests.

use crate::{check, files, root};

/// Phrases in lower case, and a better wording.
const PHRASES: &[(&str, &str)] = &[
    ("asked for", "requested, or name the option"),
    ("has no meaning", "is unsupported, or has no lowering"),
    ("have no meaning", "are unsupported, or have no lowering"),
    ("without a meaning", "unsupported"),
    ("whose the", "that owns the"),
    ("is said", "name who says it"),
    ("by then", "give the moment"),
    ("no place for", "cannot hold"),
    ("beside", "next to, or compared with"),
    ("has no word for", "cannot express"),
];

#[test]
fn phrases_have_plain_wordings() {
    let texts = files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs" || e == "md"));
    for path in texts.filter(|path| !path.ends_with("tidy/words.rs") && !path.ends_with("CHANGELOG.md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_code = path.extension().is_some_and(|e| e == "rs");
        let prose =
            text.lines().filter_map(|line| if is_code { line.split_once("//").map(|(_, c)| c) } else { Some(line) });
        let prose: String = prose.map(|line| format!("{} ", line.to_lowercase())).collect();
        let name = path.strip_prefix(root()).unwrap().to_path_buf();
        for (phrase, better) in PHRASES {
            let offenders = contains_words(&prose, phrase).then(|| (name.clone(), text.clone()));
            check(offenders.into_iter(), &format!("says `{phrase}`; say: {better}"));
        }
    }
}

#[test]
fn tests_are_named_by_behaviour() {
    let names = crate::sources().flat_map(|(path, text)| {
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("fn ")?.split_once('('));
        let odd = names.filter(|(name, _)| name.starts_with("what_") || name.contains("_what_is_"));
        odd.map(|(name, _)| (path.clone(), name.to_string())).collect::<Vec<_>>()
    });
    let names: Vec<String> = names.map(|(path, name)| format!("{}: {name}", path.display())).collect();
    assert!(names.is_empty(), "name the behaviour:\n{}", names.join("\n"));
}

/// Whether the text has the phrase at the boundaries of words.
fn contains_words(text: &str, phrase: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase)
        .any(|(at, _)| !is_word(text[..at].chars().next_back()) && !is_word(text[at + phrase.len()..].chars().next()))
}
