//! Tests of the verifier's messages.

use super::*;
use crate::id::FileId;
use crate::op::SourceOp;
use crate::{Attr, WeightId, parse, print};

const TEXT: &str = "netc 1
file file0 = \"a\"
func @main(%x: f32[N]) -> (%z) {
  %y = custom.A(%x) {args = [$0]} : f32[N] loc(file0, \"a\")
  %z = neg(%y) : f32[N] loc(\"b\" + file0, \"c\")
}";

/// Verifies [`TEXT`] after `edit` and compares the messages.
#[track_caller]
fn check(edit: impl FnOnce(&mut Func), expect: &[&str]) {
    let mut module = parse(TEXT).unwrap();
    edit(&mut module.funcs[0]);
    let found = verify(&module).err().map_or(Vec::new(), |v| v.0);
    let found: Vec<String> = found.iter().map(|v| format!("V{} {}", v.rule, v.note)).collect();
    assert_eq!(found, expect);
}

fn nested(levels: usize) -> Attr {
    (0..levels).fold(Attr::Null, |inner, _| Attr::List(vec![inner]))
}

fn source(f: &mut Func) -> &mut SourceOp {
    if let OpKind::Source(op) = &mut f.ops[0].kind { op } else { panic!("expected a source op first") }
}

#[test]
fn locations_refer_to_existing_files() {
    let place = |file| Loc::Call { file: Some(FileId::new(file)), path: "p".into(), call: 0 };
    check(|f| f.ops[0].loc = place(0), &[]);
    check(|f| f.ops[0].loc = place(1), &["V3 its location refers to file1, which does not exist"]);
    check(
        |f| f.ops[0].loc = Loc::Fused(vec![place(0), place(2)]),
        &["V3 its location refers to file2, which does not exist"],
    );
}

#[test]
fn a_tensor_has_at_most_64_axes() {
    let ty = |rank: usize| Type::fixed(crate::ElemType::F32, &vec![1; rank]);
    check(|f| f.values.iter_mut().for_each(|v| v.ty = ty(64)), &[]);
    let error = "V16 a tensor has 65 axes, expected at most 64";
    check(|f| f.values.iter_mut().for_each(|v| v.ty = ty(65)), &[error; 3]);
}

#[test]
fn unprintable_modules_are_reported() {
    check(|f| f.ops[1].loc = Loc::Fused(vec![]), &["V14 its location has 0 parts, expected two or more"]);
    check(
        |f| f.ops[1].loc = Loc::Fused(vec![Loc::Unknown, Loc::Unknown]),
        &["V14 a part of its fused location is fused or unknown"],
    );
    check(|f| source(f).name = "a".into(), &["V14 its name `a` is not a dialect and a class joined by a dot"]);
    check(
        |f| {
            f.ops[0].results.clear();
            f.ops[1].operands = vec![f.params[0].value];
        },
        &["V14 it has no result"],
    );
    check(
        |f| f.values.iter_mut().for_each(|v| v.ty = Type::new(v.ty.elem, [Dim::symbol("a b")])),
        &["V14 f32[a b] has a symbol that is not a word"; 3],
    );
}

#[test]
fn attributes_nest_up_to_128_levels() {
    let deep = "V14 its attributes nest deeper than 128 levels";
    check(|f| source(f).attrs.set("deep", nested(128)), &[deep]);
    check(|f| f.attrs.set("deep", nested(5_000)), &[deep]);
    let mut module = parse(TEXT).unwrap();
    source(&mut module.funcs[0]).attrs.set("deep", nested(127));
    assert_eq!(verify(&module), Ok(()));
    assert_eq!(parse(&print(&module)), Ok(module));
}

#[test]
fn positions_of_absent_operands_are_checked() {
    let check_absent = |absent: &[u32], expect: &[&str]| check(|f| source(f).absent = absent.into(), expect);
    check_absent(&[0, 2], &[]);
    check_absent(&[1, 2], &[]);
    check_absent(&[1, 1], &["V18 absent operands at [1, 1], expected ascending positions below 3"]);
    check_absent(&[2], &["V18 absent operands at [2], expected ascending positions below 2"]);
    let mut module = parse(TEXT).unwrap();
    source(&mut module.funcs[0]).absent = vec![0, 2, 3];
    let text = print(&module);
    assert!(text.contains("custom.A(_, %x, _, _) {args = [$0]}"), "{text}");
    assert_eq!(parse(&text), Ok(module));
}

#[test]
fn inconsistent_tables_and_definitions_are_reported() {
    let other = ValueId::new(9);
    check(|f| f.order.push(OpId::new(7)), &["V12 op7 is not in the table of ops"]);
    check(|f| f.order.push(OpId::new(1)), &["V12 op1 occurs twice in the order", "V4 %2 is defined twice"]);
    check(|f| f.ops[1].results.push(other), &["V4 %9 is not in the table of values"]);
    check(|f| f.values[1].def = Def::Param(0), &["V4 %1 is defined as Result(op0, 0), its entry says Param(0)"]);
}

#[test]
fn ids_one_past_the_end_are_rejected() {
    let mut module =
        parse("netc 1\nweight w0 \"w\" : f32[2] = 0.5\nlayer l0 \"a\" : t.A {} weights {vars/0 = w0}").unwrap();
    module.layers[0].weights[0].1 = WeightId::new(1);
    assert_eq!(verify(&module).unwrap_err().0[0].note, "there is no weight w1");
    let mut module = parse("netc 1\nfile file0 = \"a\"\nweight w0 \"w\" : f32[2] = bytes(file0, 0, 8)").unwrap();
    module.weights[0].data = WeightData::File { file: FileId::new(1), offset: 0, len: 8 };
    assert_eq!(verify(&module).unwrap_err().0[0].note, "there is no file1");
    let text = "netc 1\nfunc @main(%x: f32[2]) -> (%y) { %y = call @f(%x) : f32[2] }\nfunc @f(%x: f32[2]) -> (%x) {}";
    let mut module = parse(text).unwrap();
    module.funcs[1].outputs[0].value = ValueId::new(1);
    assert!(verify(&module).is_err());
}
