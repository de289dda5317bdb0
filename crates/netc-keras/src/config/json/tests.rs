//! Tests of reading and printing JSON.

use serde_json::Value;

use super::*;
use crate::config::json;

fn parse(text: &str) -> Result<Attr, JsonError> {
    json::parse(text, &Budget::unlimited())
}

#[test]
fn printing_restores_the_text() {
    for text in [
        r#"{"a": [1, 1.0, -3, 1e-7, 139808608355600, 18446744073709551616], "b": {"c": null, "d": true}}"#,
        r#"{"x": NaN, "y": [Infinity, -Infinity], "s": "NaN \" Infinity \\", "n": "é"}"#,
    ] {
        assert_eq!(print(&parse(text).unwrap()), text);
    }
}

#[test]
fn nesting_is_limited() {
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
        assert!(matches!(parse(&wrong), Err(JsonError::Syntax { .. })), "{wrong}");
    }
}

#[test]
fn invalid_json_is_rejected_with_line_and_column() {
    for wrong in [
        "",
        " ",
        "[",
        "{",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "{[1]:2}",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "-",
        "nul",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\n\"",
        "1 2",
        "]",
        "[1}",
        "{\"a\":1]",
    ] {
        assert!(matches!(parse(wrong), Err(JsonError::Syntax { .. })), "{wrong}");
        assert!(serde_json::from_str::<Value>(wrong).is_err(), "{wrong}");
    }
    let message = parse("{\n  \"a\": ?}").unwrap_err().to_string();
    assert_eq!(message, "not JSON: expected a value at line 2 column 8");
}

#[test]
fn last_value_of_a_repeated_key_wins() {
    let printed = print(&parse(r#"{"a": 1, "b": 2, "a": 3, "c": 4, "b": {"a": 5}}"#).unwrap());
    assert_eq!(printed, r#"{"a": 3, "b": {"a": 5}, "c": 4}"#);
}

#[test]
fn escapes_are_decoded() {
    let parsed = parse(r#"{"\u0061\n\"": "\ud83d\ude00 \\ \/"}"#).unwrap();
    assert_eq!(parsed.get("a\n\""), Some(&Attr::str("\u{1f600} \\ /")));
}

#[test]
fn memory_is_at_most_twenty_times_the_text() {
    let keys: String = (0..10_000).map(|i| format!("\"{i:x}\":0,")).collect();
    for text in [
        format!("[{}0]", "0,".repeat(100_000)),
        format!("[{}0]", "[],".repeat(100_000)),
        format!("[{}0]", "[0],".repeat(100_000)),
        format!("[{}0]", "{},".repeat(100_000)),
        format!("[{}0]", "\"\",".repeat(100_000)),
        format!("[{}0]", "{\"\":0},".repeat(100_000)),
        format!("{{{keys}\"\":0}}"),
    ] {
        let used = |limit: u64| json::parse(&text, &Budget::unlimited().with(Resource::Memory, limit)).is_ok();
        // A growing list reserves up to as much again without touching it.
        let len = text.len() as u64;
        assert!(used(40 * len), "{}", &text[..20]);
        assert!(!used(3 * len), "{}", &text[..20]);
    }
}
