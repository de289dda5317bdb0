//! Tests each rule on the smallest program that it applies to, and on similar programs that must not change.

use crate::testing::{check_fuel, rewrite};

/// Checks the result of `canonicalize`, with dead ops removed.
#[track_caller]
fn check(before: &str, after: &str) {
    rewrite("fix(canonicalize,dce)", before, after);
}

#[track_caller]
fn check_stays(ops: &str) {
    check(ops, ops);
}

#[test]
fn functions_that_undo_or_repeat_each_other_are_removed() {
    let round = "%r = round(%x) : f32[2]\n%y = neg(%r) : f32[2]";
    check(
        "%a = neg(%x) : f32[2]\n%b = neg(%a) : f32[2]\n%r = floor(%b) : f32[2]\n%y = ceil(%r) : f32[2]",
        "%r = floor(%x) : f32[2]",
    );
    check("%r = round(%x) : f32[2]\n%b = floor(%r) : f32[2]\n%y = neg(%b) : f32[2]", round);
    check("%a = neg(%x) : f32[2]\n%y = abs(%a) : f32[2]", "%y = abs(%x) : f32[2]");
    check(
        "%a = exp(%x) : f32[2]\n%b = relu(%a) : f32[2]\n%c = relu(%b) : f32[2]\n%y = neg(%c) : f32[2]",
        "%a = exp(%x) : f32[2]\n%y = neg(%a) : f32[2]",
    );
    check(
        "%a = sign(%x) : f32[2]\n%b = sign(%a) : f32[2]\n%y = neg(%b) : f32[2]",
        "%a = sign(%x) : f32[2]\n%y = neg(%a) : f32[2]",
    );
    check_stays("%a = sqrt(%x) : f32[2]\n%y = relu(%a) : f32[2]");
    check_stays("; x: i32[2]\n%a = abs(%x) : i32[2]\n%y = relu(%a) : i32[2]");
}

#[test]
fn neutral_elements_are_removed_unless_a_sign_would_change() {
    for (op, c) in [("mul", "1.0"), ("div", "1.0"), ("sub", "0.0"), ("add", "-0.0"), ("max", "-inf"), ("min", "inf")] {
        check(
            &format!("%c = constant() {{value = {c}}} : f32[]\n%a = {op}(%x, %c) : f32[2]\n%y = exp(%a) : f32[2]"),
            "%y = exp(%x) : f32[2]",
        );
    }
    for (op, c) in [("add", "0.0"), ("sub", "-0.0"), ("mul", "-1.0"), ("pow", "1.0"), ("min", "-inf")] {
        check_stays(&format!("%c = constant() {{value = {c}}} : f32[]\n%y = {op}(%x, %c) : f32[2]"));
    }
    check_stays("; x: f32[]\n%c = constant() {value = 1.0} : f32[2]\n%y = mul(%x, %c) : f32[2]");
    check(
        "; x: i32[2]\n%c = constant() {value = 0} : i32[]\n%a = add(%x, %c) : i32[2]\n%y = neg(%a) : i32[2]",
        "%y = neg(%x) : i32[2]",
    );
    check("%c = constant() {value = 0.0} : f32[]\n%y = max(%x, %c) : f32[2]", "%y = relu(%x) : f32[2]");
    check("%a = max(%x, %x) : f32[2]\n%y = exp(%a) : f32[2]", "%y = exp(%x) : f32[2]");
}

#[test]
fn constants_move_to_the_right_of_commutative_ops() {
    let weight = "%w = weight w0() : f32[2]\n";
    check(&format!("{weight}%y = add(%w, %x) : f32[2]"), &format!("{weight}%y = add(%x, %w) : f32[2]"));
    check(&format!("{weight}%y = lt(%w, %x) : bool[2]"), &format!("{weight}%y = gt(%x, %w) : bool[2]"));
    check_stays(&format!("{weight}%y = sub(%w, %x) : f32[2]"));
    check_stays(&format!("{weight}%y = max(%w, %x) : f32[2]"));
}

#[test]
fn operands_that_become_constant_move_to_the_right_too() {
    let constants = "%n = constant() {value = 0} : bool[2]\n%w = weight w0() : f32[2]\n";
    rewrite(
        "fix{max=1}(canonicalize,dce)",
        &format!(
            "{constants}%b = select(%n, %x, %w) : f32[2]\n%e = exp(%b) : f32[2]\n%z = exp(%x) : f32[2]\n\
             %y = add(%e, %z) : f32[2]"
        ),
        "%w = weight w0() : f32[2]\n%e = exp(%w) : f32[2]\n%z = exp(%x) : f32[2]\n%y = add(%z, %e) : f32[2]",
    );
}

#[test]
fn comparisons_and_selects_are_simplified() {
    check("; x: i32[2]\n%a = lt(%x, %x) : bool[2]\n%y = not(%a) : bool[2]", "%y = ge(%x, %x) : bool[2]");
    check("%a = eq(%x, %x) : bool[2]\n%y = not(%a) : bool[2]", "%y = ne(%x, %x) : bool[2]");
    check_stays("%a = lt(%x, %x) : bool[2]\n%y = not(%a) : bool[2]");
    let operands = "%b = exp(%x) : f32[2]\n";
    check(
        &format!("%c = constant() {{value = 0}} : bool[2]\n{operands}%y = select(%c, %x, %b) : f32[2]"),
        "%b = exp(%x) : f32[2]",
    );
    check(
        "; x: f32[]\n%c = constant() {value = 1} : bool[2]\n%b = exp(%x) : f32[]\n%y = select(%c, %b, %x) : f32[2]",
        "%b = exp(%x) : f32[]\n%y = broadcast(%b) : f32[2]",
    );
    check(
        "; x: bool[2]\n%a = not(%x) : bool[2]\n%w = weight w0() : f32[2]\n%v = neg(%w) : f32[2]\n%y = select(%a, %w, %v) : f32[2]",
        "%w = weight w0() : f32[2]\n%v = neg(%w) : f32[2]\n%y = select(%x, %v, %w) : f32[2]",
    );
}

#[test]
fn lossless_casts_merge() {
    check("%a = cast(%x) : f64[2]\n%b = cast(%a) : f32[2]\n%y = exp(%b) : f32[2]", "%y = exp(%x) : f32[2]");
    check("; x: i16[2]\n%a = cast(%x) : f32[2]\n%y = cast(%a) : i64[2]", "%y = cast(%x) : i64[2]");
    check("; x: u8[2]\n%a = cast(%x) : i16[2]\n%y = cast(%a) : f16[2]", "%y = cast(%x) : f16[2]");
    check("; x: bool[2]\n%a = cast(%x) : f16[2]\n%y = cast(%a) : u8[2]", "%y = cast(%x) : u8[2]");
    check_stays("%a = cast(%x) : f16[2]\n%y = cast(%a) : f32[2]");
    check_stays("%a = cast(%x) : i32[2]\n%y = cast(%a) : f32[2]");
    // 300 becomes 255 through the float, but 44 directly.
    check_stays("; x: i16[2]\n%a = cast(%x) : f32[2]\n%y = cast(%a) : u8[2]");
    check_stays("; x: i32[2]\n%a = cast(%x) : f32[2]\n%y = cast(%a) : i32[2]");
    check_stays("; x: i16[2]\n%a = cast(%x) : u32[2]\n%y = cast(%a) : i64[2]");
}

#[test]
fn chains_of_shape_ops_merge() {
    check(
        "; x: f32[N,6]\n%a = reshape(%x) : f32[N,2,3]\n%b = reshape(%a) : f32[N,3,2]\n%y = exp(%b) : f32[N,3,2]",
        "%b = reshape(%x) : f32[N,3,2]\n%y = exp(%b) : f32[N,3,2]",
    );
    check(
        "; x: f32[N,6]\n%a = reshape(%x) : f32[N,2,3]\n%b = reshape(%a) : f32[N,6]\n%y = exp(%b) : f32[N,6]",
        "%y = exp(%x) : f32[N,6]",
    );
    check(
        "; x: f32[2,3,4]\n%a = transpose(%x) {perm = [1, 2, 0]} : f32[3,4,2]\n%b = transpose(%a) {perm = [1, 2, 0]} : f32[4,2,3]\n%y = transpose(%b) {perm = [2, 0, 1]} : f32[3,4,2]",
        "%y = transpose(%x) {perm = [1, 2, 0]} : f32[3,4,2]",
    );
    check(
        "; x: f32[1,N,1,4]\n%y = transpose(%x) {perm = [1, 0, 3, 2]} : f32[N,1,4,1]",
        "%y = reshape(%x) : f32[N,1,4,1]",
    );
    check_stays("; x: f32[1,N,M]\n%y = transpose(%x) {perm = [1, 0, 2]} : f32[N,1,M]");
    check(
        "; x: f32[1,2]\n%a = broadcast(%x) : f32[3,2]\n%y = broadcast(%a) : f32[4,3,2]",
        "%y = broadcast(%x) : f32[4,3,2]",
    );
    check("%y = broadcast(%x) : f32[1,1,2]", "%y = reshape(%x) : f32[1,1,2]");
    let sum = "; x: f32[1,2]\n%a = broadcast(%x) : f32[3,2]\n%w = constant() {value = 0.5} : f32[3,2]\n";
    check(
        &format!("{sum}%y = add(%a, %w) : f32[3,2]"),
        "%w = constant() {value = 0.5} : f32[3,2]\n%y = add(%x, %w) : f32[3,2]",
    );
    check_stays("; x: f32[1,2]\n%a = broadcast(%x) : f32[3,2]\n%y = add(%a, %x) : f32[3,2]");
}

#[test]
fn chains_of_slices_and_pads_merge() {
    let x = "; x: f32[N,9]\n";
    check(
        &format!(
            "{x}%a = slice(%x) {{axes = [[0, null, 1], [1, 9, 2]]}} : f32[N,4]\n%y = slice(%a) {{axes = [[0, null, 2], [1, 4, 2]]}} : f32[floor(N+1, 2),2]"
        ),
        "%y = slice(%x) {axes = [[0, null, 2], [3, 8, 4]]} : f32[floor(N+1, 2),2]",
    );
    check(
        &format!("{x}%a = slice(%x) {{axes = [[0, null, 1], [0, 9, 1]]}} : f32[N,9]\n%y = exp(%a) : f32[N,9]"),
        "%y = exp(%x) : f32[N,9]",
    );
    let concat = "%a = exp(%x) : f32[N,9]\n%b = neg(%x) : f32[N,9]\n%c = concat(%a, %b) {axis = 1} : f32[N,18]\n";
    check(
        &format!(
            "{x}{concat}%d = slice(%c) {{axes = [[0, null, 1], [9, null, 1]]}} : f32[N,9]\n%y = sin(%d) : f32[N,9]"
        ),
        "%b = neg(%x) : f32[N,9]\n%y = sin(%b) : f32[N,9]",
    );
    check(
        &format!("{x}{concat}%y = slice(%c) {{axes = [[0, null, 1], [2, 6, 1]]}} : f32[N,4]"),
        "%a = exp(%x) : f32[N,9]\n%y = slice(%a) {axes = [[0, null, 1], [2, 6, 1]]} : f32[N,4]",
    );
    check_stays(&format!("{x}{concat}%y = slice(%c) {{axes = [[0, null, 1], [2, 10, 1]]}} : f32[N,8]"));
    check(
        "%a = pad(%x) {amounts = [[1, 0]], value = 2.0} : f32[3]\n%y = pad(%a) {amounts = [[0, 1]], value = 2.0} : f32[4]",
        "%y = pad(%x) {amounts = [[1, 1]], value = 2.0} : f32[4]",
    );
    check_stays(
        "%a = pad(%x) {amounts = [[1, 0]], value = 0.0} : f32[3]\n%y = pad(%a) {amounts = [[0, 1]], value = -0.0} : f32[4]",
    );
    check(
        "%a = concat(%x) {axis = 0} : f32[2]\n%b = pad(%a) {amounts = [[0, 0]], mode = \"edge\"} : f32[2]\n%y = exp(%b) : f32[2]",
        "%y = exp(%x) : f32[2]",
    );
    check(
        "; x: f32[1,2,3]\n%a = reverse(%x) {axes = [0, 1]} : f32[1,2,3]\n%b = reverse(%a) {axes = [1, 2]} : f32[1,2,3]\n%y = sort(%b) {axis = 0} : f32[1,2,3]",
        "%b = reverse(%x) {axes = [2]} : f32[1,2,3]",
    );
}

#[test]
fn reductions_of_one_element_are_removed() {
    check(
        "; x: f32[N,1]\n%a = reduce_max(%x) {axes = [1]} : f32[N]\n%y = exp(%a) : f32[N]",
        "%a = reshape(%x) : f32[N]\n%y = exp(%a) : f32[N]",
    );
    check(
        "; x: i32[N,1]\n%a = reduce_sum(%x) {axes = [1], keep = true} : i32[N,1]\n%y = neg(%a) : i32[N,1]",
        "%y = neg(%x) : i32[N,1]",
    );
    check_stays("; x: f32[N,1]\n%y = reduce_sum(%x) {axes = [1]} : f32[N]");
}

#[test]
fn windows_get_their_simplest_form() {
    let conv = |attrs: &str, n: u32| {
        format!(
            "; x: f32[N,6,2]\n%w = weight w2() : f32[3,2,4]\n%y = conv(%x, %w) {{strides = {attrs}}} : f32[N,{n},4]"
        )
    };
    check(&conv("[3], padding = \"same\"", 2), &conv("[3]", 2));
    check(&conv("[1], padding = [[0, 0]]", 4), &conv("[1]", 4));
    check_stays(&conv("[1], padding = \"same\"", 6));
    check_stays(&conv("[1], padding = [[0, 1]]", 5));
    let pool = |op: &str, attrs: &str, n: &str| {
        format!("; x: f32[N,M,2]\n%y = {op}(%x) {{size = [1], {attrs}}} : f32[N,{n},2]")
    };
    check(
        &pool("avg_pool", "strides = [2], dilations = [3], padding = \"same\"", "floor(M+1, 2)"),
        &pool("avg_pool", "strides = [2]", "floor(M+1, 2)"),
    );
    check(
        &format!("{}\n%z = exp(%y) : f32[N,M,2]", pool("max_pool", "strides = [1], padding = \"same\"", "M"))
            .replace("%y", "%t")
            .replace("%z", "%y"),
        "%y = exp(%x) : f32[N,M,2]",
    );
}

#[test]
fn each_rewrite_takes_fuel() {
    let text = "%a = neg(%x) : f32[2]\n%b = neg(%a) : f32[2]\n%c = relu(%b) : f32[2]\n%y = relu(%c) : f32[2]";
    check_fuel("canonicalize", text, &[4, 3, 2]);
}

/// Checks whether `op(x, c)` is replaced by `x`.
#[track_caller]
fn check_neutral(elem: &str, op: &str, c: &str, is_neutral: bool) {
    let ops = format!(
        "; x: {elem}[2]\n%c = constant() {{value = {c}}} : {elem}[]\n%a = {op}(%x, %c) : {elem}[2]\n\
         %y = reverse(%a) {{axes = [0]}} : {elem}[2]"
    );
    let alone = format!("%y = reverse(%x) {{axes = [0]}} : {elem}[2]");
    if is_neutral { check(&ops, &alone) } else { check_stays(&ops) }
}

#[test]
fn neutral_elements_depend_on_the_type() {
    for (elem, op, c) in [
        ("i32", "sub", "0"),
        ("i32", "mul", "1"),
        ("i32", "div", "1"),
        ("i32", "pow", "1"),
        ("i32", "or", "0"),
        ("i32", "and", "-1"),
        ("bool", "add", "0"),
        ("bool", "mul", "1"),
        ("bool", "max", "0"),
        ("bool", "min", "1"),
        ("bool", "and", "1"),
        ("bool", "or", "0"),
    ] {
        check_neutral(elem, op, c, true);
    }
    for (elem, op, c) in [
        ("i32", "or", "1"),
        ("i32", "and", "1"),
        ("i32", "min", "0"),
        ("u8", "and", "255"),
        ("bool", "and", "0"),
        ("bool", "or", "1"),
        ("bool", "max", "1"),
    ] {
        check_neutral(elem, op, c, false);
    }
}

#[test]
fn an_intermediate_cast_is_removed_only_if_it_is_lossless() {
    check_stays("; x: u16[2]\n%a = cast(%x) : i16[2]\n%y = cast(%a) : i32[2]");
    // The 8 bits of a bf16 are just enough.
    check("; x: u8[2]\n%a = cast(%x) : bf16[2]\n%y = cast(%a) : f32[2]", "%y = cast(%x) : f32[2]");
}

#[test]
fn division_skips_a_broadcast_only_if_it_cannot_fail() {
    let ops = |elem: &str, c: &str| {
        format!(
            "; x: {elem}[1,2]\n%w = constant() {{value = {c}}} : {elem}[3,2]\n%a = broadcast(%x) : {elem}[3,2]\n\
             %y = div(%w, %a) : {elem}[3,2]"
        )
    };
    check(&ops("f32", "0.5"), "%w = constant() {value = 0.5} : f32[3,2]\n%y = div(%w, %x) : f32[3,2]");
    check_stays(&ops("i32", "7"));
}

#[test]
fn average_pooling_of_one_element_is_removed_only_for_integers() {
    let pool = |elem: &str| {
        format!(
            "; x: {elem}[N,4,2]\n%a = avg_pool(%x) {{size = [1], strides = [1]}} : {elem}[N,4,2]\n\
             %y = reverse(%a) {{axes = [1]}} : {elem}[N,4,2]"
        )
    };
    check(&pool("i32"), "%y = reverse(%x) {axes = [1]} : i32[N,4,2]");
    check_stays(&pool("f32"));
}

#[test]
fn known_extents_become_constants() {
    check(
        "%n = dim(%x) {axis = 0} : i64[]\n%i = iota(%n) : i64[K]\n%y = neg(%i) : i64[K]",
        "%n = constant() {value = 2} : i64[]\n%i = iota(%n) : i64[K]\n%y = neg(%i) : i64[K]",
    );
    check_stays("; x: f32[N]\n%n = dim(%x) {axis = 0} : i64[]\n%i = iota(%n) : i64[K]\n%y = neg(%i) : i64[K]");
}

#[test]
fn redundant_carriers_are_dropped() {
    let head = "; x: i64[]\n%i = iota(%x) : i64[K]\n%f = cast(%i) : f32[K]";
    check(
        &format!("{head}\n%a = broadcast(%f, %i, %i) : f32[K,K]\n%y = neg(%a) : f32[K,K]"),
        &format!("{head}\n%a = broadcast(%f) : f32[K,K]\n%y = neg(%a) : f32[K,K]"),
    );
    check(
        &format!("{head}\n%a = reshape(%f, %i) : f32[K]\n%y = neg(%a) : f32[K]"),
        &format!("{head}\n%y = neg(%f) : f32[K]"),
    );
    // `2*K` does not carry `K`.
    let two = "%d = concat(%f, %f) {axis = 0} : f32[2*K]";
    check_stays(&format!("{head}\n{two}\n%a = reshape(%d, %i) : f32[K,2]\n%y = neg(%a) : f32[K,2]"));
    check(
        &format!("{head}\n{two}\n%a = reshape(%d, %i) : f32[1,2*K]\n%y = neg(%a) : f32[1,2*K]"),
        &format!("{head}\n{two}\n%a = reshape(%d) : f32[1,2*K]\n%y = neg(%a) : f32[1,2*K]"),
    );
    // Of many equal carriers only the last is kept.
    let one = "%one = constant() {value = 1.0} : f32[]";
    let many = ["%i", "%f"].repeat(5_000).join(", ");
    check(
        &format!("{head}\n{one}\n%a = broadcast(%one, {many}) : f32[K]\n%y = neg(%a) : f32[K]"),
        &format!("{head}\n{one}\n%a = broadcast(%one, %f) : f32[K]\n%y = neg(%a) : f32[K]"),
    );
}
