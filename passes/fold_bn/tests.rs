//! Tests chains in every position. `tests/properties.rs` compares values.

use crate::testing::{check_fuel, rewrite};

/// A convolution of `f32[N,5,2]` with 4 filters of length 3, and constants with one number per channel.
const CONV: &str = "; x: f32[N,5,2]
%k = weight w2() : f32[3,2,4]
%c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4]
%d = constant() {value = [5.0, 6.0, 7.0, 8.0]} : f32[1,1,4]
%z = conv(%x, %k) {strides = [1]} : f32[N,3,4]";

#[track_caller]
fn check(before: &str, after: &str) {
    rewrite("fix(fold-bn,dce)", before, after);
}

#[test]
fn normalization_folds_into_the_convolution_before_it() {
    check(
        &format!("{CONV}\n%s = mul(%z, %c) : f32[N,3,4]\n%y = add(%s, %d) : f32[N,3,4]"),
        "%k = weight w2() : f32[3,2,4]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4]
         %d = constant() {value = [5.0, 6.0, 7.0, 8.0]} : f32[1,1,4]
         %4 = reshape(%d) : f32[4]
         %5 = mul(%k, %c) : f32[3,2,4]
         %6 = conv(%x, %5) {strides = [1]} : f32[N,3,4]
         %y = add(%6, %4) : f32[N,3,4]",
    );
}

#[test]
fn every_kind_of_step_folds() {
    check(
        &format!(
            "{CONV}\n%b = add(%z, %c) : f32[N,3,4]\n%e = sub(%b, %d) : f32[N,3,4]\n%f = div(%e, %c) : f32[N,3,4]\n\
             %y = sub(%d, %f) : f32[N,3,4]"
        ),
        "%k = weight w2() : f32[3,2,4]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4]
         %d = constant() {value = [5.0, 6.0, 7.0, 8.0]} : f32[1,1,4]
         %4 = reshape(%d) : f32[4]
         %5 = sub(%c, %4) : f32[4]
         %6 = div(%5, %c) : f32[4]
         %7 = constant() {value = 1.0} : f32[]
         %8 = div(%7, %c) : f32[4]
         %9 = reshape(%d) : f32[4]
         %10 = neg(%8) : f32[4]
         %11 = sub(%9, %6) : f32[4]
         %12 = mul(%k, %10) : f32[3,2,4]
         %13 = conv(%x, %12) {strides = [1]} : f32[N,3,4]
         %y = add(%13, %11) : f32[N,3,4]",
    );
}

#[test]
fn a_chain_before_a_product_folds_into_its_input_channels() {
    check(
        "; x: f32[N,6,2]
         %w = weight w0() : f32[2]
         %k = weight w2() : f32[3,2,4]
         %a = sub(%x, %w) : f32[N,6,2]
         %b = mul(%w, %a) : f32[N,6,2]
         %y = conv(%b, %k) {strides = [1]} : f32[N,4,4]",
        "%w = weight w0() : f32[2]
         %k = weight w2() : f32[3,2,4]
         %3 = neg(%w) : f32[2]
         %4 = mul(%3, %w) : f32[2]
         %5 = reshape(%4) : f32[2,1]
         %6 = mul(%k, %5) : f32[3,2,4]
         %7 = reduce_sum(%6) {axes = [0, 1]} : f32[4]
         %8 = reshape(%w) : f32[2,1]
         %9 = mul(%k, %8) : f32[3,2,4]
         %10 = conv(%x, %9) {strides = [1]} : f32[N,4,4]
         %y = add(%10, %7) : f32[N,4,4]",
    );
}

#[test]
fn folding_handles_groups_and_channels_first() {
    check(
        "; x: f32[N,2,8]
         %k = weight w2() : f32[3,2,4]
         %z = conv(%x, %k) {strides = [1], layout = \"channels_first\"} : f32[N,4,6]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4,1]
         %y = mul(%z, %c) : f32[N,4,6]",
        "%k = weight w2() : f32[3,2,4]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4,1]
         %3 = reshape(%c) : f32[4]
         %4 = mul(%k, %3) : f32[3,2,4]
         %y = conv(%x, %4) {strides = [1], layout = \"channels_first\"} : f32[N,4,6]",
    );
    check(
        "; x: f32[N,4,8]
         %k = weight w2() : f32[3,2,4]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4,1]
         %a = mul(%x, %c) : f32[N,4,8]
         %y = conv(%a, %k) {strides = [1], padding = \"same\", layout = \"channels_first\", groups = 2} : f32[N,4,8]",
        "%k = weight w2() : f32[3,2,4]
         %c = constant() {value = [1.0, 2.0, 3.0, 4.0]} : f32[4,1]
         %3 = reshape(%c) : f32[2,2]
         %4 = transpose(%3) {perm = [1, 0]} : f32[2,2]
         %5 = reshape(%4) : f32[2,2,1]
         %6 = reshape(%k) : f32[3,2,2,2]
         %7 = mul(%6, %5) : f32[3,2,2,2]
         %8 = reshape(%7) : f32[3,2,4]
         %y = conv(%x, %8) {strides = [1], padding = \"same\", layout = \"channels_first\", groups = 2} : f32[N,4,8]",
    );
}

#[test]
fn a_matrix_product_folds_chains_on_both_sides() {
    check(
        "; x: f32[N,2]
         %w = weight w0() : f32[2]
         %m = weight w1() : f32[2,2]
         %a = add(%x, %w) : f32[N,2]
         %b = matmul(%a, %m) : f32[N,2]
         %y = mul(%b, %w) : f32[N,2]",
        "%w = weight w0() : f32[2]
         %m = weight w1() : f32[2,2]
         %3 = mul(%m, %w) : f32[2,2]
         %4 = reshape(%w) : f32[2,1]
         %5 = mul(%3, %4) : f32[2,2]
         %6 = reduce_sum(%5) {axes = [0]} : f32[2]
         %7 = matmul(%x, %3) : f32[N,2]
         %y = add(%7, %6) : f32[N,2]",
    );
}

#[test]
fn chains_without_a_product_become_shorter() {
    check(
        "%w = weight w0() : f32[2]
         %c = constant() {value = 2.0} : f32[]
         %a = mul(%x, %c) : f32[2]
         %b = add(%a, %w) : f32[2]
         %y = mul(%b, %c) : f32[2]",
        "%w = weight w0() : f32[2]
         %c = constant() {value = 2.0} : f32[]
         %3 = mul(%c, %c) : f32[]
         %4 = mul(%w, %c) : f32[2]
         %5 = mul(%x, %3) : f32[2]
         %y = add(%5, %4) : f32[2]",
    );
}

#[test]
fn chains_that_are_read_elsewhere_padded_or_not_affine_stay() {
    let head = CONV.replace("%d = constant() {value = [5.0, 6.0, 7.0, 8.0]} : f32[1,1,4]\n", "");
    for tail in [
        // A bias.
        "%y = add(%z, %c) : f32[N,3,4]",
        // The result of the convolution is read twice.
        "%s = mul(%z, %c) : f32[N,3,4]\n%y = add(%s, %z) : f32[N,3,4]",
        // An activation.
        "%r = relu(%z) : f32[N,3,4]\n%y = mul(%r, %c) : f32[N,3,4]",
        // Division by the channels.
        "%y = div(%c, %z) : f32[N,3,4]",
    ] {
        let ops = format!("{head}\n{tail}");
        check(&ops, &ops);
    }
    let padded = "; x: f32[N,6,2]
         %w = weight w0() : f32[2]
         %k = weight w2() : f32[3,2,4]
         %a = add(%x, %w) : f32[N,6,2]
         %y = conv(%a, %k) {strides = [1], padding = \"same\"} : f32[N,6,4]";
    check(padded, padded);
    // An axis other than the channel axis.
    let positions = "; x: f32[N,2,2]
         %k = weight w1() : f32[2,2]
         %c = constant() {value = [1.0, 2.0]} : f32[2,1]
         %a = mul(%x, %c) : f32[N,2,2]
         %b = matmul(%a, %k) : f32[N,2,2]
         %y = mul(%b, %c) : f32[N,2,2]";
    check(positions, positions);
    // The product of two values, and of two constants.
    let values = "; x: f32[2,2]
         %c = weight w0() : f32[2]
         %a = matmul(%x, %x) : f32[2,2]
         %y = mul(%a, %c) : f32[2,2]";
    check(values, values);
    let constants = "; x: f32[2,2]
         %c = weight w0() : f32[2]
         %k = weight w1() : f32[2,2]
         %a = matmul(%k, %k) : f32[2,2]
         %b = mul(%a, %c) : f32[2,2]
         %y = matmul(%x, %b) : f32[2,2]";
    check(constants, constants);
}

#[test]
fn each_chain_takes_one_unit_of_fuel() {
    let text = format!("{CONV}\n%s = mul(%z, %c) : f32[N,3,4]\n%y = add(%s, %d) : f32[N,3,4]");
    check_fuel("fold-bn", &text, &[6, 7]);
}

#[test]
fn a_shift_folds_into_a_batched_product() {
    check(
        "; x: f32[3,5,2]
         %w = weight w0() : f32[2]
         %k = weight w2() : f32[3,2,4]
         %a = add(%x, %w) : f32[3,5,2]
         %y = matmul(%a, %k) : f32[3,5,4]",
        "%w = weight w0() : f32[2]
         %k = weight w2() : f32[3,2,4]
         %3 = reshape(%w) : f32[2,1]
         %4 = mul(%k, %3) : f32[3,2,4]
         %5 = reduce_sum(%4) {axes = [1], keep = true} : f32[3,1,4]
         %6 = matmul(%x, %k) : f32[3,5,4]
         %y = add(%6, %5) : f32[3,5,4]",
    );
}
