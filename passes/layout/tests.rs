//! Tests the ops of `@main` before and after `layout`.

use crate::testing::{check_fuel, rewrite, run};

const POOL: &str = "{size = [2, 2], strides = [1, 1]";

/// `text` with `POOL` in place of `pool`, and `FIRST` of the window's layout in place of `first`.
fn pools(text: &str) -> String {
    let first = format!("{POOL}, layout = \"channels_first\"}}");
    text.replace("FIRST", &first).replace("LAST", &format!("{POOL}}}"))
}

/// Checks that the pass turns the ops `before` into `after`, and does not change these.
#[track_caller]
fn check(before: &str, after: &str) {
    rewrite("layout", &pools(before), &pools(after));
}

#[test]
fn a_convolution_gets_a_transpose_on_either_side() {
    check(
        "; x: f32[N,3,8,9]
         %y = max_pool(%x) FIRST : f32[N,3,7,8]",
        "; x: f32[N,3,8,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,8,9,3]
         %2 = max_pool(%1) LAST : f32[N,7,8,3]
         %y = transpose(%2) {perm = [0, 3, 1, 2]} : f32[N,3,7,8]",
    );
}

#[test]
fn channels_last_converts_to_channels_first() {
    let before = "; x: f32[N,8,9,3]\n%y = avg_pool(%x) LAST : f32[N,7,8,3]";
    let after = "; x: f32[N,8,9,3]
         %1 = transpose(%x) {perm = [0, 3, 1, 2]} : f32[N,3,8,9]
         %2 = avg_pool(%1) FIRST : f32[N,3,7,8]
         %y = transpose(%2) {perm = [0, 2, 3, 1]} : f32[N,7,8,3]";
    rewrite("layout=channels-first", &pools(before), &pools(after));
}

#[test]
fn ops_in_the_wanted_layout_stay() {
    let text = "; x: f32[N,8,9,3]
         %a = max_pool(%x) LAST : f32[N,7,8,3]
         %b = transpose(%a) {perm = [0, 3, 1, 2]} : f32[N,3,7,8]
         %c = relu(%b) : f32[N,3,7,8]
         %y = transpose(%c) {perm = [0, 2, 3, 1]} : f32[N,7,8,3]";
    check(text, text);
}

#[test]
fn kernels_stay_and_biases_are_reshaped() {
    check(
        "; x: f32[N,2,9]
         %k = weight w2() : f32[3,2,4]
         %a = conv(%x, %k) {strides = [1], layout = \"channels_first\"} : f32[N,4,7]
         %w = weight w0() : f32[2]
         %s = slice(%a) {axes = [[0, null, 1], [0, 2, 1], [0, null, 1]]} : f32[N,2,7]
         %b = reshape(%w) : f32[2,1]
         %c = add(%s, %b) : f32[N,2,7]
         %d = reshape(%w) : f32[1,2,1]
         %y = mul(%c, %d) : f32[N,2,7]",
        "; x: f32[N,2,9]
         %k = weight w2() : f32[3,2,4]
         %2 = transpose(%x) {perm = [0, 2, 1]} : f32[N,9,2]
         %a = conv(%2, %k) {strides = [1]} : f32[N,7,4]
         %w = weight w0() : f32[2]
         %s = slice(%a) {axes = [[0, null, 1], [0, null, 1], [0, 2, 1]]} : f32[N,7,2]
         %b = reshape(%w) : f32[2,1]
         %7 = reshape(%b) : f32[1,1,2]
         %c = add(%s, %7) : f32[N,7,2]
         %d = reshape(%w) : f32[1,2,1]
         %10 = reshape(%d) : f32[1,1,2]
         %11 = mul(%c, %10) : f32[N,7,2]
         %y = transpose(%11) {perm = [0, 2, 1]} : f32[N,2,7]",
    );
}

#[test]
fn transposes_between_windows_cancel_and_branches_share_one() {
    check(
        "; x: f32[N,3,8,9]
         %a = max_pool(%x) FIRST : f32[N,3,7,8]
         %s = sigmoid(%a) : f32[N,3,7,8]
         %m = mul(%a, %s) : f32[N,3,7,8]
         %p = pad(%m) {amounts = [[0, 0], [0, 0], [1, 0], [0, 2]]} : f32[N,3,8,10]
         %b = avg_pool(%p) FIRST : f32[N,3,7,9]
         %c = max_pool(%p) FIRST : f32[N,3,7,9]
         %d = concat(%b, %c) {axis = 1} : f32[N,6,7,9]
         %z = constant() {value = 0.5} : f32[1,6,7,9]
         %y = max(%d, %z) : f32[N,6,7,9]",
        "; x: f32[N,3,8,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,8,9,3]
         %a = max_pool(%1) LAST : f32[N,7,8,3]
         %s = sigmoid(%a) : f32[N,7,8,3]
         %m = mul(%a, %s) : f32[N,7,8,3]
         %p = pad(%m) {amounts = [[0, 0], [1, 0], [0, 2], [0, 0]], value = 0.0} : f32[N,8,10,3]
         %b = avg_pool(%p) LAST : f32[N,7,9,3]
         %c = max_pool(%p) LAST : f32[N,7,9,3]
         %d = concat(%b, %c) {axis = 3} : f32[N,7,9,6]
         %z = constant() {value = 0.5} : f32[1,6,7,9]
         %10 = constant() {value = 0.5} : f32[1,7,9,6]
         %11 = max(%d, %10) : f32[N,7,9,6]
         %y = transpose(%11) {perm = [0, 3, 1, 2]} : f32[N,6,7,9]",
    );
}

#[test]
fn transposes_are_placed_where_tensors_are_small() {
    check(
        "; x: f32[N,3,1,9]
         %a = broadcast(%x) : f32[N,3,8,9]
         %b = max_pool(%a) FIRST : f32[N,3,7,8]
         %c = slice(%b) {axes = [[0, null, 1], [0, 1, 1], [0, null, 2], [0, null, 1]]} : f32[N,1,4,8]
         %y = broadcast(%c) : f32[N,9,4,8]",
        "; x: f32[N,3,1,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,1,9,3]
         %a = broadcast(%1) : f32[N,8,9,3]
         %b = max_pool(%a) LAST : f32[N,7,8,3]
         %4 = slice(%b) {axes = [[0, null, 1], [0, null, 2], [0, null, 1], [0, 1, 1]]} : f32[N,4,8,1]
         %c = reshape(%4) : f32[N,1,4,8]
         %y = broadcast(%c) : f32[N,9,4,8]",
    );
}

#[test]
fn reductions_move_only_if_the_element_order_stays() {
    check(
        "; x: f32[N,3,8,9]
         %a = max_pool(%x) FIRST : f32[N,3,7,8]
         %b = reduce_mean(%a) {axes = [2, 3]} : f32[N,3]
         %c = reduce_max(%a) {axes = [3]} : f32[N,3,7]
         %d = reduce_sum(%c) {axes = [1, 2]} : f32[N]
         %e = reduce_prod(%a) {axes = [1], keep = true} : f32[N,1,7,8]
         %f = reduce_sum(%e) {axes = [2, 3]} : f32[N,1]
         %g = add(%b, %f) : f32[N,3]
         %h = reshape(%d) : f32[N,1]
         %y = add(%g, %h) : f32[N,3]",
        "; x: f32[N,3,8,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,8,9,3]
         %a = max_pool(%1) LAST : f32[N,7,8,3]
         %b = reduce_mean(%a) {axes = [1, 2]} : f32[N,3]
         %4 = reduce_max(%a) {axes = [2]} : f32[N,7,3]
         %c = transpose(%4) {perm = [0, 2, 1]} : f32[N,3,7]
         %d = reduce_sum(%c) {axes = [1, 2]} : f32[N]
         %e = reduce_prod(%a) {axes = [3], keep = true} : f32[N,7,8,1]
         %f = reduce_sum(%e) {axes = [1, 2]} : f32[N,1]
         %g = add(%b, %f) : f32[N,3]
         %h = reshape(%d) : f32[N,1]
         %y = add(%g, %h) : f32[N,3]",
    );
}

#[test]
fn readers_that_cannot_move_get_the_original_order() {
    check(
        "; x: f32[N,3,8,9]
         %a = max_pool(%x) FIRST : f32[N,3,7,8]
         %b = reduce_sum(%a) {axes = [1, 2, 3]} : f32[N]
         %c = reduce_max(%a) {axes = [3]} : f32[N,3,7]
         %d = reduce_sum(%c) {axes = [1, 2]} : f32[N]
         %y = add(%b, %d) : f32[N]",
        "; x: f32[N,3,8,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,8,9,3]
         %2 = max_pool(%1) LAST : f32[N,7,8,3]
         %a = transpose(%2) {perm = [0, 3, 1, 2]} : f32[N,3,7,8]
         %b = reduce_sum(%a) {axes = [1, 2, 3]} : f32[N]
         %c = reduce_max(%a) {axes = [3]} : f32[N,3,7]
         %d = reduce_sum(%c) {axes = [1, 2]} : f32[N]
         %y = add(%b, %d) : f32[N]",
    );
}

#[test]
fn axis_attributes_follow_the_moved_axes() {
    check(
        "; x: f32[2,3,4,5]
         %i = constant() {value = [1, 0]} : i32[2]
         %a = max_pool(%x) FIRST : f32[2,3,3,4]
         %b = gather(%a, %i) {axis = 3} : f32[2,3,3,2]
         %c = sort(%b) {axis = 1} : f32[2,3,3,2]
         %d = cumsum(%c) {axis = 2} : f32[2,3,3,2]
         %e = reverse(%d) {axes = [1, 2]} : f32[2,3,3,2]
         %f = cast(%e) : f64[2,3,3,2]
         %g = ge(%e, %c) : bool[2,3,3,2]
         %h = select(%g, %f, %f) : f64[2,3,3,2]
         %j = cast(%h) : f32[2,3,3,2]
         %y = max_pool(%j) FIRST : f32[2,3,2,1]",
        "; x: f32[2,3,4,5]
         %i = constant() {value = [1, 0]} : i32[2]
         %2 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[2,4,5,3]
         %a = max_pool(%2) LAST : f32[2,3,4,3]
         %b = gather(%a, %i) {axis = 2} : f32[2,3,2,3]
         %c = sort(%b) {axis = 3} : f32[2,3,2,3]
         %d = cumsum(%c) {axis = 1} : f32[2,3,2,3]
         %e = reverse(%d) {axes = [1, 3]} : f32[2,3,2,3]
         %f = cast(%e) : f64[2,3,2,3]
         %g = ge(%e, %c) : bool[2,3,2,3]
         %h = select(%g, %f, %f) : f64[2,3,2,3]
         %j = cast(%h) : f32[2,3,2,3]
         %12 = max_pool(%j) LAST : f32[2,2,1,3]
         %y = transpose(%12) {perm = [0, 3, 1, 2]} : f32[2,3,2,1]",
    );
}

#[test]
fn transposes_of_the_program_are_cancelled() {
    check(
        "; x: f32[N,8,9,3]
         %a = transpose(%x) {perm = [0, 3, 1, 2]} : f32[N,3,8,9]
         %b = relu(%a) : f32[N,3,8,9]
         %c = max_pool(%b) FIRST : f32[N,3,7,8]
         %d = transpose(%c) {perm = [0, 2, 3, 1]} : f32[N,7,8,3]
         %e = reshape(%d) : f32[N,168]
         %f = transpose(%c) {perm = [0, 2, 3, 1]} : f32[N,7,8,3]
         %g = max_pool(%f) LAST : f32[N,6,7,3]
         %h = reshape(%g) : f32[N,126]
         %y = concat(%e, %h) {axis = 1} : f32[N,294]",
        "; x: f32[N,8,9,3]
         %b = relu(%x) : f32[N,8,9,3]
         %c = max_pool(%b) LAST : f32[N,7,8,3]
         %e = reshape(%c) : f32[N,168]
         %g = max_pool(%c) LAST : f32[N,6,7,3]
         %h = reshape(%g) : f32[N,126]
         %y = concat(%e, %h) {axis = 1} : f32[N,294]",
    );
}

#[test]
fn transposes_of_rank_3_are_cancelled_on_both_sides() {
    check(
        "; x: f32[N,9,2]
         %a = transpose(%x) {perm = [0, 2, 1]} : f32[N,2,9]
         %k = weight w2() : f32[3,2,4]
         %b = conv(%a, %k) {strides = [1], layout = \"channels_first\"} : f32[N,4,7]
         %y = transpose(%b) {perm = [0, 2, 1]} : f32[N,7,4]",
        "; x: f32[N,9,2]
         %k = weight w2() : f32[3,2,4]
         %b = conv(%x, %k) {strides = [1]} : f32[N,7,4]",
    );
}

#[test]
fn windows_over_constants_are_converted_too() {
    check(
        "; x: f32[2,2,3]
         %k = weight w2() : f32[3,2,4]
         %a = conv(%k, %k) {strides = [1], padding = \"same\", layout = \"channels_first\"} : f32[3,4,4]
         %b = slice(%a) {axes = [[0, 2, 1], [0, 2, 1], [0, 3, 1]]} : f32[2,2,3]
         %y = add(%x, %b) : f32[2,2,3]",
        "; x: f32[2,2,3]
         %k = weight w2() : f32[3,2,4]
         %2 = transpose(%k) {perm = [0, 2, 1]} : f32[3,4,2]
         %3 = conv(%2, %k) {strides = [1], padding = \"same\"} : f32[3,4,4]
         %a = transpose(%3) {perm = [0, 2, 1]} : f32[3,4,4]
         %b = slice(%a) {axes = [[0, 2, 1], [0, 2, 1], [0, 3, 1]]} : f32[2,2,3]
         %y = add(%x, %b) : f32[2,2,3]",
    );
}

#[test]
fn each_rewrite_takes_fuel() {
    let text = pools(
        "; x: f32[N,8,9,3]
         %a = transpose(%x) {perm = [0, 3, 1, 2]} : f32[N,3,8,9]
         %b = relu(%a) : f32[N,3,8,9]
         %c = max_pool(%b) FIRST : f32[N,3,7,8]
         %y = transpose(%c) {perm = [0, 2, 3, 1]} : f32[N,7,8,3]",
    );
    // A transpose follows the last moved op. Then the two transposes of the program are removed, the second together
    // with that one.
    check_fuel("layout", &text, &[4, 5, 5, 3, 2]);
}

#[test]
fn an_unknown_rank_is_left_unchanged() {
    let text = pools(
        "netc 1
         func @main(%x: f32[*]) -> (%y) { %y = max_pool(%x) FIRST : f32[*] loc(\"pool\") }",
    );
    let (after, remarks) = run(&text, "layout").unwrap();
    assert!(after.contains("channels_first"), "{after}");
    assert_eq!(remarks, ["layout: pool: not converted: the rank of its input is unknown"]);
}

#[test]
fn unknown_extents_do_not_prevent_conversion() {
    check(
        "; x: f32[N,C,H,9]
         %a = max_pool(%x) FIRST : f32[N,C,H-1,8]
         %b = relu(%a) : f32[N,C,H-1,8]
         %y = max_pool(%b) FIRST : f32[N,C,H-2,7]",
        "; x: f32[N,C,H,9]
         %1 = transpose(%x) {perm = [0, 2, 3, 1]} : f32[N,H,9,C]
         %a = max_pool(%1) LAST : f32[N,H-1,8,C]
         %b = relu(%a) : f32[N,H-1,8,C]
         %4 = max_pool(%b) LAST : f32[N,H-2,7,C]
         %y = transpose(%4) {perm = [0, 3, 1, 2]} : f32[N,C,H-2,7]",
    );
}

#[test]
fn each_function_keeps_its_signature_and_the_remark_counts() {
    let text = pools(
        "netc 1
         func @f(%a: f32[2,3,4,5]) -> (%b) { %b = max_pool(%a) FIRST : f32[2,3,3,4] }
         func @main(%x: f32[2,3,4,5]) -> (%y) {
           %c = call @f(%x) : f32[2,3,3,4]
           %d = max_pool(%c) FIRST : f32[2,3,2,3]
           %y = max_pool(%d) FIRST : f32[2,3,1,2]
         }",
    );
    let (after, remarks) = run(&text, "layout").unwrap();
    assert!(after.contains("func @f(%a: f32[2,3,4,5]) -> (%b)"), "{after}");
    assert!(after.contains("%c = call @f(%x) : f32[2,3,3,4]"), "{after}");
    assert_eq!(
        remarks,
        [
            "layout: @f: converted convolutions and poolings: 1; transposes: 2 added, 0 cancelled, 2 left",
            "layout: @main: converted convolutions and poolings: 2; transposes: 4 added, 2 cancelled, 2 left",
        ]
    );
}
