//! Tests that [`verify_changes`] finds what [`verify`] finds.

use super::{verify, verify_changes};
use crate::op::{Binary, CoreOp, Unary};
use crate::{ElemType, Func, FuncId, Module, OpId, Type, ValueId, parse};

const TEXT: &str = "netc 1
file file0 = \"a\"
weight w0 \"w\" : f32[4] = rand(1, 0.0, 1.0)
layer l0 \"a\" : custom.A {}
func @f(%x: f32[4]) -> (%y) {
  %y = neg(%x) : f32[4]
}
func @main(%x: f32[4]) -> (%b) {
  %w = weight w0 : f32[4]
  %y = add(%x, %w) : f32[4] loc(file0, \"a\")
  %z = call @f(%y) : f32[4]
  %a = custom.A l0(%z) {args = [$0]} : f32[4]
  %b = relu(%a) : f32[4]
}";

/// Verifies [`TEXT`], applies `edit`, and checks that both functions find the violations `expect`: rule and place.
#[track_caller]
fn check(edit: impl FnOnce(&mut Module), expect: &[&str]) {
    let mut module = parse(TEXT).unwrap();
    verify_changes(&mut module).unwrap();
    edit(&mut module);
    let whole = verify(&module);
    assert_eq!(verify_changes(&mut module), whole);
    let found = whole.err().map_or(Vec::new(), |v| v.0);
    let found: Vec<String> = found.iter().map(|v| format!("V{} {}", v.rule, v.place)).collect();
    assert!(found.len() == expect.len() && found.iter().zip(expect).all(|(f, e)| f.starts_with(e)), "{found:#?}");
}

/// [`check`] after an edit of `@main`.
#[track_caller]
fn check_main(edit: impl FnOnce(&mut Func), expect: &[&str]) {
    check(|module| edit(&mut module[FuncId::new(1)]), expect);
}

fn op(i: usize) -> OpId {
    OpId::new(i)
}

/// `%w` and `%y`.
fn values() -> (ValueId, ValueId) {
    (ValueId::new(1), ValueId::new(2))
}

fn other() -> Type {
    Type::fixed(ElemType::F32, &[5])
}

#[test]
fn changed_ops_are_verified() {
    let (w, y) = values();
    check_main(|_| {}, &[]);
    check_main(|f| f.set_kind(op(4), CoreOp::Unary(Unary::Not)), &["V2 @main, op4"]);
    check_main(|f| f.set_kind(op(1), CoreOp::Binary(Binary::And)), &["V2 @main, op1"]);
    check_main(|f| f.set_operands(op(4), vec![y, y]), &["V2 @main, op4"]);
    check_main(|f| f.set_operands(op(1), vec![y, w]), &["V1 @main, op1"]);
    check_main(|f| f.replace_uses(&[(w, y)].into()), &["V1 @main, op1"]);
    check_main(|f| f[op(1)].results.clear(), &["V14 @main, op1", "V2 @main, op1", "V1 @main, op2"]);
}

#[test]
fn ops_with_changed_values_are_verified() {
    let (w, y) = values();
    check_main(|f| f.set_type(w, other()), &["V2 @main, op0", "V2 @main, op1"]);
    check_main(|f| f.set_type(y, other()), &["V2 @main, op1", "V5 @main, op2"]);
    check_main(|f| f[y].name = Some("w".into()), &["V4 @main, op1"]);
    check_main(|f| f.retain_ops(|o| o != op(0)), &["V1 @main, op1"]);
}

#[test]
fn changed_tables_are_verified() {
    check(|m| m.weights[0].ty = other(), &["V2 @main, op0"]);
    check(|m| m.files.clear(), &["V3 @main, op1"]);
    check(|m| m.layers[0].class = "custom.B".into(), &["V7 @main, op3"]);
    check(|m| m.layers.clear(), &["V3 @main, op3"]);
    check(|m| m.funcs[0].params.clear(), &["V1 @f, op0", "V5 @main, op2"]);
    check_main(|f| f.set_operands(op(3), vec![]), &["V8 @main, op3"]);
}

#[test]
fn functions_and_weights_named_by_attributes_are_verified() {
    let text = "netc 1
weight w0 \"w\" : f32[4] = 0.5
func @main(%x: f32[4]) -> (%y) {
  %y = custom.Loop(%x) {body = @body, bias = [w0]} : f32[4]
}
func @body(%x: f32[4]) -> (%y) {
  %y = custom.Step(%x) : f32[4]
}";
    let check = |edit: &dyn Fn(&mut Module), expect: &[&str]| {
        let mut module = parse(text).unwrap();
        verify_changes(&mut module).unwrap();
        edit(&mut module);
        let whole = verify(&module);
        assert_eq!(verify_changes(&mut module), whole);
        let found: Vec<String> = whole
            .err()
            .map_or(Vec::new(), |v| v.0)
            .iter()
            .map(|v| format!("V{} {}: {}", v.rule, v.place, v.note))
            .collect();
        assert_eq!(found, expect);
    };
    check(&|_| {}, &[]);
    let place = "V3 @main, op0 `custom.Loop` (unknown place)";
    check(&|m| m.weights.clear(), &[&format!("{place}: there is no weight w0")]);
    check(&|m| drop(m.funcs.pop()), &[&format!("{place}: there is no function f1")]);
    let recursive = |m: &mut Module| {
        let looping = m.funcs[0][op(0)].kind.clone();
        m.funcs[1].set_kind(op(0), looping);
    };
    check(&recursive, &["V6 @body: calls @body recursively"]);
    let named = |m: &mut Module| {
        let attrs = m.funcs[0][op(0)].kind.attrs().cloned().unwrap();
        m.attrs = attrs;
    };
    check(&named, &["V17 the module: its attributes name weights or functions, as only those of a source op can"]);
}

#[test]
fn a_removed_parameter_is_verified_when_it_is_restored() {
    let mut module =
        parse("netc 1\nfunc @main(%x: f32[4], %p: f32[4]) -> (%b) {\n  %b = relu(%x) : f32[4]\n}").unwrap();
    verify_changes(&mut module).unwrap();
    let main = &mut module.funcs[0];
    let param = main.params.pop().unwrap();
    let b = main.outputs[0].value;
    main[b].name = Some("p".into());
    verify_changes(&mut module).unwrap();
    module.funcs[0].params.push(param);
    assert!(verify(&module).is_err());
    assert_eq!(verify_changes(&mut module), verify(&module));
}

#[test]
fn a_function_copied_from_another_module_is_verified() {
    let mut module = parse(TEXT).unwrap();
    verify_changes(&mut module).unwrap();
    let main = module.funcs[1].clone();
    let mut other = parse("netc 1\nfunc @f(%x: f32[4]) -> (%y) {\n  %y = neg(%x) : f32[4]\n}").unwrap();
    other.add_func(main);
    let found = verify(&other);
    assert!(found.is_err());
    assert_eq!(verify_changes(&mut other), found);
}

#[test]
fn an_operand_whose_op_was_removed_is_reported() {
    check_main(|f| f.retain_ops(|o| o != op(2)), &["V1 @main, op3"]);
}
