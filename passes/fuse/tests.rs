//! Tests which ops become a group, and that `inline` undoes `fuse`. `tests/properties.rs` compares values.

use netc_ir::{Func, Module, parse, verify};
use netc_testgen::property::config;
use proptest::prelude::*;

use crate::testing::{check_fuel, random_lowered, rewrite, run, structure};

const WEIGHTS: &str = "netc 1
weight w0 \"kernel\" : f32[3,2,4] = rand(1, -1.0, 1.0)
weight w1 \"bias\" : f32[4] = rand(2, -1.0, 1.0)
";

/// The names of the ops of a function.
fn words(func: &Func) -> String {
    func.ops().map(|(_, op)| op.kind.name()).collect::<Vec<_>>().join(" ")
}

fn fused(text: &str) -> Module {
    let (text, _) = run(text, "fuse").unwrap_or_else(|e| panic!("{e}"));
    parse(&text).unwrap()
}

/// Checks the groups that `fuse` makes of `@main` with the signature and ops `main`, and the ops left around them.
#[track_caller]
fn check(main: &str, groups: &[&str], around: &str) {
    let module = fused(&format!("{WEIGHTS}func @main{main}"));
    let found: Vec<String> = module.funcs.iter().filter(|f| f.is_fused()).map(words).collect();
    assert_eq!((found.join(", "), words(module.main().unwrap())), (groups.join(", "), around.to_string()));
}

#[test]
fn a_product_takes_its_bias_activation_and_residual() {
    let text = format!(
        "{WEIGHTS}func @main(%x: f32[N,8,2], %r: f32[N,6,4]) -> (%y) attrs {{class = \"Functional\"}} {{
          %k = weight w0() : f32[3,2,4] loc(\"conv\")
          %c = conv(%x, %k) {{strides = [1]}} : f32[N,6,4] loc(\"conv\")
          %b = weight w1() : f32[4] loc(\"conv\")
          %0 = add(%c, %b) : f32[N,6,4] loc(\"conv\")
          %a = relu(%0) : f32[N,6,4] loc(\"act\")
          %y = add(%r, %a) : f32[N,6,4] loc(\"sum\")
        }}"
    );
    let (after, _) = run(&text, "fuse").unwrap();
    insta::assert_snapshot!(after, @r#"
    netc 1
    weight w0 "kernel" : f32[3,2,4] = rand(1, -1.0, 1.0)
    weight w1 "bias" : f32[4] = rand(2, -1.0, 1.0)

    func @main(%x: f32[N,8,2], %r: f32[N,6,4]) -> (%y) attrs {class = "Functional"} {
      %k = weight w0() : f32[3,2,4] loc("conv")
      %b = weight w1() : f32[4] loc("conv")
      %y = call @fused0(%x, %k, %b, %r) : f32[N,6,4] loc("act" + "conv" + "sum")
    }

    func @fused0(%x: f32[N,8,2], %k: f32[3,2,4], %b: f32[4], %r: f32[N,6,4]) -> (%y) attrs {fused = true} {
      %c = conv(%x, %k) {strides = [1]} : f32[N,6,4] loc("conv")
      %5 = add(%c, %b) : f32[N,6,4] loc("conv")
      %a = relu(%5) : f32[N,6,4] loc("act")
      %y = add(%r, %a) : f32[N,6,4] loc("sum")
    }
    "#);
    assert_eq!(run(&after, "fuse").unwrap().0, after, "the pass again");
}

#[test]
fn values_read_several_times_inside_do_not_end_a_group() {
    let gelu = "%e = erf(%c) : f32[4] %p = add(%e, %b) : f32[4] %h = mul(%c, %b) : f32[4] %y = mul(%h, %p) : f32[4]";
    check(
        &format!("(%x: f32[4], %b: f32[4]) -> (%y) {{ %c = add(%x, %b) : f32[4] {gelu} }}"),
        &["add erf add mul mul"],
        "call",
    );
}

#[test]
fn values_read_or_returned_elsewhere_end_a_group() {
    let ops = "%c = matmul(%x, %x) : f32[2,2] %r = relu(%c) : f32[2,2] %n = neg(%r) : f32[2,2] %y = exp(%n) : f32[2,2]";
    let check = |outputs: &str, more: &str, groups: &[&str], around: &str| {
        check(&format!("(%x: f32[2,2]) -> ({outputs}) {{ {ops} {more} }}"), groups, around);
    };
    check("%y", "", &["matmul relu neg exp"], "call");
    check("%r, %y", "", &["matmul relu", "neg exp"], "call call");
    check("%y, %z", "%z = reduce_sum(%r) {axes = [1]} : f32[2]", &["matmul relu", "neg exp"], "call call reduce_sum");
    check("%c, %y", "", &["relu neg exp"], "matmul call");
    // A branch that does not rejoin.
    check("%y, %z", "%z = sin(%c) : f32[2,2]", &["relu neg exp"], "matmul call sin");
}

#[test]
fn another_type_ends_a_group() {
    let chain = |elem: &str| format!("%a = relu(%x) : {elem}[4] %y = exp(%a) : {elem}[4]");
    check(&format!("(%x: f64[4]) -> (%y) {{ {} }}", chain("f64")), &["relu exp"], "call");
    for elem in ["f16", "bf16"] {
        check(&format!("(%x: {elem}[4]) -> (%y) {{ {} }}", chain(elem)), &[], "relu exp");
    }
    check("(%x: i32[4]) -> (%y) { %a = neg(%x) : i32[4] %y = abs(%a) : i32[4] }", &[], "neg abs");
    check("(%x: f32[*]) -> (%y) { %a = neg(%x) : f32[*] %y = abs(%a) : f32[*] }", &[], "neg abs");
    check(
        "(%x: f32[1,4], %b: f32[2,1]) -> (%y) { %a = neg(%x) : f32[1,4] %s = add(%a, %b) : f32[2,4] %y = exp(%s) : f32[2,4] }",
        &["add exp"],
        "neg call",
    );
    check("(%x: f32[4]) -> (%y) { %a = neg(%x) : f32[4] %y = cast(%a) : f64[4] }", &[], "neg cast");
}

#[test]
fn a_residual_addition_joins_the_last_product() {
    let ops = "%a = matmul(%x, %x) : f32[2,2] %b = matmul(%x, %a) : f32[2,2] %s = add(%a, %b) : f32[2,2]
               %y = relu(%s) : f32[2,2]";
    check(&format!("(%x: f32[2,2]) -> (%y) {{ {ops} }}"), &["matmul add relu"], "matmul call");
    // The first group is at the position of its head, so the second may read it.
    let ops = "%a = relu(%x) : f32[2,2] %b = matmul(%x, %x) : f32[2,2] %c = exp(%a) : f32[2,2]
               %y = add(%b, %c) : f32[2,2]";
    check(&format!("(%x: f32[2,2]) -> (%y) {{ {ops} }}"), &["relu exp", "matmul add"], "call call");
}

#[test]
fn constants_move_before_the_head_only_once() {
    let ops = "%a = relu(%x) : f32[4] %b = relu(%z) : f32[4] %w = weight w1() : f32[4] %c = add(%a, %w) : f32[4]
               %d = add(%w, %b) : f32[4] %y = mul(%c, %w) : f32[4]";
    check(
        &format!("(%x: f32[4], %z: f32[4]) -> (%y, %d) {{ {ops} }}"),
        &["relu add mul", "relu add"],
        "weight call call",
    );
}

#[test]
fn fused_functions_are_not_stages() {
    let text = "netc 1
        func @main(%x: f32[4]) -> (%a, %y) { %n = neg(%x) : f32[4] %a = abs(%n) : f32[4] %e = exp(%a) : f32[4]
                                              %y = sin(%e) : f32[4] }";
    let (after, _) = run(text, "fuse").unwrap();
    assert_eq!(words(parse(&after).unwrap().main().unwrap()), "call call");
    let (split, _) = run(&after, "split=%a").unwrap();
    let split = parse(&split).unwrap();
    let found: Vec<_> = split.funcs.iter().map(|f| format!("{}: {}", f.name, words(f))).collect();
    assert_eq!(found, ["main: call call", "fused0: neg abs", "fused1: exp sin", "stage0: call", "stage1: call"]);
    assert!(run(&after, "merge").unwrap_err().contains("the module is not split"));
}

#[test]
fn long_chains_become_several_groups() {
    let chain: String = (0..40).map(|i| format!("%v{} = neg(%v{i}) : f32[4]\n", i + 1)).collect();
    let module = fused(&format!("{WEIGHTS}func @main(%v0: f32[4]) -> (%v40) {{ {chain} }}"));
    assert_eq!(module.funcs.iter().map(Func::num_ops).collect::<Vec<_>>(), [2, 32, 8]);
}

#[test]
fn fused_functions_get_unused_names() {
    let text = "netc 1
        func @main(%x: f32[4]) -> (%y) { %a = call @fused0(%x) : f32[4] %b = neg(%a) : f32[4] %y = abs(%b) : f32[4] }
        func @fused0(%x: f32[4]) -> (%y) { %a = neg(%x) : f32[4] %y = exp(%a) : f32[4] }";
    let module = fused(text);
    let found: Vec<_> = module.funcs.iter().map(|f| format!("{}: {}", f.name, words(f))).collect();
    assert_eq!(found, ["main: call call", "fused0: call", "fused1: neg abs", "fused2: neg exp"]);
}

#[test]
fn each_group_is_a_rewrite() {
    let ops = "%a = neg(%x) : f32[2]
               %b = relu(%a) : f32[2]
               %c = reduce_sum(%b) {axes = [0], keep = true} : f32[1]
               %d = neg(%c) : f32[1]
               %y = exp(%d) : f32[1]";
    check_fuel("fuse", ops, &[5, 4, 3]);
    rewrite(
        "fuse",
        ops,
        "%b = call @fused0(%x) : f32[2]
         %c = reduce_sum(%b) {axes = [0], keep = true} : f32[1]
         %y = call @fused1(%c) : f32[1]",
    );
}

#[test]
fn inlining_restores_names_and_locations() {
    let text = format!(
        "{WEIGHTS}\nfunc @main(%x: f32[N,4], %k: f32[4,4]) -> (%y \"out\") {{
  %b = weight w1() : f32[4] loc(\"dense\"@1)
  %2 = matmul(%x, %k) : f32[N,4] loc(\"dense\"@1)
  %sum = add(%2, %b) : f32[N,4] loc(\"dense\"@1)
  %y = relu(%sum) : f32[N,4]
}}\n"
    );
    let before = netc_ir::print(&parse(&text).unwrap());
    let (fused, _) = run(&before, "fuse").unwrap();
    assert!(fused.contains("call @fused0"), "{fused}");
    assert_eq!(run(&fused, "inline").unwrap().0, before);
}

/// Runs `pass` on a valid module.
fn after(module: &Module, pass: &str) -> Module {
    let (text, _) = run(&netc_ir::print(module), pass).unwrap_or_else(|e| panic!("{e}"));
    let module = parse(&text).unwrap();
    verify(&module).unwrap();
    module
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn inlining_undoes_fusing(module in random_lowered()) {
        let fused = after(&module, "fuse");
        let back = after(&fused, "inline");
        prop_assert_eq!(back.funcs.len(), module.funcs.len());
        prop_assert_eq!(structure(back.main().unwrap()), structure(module.main().unwrap()));
    }
}
