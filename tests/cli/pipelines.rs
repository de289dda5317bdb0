//! Tests of pipelines: printing, statistics, bisecting, reducing and reproducers.

use serde_json::Value;

use crate::support::Folder;

const PROGRAM: &str = "netc 1

func @main(%x: f32[N,4]) -> (%d) {
  %a = abs(%x) : f32[N,4]
  %dead = exp(%a) : f32[N,4]
  %b = sqrt(%a) : f32[N,4]
  %c = tanh(%b) : f32[N,4]
  %d = relu(%c) : f32[N,4]
}
";

fn folder() -> Folder {
    Folder::new().with("p.nir", PROGRAM)
}

#[test]
fn a_pipeline_is_a_comma_separated_list_of_passes() {
    let out = folder().netc(&["p.nir", "--pipeline", "fix{max=3}(dce),dce", "--emit", "json"]).done();
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["passes"], serde_json::json!(["fix{max=3}(dce)", "dce"]));
    assert_eq!(json["remarks"], serde_json::json!(["dce: removed 1 op of `@main`"]));
    folder().netc(&["p.nir", "--pipeline", "fix(dce", "-o", "x.nir"]).failed(2, &["at character 8", "`,` or `)`"]);
    folder().netc(&["p.nir", "--pipeline", "dcee"]).failed(2, &["no such pass: `dcee`; did you mean `dce`"]);
    folder().netc(&["p.nir", "--pass", "simplify"]).failed(2, &["no such pass: `simplify`; did you mean `@simplify`?"]);
    folder()
        .netc(&["p.nir", "--pass", "@simplfy"])
        .failed(2, &["no such pipeline: `@simplfy`; did you mean `@simplify`?"]);
}

#[test]
fn programs_between_passes_are_printed_on_request() {
    let whole = folder().netc(&["p.nir", "--pass", "dce", "--print-ir-after", "dce", "--print-ir-before", "dce"]);
    assert!(whole.err.starts_with("; before dce, pass 0\nnetc 1\n"), "{}", whole.err);
    assert!(whole.err.contains("; after dce, pass 0\nnetc 1\n") && whole.err.matches("exp(").count() == 1);
    let change = folder().netc(&["p.nir", "--pipeline", "dce,dce", "--print-ir-after-change", "--print-ir=diff"]);
    assert_eq!(change.err.matches("; after dce").count(), 1, "the second changes nothing: {}", change.err);
    assert!(change.err.contains("\n-  %dead = exp(%a) : f32[N,4]\n"), "{}", change.err);
    folder().netc(&["p.nir", "--print-ir-after", "dcee"]).failed(2, &["did you mean `dce`"]);
}

#[test]
fn programs_between_passes_are_written_on_request() {
    let folder = folder();
    folder.netc(&["p.nir", "--pipeline", "dce,lower", "--print-ir-dir", "ir"]).done();
    assert_eq!(folder.names(), ["ir", "ir/000-after-dce.nir", "ir/001-after-lower.nir", "p.nir"]);
    folder.netc(&["ir/001-after-lower.nir", "--verify"]).done();
}

#[test]
fn timing_and_statistics_are_printed_on_standard_error() {
    let ran = folder().netc(&["p.nir", "--pipeline", "fix(dce),faulty=none", "--timing", "--stats"]);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines[0].starts_with("timing") && lines[1].starts_with("fix(dce),faulty=none "), "{}", ran.err);
    assert!(ran.err.contains("\n  fix(dce)") && ran.err.contains("\n    dce "), "{}", ran.err);
    let faulty = lines.iter().rfind(|l| l.starts_with("  faulty=none")).unwrap();
    assert_eq!(faulty.split_whitespace().collect::<Vec<_>>()[1..], ["4", "4", "4", "4", "ops", "looked", "at"]);
    let json = folder().netc(&["p.nir", "--pass", "dce", "--stats=json"]);
    let stats: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((&stats["steps"][0]["name"], &stats["rewrites"]), (&"dce".into(), &1.into()));
}

#[test]
fn fuel_limits_the_rewrites() {
    let ran = |fuel| folder().netc(&["p.nir", "--pass", "dce", "--fuel", fuel, "--emit", "ir"]).done();
    assert!(ran("0").contains("exp(") && !ran("1").contains("exp("));
}

#[test]
fn a_pass_that_changes_values_is_named() {
    let folder = folder();
    folder.netc(&["p.nir", "--pipeline", "dce,faulty,dce", "--verify-each=values"]).failed(
        3,
        &["pass `faulty`: the pass has a bug and changes outputs: OUTPUTS DIFFER", "`netc repro netc-reproducer.nir`"],
    );
    folder.netc(&["repro", "netc-reproducer.nir"]).failed(3, &["pass `faulty`: the pass has a bug"]);
    folder.netc(&["p.nir", "--pipeline", "dce,faulty=none", "--verify-each=values"]).done();
    let ran = folder.netc(&["p.nir", "--pass", "faulty", "--verify", "-o", "x.nir"]);
    assert!(ran.code == 3 && ran.err.contains("nothing was written") && !folder.path("x.nir").exists(), "{}", ran.err);
}

#[test]
fn a_reproducer_of_a_broken_rule_shows_it_again() {
    let folder = folder();
    let ran = folder.netc(&["p.nir", "--pipeline", "dce,faulty=break", "--fuel", "4", "--reproducer", "again.nir"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("pass `faulty=break` left a module that breaks the rules of the IR (a bug in the pass)"));
    let text = String::from_utf8(folder.read("again.nir")).unwrap();
    let header: Vec<&str> = text.lines().take(4).collect();
    let failure = "; failure: pass `faulty=break` left a module that breaks the rules of the IR (a bug in the pass):";
    let version = format!("; netc-reproducer: {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(header, [version.as_str(), "; pipeline: faulty=break", failure, "; fuel: 3"]);
    assert!(text.contains("tanh(") && !text.contains("exp("), "the program before the pass: {text}");
    let again = folder.netc(&["repro", "again.nir"]);
    assert!(again.code == 1 && again.err.contains("breaks the rules"), "{}", again.err);
    assert_eq!(folder.read("again.nir"), text.as_bytes(), "the reproducer stays as it is");
}

#[test]
fn damaged_reproducer_headers_do_not_panic() {
    let header = [
        ("netc-reproducer", env!("CARGO_PKG_VERSION")),
        ("pipeline", "dce"),
        ("failure", "it did"),
        ("layers", "scale.nir"),
        ("fuel", "4"),
        ("values", "seed 3, batch 2"),
    ];
    let program = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = relu(%x) : f32[N,4] }\n";
    let hostile = ["", "-1", "99999999999999999999999", "\u{0}", "seed -1, batch 0", "seed x", "p{a=[", ": : :", "/"];
    for place in 0..header.len() {
        for value in hostile {
            let line = |(i, (key, own)): (usize, &(&str, &str))| {
                format!("; {key}: {}\n", if i == place { value } else { own })
            };
            let text: String = header.iter().enumerate().map(line).collect();
            let scale = include_bytes!("../../layers/scale.nir");
            let folder = Folder::new().with("scale.nir", scale).with("bad.nir", format!("{text}{program}"));
            let ran = folder.netc(&["repro", "bad.nir"]);
            assert!((0..=3).contains(&ran.code), "{text}: {ran:?}");
        }
    }
}

#[test]
fn a_reproducer_without_a_failure_says_so() {
    let header = "; netc-reproducer: 0.0.1\n; pipeline: dce\n; failure: pass `dce` panicked\n";
    let folder = Folder::new().with("old.nir", format!("{header}{PROGRAM}")).with("p.nir", PROGRAM);
    let ran = folder.netc(&["repro", "old.nir"]);
    assert!(ran.err.starts_with("note: netc 0.0.1 wrote this reproducer"), "{}", ran.err);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "`dce` no longer fails. The reproducer recorded: pass `dce` panicked\n")
    );
    folder.netc(&["repro", "p.nir"]).failed(1, &["`p.nir` is not a reproducer", "netc-reproducer"]);
}

#[test]
fn bisect_finds_the_pass_and_the_rewrite() {
    let out = folder().netc(&["bisect", "p.nir", "--pipeline", "dce,faulty=none,faulty,dce"]).done();
    assert!(out.starts_with("failure   OUTPUTS DIFFER"), "{out}");
    assert!(out.contains("\npass      faulty (number 3 of 4)\nrewrite   3 of 4 (--fuel 8)\n"), "{out}");
    assert!(out.contains("\n-  %c = tanh(%b) : f32[N,4]\n+  %c = sin(%b) : f32[N,4]\n"), "{out}");
    let runs: usize = out.lines().last().unwrap().strip_prefix("runs      ").unwrap().parse().unwrap();
    assert!(runs <= 2 + 2 + 1 + 2 + 2, "whole, none, passes, before the pass, rewrites, the two shown: {runs}");
}

#[test]
fn bisect_accepts_a_check_command() {
    let check = ["--check", "grep -q sin"];
    let out = folder().netc(&["bisect", "p.nir", "--pipeline", "dce,faulty", check[0], check[1]]).done();
    assert!(out.starts_with("failure   `grep -q sin` exits with 0\npass      faulty (number 2 of 2)\n"), "{out}");
    let none = ["bisect", "p.nir", "--pipeline", "dce", check[0], check[1]];
    folder().netc(&none).failed(1, &["there is no failure to bisect after 1 pass and 1 rewrite"]);
    let before = ["bisect", "p.nir", "--pass", "dce", "--check", "grep -q tanh"];
    folder().netc(&before).failed(1, &["the model fails before any pass runs"]);
}

#[test]
fn bisect_reports_passes_that_do_not_count_rewrites() {
    let out = folder().netc(&["bisect", "p.nir", "--pipeline", "dce,faulty=uncounted"]).done();
    assert!(out.contains("rewrite   unknown: the pass does not count its rewrites\n"), "{out}");
    let broken = folder().netc(&["bisect", "p.nir", "--pass", "faulty=break"]).done();
    assert!(broken.contains("\npass      faulty=break (number 1 of 1)\nrewrite   4 of 5 (--fuel 4)\n"), "{broken}");
}

#[test]
fn reduce_keeps_the_failure() {
    let folder = folder();
    let out = folder.netc(&["reduce", "p.nir", "--pipeline", "dce,faulty", "-o", "small.nir"]).done();
    assert!(out.starts_with("failure   OUTPUTS DIFFER") && out.contains("\nafter     1 op\n"), "{out}");
    let small = String::from_utf8(folder.read("small.nir")).unwrap();
    assert_eq!(small, "netc 1\n\nfunc @main(%b: f32[N,1]) -> (%1 \"y0\") {\n  %1 = tanh(%b) : f32[N,1]\n}\n");
    folder
        .netc(&["reduce", "p.nir", "--pass", "dce", "-o", "x.nir"])
        .failed(1, &["there is no failure to reduce", "5 tries"]);
    folder.netc(&["reduce", "p.nir", "--pass", "faulty", "-o", "p.nir"]).failed(1, &["is an input"]);
    folder.netc(&["reduce", "p.nir", "--pass", "faulty", "-o", "p.keras"]).failed(2, &["must end in .nir"]);
}

#[test]
fn reduce_accepts_a_check_command() {
    let folder = folder();
    let args = ["reduce", "p.nir", "--check", "grep -q relu", "-o", "small.nir"];
    assert!(folder.netc(&args).done().contains("\nafter     1 op\n"));
    assert!(String::from_utf8(folder.read("small.nir")).unwrap().contains("relu(%"));
}

#[test]
fn flaky_failures_are_tried_several_times() {
    let folder = folder();
    // Shows the failure every other time.
    let check = "f() { if [ -e odd ]; then rm odd; grep -q relu \"$1\"; else touch odd; false; fi; }; f";
    let ran = folder.netc(&["reduce", "p.nir", "--check", check, "-o", "small.nir"]);
    assert_eq!(ran.err, "note: the failure is intermittent: it occurred in 2 of 5 tries\n");
    assert!(ran.out.contains("\nafter     1 op\n"), "{}", ran.out);
}

#[test]
fn bugs_are_bisected_and_reduced_in_programs_that_do_not_run() {
    let unknown = PROGRAM.replace("= sqrt(", "= custom.Mystery(");
    let folder = Folder::new().with("p.nir", unknown);
    for how in ["break", "panic"] {
        let pass = format!("faulty={how}");
        let found = folder.netc(&["bisect", "p.nir", "--pipeline", &format!("dce,{pass}")]);
        assert!(found.out.contains(&format!("\npass      {pass} (number 2 of 2)\n")), "{}{}", found.out, found.err);
        let ran = folder.netc(&["reduce", "p.nir", "--pass", &pass, "-o", "small.nir"]);
        assert!(ran.out.starts_with("failure   pass `faulty=") && ran.err.is_empty(), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_missing_check_command_is_an_error() {
    let args = ["reduce", "p.nir", "--check", "no-such-command", "-o", "small.nir"];
    folder().netc(&args).failed(2, &["cannot run `--check no-such-command`"]);
}

#[test]
fn the_smallest_program_so_far_survives_a_kill() {
    let folder = folder();
    // The check kills netc once a smaller program is written.
    let check = "f() { [ -e small.nir ] && kill -9 $PPID; grep -q relu \"$1\"; }; f";
    let ran = folder.netc(&["reduce", "p.nir", "--check", check, "-o", "small.nir"]);
    assert_ne!(ran.code, 0, "{}", ran.out);
    let small = netc_ir::parse(&String::from_utf8(folder.read("small.nir")).unwrap()).unwrap();
    assert!(small.num_ops() < netc_ir::parse(PROGRAM).unwrap().num_ops());
    assert_eq!(folder.contents().len(), 2, "{:?}", folder.contents().keys());
}

#[test]
fn passes_of_other_fidelity_are_not_compared() {
    let part = ["p.nir", "--pass", "extract=%a..%c", "--verify-each=values"];
    folder().netc(&part).done();
    folder()
        .netc(&["p.nir", "--pass", "extract=%a..%c", "--verify"])
        .failed(2, &["the pass `extract=%a..%c` changes", "nothing to compare"]);
}
