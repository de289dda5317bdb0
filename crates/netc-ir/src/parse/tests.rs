//! Tests of syntax errors.

use super::*;

#[track_caller]
fn check_rejected(op: &str, expect: &str) {
    let error = parse(&format!("netc 1\nfunc @main(%x: f32[]) -> (%x) {{\n{op}\n}}")).unwrap_err();
    assert!(error.to_string().starts_with(expect), "{error}\nexpected: {expect}");
}

#[test]
fn undefined_and_repeated_values_are_rejected() {
    check_rejected("%y = neg(%z) : f32[]", "line 3, column 10: `%z` is not defined above");
    check_rejected("%x = neg(%x) : f32[]", "line 3, column 1: `%x` is already defined");
    check_rejected("%y = neg(%7) : f32[]", "line 3, column 10: `%7` is not defined above");
}

#[test]
fn numbers_out_of_range_are_rejected() {
    let expect = |column| format!("line 3, column {column}: 4294967296 is larger than 4294967295");
    check_rejected("%y = a.b(%x) {args = [$4294967296]} : f32[]", &expect(24));
    check_rejected("%y = neg(%x) : f32[] loc(\"a\"@4294967296)", &expect(30));
}

#[test]
fn character_codes_end_at_the_closing_brace() {
    for (text, expect) in [("\\u{7f}", "\u{7f}"), ("\\u{0010ffff}!", "\u{10ffff}!"), ("\\u{0000041}}", "A}")] {
        let module = parse(&format!("netc 1\nfile file0 = \"{text}\"")).unwrap();
        assert_eq!(&*module.files[0], expect);
    }
    for text in ["\\u{110000}", "\\u{}", "\\u{+1}", "\\u41", "\\u{41"] {
        let error = parse(&format!("netc 1\nfile file0 = \"{text}\"")).unwrap_err();
        assert!(error.message.contains("expected a character code"), "{text}: {error}");
    }
}

#[test]
fn alternative_spellings_of_numbers_are_rejected() {
    for text in ["nan", "infinity", "Inf", "+1", "+1.5", "--1"] {
        let error = parse(&format!("netc 1\nattrs {{a = {text}}}")).unwrap_err().to_string();
        assert!(error.starts_with("line 2, column 12: expected a value"), "{text}: {error}");
    }
    let module = parse("netc 1\nweight w0 \"w\" : f32[2] = rand(1, 0, 1)").unwrap();
    let WeightData::Random { low, high, .. } = module.weights[0].data else { panic!("{:?}", module.weights) };
    assert_eq!((low.get(), high.get()), (0.0, 1.0));
    check_rejected("% = neg(%x) : f32[]", "line 3, column 2: expected the name of a value");
}

#[test]
fn only_source_ops_have_absent_operands_and_name_functions() {
    check_rejected("%y = neg(_) : f32[]", "line 3, column 10: only a source op can have absent operands");
    check_rejected("%y = call @main(_) : f32[]", "line 3, column 17: only a source op can have absent operands");
    check_rejected("%y = a.b(%_) : f32[]", "line 3, column 10: `%_` is not defined above");
    let only = "only attributes of source ops can name weights and functions";
    check_rejected("%y = call @main(%x) {f = @main} : f32[]", &format!("line 3, column 21: {only}"));
    check_rejected("%y = constant() {value = @main} : f32[]", &format!("line 3, column 17: {only}"));
    check_rejected("%y = a.b(%x) {f = [@g]} : f32[]", "line 3, column 20: there is no function `@g`");
    check_rejected("%y = a.b(%x) {f = w1} : f32[]", "line 3, column 19: `w1` is not defined above");
    check_rejected(
        "%y = a.b(%x) {f = bytes(\"0g\")} : f32[]",
        "line 3, column 25: expected two hexadecimal digits per byte",
    );
}
