//! One-tensor cuts against their definition.

use netc_ir::{Def, parse};
use netc_testgen::property::config;
use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};
use proptest::prelude::*;

use super::*;
use crate::analysis::{is_constant, live_ops, needed_by};
use crate::testing::{random_lowered, random_module};

#[track_caller]
fn check(body: &str, expect: &[&str]) {
    let module = parse(&format!("netc 1\nfunc @main{body}")).unwrap();
    let cuts = one_tensor_cuts(&module, module.main().unwrap());
    let names: Vec<&str> = cuts.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, expect);
}

#[test]
fn a_chain_can_be_cut_everywhere_but_at_its_end() {
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
fn an_output_on_the_way_does_not_cross() {
    check(
        "(%x: f32[2]) -> (%a, %c) { %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = relu(%b) : f32[2] }",
        &["%a", "%b"],
    );
    check("(%x: f32[2]) -> (%b, %c) { %a = relu(%x) : f32[2] %b = relu(%a) : f32[2] %c = neg(%a) : f32[2] }", &["%a"]);
}

#[test]
fn an_input_that_both_parts_read_crosses() {
    let ops = "%a = relu(%x) : f32[2] %b = add(%a, %z) : f32[2]";
    check(&format!("(%x: f32[2], %z: f32[2]) -> (%b) {{ {ops} }}"), &["%a"]);
    check("(%x: f32[2]) -> (%b) { %a = relu(%x) : f32[2] %b = add(%a, %x) : f32[2] }", &[]);
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
    let cuts = one_tensor_cuts(&module, module.main().unwrap());
    let names: Vec<&str> = cuts.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["%a", "%b", "%d"]);
}

/// The definition, word for word, in quadratic time.
fn brute_force(func: &Func) -> Vec<(OpId, ValueId)> {
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
        let (read_before, read_after) = (reads(true), reads(false));
        let of_first = |v: &ValueId| match func[*v].def {
            Def::Param(_) => read_before.contains(v),
            Def::Result(op, _) => first[op.index()] && !is_constant(&func[op].kind),
        };
        let mut crossing: Vec<ValueId> = read_after.into_iter().filter(of_first).collect();
        crossing.sort();
        crossing.dedup();
        let has_input = read_before.iter().any(|v| matches!(func[*v].def, Def::Param(_)));
        if live[op.index()] && has_input && crossing == [value] {
            found.push((op, value));
        }
    }
    found
}

/// The tree as petgraph computes it: dominators of the reversed graph, from the exit.
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
    fn the_fast_way_finds_what_the_definition_says(module in random_module()) {
        let main = module.main().unwrap();
        prop_assert_eq!(OneTensorCuts::of(main).iter().collect::<Vec<_>>(), brute_force(main));
    }

    #[test]
    fn it_does_so_among_weights_of_layers_too(module in random_lowered()) {
        let main = module.main().unwrap();
        prop_assert_eq!(OneTensorCuts::of(main).iter().collect::<Vec<_>>(), brute_force(main));
    }

    #[test]
    fn the_tree_is_that_of_petgraph(module in random_module()) {
        let tree = PostDominators::of(module.main().unwrap());
        let parents: Vec<_> = (0..tree.exit()).map(|n| Some(tree.parent(n) as usize)).collect();
        prop_assert_eq!(&parents[..], &petgraph_parents(&tree)[..parents.len()]);
    }

    #[test]
    fn ancestors_agree_with_walking(module in random_module(), a in any::<u32>(), b in any::<u32>()) {
        let tree = PostDominators::of(module.main().unwrap());
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
