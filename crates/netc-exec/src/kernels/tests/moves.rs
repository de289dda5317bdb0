//! Tests of constants, ops that move elements, `sort`, `gather`, `pad`, and extreme windows.

use super::{check, check_error};

const X: &[f64] = &[1., 2., 3., 4., 5., 6.];
const ALL: &[&str] = &["f32", "f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u32", "u8"];

/// Checks an op on a 2x3 tensor of every element type.
#[track_caller]
fn check_move(op: &str, result: &str, expect: &[f64]) {
    for elem in ALL {
        let (name, attrs) = op.split_once(' ').unwrap_or((op, ""));
        check(&format!("%x: {elem}[2,3]"), &format!("{name}(%x) {attrs} : {elem}[{result}]"), &[X], expect);
    }
}

#[test]
fn constants() {
    check("", "constant() {value = 0.5} : f32[2,2]", &[], &[0.5; 4]);
    check("", "constant() {value = [1, 2, 3]} : i16[3]", &[], &[1., 2., 3.]);
    check("", "constant() {value = [-128, 127]} : i8[2]", &[], &[-128., 127.]);
    check("", "constant() {value = [true, false]} : bool[2]", &[], &[1., 0.]);
    check("", "constant() {value = 1.0} : f16[0]", &[], &[]);
    check("", "constant() {value = [0, 65535]} : u16[2]", &[], &[0., 65535.]);
    check("", "constant() {value = 1} : u64[2]", &[], &[1., 1.]);
    check_error("", "constant() {value = 1.0} : f32[1099511627776]", &[], "does not fit into memory");
}

#[test]
fn empty_tensors_and_huge_windows_take_no_time() {
    let params = "%x: f32[274877906944,0]";
    for op in [
        "concat(%x, %x) {axis = 1} : f32[274877906944,0]",
        "sort(%x) {axis = 1, descending = false} : f32[274877906944,0]",
        "cumsum(%x) {axis = 1} : f32[274877906944,0]",
        "relu(%x) : f32[274877906944,0]",
    ] {
        check(params, op, &[&[]], &[]);
    }
    let params = "%x: f32[1,4,2]";
    let op = "max_pool(%x) {size = [9223372036854775808], strides = [1], padding = \"same\"} : f32[1,4,2]";
    check(params, op, &[&[1., 5., 2., 6., 3., 7., 4., 8.]], &[4., 8., 4., 8., 4., 8., 4., 8.]);
}

#[test]
fn moves() {
    check_move("reshape", "3,2", X);
    check_move("reshape", "6", X);
    check_move("reshape", "1,2,3,1", X);
    check_move("transpose {perm = [1, 0]}", "3,2", &[1., 4., 2., 5., 3., 6.]);
    check_move("transpose {perm = [0, 1]}", "2,3", X);
    check_move("broadcast", "2,2,3", &[1., 2., 3., 4., 5., 6., 1., 2., 3., 4., 5., 6.]);
    check_move("reverse {axes = [1]}", "2,3", &[3., 2., 1., 6., 5., 4.]);
    check_move("reverse {axes = [0, 1]}", "2,3", &[6., 5., 4., 3., 2., 1.]);
    check_move("reverse {axes = []}", "2,3", X);
    check_move("slice {axes = [[1, null, 1], [0, null, 2]]}", "1,2", &[4., 6.]);
    check_move("slice {axes = [[0, 2, 1], [1, 2, 1]]}", "2,1", &[2., 5.]);
    check_move("slice {axes = [[2, 2, 1], [0, null, 1]]}", "0,3", &[]);
    check_move("slice {axes = [[0, null, 9223372036854775807], [0, null, 1]]}", "1,3", &[1., 2., 3.]);
    check("%x: f32[2,1,2]", "transpose(%x) {perm = [2, 0, 1]} : f32[2,2,1]", &[&[1., 2., 3., 4.]], &[1., 3., 2., 4.]);
    check("%x: f32[2,1]", "broadcast(%x) : f32[2,2]", &[&[1., 2.]], &[1., 1., 2., 2.]);
    check("%x: f32[]", "broadcast(%x) : f32[2]", &[&[1.]], &[1., 1.]);
    check("%x: f32[1]", "broadcast(%x) : f32[0]", &[&[1.]], &[]);
    check("%x: f32[0,4]", "reshape(%x) : f32[2,0]", &[&[]], &[]);
    check("%x: bool[2,1]", "reshape(%x) : bool[2]", &[&[1., 0.]], &[1., 0.]);
    check_error("%x: f32[1]", "broadcast(%x) : f32[1048576,1048576]", &[&[1.]], "does not fit into memory");
}

#[test]
fn concatenations() {
    check("%a: f32[1,2], %b: f32[2,2]", "concat(%a, %b) {axis = 0} : f32[3,2]", &[&[1., 2.], &[3., 4., 5., 6.]], X);
    check(
        "%a: i64[2,1], %b: i64[2,2]",
        "concat(%a, %b, %a) {axis = 1} : i64[2,4]",
        &[&[1., 2.], &[3., 4., 5., 6.]],
        &[1., 3., 4., 1., 2., 5., 6., 2.],
    );
    check("%a: bool[0], %b: bool[1]", "concat(%a, %b) {axis = 0} : bool[1]", &[&[], &[1.]], &[1.]);
    check("%a: f32[0,1], %b: f32[0,2]", "concat(%a, %b) {axis = 1} : f32[0,3]", &[&[], &[]], &[]);
}

#[test]
fn gathers() {
    let params = "%x: f32[2,3], %i: i32[2]";
    check(params, "gather(%x, %i) {axis = 1} : f32[2,2]", &[X, &[2., 0.]], &[3., 1., 6., 4.]);
    check(params, "gather(%x, %i) {axis = 0} : f32[2,3]", &[X, &[1., 1.]], &[4., 5., 6., 4., 5., 6.]);
    check("%x: u8[3], %i: i64[2,1]", "gather(%x, %i) {axis = 0} : u8[2,1]", &[&[7., 8., 9.], &[2., 1.]], &[9., 8.]);
    check("%x: f32[3], %i: u32[]", "gather(%x, %i) {axis = 0} : f32[]", &[&[7., 8., 9.], &[2.]], &[9.]);
    check("%x: f32[3,0], %i: u8[1]", "gather(%x, %i) {axis = 0} : f32[1,0]", &[&[], &[2.]], &[]);
    check_error(
        params,
        "gather(%x, %i) {axis = 0} : f32[2,3]",
        &[X, &[0., 2.]],
        "index 2 at position 1 of the indices is out of range, expected 0..2",
    );
    check_error(params, "gather(%x, %i) {axis = 0} : f32[2,3]", &[X, &[-1., 0.]], "index -1 at position 0");
}

#[test]
fn padding_modes() {
    let pad = |mode: &str, n: usize| format!("pad(%x) {{amounts = [[2, 1]]{mode}}} : f32[{n}]");
    let x: &[&[f64]] = &[&[1., 2., 3.]];
    check("%x: f32[3]", &pad(", value = 9.0", 6), x, &[9., 9., 1., 2., 3., 9.]);
    check("%x: i8[3]", &pad(", value = 300.0", 6).replace("f32", "i8"), x, &[127., 127., 1., 2., 3., 127.]);
    check("%x: f32[3]", &pad(", mode = \"reflect\"", 6), x, &[3., 2., 1., 2., 3., 2.]);
    check("%x: f32[3]", &pad(", mode = \"symmetric\"", 6), x, &[2., 1., 1., 2., 3., 3.]);
    check("%x: f32[3]", &pad(", mode = \"edge\"", 6), x, &[1., 1., 1., 2., 3., 3.]);
    check_move(
        "pad {amounts = [[1, 0], [0, 1]], value = 7.0}",
        "3,4",
        &[7., 7., 7., 7., 1., 2., 3., 7., 4., 5., 6., 7.],
    );
    check_move(
        "pad {amounts = [[0, 1], [1, 0]], mode = \"symmetric\"}",
        "3,4",
        &[1., 1., 2., 3., 4., 4., 5., 6., 4., 4., 5., 6.],
    );
    check("%x: bool[1]", "pad(%x) {amounts = [[1, 0]], value = 1.0} : bool[2]", &[&[0.]], &[1., 0.]);
    check("%x: f32[0]", "pad(%x) {amounts = [[1, 1]], value = 1.0} : f32[2]", &[&[]], &[1., 1.]);
    check("%x: f32[0]", "pad(%x) {amounts = [[0, 0]], mode = \"reflect\"} : f32[0]", &[&[]], &[]);
    check_error(
        "%x: f32[1]",
        "pad(%x) {amounts = [[0, 4611686018427387904]]} : f32[4611686018427387905]",
        &[&[1.]],
        "does not fit",
    );
}

#[test]
fn sorts() {
    for elem in ALL {
        let (params, ty) = (format!("%x: {elem}[2,3]"), format!("{elem}[2,3]"));
        let x: &[&[f64]] = &[&[3., 1., 2., 4., 6., 5.]];
        check(&params, &format!("sort(%x) {{axis = 1}} : {ty}"), x, &[1., 2., 3., 4., 5., 6.]);
        check(&params, &format!("sort(%x) {{axis = 1, descending = true}} : {ty}"), x, &[3., 2., 1., 6., 5., 4.]);
        check(&params, &format!("sort(%x) {{axis = 0, descending = true}} : {ty}"), x, &[4., 6., 5., 3., 1., 2.]);
    }
    let x: &[&[f64]] = &[&[f64::NAN, 1., f64::INFINITY, -1.]];
    check("%x: f32[4]", "sort(%x) {axis = 0} : f32[4]", x, &[-1., 1., f64::INFINITY, f64::NAN]);
    check("%x: bool[3]", "sort(%x) {axis = 0} : bool[3]", &[&[1., 0., 1.]], &[0., 1., 1.]);
    check("%x: f32[0,2]", "sort(%x) {axis = 0} : f32[0,2]", &[&[]], &[]);
}

#[test]
fn empty_windows() {
    let conv = |r: &str| format!("conv(%x, %w) {{strides = [1], padding = \"same\"}} : {r}");
    check("%x: f32[0,3,1], %w: f32[2,1,1]", &conv("f32[0,3,1]"), &[&[], &[1., 1.]], &[]);
    check("%x: f32[1,0,1], %w: f32[2,1,1]", &conv("f32[1,0,1]"), &[&[], &[1., 1.]], &[]);
    check("%x: f32[1,2,0], %w: f32[2,0,1]", &conv("f32[1,2,1]"), &[&[], &[]], &[0., 0.]);
    check("%x: f32[1,2,1], %w: f32[2,1,0]", &conv("f32[1,2,0]"), &[&[1., 2.], &[]], &[]);
    let pool = |kind: &str, r: &str| format!("{kind}_pool(%x) {{size = [2], strides = [2], padding = [[2, 0]]}} : {r}");
    check("%x: f32[1,2,1]", &pool("max", "f32[1,2,1]"), &[&[1., 2.]], &[f64::NEG_INFINITY, 2.]);
    check("%x: f32[1,2,1]", &pool("avg", "f32[1,2,1]"), &[&[1., 2.]], &[f64::NAN, 1.5]);
    check("%x: f32[1,2,0]", &pool("avg", "f32[1,2,0]"), &[&[]], &[]);
    check("%x: f32[0,2,1]", &pool("max", "f32[0,2,1]"), &[&[]], &[]);
    check_error("%x: i32[1,2,1]", &pool("avg", "i32[1,2,1]"), &[&[1., 2.]], "division of an integer by zero");
}

#[test]
fn enormous_windows() {
    let huge = "size = [4611686018427387905], strides = [2147483648], dilations = [2147483648], padding = \"same\"";
    check("%x: f32[1,3,1]", &format!("max_pool(%x) {{{huge}}} : f32[1,1,1]"), &[&[1., 2., 3.]], &[2.]);
    check(
        "%x: f32[1,3,1]",
        "avg_pool(%x) {size = [1000000000000], strides = [1], padding = \"same\"} : f32[1,3,1]",
        &[&[1., 2., 3.]],
        &[2.; 3],
    );
    check("%x: f32[1,2,1]", "max_pool(%x) {size = [2], strides = [1]} : f32[1,1,1]", &[&[1., f64::NAN]], &[f64::NAN]);
}
