//! Hints for names that were misspelt.

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
    fn suggests_what_is_near() {
        assert_eq!(nearest("mixd9", &["mixed9", "avg_pool"]), "; did you mean `mixed9`?");
        assert_eq!(nearest("zzz", &["mixed9"]), "");
    }
}
