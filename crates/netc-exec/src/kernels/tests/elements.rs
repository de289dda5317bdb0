//! Tests of elementwise ops, products, reductions and cumulative sums.

use super::{check, check_error};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[track_caller]
fn check_unary(op: &str, x: &[f64], expect: &[f64]) {
    for elem in ["f32", "f64"] {
        let ty = format!("{elem}[{}]", x.len());
        check(&format!("%x: {ty}"), &format!("{op}(%x) : {ty}"), &[x], expect);
    }
}

/// Checks a function whose results are rounded.
#[track_caller]
fn check_close(op: &str, x: &[f64], expect: impl Fn(f64) -> f64) {
    for (elem, eps) in
        [("f32", 2f64.powi(-23)), ("f64", 2f64.powi(-51)), ("f16", 2f64.powi(-10)), ("bf16", 2f64.powi(-7))]
    {
        let ty = format!("{elem}[{}]", x.len());
        let found = super::run(&format!("%x: {ty}"), &format!("{op}(%x) : {ty}"), &[x.to_vec()]).unwrap().to_f64s();
        for (x, found) in x.iter().zip(found) {
            let expect = expect(*x);
            assert!((found - expect).abs() <= eps * expect.abs(), "{op}({x}) in {elem} is {found}, expected {expect}");
        }
    }
}

#[test]
fn exact_unary_functions() {
    check_unary("neg", &[1.5, -2.0, 0.0, INF], &[-1.5, 2.0, -0.0, -INF]);
    check_unary("abs", &[1.5, -2.0, -0.0, -INF, NAN], &[1.5, 2.0, 0.0, INF, NAN]);
    check_unary("sign", &[1.5, -2.0, 0.0, -0.0, -INF, NAN], &[1.0, -1.0, 0.0, -0.0, -1.0, NAN]);
    check_unary("floor", &[1.5, -1.5, 2.0], &[1.0, -2.0, 2.0]);
    check_unary("ceil", &[1.5, -1.5, 2.0], &[2.0, -1.0, 2.0]);
    check_unary("round", &[0.5, 1.5, 2.5, -0.5, -1.5, 1.4], &[0.0, 2.0, 2.0, -0.0, -2.0, 1.0]);
    check_unary("sqrt", &[4.0, 0.0, -1.0], &[2.0, 0.0, NAN]);
    check_unary("rsqrt", &[4.0, 0.0], &[0.5, INF]);
    check_unary("relu", &[1.5, -1.5, -0.0, NAN, -INF], &[1.5, 0.0, 0.0, NAN, 0.0]);
    check_unary("exp", &[0.0, -INF, 1000.0], &[1.0, 0.0, INF]);
    check_unary("expm1", &[0.0, -INF], &[0.0, -1.0]);
    check_unary("log", &[1.0, 0.0, -1.0], &[0.0, -INF, NAN]);
    check_unary("log1p", &[0.0, -1.0], &[0.0, -INF]);
    check_unary("tanh", &[0.0, 100.0, -100.0], &[0.0, 1.0, -1.0]);
    check_unary("sigmoid", &[0.0, 1000.0, -1000.0, INF, -INF], &[0.5, 1.0, 0.0, 1.0, 0.0]);
    check_unary("erf", &[0.0, 10.0, -10.0], &[0.0, 1.0, -1.0]);
}

#[test]
fn rounded_unary_functions() {
    let x = [-3.0, -1.0, -0.125, 0.25, 0.5, 2.0];
    check_close("exp", &x, f64::exp);
    check_close("expm1", &x, f64::exp_m1);
    check_close("sin", &x, f64::sin);
    check_close("cos", &x, f64::cos);
    check_close("tanh", &x, f64::tanh);
    check_close("sigmoid", &x, |x| 1.0 / (1.0 + (-x).exp()));
    check_close("log", &x[3..], f64::ln);
    check_close("log1p", &x[2..], f64::ln_1p);
    check_close("sqrt", &x[3..], f64::sqrt);
    check_close("rsqrt", &x[3..], |x| 1.0 / x.sqrt());
    // Abramowitz and Stegun, table 7.1.
    check_close("erf", &[0.5], |_| 0.520_499_877_813_046_5);
    check_close("erf", &[-2.0], |_| -0.995_322_265_018_952_7);
}

#[test]
fn small_arguments_keep_their_precision() {
    check("%x: f32[1]", "expm1(%x) : f32[1]", &[&[1e-10]], &[1e-10]);
    check("%x: f32[1]", "log1p(%x) : f32[1]", &[&[1e-10]], &[1e-10]);
}

#[test]
fn unary_functions_of_integers_and_booleans() {
    for (ty, min) in [("i16", f64::from(i16::MIN)), ("i32", f64::from(i32::MIN)), ("i64", i64::MIN as f64)] {
        let op = |name: &str| format!("{name}(%x) : {ty}[3]");
        let params = format!("%x: {ty}[3]");
        check(&params, &op("neg"), &[&[5.0, -5.0, min]], &[-5.0, 5.0, min]);
        check(&params, &op("abs"), &[&[5.0, -5.0, min]], &[5.0, 5.0, min]);
        check(&params, &op("sign"), &[&[5.0, 0.0, min]], &[1.0, 0.0, -1.0]);
        check(&params, &op("relu"), &[&[5.0, 0.0, min]], &[5.0, 0.0, 0.0]);
    }
    check("%x: bool[2]", "not(%x) : bool[2]", &[&[0.0, 1.0]], &[1.0, 0.0]);
}

#[track_caller]
fn check_binary(op: &str, types: &[&str], a: &[f64], b: &[f64], expect: &[f64]) {
    for elem in types {
        let ty = format!("{elem}[{}]", a.len());
        check(&format!("%a: {ty}, %b: {ty}"), &format!("{op}(%a, %b) : {ty}"), &[a, b], expect);
    }
}

const FLOATS: &[&str] = &["f32", "f64", "f16", "bf16"];
const INTS: &[&str] = &["i64", "i32", "i16"];
const NUMBERS: &[&str] = &["f32", "f64", "f16", "bf16", "i64", "i32", "i16", "u32", "u8"];

#[test]
fn binary_functions() {
    let (a, b) = (&[7.0, 2.0, 9.0], &[2.0, 2.0, 3.0]);
    check_binary("add", NUMBERS, a, b, &[9.0, 4.0, 12.0]);
    check_binary("sub", NUMBERS, a, b, &[5.0, 0.0, 6.0]);
    check_binary("mul", NUMBERS, a, b, &[14.0, 4.0, 27.0]);
    check_binary("div", FLOATS, a, b, &[3.5, 1.0, 3.0]);
    check_binary("pow", FLOATS, a, b, &[49.0, 4.0, 729.0]);
    check_binary("max", NUMBERS, a, b, &[7.0, 2.0, 9.0]);
    check_binary("min", NUMBERS, a, b, &[2.0, 2.0, 3.0]);
    check_binary("max", FLOATS, &[NAN, 1.0], &[1.0, NAN], &[NAN, NAN]);
    check_binary("min", FLOATS, &[NAN, 1.0], &[1.0, NAN], &[NAN, NAN]);
    check_binary("div", FLOATS, &[1.0, 0.0], &[0.0, 0.0], &[INF, NAN]);
    check_binary("pow", FLOATS, &[4.0, -8.0], &[-0.5, 0.5], &[0.5, NAN]);
}

#[test]
fn binary_functions_of_integers() {
    check_binary("div", INTS, &[7.0, -7.0, 7.0, -7.0], &[2.0, 2.0, -2.0, -2.0], &[3.0, -3.0, -3.0, 3.0]);
    check_binary("div", &["i32"], &[f64::from(i32::MIN)], &[-1.0], &[f64::from(i32::MIN)]);
    check_binary("add", &["i32"], &[f64::from(i32::MAX)], &[1.0], &[f64::from(i32::MIN)]);
    check_binary("mul", &["u8"], &[200.0], &[2.0], &[144.0]);
    check_binary("sub", &["u32"], &[0.0], &[1.0], &[f64::from(u32::MAX)]);
    check_binary("pow", INTS, &[2.0, -3.0, 5.0], &[10.0, 3.0, 0.0], &[1024.0, -27.0, 1.0]);
    check_binary(
        "pow",
        &["i64"],
        &[-1.0, 3.0],
        &[4_294_967_297.0, 4_294_967_296.0],
        &[-1.0, 2_491_309_678_558_969_857i64 as f64],
    );
    check_binary("and", &["i32", "u8"], &[6.0], &[3.0], &[2.0]);
    check_binary("or", &["i32", "u8"], &[6.0], &[3.0], &[7.0]);
    check_error(
        "%a: i32[2], %b: i32[2]",
        "div(%a, %b) : i32[2]",
        &[&[1.0, 2.0], &[1.0, 0.0]],
        "division of an integer by zero",
    );
    check_error("%a: i32[], %b: i32[]", "pow(%a, %b) : i32[]", &[&[2.0], &[-1.0]], "to the power -1");
}

#[test]
fn binary_functions_of_booleans() {
    let (a, b) = (&[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0]);
    for op in ["or", "add", "max"] {
        check_binary(op, &["bool"], a, b, &[0.0, 1.0, 1.0, 1.0]);
    }
    for op in ["and", "mul", "min"] {
        check_binary(op, &["bool"], a, b, &[0.0, 0.0, 0.0, 1.0]);
    }
}

#[test]
fn broadcasting() {
    let add = |r: &str| format!("add(%a, %b) : {r}");
    check(
        "%a: f32[2,3], %b: f32[3]",
        &add("f32[2,3]"),
        &[&[1., 2., 3., 4., 5., 6.], &[10., 20., 30.]],
        &[11., 22., 33., 14., 25., 36.],
    );
    check(
        "%a: f32[2,1], %b: f32[3]",
        &add("f32[2,3]"),
        &[&[1., 2.], &[10., 20., 30.]],
        &[11., 21., 31., 12., 22., 32.],
    );
    check("%a: f32[], %b: f32[2,1]", &add("f32[2,1]"), &[&[1.], &[10., 20.]], &[11., 21.]);
    check(
        "%a: f32[2,1,2], %b: f32[1,2,1]",
        &add("f32[2,2,2]"),
        &[&[1., 2., 3., 4.], &[10., 20.]],
        &[11., 12., 21., 22., 13., 14., 23., 24.],
    );
    check("%a: f32[2,2], %b: f32[2,1]", &add("f32[2,2]"), &[&[1., 2., 3., 4.], &[10., 20.]], &[11., 12., 23., 24.]);
    check("%a: f32[0,3], %b: f32[1,3]", &add("f32[0,3]"), &[&[], &[1., 2., 3.]], &[]);
    check("%a: f32[], %b: f32[]", &add("f32[]"), &[&[1.], &[2.]], &[3.]);
}

#[test]
fn comparisons() {
    let (a, b) = (&[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]);
    for (op, expect) in [
        ("eq", [0., 1., 0.]),
        ("ne", [1., 0., 1.]),
        ("lt", [1., 0., 0.]),
        ("le", [1., 1., 0.]),
        ("gt", [0., 0., 1.]),
        ("ge", [0., 1., 1.]),
    ] {
        for elem in NUMBERS {
            check(&format!("%a: {elem}[3], %b: {elem}[3]"), &format!("{op}(%a, %b) : bool[3]"), &[a, b], &expect);
        }
        let nan = if op == "ne" { 1.0 } else { 0.0 };
        check("%a: f32[1], %b: f32[1]", &format!("{op}(%a, %b) : bool[1]"), &[&[NAN], &[NAN]], &[nan]);
    }
    check("%a: bool[2], %b: bool[1]", "lt(%a, %b) : bool[2]", &[&[0., 1.], &[1.]], &[1., 0.]);
}

#[test]
fn select() {
    check(
        "%c: bool[2,1], %a: f32[3], %b: f32[]",
        "select(%c, %a, %b) : f32[2,3]",
        &[&[1., 0.], &[1., 2., 3.], &[9.]],
        &[1., 2., 3., 9., 9., 9.],
    );
    check(
        "%c: bool[2], %a: bool[2], %b: bool[2]",
        "select(%c, %a, %b) : bool[2]",
        &[&[1., 0.], &[1., 1.], &[0., 0.]],
        &[1., 0.],
    );
}

#[test]
fn casts() {
    check(
        "%x: f32[5]",
        "cast(%x) : i32[5]",
        &[&[1.9, -1.9, NAN, 1e20, -1e20]],
        &[1., -1., 0., f64::from(i32::MAX), f64::from(i32::MIN)],
    );
    check("%x: i64[2]", "cast(%x) : u8[2]", &[&[257., -1.]], &[1., 255.]);
    check("%x: i64[3]", "cast(%x) : i8[3]", &[&[127., 128., -129.]], &[127., -128., 127.]);
    check("%x: f32[4]", "cast(%x) : i8[4]", &[&[-1.9, 300., -300., NAN]], &[-1., 127., -128., 0.]);
    check("%x: i8[3]", "cast(%x) : f32[3]", &[&[-128., -1., 127.]], &[-128., -1., 127.]);
    check_error("%x: i8[1]", "add(%x, %x) : i8[1]", &[&[1.]], "no kernel for elements of type i8");
    check("%x: f32[4]", "cast(%x) : bool[4]", &[&[0., -0., 0.5, NAN]], &[0., 0., 1., 1.]);
    check("%x: bool[2]", "cast(%x) : f32[2]", &[&[0., 1.]], &[0., 1.]);
    check("%x: f64[2]", "cast(%x) : f32[2]", &[&[0.1, 1e300]], &[0.1, INF]);
    check("%x: f32[2]", "cast(%x) : f16[2]", &[&[2049., 1e6]], &[2048., INF]);
    check("%x: i32[2]", "cast(%x) : bf16[2]", &[&[257., 3.]], &[256., 3.]);
    check_error("%x: f32[1]", "cast(%x) : u64[1]", &[&[1.]], "no kernel for elements of type u64");
}

#[test]
fn products() {
    let (a, b) = (&[1., 2., 3., 4., 5., 6.], &[1., 0., 0., 1., 1., 1.]);
    for elem in NUMBERS {
        let params = format!("%a: {elem}[2,3], %b: {elem}[3,2]");
        check(&params, &format!("matmul(%a, %b) : {elem}[2,2]"), &[a, b], &[4., 5., 10., 11.]);
    }
    let batched = "matmul(%a, %b) : f32[2,1,1]";
    check("%a: f32[2,1,2], %b: f32[2,1]", batched, &[&[1., 2., 3., 4.], &[1., 10.]], &[21., 43.]);
    check("%a: f32[1,2], %b: f32[2,2,1]", batched, &[&[1., 2.], &[1., 2., 3., 4.]], &[5., 11.]);
    check(
        "%a: f32[2,1,1,2], %b: f32[2,2,1]",
        "matmul(%a, %b) : f32[2,2,1,1]",
        &[&[1., 2., 3., 4.], &[1., 2., 3., 4.]],
        &[5., 11., 11., 25.],
    );
    check("%a: f32[2,0], %b: f32[0,2]", "matmul(%a, %b) : f32[2,2]", &[&[], &[]], &[0.; 4]);
    check("%a: f32[0,2], %b: f32[2,2]", "matmul(%a, %b) : f32[0,2]", &[&[], &[1.; 4]], &[]);
}

#[track_caller]
fn check_reduce(attrs: &str, result: &str, expect: &[(&str, &[f64])]) {
    let x = [1., 2., 3., 4., 5., 6.];
    for (op, expect) in expect {
        for elem in NUMBERS {
            check(
                &format!("%x: {elem}[2,3]"),
                &format!("reduce_{op}(%x) {{{attrs}}} : {elem}[{result}]"),
                &[&x],
                expect,
            );
        }
    }
}

#[test]
fn reductions() {
    check_reduce(
        "axes = [0]",
        "3",
        &[("sum", &[5., 7., 9.]), ("prod", &[4., 10., 18.]), ("max", &[4., 5., 6.]), ("min", &[1., 2., 3.])],
    );
    check_reduce("axes = [1], keep = true", "2,1", &[("sum", &[6., 15.]), ("mean", &[2., 5.]), ("max", &[3., 6.])]);
    check_reduce("axes = [0, 1]", "", &[("sum", &[21.]), ("min", &[1.])]);
    check_reduce("axes = []", "2,3", &[("sum", &[1., 2., 3., 4., 5., 6.])]);
    check("%x: i32[2]", "reduce_mean(%x) {axes = [0]} : i32[]", &[&[-1., -2.]], &[-1.]);
    check("%x: f32[2,1,2]", "reduce_sum(%x) {axes = [0, 2]} : f32[1]", &[&[1., 2., 3., 4.]], &[10.]);
    check("%x: f32[2]", "reduce_max(%x) {axes = [0]} : f32[]", &[&[NAN, 1.]], &[NAN]);
    check("%x: f32[3]", "reduce_sum(%x) {axes = [0]} : f32[]", &[&[1e30, 1.0, -1e30]], &[0.]);
    check("%x: f32[3]", "reduce_sum(%x) {axes = [0]} : f32[]", &[&[1e9, 1.0, -1e9]], &[1.]);
}

#[test]
fn reductions_over_no_elements() {
    for (op, expect) in [("sum", 0.), ("prod", 1.), ("mean", NAN), ("max", -INF), ("min", INF)] {
        check("%x: f32[2,0]", &format!("reduce_{op}(%x) {{axes = [1]}} : f32[2]"), &[&[]], &[expect; 2]);
        check("%x: f32[2,0]", &format!("reduce_{op}(%x) {{axes = [0]}} : f32[0]"), &[&[]], &[]);
    }
    let ranges = [
        ("u8", 0., 255.),
        ("u32", 0., f64::from(u32::MAX)),
        ("i16", f64::from(i16::MIN), f64::from(i16::MAX)),
        ("i32", f64::from(i32::MIN), f64::from(i32::MAX)),
    ];
    for (elem, lowest, highest) in ranges {
        let x = format!("%x: {elem}[0]");
        check(&x, &format!("reduce_max(%x) {{axes = [0]}} : {elem}[]"), &[&[]], &[lowest]);
        check(&x, &format!("reduce_min(%x) {{axes = [0]}} : {elem}[]"), &[&[]], &[highest]);
    }
    check_error("%x: i32[0]", "reduce_mean(%x) {axes = [0]} : i32[]", &[&[]], "division of an integer by zero");
}

#[test]
fn casts_to_halves_round_once() {
    let tiny = |power: i32| 2f64.powi(power);
    for (from, to, x, expect) in [
        ("f64", "f16", 2049.0 + tiny(-30), 2050.0),
        ("f64", "f16", -2049.0 - tiny(-30), -2050.0),
        ("f64", "f16", tiny(-25) + tiny(-60), tiny(-24)),
        ("f64", "f16", 65520.0 - tiny(-30), 65504.0),
        ("f64", "f16", 65520.0, INF),
        ("f64", "f16", 1e300, INF),
        ("f64", "f16", -1e-300, -0.0),
        ("f64", "bf16", 1.0 + tiny(-8) + tiny(-40), 1.0 + tiny(-7)),
        ("f64", "bf16", f64::MAX, INF),
        ("i32", "bf16", 1_077_936_129.0, 1_082_130_432.0),
        ("i64", "bf16", tiny(40) + tiny(32) + 1.0, tiny(40) + tiny(33)),
    ] {
        check(&format!("%x: {from}[1]"), &format!("cast(%x) : {to}[1]"), &[&[x]], &[expect]);
    }
}

#[test]
fn narrow_integers_wrap() {
    for (elem, a, b, sum, product) in [
        ("u8", 200., 100., 44., 32.),
        ("i16", 30_000., 30_000., -5_536., -5_888.),
        ("i32", 2_000_000_000., 2_000_000_000., -294_967_296., -1_651_507_200.),
        ("u32", 4_000_000_000., 1_000_000_000., 705_032_704., 2_643_460_096.),
    ] {
        let params = format!("%a: {elem}[1], %b: {elem}[1]");
        check(&params, &format!("add(%a, %b) : {elem}[1]"), &[&[a], &[b]], &[sum]);
        check(&params, &format!("mul(%a, %b) : {elem}[1]"), &[&[a], &[b]], &[product]);
        check(&params, &format!("cast(%a) : {elem}[1]"), &[&[a], &[b]], &[a]);
    }
}

#[test]
fn cumulative_sums() {
    for elem in NUMBERS {
        let params = format!("%x: {elem}[2,3]");
        check(
            &params,
            &format!("cumsum(%x) {{axis = 1}} : {elem}[2,3]"),
            &[&[1., 2., 3., 4., 5., 6.]],
            &[1., 3., 6., 4., 9., 15.],
        );
        check(
            &params,
            &format!("cumsum(%x) {{axis = 0}} : {elem}[2,3]"),
            &[&[1., 2., 3., 4., 5., 6.]],
            &[1., 2., 3., 5., 7., 9.],
        );
    }
    check("%x: f32[0,3]", "cumsum(%x) {axis = 0} : f32[0,3]", &[&[]], &[]);
}
