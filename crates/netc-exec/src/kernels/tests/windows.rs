//! Tests convolution and pooling against results of `jax.lax.conv_general_dilated` and `jax.lax.reduce_window`.

use super::check_window;

macro_rules! windows {
    ($($name:ident: $params:literal, $op:literal => [$($expect:expr),*];)*) => {$(
        #[test]
        fn $name() {
            check_window($params, $op, &[$(f64::from($expect)),*]);
        }
    )*};
}

windows! {
    conv_plain: "%x: f32[1,3,3,2], %w: f32[2,2,2,2]",
        r#"conv(%x, %w) {strides = [1, 1]} : f32[1,2,2,2]"#
        => [21, 12, -4, 25, -21, 7, -2, 9];
    conv_plain_channels_first: "%x: f32[1,2,3,3], %w: f32[2,2,2,2]",
        r#"conv(%x, %w) {strides = [1, 1], layout = "channels_first"} : f32[1,2,2,2]"#
        => [4, -14, 27, -13, 4, 5, 7, 8];
    conv_pointwise: "%x: f32[2,2,1,3], %w: f32[1,1,3,2]",
        r#"conv(%x, %w) {strides = [1, 1]} : f32[2,2,1,2]"#
        => [10, 9, 11, 9, 12, 9, 13, 9];
    conv_pointwise_strided: "%x: f32[1,3,4,2], %w: f32[1,1,2,1]",
        r#"conv(%x, %w) {strides = [2, 3]} : f32[1,2,2,1]"#
        => [-13, -5, 12, -13];
    conv_strided: "%x: f32[1,5,4,1], %w: f32[3,2,1,2]",
        r#"conv(%x, %w) {strides = [2, 3]} : f32[1,2,1,2]"#
        => [7, 26, -18, 25];
    conv_dilated: "%x: f32[1,5,5,1], %w: f32[2,2,1,2]",
        r#"conv(%x, %w) {strides = [1, 1], dilations = [3, 2]} : f32[1,2,3,2]"#
        => [-8, 22, -8, -18, 14, -14, 14, -13, 3, 13, -8, -16];
    conv_same_even_kernel: "%x: f32[1,3,4,1], %w: f32[2,4,1,1]",
        r#"conv(%x, %w) {strides = [1, 1], padding = "same"} : f32[1,3,4,1]"#
        => [32, -26, -23, 25, -22, -21, 32, -15, -7, 20, -5, 4];
    conv_same_strided: "%x: f32[1,5,4,1], %w: f32[3,3,1,2]",
        r#"conv(%x, %w) {strides = [2, 3], padding = "same"} : f32[1,3,2,2]"#
        => [2, -26, -5, -20, 8, -7, 5, -9, 8, 11, 17, 4];
    conv_same_strided_dilated: "%x: f32[1,5,6,1], %w: f32[3,2,1,1]",
        r#"conv(%x, %w) {strides = [2, 2], dilations = [2, 3], padding = "same"} : f32[1,3,3,1]"#
        => [-9, 8, -14, 9, -21, 11, 9, -7, -4];
    conv_same_stride_beyond_the_kernel: "%x: f32[1,7,1], %w: f32[2,1,2]",
        r#"conv(%x, %w) {strides = [4], padding = "same"} : f32[1,2,2]"#
        => [12, 6, -4, -12];
    conv_explicit_uneven: "%x: f32[1,3,3,1], %w: f32[2,3,1,1]",
        r#"conv(%x, %w) {strides = [2, 1], padding = [[1, 2], [0, 3]]} : f32[1,3,4,1]"#
        => [-7, -2, 0, 0, -18, -2, 0, 0, 0, 0, 0, 0];
    conv_explicit_wider_than_the_input: "%x: f32[1,2,1], %w: f32[2,1,1]",
        r#"conv(%x, %w) {strides = [1], padding = [[3, 2]]} : f32[1,6,1]"#
        => [0, 0, 6, -13, -5, 0];
    conv_grouped: "%x: f32[1,2,3,4], %w: f32[2,2,2,6]",
        r#"conv(%x, %w) {strides = [1, 1], groups = 2} : f32[1,1,2,6]"#
        => [25, 7, -18, 6, -1, 20, 8, -44, 16, 6, -2, -17];
    conv_grouped_channels_first_strided: "%x: f32[2,4,3,3], %w: f32[2,1,2,4]",
        r#"conv(%x, %w) {strides = [1, 2], padding = "same", layout = "channels_first", groups = 2} : f32[2,4,3,2]"#
        => [36, -6, 17, -3, -4, 9, -10, -12, 20, -15, 24, -9, 7, -9, 5, 11, 0, 9, -1, -19, 5, -13, 2, -1, 17, -3, 20, 0, -1, 12, 20, -15, 17, -18, 24, -9, 5, 11, 3, 9, -3, 6, 5, -13, 11, -7, 3, 0];
    conv_depthwise: "%x: f32[1,3,3,3], %w: f32[2,2,1,3]",
        r#"conv(%x, %w) {strides = [1, 1], padding = "same", groups = 3} : f32[1,3,3,3]"#
        => [7, -25, 14, 16, -19, 14, 8, -9, 10, 12, -7, -8, -1, -1, -41, -3, 3, -20, -3, 7, 5, -2, 12, 22, -1, 9, 8];
    conv_depthwise_multiplied: "%x: f32[1,3,2,2], %w: f32[2,2,1,6]",
        r#"conv(%x, %w) {strides = [1, 1], groups = 2} : f32[1,2,1,6]"#
        => [23, -3, -15, -9, -19, 27, -15, -3, 23, 23, -4, -10];
    conv_depthwise_channels_first_dilated: "%x: f32[1,2,4,3], %w: f32[2,2,1,2]",
        r#"conv(%x, %w) {strides = [2, 1], dilations = [2, 1], padding = [[1, 0], [0, 1]], layout = "channels_first", groups = 2} : f32[1,2,2,3]"#
        => [10, -8, 0, 23, -10, 4, 12, 4, -12, -4, -11, 27];
    conv_one_axis: "%x: f32[2,5,2], %w: f32[3,2,2]",
        r#"conv(%x, %w) {strides = [2], padding = "same"} : f32[2,3,2]"#
        => [6, -3, -3, -5, 7, 14, -21, 16, 7, -20, -15, 10];
    conv_one_axis_channels_first: "%x: f32[1,2,6], %w: f32[2,2,2]",
        r#"conv(%x, %w) {strides = [1], dilations = [3], layout = "channels_first"} : f32[1,2,3]"#
        => [-5, -5, -5, 2, -5, -1];
    conv_three_axes: "%x: f32[1,2,3,2,2], %w: f32[2,2,2,2,1]",
        r#"conv(%x, %w) {strides = [1, 1, 1], padding = "same"} : f32[1,2,3,2,1]"#
        => [-51, 50, -53, -27, 29, 20, -22, -18, 27, 19, -5, -13];
    conv_three_axes_channels_first: "%x: f32[1,1,3,2,3], %w: f32[2,1,2,1,2]",
        r#"conv(%x, %w) {strides = [2, 1, 1], layout = "channels_first"} : f32[1,2,1,2,2]"#
        => [23, -10, 23, -10, -9, -5, -8, -4];
    max_plain: "%x: f32[1,4,4,2]",
        r#"max_pool(%x) {size = [2, 2], strides = [2, 2]} : f32[1,2,2,2]"#
        => [2, 5, 5, 4, 4, 0, -1, 5];
    max_same: "%x: f32[1,3,4,2]",
        r#"max_pool(%x) {size = [2, 3], strides = [1, 2], padding = "same"} : f32[1,3,2,2]"#
        => [5, 5, 5, 4, 5, 2, 5, 5, 3, 2, -2, 5];
    max_overlapping_channels_first: "%x: f32[1,2,4,3]",
        r#"max_pool(%x) {size = [3, 2], strides = [1, 1], layout = "channels_first"} : f32[1,2,2,2]"#
        => [5, 5, 4, 4, 5, 1, 4, 5];
    max_explicit: "%x: f32[1,3,3,1]",
        r#"max_pool(%x) {size = [2, 2], strides = [2, 1], padding = [[1, 0], [1, 1]]} : f32[1,2,4,1]"#
        => [-2, 5, 5, 1, -3, 4, 4, 0];
    max_dilated: "%x: f32[1,5,4,1]",
        r#"max_pool(%x) {size = [2, 2], strides = [1, 1], dilations = [3, 2], padding = "same"} : f32[1,5,4,1]"#
        => [-5, 2, -2, 2, 5, 5, 5, 1, 0, 4, 3, 3, -5, 2, -2, 2, 1, 5, 4, -3];
    max_one_axis: "%x: f32[2,5,1]",
        r#"max_pool(%x) {size = [3], strides = [2], padding = "same"} : f32[2,3,1]"#
        => [5, 5, 4, 0, 3, -1];
    max_three_axes_first: "%x: f32[1,2,2,3,2]",
        r#"max_pool(%x) {size = [2, 2, 1], strides = [1, 1, 1], layout = "channels_first"} : f32[1,2,1,2,2]"#
        => [1, 5, 4, 0, 5, 4, 0, 5];
    avg_plain: "%x: f32[1,4,4,2]",
        r#"avg_pool(%x) {size = [2, 2], strides = [2, 2]} : f32[1,2,2,2]"#
        => [0, -1.25, 0.5, 2, 2, -2, -3, 1.25];
    avg_same: "%x: f32[1,3,4,2]",
        r#"avg_pool(%x) {size = [2, 3], strides = [1, 2], padding = "same"} : f32[1,3,2,2]"#
        => [1.5, -0.6666666865348816, 0.5, 2, 0.6666666865348816, -1.5, -1.25, 3, -0.6666666865348816, -1, -3.5, 3.5];
    avg_overlapping_channels_first: "%x: f32[1,2,4,3]",
        r#"avg_pool(%x) {size = [3, 2], strides = [1, 1], layout = "channels_first"} : f32[1,2,2,2]"#
        => [0.5, 2, -0.5, 1, 2, -2, 1, -1.1666666269302368];
    avg_explicit: "%x: f32[1,3,3,1]",
        r#"avg_pool(%x) {size = [2, 2], strides = [2, 1], padding = [[1, 0], [1, 1]]} : f32[1,2,4,1]"#
        => [-2, 1.5, 3, 1, -3.5, 0, 1.5, -0.5];
    avg_dilated: "%x: f32[1,5,4,1]",
        r#"avg_pool(%x) {size = [2, 2], strides = [1, 1], dilations = [3, 2], padding = "same"} : f32[1,5,4,1]"#
        => [-5, 0.5, -3.5, 2, 3, 0.25, 1.75, -1, -2, 0.75, -0.5, -0.5, -5, 0.5, -3.5, 2, 1, 1, 2.5, -3];
    avg_one_axis: "%x: f32[2,5,1]",
        r#"avg_pool(%x) {size = [3], strides = [2], padding = "same"} : f32[2,3,1]"#
        => [1.5, 1, 0.5, -2, -0.6666666865348816, -3];
    avg_three_axes_first: "%x: f32[1,2,2,3,2]",
        r#"avg_pool(%x) {size = [2, 2, 1], strides = [1, 1, 1], layout = "channels_first"} : f32[1,2,1,2,2]"#
        => [-1.5, 0, 1.5, -2.5, 0, 1.5, -2.5, 1.75];
}
