//! Tests that a fused function, run as one step, gives the same bits and errors as its ops run one by one.

use netc_data::{Rng, Store};
use netc_ir::{MAIN, parse, verify};

use crate::inputs::random_inputs;
use crate::plan::Plan;
use crate::{ExecError, Tensor};

/// A program whose `@main` passes its parameters `params` to `@f`. The ops `body` of `@f` compute `%y` of type `ty`.
fn program(params: &str, body: &str, ty: &str, fused: bool) -> String {
    let names: Vec<&str> = params.split(": ").filter_map(|s| s.split_once('%').map(|(_, name)| name)).collect();
    let arguments = names.iter().map(|n| format!("%{n}")).collect::<Vec<_>>().join(", ");
    let attrs = if fused { "attrs {fused = true}" } else { "" };
    format!(
        "netc 1\nfunc @main({params}) -> (%y) {{ %y = call @f({arguments}) : {ty} }}
         func @f({params}) -> (%y) {attrs} {{\n{body}\n}}"
    )
}

fn plan(text: &str) -> Plan {
    let module = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    verify(&module).unwrap_or_else(|e| panic!("{text}: {e}"));
    Plan::new(&module, module.func_named(MAIN).unwrap(), &Store::open(&module).unwrap()).unwrap()
}

/// The bits of the elements, with all NaNs equal, or the error.
fn outcome(result: Result<Vec<Tensor>, ExecError>) -> String {
    let text = |t: &Tensor| {
        let bits = t.to_f64s().into_iter().map(|x| if x.is_nan() { f64::NAN } else { x }.to_bits());
        format!("{} {:?}", t.ty(), bits.collect::<Vec<_>>())
    };
    match result {
        Ok(outputs) => outputs.iter().map(text).collect(),
        Err(error) => {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
            chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
    }
}

/// Checks that the fused function runs in `steps` steps and gives the same outcome as without fusing. Returns the
/// outcome.
#[track_caller]
fn check(params: &str, body: &str, ty: &str, steps: usize, batch: u64) -> String {
    let [one, many] = [true, false].map(|fused| program(params, body, ty, fused));
    let module = parse(&many).unwrap_or_else(|e| panic!("{many}: {e}"));
    let inputs = random_inputs(module.main().unwrap(), 5, batch).unwrap();
    let (one, many) = (plan(&one), plan(&many));
    assert_eq!(one.num_steps(), steps, "{body}");
    let (found, expected) = (outcome(one.run(&inputs)), outcome(many.run(&inputs)));
    assert_eq!(found, expected, "{body}");
    expected
}

#[test]
fn a_product_and_its_elementwise_ops_are_one_step() {
    let matmul = "%p = matmul(%x, %k) : f32[N,300] %s = add(%p, %b) : f32[N,300] %y = relu(%s) : f32[N,300]";
    check("%x: f32[N,7], %k: f32[7,300], %b: f32[300]", matmul, "f32[N,300]", 1, 9);
    for (layout, x, y, bias) in [
        ("channels_last", "f64[N,9,8,2]", "f64[N,7,6,3]", "f64[3]"),
        ("channels_first", "f64[N,2,9,8]", "f64[N,3,7,6]", "f64[1,3,1,1]"),
    ] {
        let conv = format!(
            "%p = conv(%x, %k) {{strides = [1, 1], layout = \"{layout}\"}} : {y} %s = add(%b, %p) : {y}
             %a = sigmoid(%s) : {y} %m = mul(%s, %a) : {y} %y = sub(%r, %m) : {y}"
        );
        check(&format!("%x: {x}, %k: f64[3,3,2,3], %b: {bias}, %r: {y}"), &conv, y, 1, 3);
    }
}

#[test]
fn fused_functions_without_a_kernel_are_inlined() {
    let chain = |elem: &str| format!("%a = neg(%x) : {elem}[3] %y = abs(%a) : {elem}[3]");
    check("%x: f32[3]", &chain("f32"), "f32[3]", 1, 1);
    for elem in ["f16", "bf16", "i32"] {
        check(&format!("%x: {elem}[3]"), &chain(elem), &format!("{elem}[3]"), 3, 1);
    }
    // A single op, a change of shape, a reduction, a constant, and two live outputs.
    check("%x: f32[3]", "%y = neg(%x) : f32[3]", "f32[3]", 2, 1);
    let grows = "%a = neg(%x) : f32[1] %y = add(%a, %b) : f32[3]";
    check("%x: f32[1], %b: f32[3]", grows, "f32[3]", 3, 1);
    let reduced = "%a = neg(%x) : f32[3] %y = reduce_sum(%a) {axes = [0]} : f32[]";
    check("%x: f32[3]", reduced, "f32[]", 3, 1);
    let constant = "%a = neg(%x) : f32[] %c = constant() {value = 2.0} : f32[] %y = mul(%a, %c) : f32[]";
    check("%x: f32[]", constant, "f32[]", 3, 1);
    let text = "netc 1
        func @main(%x: f32[3]) -> (%a, %y) { %a, %y = call @f(%x) : f32[3], f32[3] }
        func @f(%x: f32[3]) -> (%a, %y) attrs {fused = true} { %a = neg(%x) : f32[3] %y = exp(%a) : f32[3] }";
    assert_eq!(plan(text).num_steps(), 3);
    assert_eq!(plan(&text.replace("(%a, %y) {", "(%y) {")).num_steps(), 1, "`%a` is dead");
}

#[test]
fn operands_of_uncertain_type_are_checked() {
    let text = |ty: &str| {
        format!(
            "netc 1\nfunc @main(%x: f32[N]) -> (%y) {{ %y = call @f(%x) : f32[N] }}
             func @f(%x: {ty}) -> (%y) attrs {{fused = true}} {{ %a = neg(%x) : {ty} %y = abs(%a) : {ty} }}"
        )
    };
    assert_eq!(plan(&text("f32[N]")).num_steps(), 1);
    let checked = plan(&text("f32[2]"));
    assert_eq!(checked.num_steps(), 2);
    let error = outcome(checked.run(&[Tensor::from_f32(&[3], &[0.0; 3]).unwrap()]));
    let expected =
        "the call of `@f` at unknown place has operands of the wrong type: input `x` is f32[3], expected f32[2]";
    assert_eq!(error, expected);
}

#[test]
fn errors_name_the_op() {
    let body =
        "%p = neg(%x) : f32[N,2] %e = exp(%p) : f32[N,2] loc(\"before\") %y = add(%z, %e) : f32[N,2] loc(\"sum\")";
    let params = "%x: f32[N,2], %z: f32[M,2]";
    let sized = |n: u64| Tensor::from_f32(&[n, 2], &vec![1.0; 2 * n as usize]).unwrap();
    for (n, m) in [(1, 3), (3, 1), (2, 3)] {
        let run = |fused| outcome(plan(&program(params, body, "f32[N,2]", fused)).run(&[sized(n), sized(m)]));
        assert!(
            run(true).starts_with("cannot compute `%y = add` at sum: `add` breaks constraint C2: "),
            "{}",
            run(true)
        );
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn a_group_needs_no_buffer_for_its_product() {
    let text = "netc 1
        func @main(%x: f32[2,2], %r: f32[2,2]) -> (%z) {
          %y = call @f(%x, %r, %x) : f32[2,2]
          %z = transpose(%y) {perm = [1, 0]} : f32[2,2]
        }
        func @f(%a: f32[2,2], %r: f32[2,2], %b: f32[2,2]) -> (%y) attrs {fused = true} {
          %p = matmul(%a, %b) : f32[2,2]
          %y = add(%p, %r) : f32[2,2]
        }";
    let plan = plan(text);
    assert_eq!((plan.num_steps(), plan.buffers), (2, 4), "no buffer for the product");
    let dies: Vec<&[usize]> = plan.steps.iter().map(|s| &s.dies[..]).collect();
    assert_eq!(dies, [&[0, 1][..], &[2]]);
}

/// Shapes, and shapes that broadcast to them: shorter and longer than a block, with block starts anywhere in a period.
const SHAPES: &[(&str, &[&str])] = &[
    ("[]", &["[]"]),
    ("[5]", &["[]", "[1]", "[5]"]),
    ("[0,3]", &["[3]", "[0,1]", "[1]"]),
    ("[3000]", &["[1]", "[3000]"]),
    ("[70,33]", &["[33]", "[70,1]", "[1,33]", "[70,33]", "[]"]),
    ("[2,40,3,17]", &["[17]", "[40,1,1]", "[2,1,1,17]", "[2,40,1,17]", "[3,1]", "[1,40,3,17]"]),
    ("[2,2500]", &["[2500]", "[2,1]", "[1]"]),
];

const UNARY: &[&str] = &["relu", "sigmoid", "tanh", "exp", "neg", "erf", "abs", "sqrt", "rsqrt", "log1p", "floor"];
const BINARY: &[&str] = &["add", "sub", "mul", "div", "max", "min", "pow"];

/// The parameters, ops and result type of a random function that becomes one group.
fn random_group(rng: &mut Rng) -> (String, String, String) {
    let pick = |rng: &mut Rng, n: usize| rng.below(n as u64) as usize;
    let elem = ["f32", "f64"][pick(rng, 2)];
    let (shape, repeated) = SHAPES[pick(rng, SHAPES.len())];
    let ty = format!("{elem}{shape}");
    let mut params = format!("%x: {ty}");
    let mut body = format!("%v0 = {}(%x) : {ty}\n", UNARY[pick(rng, UNARY.len())]);
    let last = 1 + pick(rng, 6);
    for i in 1..=last {
        let result = if i == last { "y".into() } else { format!("v{i}") };
        let (before, made) = (i - 1, pick(rng, i));
        let other = if rng.below(2) == 0 {
            params += &format!(", %p{i}: {elem}{}", repeated[pick(rng, repeated.len())]);
            format!("%p{i}")
        } else {
            format!("%v{made}")
        };
        let f = BINARY[pick(rng, BINARY.len())];
        body += &match rng.below(3) {
            0 => format!("%{result} = {}(%v{before}) : {ty}\n", UNARY[pick(rng, UNARY.len())]),
            1 => format!("%{result} = {f}(%v{before}, {other}) : {ty}\n"),
            _ => format!("%{result} = {f}({other}, %v{before}) : {ty}\n"),
        };
    }
    (params, body, ty)
}

#[test]
fn random_groups_compute_the_same_bits() {
    let mut rng = Rng::new(1);
    for _ in 0..400 {
        let (params, body, ty) = random_group(&mut rng);
        check(&params, &body, &ty, 1, 1);
    }
}
