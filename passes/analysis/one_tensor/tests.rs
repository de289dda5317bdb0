//! Tests one-tensor cuts against their definition.

use netc_ir::{Def, ValueId, parse};
use netc_testgen::property::config;
use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};
use proptest::prelude::*;

use super::*;
use crate::analysis::{OpNames, is_constant, live_ops, needed_by};
use crate::testing::{random_lowered, random_module};

#[track_caller]
fn check(body: &str, expect: &[&str]) {
    let module = parse(&format!("netc 1\nfunc @main{body}")).unwrap();
    let cuts = one_tensor_cuts(&module, &Dialects::new());
    let names: Vec<&str> = cuts.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, expect);
}

#[test]
fn a_chain_can_be_cut_everywhere_except_at_its_end() {
    check(
        "(%x: f32[2]) -> (%c) { %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = relu(%b) : f32[2] }",
        &["%a", "%b"],
    );
}

#[test]
fn a_residual_block_can_be_cut_around() {
    check(
        "(%x: f32[2]) -> (%y) {
           %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = neg(%b) : f32[2] %d = add(%a, %c) : f32[2] %y = relu(%d) : f32[2]
         }",
        &["%a", "%d"],
    );
}

#[test]
fn an_intermediate_output_does_not_cross() {
    check(
        "(%x: f32[2]) -> (%a, %c) { %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = relu(%b) : f32[2] }",
        &["%a", "%b"],
    );
    check("(%x: f32[2]) -> (%b, %c) { %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = neg(%a) : f32[2] }", &["%a"]);
}

/// Checks the cuts and the inputs that both parts read.
#[track_caller]
fn check_shared(text: &str, expect: &[(&str, &[&str])]) {
    let module = parse(text).unwrap();
    let cuts = one_tensor_cuts(&module, &Dialects::new());
    let shared = |cut: &Cut| cut.shared_inputs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let found: Vec<_> = cuts.iter().map(|cut| (cut.name.as_str(), shared(cut))).collect();
    let expect: Vec<_> =
        expect.iter().map(|(cut, inputs)| (*cut, inputs.iter().map(ToString::to_string).collect())).collect();
    assert_eq!(found, expect);
}

#[test]
fn an_input_that_both_parts_read_is_named() {
    let ops = "%a = relu(%x) : f32[2] %b = add(%a, %z) : f32[2]";
    check_shared(&format!("netc 1 func @main(%x: f32[2], %z: f32[2]) -> (%b) {{ {ops} }}"), &[("%a", &[])]);
    let ops = "%a = relu(%x) : f32[2] %b = add(%a, %x) : f32[2] %c = relu(%b) : f32[2] %d = add(%c, %m) : f32[2]";
    let ops = format!("{ops} %e = add(%d, %m) : f32[2]");
    check_shared(
        &format!("netc 1 func @main(%x: f32[2], %m: f32[2] \"mask\") -> (%e) {{ {ops} }}"),
        &[("%a", &["x"]), ("%b", &[]), ("%c", &[]), ("%d", &["mask"])],
    );
}

const NESTED: &str = r#"netc 1
    layer l0 "stem" : t.A {}
    layer l1 "backbone" : t.Model {}
    layer l2 "b0" : t.A {}
    layer l3 "b1" : t.A {}
    layer l4 "head" : t.A {}
    layer l5 "block" : t.Model {}
    func @block(%t: f32[2]) -> (%b1) { %b1 = t.A l3(%t) : f32[2] }
    func @backbone(%t: f32[2]) -> (%b1) {
      %b0 = t.A l2(%t) : f32[2]
      %b1 = call @block l5(%b0) : f32[2]
    }"#;

#[test]
fn nested_models_are_opened() {
    check_shared(
        &format!(
            "{NESTED} func @main(%x: f32[2]) -> (%head) {{
               %stem = t.A l0(%x) : f32[2] %backbone = call @backbone l1(%stem) : f32[2]
               %head = t.A l4(%backbone) : f32[2] }}"
        ),
        &[("stem", &[]), ("backbone/b0", &[]), ("backbone/block/b1", &[]), ("backbone/block", &[]), ("backbone", &[])],
    );
}

#[test]
fn a_model_applied_twice_has_its_cuts_twice() {
    check_shared(
        &format!(
            "{NESTED} func @main(%x: f32[2]) -> (%head) {{
               %a = call @backbone l1(%x) : f32[2] %b = call @backbone l1(%a) : f32[2]
               %c = add(%b, %x) : f32[2] %head = t.A l4(%c) : f32[2] }}"
        ),
        &[
            ("backbone@0/b0", &["x"]),
            ("backbone@0/block/b1", &["x"]),
            ("backbone@0/block", &["x"]),
            ("backbone@0", &["x"]),
            ("backbone@1/b0", &["x"]),
            ("backbone@1/block/b1", &["x"]),
            ("backbone@1/block", &["x"]),
            ("backbone@1", &["x"]),
            ("%c", &[]),
        ],
    );
}

/// `pair` has two results. While it is one op, the result that `@main` reads can be a cut; once it is open for a cut
/// inside, it cannot.
#[test]
fn a_model_with_several_outputs_is_open_only_for_its_own_places() {
    check_shared(
        r#"netc 1
        layer l0 "pair" : t.Model {}
        layer l1 "p" : t.A {}
        layer l2 "q" : t.A {}
        layer l3 "a" : t.A {}
        layer l4 "sum" : t.Add {}
        func @pair(%t: f32[2], %u: f32[2]) -> (%p, %q) { %p = t.A l1(%t) : f32[2] %q = t.A l2(%u) : f32[2] }
        func @main(%x: f32[2], %z: f32[2]) -> (%sum) {
          %p, %q = call @pair l0(%x, %z) : f32[2], f32[2]
          %a = t.A l3(%p) : f32[2]
          %sum = t.Add l4(%a, %q) : f32[2]
        }"#,
        &[("pair/p", &[]), ("pair/q", &[])],
    );
}

#[test]
fn a_model_with_its_own_weights_is_one_place() {
    check_shared(
        r#"netc 1
        weight w0 "own" : f32[2] = 0.5
        layer l0 "inner" : t.Model {} weights {vars/0 = w0}
        layer l1 "p" : t.A {}
        layer l2 "a" : t.A {}
        func @inner(%t: f32[2]) -> (%p) { %p = t.A l1(%t) : f32[2] }
        func @main(%x: f32[2]) -> (%a) { %p = call @inner l0(%x) : f32[2] %a = t.A l2(%p) : f32[2] }"#,
        &[("inner", &[])],
    );
}

/// Every name finds the place that it is listed for, whatever characters it contains.
#[test]
fn listed_names_can_be_used_as_cuts() {
    check_shared(
        r##"netc 1
        layer l0 "a@1" : t.A {}
        layer l1 "a" : t.A {}
        layer l2 "x+y" : t.A {}
        layer l3 "before:a" : t.A {}
        layer l4 "m" : t.Model {}
        layer l5 "m/x" : t.A {}
        layer l6 "x" : t.A {}
        layer l7 "#1" : t.A {}
        func @m(%t: f32[2]) -> (%y) { %x = t.A l6(%t) : f32[2] %y = t.A l2(%x) : f32[2] }
        func @main(%i: f32[2]) -> (%z) attrs {class = "Functional"} {
          %b = t.A l0(%i) : f32[2] %c = t.A l1(%b) : f32[2] %d = t.A l1(%c) : f32[2] %e = t.A l2(%d) : f32[2]
          %f = t.A l3(%e) : f32[2] %g = call @m l4(%f) : f32[2] %h = t.A l5(%g) : f32[2] %j = t.A l7(%h) : f32[2]
          %z = t.A l1(%j) : f32[2]
        }"##,
        &[
            ("a@1", &[]),
            ("a@0", &[]),
            ("%d", &[]),
            ("x+y", &[]),
            ("before:a", &[]),
            ("#4/#1", &[]),
            ("m/x+y", &[]),
            ("m", &[]),
            ("m/x", &[]),
            ("#1", &[]),
        ],
    );
}

#[test]
fn dead_ops_and_constants_do_not_count() {
    check(
        "(%x: f32[2]) -> (%b) {
           %k = constant() {value = 0.5} : f32[2] %h = neg(%k) : f32[2]
           %a = add(%x, %h) : f32[2] %dead = add(%x, %a) : f32[2] %b = relu(%a) : f32[2]
         }",
        &["%a"],
    );
}

#[test]
fn a_weight_that_both_parts_read_does_not_cross() {
    let text = "netc 1
        weight w0 \"k\" : f32[2] = 0.5
        func @main(%x: f32[2]) -> (%c) {
          %k = weight w0() : f32[2] %h = constant() {value = 0.5} : f32[2]
          %a = add(%x, %k) : f32[2] %b = add(%a, %h) : f32[2] %d = add(%b, %h) : f32[2] %c = add(%d, %k) : f32[2]
        }";
    let module = parse(text).unwrap();
    let cuts = one_tensor_cuts(&module, &Dialects::new());
    let names: Vec<&str> = cuts.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["%a", "%b", "%d"]);
}

/// Finds the names of the cuts by the definition, in quadratic time.
fn brute_force(module: &Module) -> Vec<String> {
    let (func, names) = (module.main().unwrap(), OpNames::of(module, module.main().unwrap()));
    let live = live_ops(func);
    let mut found = Vec::new();
    for value in func.values_in_order() {
        let Def::Result(op, _) = func[value].def else { continue };
        if is_constant(&func[op].kind) {
            continue;
        }
        let first = needed_by(func, [value]);
        let reads = |inside: bool| {
            let ops = func.ops().filter(|(id, _)| live[id.index()] && first[id.index()] == inside);
            ops.flat_map(|(_, op)| op.operands.iter().copied()).collect::<Vec<_>>()
        };
        let computed_in_first = |v: &ValueId| match func[*v].def {
            Def::Param(_) => false,
            Def::Result(op, _) => first[op.index()] && !is_constant(&func[op].kind),
        };
        let mut crossing: Vec<ValueId> = reads(false).into_iter().filter(computed_in_first).collect();
        crossing.sort();
        crossing.dedup();
        let has_input = reads(true).iter().any(|v| matches!(func[*v].def, Def::Param(_)));
        if live[op.index()] && has_input && crossing == [value] {
            found.push(names.op(op));
        }
    }
    found
}

fn names(module: &Module) -> Vec<String> {
    one_tensor_cuts(module, &Dialects::new()).into_iter().map(|cut| cut.name).collect()
}

fn tree(module: &Module) -> PostDominators {
    let models = Models::openable(module, module.func_named(MAIN).unwrap());
    PostDominators::of(&Flat::of(&models, &models.open()))
}

/// The tree computed by petgraph: the dominators of the reversed graph, from the exit.
fn petgraph_parents(tree: &PostDominators) -> Vec<Option<usize>> {
    let mut reversed: DiGraph<(), ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..=tree.exit()).map(|_| reversed.add_node(())).collect();
    let mut is_read = vec![false; nodes.len()];
    for (from, to) in tree.edges() {
        reversed.add_edge(nodes[*to as usize], nodes[*from as usize], ());
        is_read[*from as usize] = true;
    }
    let exit = tree.exit() as usize;
    for node in (0..exit).filter(|n| !is_read[*n]) {
        reversed.add_edge(nodes[exit], nodes[node], ());
    }
    let dominators = simple_fast(&reversed, nodes[exit]);
    nodes.iter().map(|n| dominators.immediate_dominator(*n).map(NodeIndex::index)).collect()
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn cuts_match_the_definition(module in random_module()) {
        prop_assert_eq!(names(&module), brute_force(&module));
    }

    #[test]
    fn cuts_of_lowered_programs_match_the_definition(module in random_lowered()) {
        prop_assert_eq!(names(&module), brute_force(&module));
    }

    #[test]
    fn the_tree_matches_petgraph(module in random_module()) {
        let tree = tree(&module);
        let parents: Vec<_> = (0..tree.exit()).map(|n| Some(tree.parent(n) as usize)).collect();
        prop_assert_eq!(&parents[..], &petgraph_parents(&tree)[..parents.len()]);
    }

    #[test]
    fn ancestors_agree_with_walking(module in random_module(), a in any::<u32>(), b in any::<u32>()) {
        let tree = tree(&module);
        let (a, b) = (a % (tree.exit() + 1), b % (tree.exit() + 1));
        let path = |n: Node| std::iter::successors(Some(n), |n| (*n != tree.exit()).then(|| tree.parent(*n))).collect::<Vec<_>>();
        let common = path(a).into_iter().find(|n| path(b).contains(n));
        prop_assert_eq!(Some(tree.common(a, b)), common);
        let preorder = tree.preorder();
        let mut places = preorder.clone();
        places.sort_unstable();
        prop_assert!(places.into_iter().eq(0..=tree.exit()));
        let size = tree.subtree_sums(vec![1u32; preorder.len()]);
        let place = |n: Node| preorder[n as usize];
        prop_assert_eq!(tree.common(a, b) == a, (place(a)..place(a) + size[a as usize]).contains(&place(b)));
    }
}
