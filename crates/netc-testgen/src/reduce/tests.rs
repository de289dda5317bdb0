//! Tests the reducer on failures that are known to have small reproducers.

use netc_dialect::Dialects;
use netc_ir::{Module, OpKind, Padding, parse, print};
use netc_passes::analysis::needed_by;

use super::{Reduced, Verdict, reduce};
use crate::CoreRecipe;

/// Reduces `module` while `shows` holds.
fn reduced(module: &Module, shows: impl Fn(&Module) -> bool) -> Reduced {
    assert!(shows(module), "the module does not show the failure:\n{}", print(module));
    reduce(module, &Dialects::new(), &mut |m| if shows(m) { Verdict::Shows } else { Verdict::Clean })
}

fn has(module: &Module, name: &str) -> bool {
    module.funcs.iter().flat_map(|f| f.ops()).any(|(_, op)| op.kind.name() == name)
}

/// The first random module, by seed, with an op called `name`.
fn with_op(name: &str) -> Module {
    (0..1000).map(|seed| CoreRecipe::from_seed(seed, 40).build()).find(|m| has(m, name)).unwrap()
}

#[test]
fn random_programs_reduce_to_one_op() {
    for name in ["tanh", "reduce_sum", "transpose", "concat", "select"] {
        let small = reduced(&with_op(name), |m| has(m, name)).module;
        assert_eq!(small.num_ops(), 1, "{name}:\n{}", print(&small));
        assert_eq!((small.funcs.len(), small.weights.len()), (1, 0), "{name}:\n{}", print(&small));
    }
}

#[test]
fn attributes_and_extents_are_simplified() {
    let program = "netc 1
        weight w0 \"k\" : f32[3,3,4,8] = rand(1, -1.0, 1.0)
        func @main(%x: f32[N,9,9,8], %z: f32[N,4]) -> (%s, %z) {
          %w = weight w0() : f32[3,3,4,8]
          %y = conv(%x, %w) {strides = [2, 2], padding = \"same\", groups = 2} : f32[N,5,5,8]
          %r = relu(%y) : f32[N,5,5,8]
          %s = reduce_sum(%r) {axes = [1, 2]} : f32[N,8]
        }";
    let small = reduced(&parse(program).unwrap(), |m| {
        m.funcs.iter().flat_map(|f| f.ops()).any(|(_, op)| match &op.kind {
            OpKind::Core(netc_ir::CoreOp::Conv { window, .. }) => window.padding == Padding::Same,
            OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => false,
        })
    });
    assert_eq!(
        print(&small.module),
        "netc 1\n\nfunc @main(%x: f32[N,1,1,1], %w: f32[1,1,1,1]) -> (%2 \"y0\") {\n  \
         %2 = conv(%x, %w) {strides = [1, 1], padding = \"same\"} : f32[N,1,1,1]\n}\n"
    );
}

#[test]
fn both_required_ops_are_kept() {
    let program = "netc 1
        func @main(%x: f32[4]) -> (%e) {
          %a = exp(%x) : f32[4]
          %b = relu(%a) : f32[4]
          %c = tanh(%b) : f32[4]
          %d = neg(%c) : f32[4]
          %e = add(%d, %a) : f32[4]
        }";
    let small = reduced(&parse(program).unwrap(), |m| has(m, "exp") && has(m, "neg")).module;
    assert_eq!(small.num_ops(), 2, "{}", print(&small));
}

#[test]
fn a_stopped_reduction_returns_the_best_module_so_far() {
    let (module, mut left) = (with_op("tanh"), 3);
    let reduced = reduce(&module, &Dialects::new(), &mut |m| {
        left -= 1;
        match (left, has(m, "tanh")) {
            (0, _) => Verdict::Stop,
            (_, true) => Verdict::Shows,
            (_, false) => Verdict::Clean,
        }
    });
    assert!(reduced.stopped && reduced.tried == 3 && has(&reduced.module, "tanh"));
}

#[test]
fn only_valid_modules_are_tried() {
    reduce(&with_op("concat"), &Dialects::new(), &mut |m| {
        assert_eq!(netc_ir::verify(m), Ok(()));
        Verdict::Clean
    });
}

#[test]
fn shortcuts_remove_ops_that_only_go_together() {
    let program = "netc 1
        func @main(%x: f32[2,3]) -> (%f) {
          %a = relu(%x) : f32[2,3]
          %b = transpose(%a) {perm = [1, 0]} : f32[3,2]
          %c = reverse(%b) {axes = [0]} : f32[3,2]
          %d = transpose(%c) {perm = [1, 0]} : f32[2,3]
          %e = exp(%d) : f32[2,3]
          %f = add(%e, %a) : f32[2,3]
        }";
    let small = reduced(&parse(program).unwrap(), |m| {
        let main = m.main().unwrap();
        let of_relu = |value| {
            let needed = needed_by(main, [value]);
            main.ops().any(|(id, op)| needed[id.index()] && op.kind.name() == "relu")
        };
        main.ops().any(|(_, op)| op.kind.name() == "add" && op.operands.iter().all(|v| of_relu(*v)))
            && types_of(m).iter().all(|ty| ty == "f32[2,3]" || ty == "f32[3,2]")
    });
    assert_eq!(small.module.num_ops(), 2, "{}", print(&small.module));
}

fn types_of(module: &Module) -> Vec<String> {
    module.funcs.iter().flat_map(|f| f.values_in_order().map(|v| f[v].ty.to_string())).collect()
}
