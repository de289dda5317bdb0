//! Tests products and convolutions of every size, and thus every implementation, against naive sums. The operands are
//! small integers, so that the sums are exact in floats.

use super::run;

fn small_integers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 7 + i / 5 + seed) % 11) as f64 - 5.0).collect()
}

/// Checks the products of `batch` pairs of matrices; with `shared`, all have the same right operand.
fn check_product([batch, m, k, n]: [usize; 4], shared: bool) {
    let rights = if shared { 1 } else { batch };
    let (a, b) = (small_integers(batch * m * k, 1), small_integers(rights * k * n, 4));
    let element = |i: usize| {
        let (row, column) = (i / n, i % n);
        let right = if shared { 0 } else { row / m * k * n };
        (0..k).map(|j| a[row * k + j] * b[right + j * n + column]).sum::<f64>()
    };
    let expect: Vec<f64> = (0..batch * m * n).map(element).collect();
    for elem in ["f32", "f64", "i32"] {
        let params = format!("%a: {elem}[{batch},{m},{k}], %b: {elem}[{rights},{k},{n}]");
        let op = format!("matmul(%a, %b) : {elem}[{batch},{m},{n}]");
        let found = run(&params, &op, &[a.clone(), b.clone()]).unwrap().to_f64s();
        assert!(found == expect, "{op} with {params}");
    }
}

#[test]
fn products_of_every_size_match_naive_sums() {
    // Tiny products, one row split into tasks, odd remainders, several rows, and products in blocks.
    for [m, k, n] in [
        [1, 1, 1],
        [2, 3, 5],
        [1, 700, 1],
        [1, 4, 4099],
        [1, 1025, 1030],
        [1, 30_000, 7],
        [3, 257, 301],
        [40, 9, 33],
        [64, 64, 65],
        [97, 130, 71],
    ] {
        check_product([1, m, k, n], true);
        check_product([3, m, k, n], true);
        check_product([3, m, k, n], false);
    }
}

/// Checks a channels-last convolution of a 5x6 image with a `taps`x2 kernel, strides and padding.
fn check_conv(groups: usize, per_group: usize, width: usize, taps: usize) {
    let (channels, filters) = (groups * per_group, groups * width);
    let ([rows, columns], [below, right]) = ([5, 6], [taps / 2, 1]);
    let out = [(rows + below - taps) / 2 + 1, columns + right - 2 + 1];
    let x = small_integers(2 * rows * columns * channels, 2);
    let kernel = small_integers(taps * 2 * per_group * filters, 3);
    let element = |i: usize| {
        let (filter, place) = (i % filters, i / filters);
        let [at, row, column] = [place / (out[0] * out[1]), place / out[1] % out[0], place % out[1]];
        let mut sum = 0.0;
        for (tap, c) in (0..taps * 2).flat_map(|tap| (0..per_group).map(move |c| (tap, c))) {
            let (row, column) = (row * 2 + tap / 2, column + tap % 2);
            if row < rows && column < columns {
                let channel = filter / width * per_group + c;
                sum += x[((at * rows + row) * columns + column) * channels + channel]
                    * kernel[(tap * per_group + c) * filters + filter];
            }
        }
        sum
    };
    let expect: Vec<f64> = (0..2 * out[0] * out[1] * filters).map(element).collect();
    for elem in ["f32", "i32"] {
        let params = format!("%x: {elem}[2,{rows},{columns},{channels}], %w: {elem}[{taps},2,{per_group},{filters}]");
        let op = format!(
            "conv(%x, %w) {{strides = [2, 1], padding = [[0, {below}], [0, {right}]], groups = {groups}}} : \
             {elem}[2,{},{},{filters}]",
            out[0], out[1]
        );
        let found = run(&params, &op, &[x.clone(), kernel.clone()]).unwrap().to_f64s();
        assert!(found == expect, "{op} with {params}");
    }
}

#[test]
fn grouped_convolutions_match_naive_sums() {
    for width in [1, 2, 3, 4, 6, 8, 16, 24, 32, 40] {
        for [groups, per_group, taps] in [[1, 3, 3], [5, 1, 3], [3, 2, 1], [4, 5, 2], [2, 33, 3]] {
            check_conv(groups, per_group, width, taps);
        }
    }
}

#[test]
fn large_convolutions_are_computed_in_chunks() {
    // The im2col matrix would exceed the maximum size of a chunk.
    let (x, kernel) = (small_integers(1200 * 300 * 2, 5), small_integers(3 * 3 * 2, 6));
    let params = "%x: f32[1,1200,300,2], %w: f32[3,3,2,1]";
    let found = run(params, "conv(%x, %w) {strides = [1, 1]} : f32[1,1198,298,1]", &[x.clone(), kernel.clone()]);
    let element = |i: usize| {
        let window = (0..9).map(|tap| (i / 298 + tap / 3) * 300 + i % 298 + tap % 3);
        window.enumerate().map(|(t, at)| x[at * 2] * kernel[t * 2] + x[at * 2 + 1] * kernel[t * 2 + 1]).sum::<f64>()
    };
    assert!(found.unwrap().to_f64s() == (0..1198 * 298).map(element).collect::<Vec<_>>());
}

#[test]
fn infinite_weights_times_padding_are_nan() {
    for (groups, per_group) in [(1, 2), (2, 1), (2, 2)] {
        let channels = groups * per_group;
        let kernel = vec![f64::INFINITY; 2 * per_group * 2];
        let params = format!("%x: f32[1,2,{channels}], %w: f32[2,{per_group},2]");
        let op = format!("conv(%x, %w) {{strides = [1], padding = \"same\", groups = {groups}}} : f32[1,2,2]");
        let found = run(&params, &op, &[vec![1.0; 2 * channels], kernel]).unwrap().to_f64s();
        assert_eq!(found[..2], [f64::INFINITY; 2], "{params}");
        assert!(found[2].is_nan() && found[3].is_nan(), "{params}: {found:?}");
    }
}
