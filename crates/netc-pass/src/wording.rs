//! Wording of names and numbers in messages.

/// Formats `; did you mean ...?` with up to three names close to `wanted`, or nothing if none is close.
pub fn nearest(wanted: &str, names: &[&str]) -> String {
    nearest_of(wanted, names.iter().map(|name| (*name, *name)))
}

/// Like [`nearest`], but displays the second item of each pair instead of the name.
pub fn nearest_of<'a>(wanted: &str, names: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let near = names.into_iter().filter(|(name, _)| is_comparable(wanted, name));
    let scored = near.map(|(name, shown)| (strsim::jaro_winkler(wanted, name), shown));
    let mut scored: Vec<(f64, &str)> = scored.filter(|(score, _)| *score > 0.7).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near: Vec<String> = scored.iter().take(3).map(|(_, shown)| format!("`{shown}`")).collect();
    match near.as_slice() {
        [] => String::new(),
        [last] => format!("; did you mean {last}?"),
        [rest @ .., last] => format!("; did you mean {} or {last}?", rest.join(", ")),
    }
}

/// Whether two names are similar enough in length to compare: a long name contains most of any short one.
fn is_comparable(a: &str, b: &str) -> bool {
    let (short, long) = if a.chars().count() < b.chars().count() { (a, b) } else { (b, a) };
    if short.chars().count() < 2 {
        return strsim::osa_distance(short, long) <= 1;
    }
    short.chars().count() * 3 >= long.chars().count() || long.starts_with(short)
}

/// Finds the name that `word` misspells: with at most two typos, or one in names of up to four letters.
pub fn misspelt<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = |name: &&str| strsim::osa_distance(word, name);
    let near = names.into_iter().filter(|name| slips(name) <= if name.len() <= 4 { 1 } else { 2 });
    near.min_by_key(slips)
}

/// Formats a count with its noun: `1 op`, `2 ops`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Formats `23851784` as `23,851,784`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_similar_names() {
        assert_eq!(nearest("mixd9", &["mixed9", "avg_pool"]), "; did you mean `mixed9`?");
        assert_eq!(nearest("zzz", &["mixed9"]), "");
        assert_eq!(nearest("mixed", &["mixed9_concatenated"]), "; did you mean `mixed9_concatenated`?");
        assert_eq!(nearest("z", &["x"]), "");
        assert_eq!(nearest("typo", &["y"]), "");
    }

    #[test]
    fn recognizes_names_with_one_or_two_typos() {
        let names = ["run", "cuts", "inspect"];
        for (word, meant) in [
            ("cutz", Some("cuts")),
            ("insepct", Some("inspect")),
            ("nspekt", Some("inspect")),
            ("inception", None),
            ("cat", None),
            ("ran", Some("run")),
            ("rn", Some("run")),
        ] {
            assert_eq!(misspelt(word, names), meant, "{word}");
        }
    }
}
