//! Tests of custom rules and of equality saturation.

use crate::support::Folder;

const RULES: &str = include_str!("../../examples/relu-after-pool.rules");

const PROGRAM: &str = "netc 1
weight w0 \"a\" : f32[64,32] = rand(1, -1.0, 1.0)
weight w1 \"b\" : f32[64,32] = rand(2, -1.0, 1.0)
func @main(%x: f32[N,64]) -> (%y) {
  %0 = weight w0() : f32[64,32]
  %1 = weight w1() : f32[64,32]
  %a = matmul(%x, %0) : f32[N,32]
  %b = matmul(%x, %1) : f32[N,32]
  %y = add(%a, %b) : f32[N,32]
}
";

fn folder() -> Folder {
    Folder::new().with("my.rules", RULES).with("p.nir", PROGRAM)
}

#[test]
fn rules_of_a_file_are_applied() {
    let pipeline = "lower,rewrite=my.rules,dce";
    let out = folder().netc(&["zoo:siamese", "--pipeline", pipeline, "--verify", "--stats", "-o", "s.nir"]);
    assert!(out.err.contains("4 rules applied"), "{}", out.err);
    assert!(out.out.contains("verify    outputs are equal bit for bit"), "{}", out.out);
    assert!(out.out.contains("rewrite: @main: `relu-after-pool` applied 4 times\n"), "{}", out.out);
    let out = folder().netc(&["p.nir", "--pass", "rewrite=my.rules"]).done();
    assert!(out.contains("rewrite: no rule of my.rules matches\n"), "{out}");
}

#[test]
fn a_rule_that_changes_values_is_rejected_with_a_counterexample() {
    let folder = folder().with("wrong.rules", "swap: sub(?a, ?b) => sub(?b, ?a)\n");
    let args = ["p.nir", "--pass", "rewrite=wrong.rules", "-o", "x.nir"];
    let ran = folder.netc(&args);
    assert!(
        ran.err.contains("cannot use the rewrite rules in `wrong.rules`: line 1: rule `swap` changes values: element "),
        "{}",
        ran.err
    );
    let program = ran.err.split_once(" of this program:\n").unwrap().1;
    assert!(program.starts_with("netc 1\n") && program.contains(" = sub(%0, %1)"), "{program}");
    let ran = folder.netc(&["p.nir", "--pass", "saturate{rules=wrong.rules}"]);
    assert!(ran.code == 1 && ran.err.contains("`wrong.rules`: line 1: rule `swap` changes"), "{}", ran.err);
    assert!(!folder.path("x.nir").exists());
}

#[test]
fn errors_in_rules_name_the_file_and_the_line() {
    let folder = folder().with("bad.rules", "r: relu(?x) => ?y\n").with("two.rules", "r: neg(?x), neg(?y) => ?x, ?y");
    let failed = |rules: &str, parts: &[&str]| {
        folder.netc(&["p.nir", "--pass", &format!("rewrite={rules}")]).failed(2, parts);
    };
    failed(
        "bad.rules",
        &[
            "cannot read the rewrite rules in `bad.rules`: line 1, column 16: the hole `?y` does not occur in the terms to match",
        ],
    );
    failed("none.rules", &["cannot read the rewrite rules in `none.rules`"]);
    let ran = folder.netc(&["p.nir", "--pass", "rewrite=two.rules"]);
    assert!(ran.code == 1 && ran.err.contains("`two.rules`: line 1: rule `r` changes"), "{}", ran.err);
}

#[test]
fn a_rule_replaces_several_values_at_once() {
    let folder = folder().with("one.rules", include_str!("../../examples/one-product.rules"));
    let out = folder.netc(&["p.nir", "--pipeline", "rewrite=one.rules,dce", "--verify", "-o", "y.nir"]).done();
    assert!(out.contains("verify    outputs are "), "{out}");
    let program = String::from_utf8(folder.read("y.nir")).unwrap();
    assert_eq!(program.matches(" matmul(").count(), 1, "{program}");
}

#[test]
fn saturation_finds_a_cheaper_program_and_reports_why_it_stopped() {
    let out = folder().netc(&["p.nir", "--pipeline", "saturate,fix(fold-const,dce)", "--verify", "-o", "y.nir"]).done();
    assert!(out.contains("saturate: @main: ") && out.contains("no rule finds anything new"), "{out}");
    assert!(out.contains("within the rounding bound"), "{out}");
    let folder = folder();
    folder.netc(&["p.nir", "--pipeline", "saturate,fix(fold-const,dce)", "-o", "y.nir"]).done();
    let program = String::from_utf8(folder.read("y.nir")).unwrap();
    assert_eq!(program.matches(" matmul(").count(), 1, "x A + x B = x (A + B): {program}");
}

#[test]
fn saturation_respects_its_limits() {
    let out = folder().netc(&["p.nir", "--pass", "saturate{nodes=1}", "--emit", "json"]).done();
    assert!(out.contains("the limit of nodes is reached"), "{out}");
    let out = folder().netc(&["p.nir", "--pass", "saturate{iters=1}", "--emit", "json"]).done();
    assert!(out.contains("after 1 iteration, the limit of iterations is reached"), "{out}");
    let out = folder().netc(&["p.nir", "--pass", "saturate", "--fuel", "2", "--emit", "json"]).done();
    assert!(out.contains("the fuel is used up"), "{out}");
}
