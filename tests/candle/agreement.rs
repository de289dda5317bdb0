//! Compares netc's kernels with candle, an independent implementation, on the same random numbers.

use candle_core::{Device, Tensor as Candle};
use candle_nn::Module as _;
use netc_testgen::oracle::Wrong;
use netc_testgen::property;
use proptest::prelude::*;

/// Runs `op` on the operands `%x0`, `%x1`, ... with netc.
fn netc(op: &str, operands: &[&Candle]) -> Result<Candle, Box<dyn std::error::Error>> {
    let ty = |x: &Candle| x.dims().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let params: Vec<String> = operands.iter().enumerate().map(|(i, x)| format!("%x{i}: f32[{}]", ty(x))).collect();
    let module = netc_ir::parse(&format!("netc 1\nfunc @main({}) -> (%y) {{\n{op}\n}}", params.join(", ")))?;
    netc_ir::verify(&module)?;
    let main = module.func_named("main").ok_or("no @main")?;
    let plan = netc_exec::Plan::new(&module, main, &netc_data::Store::open(&module)?)?;
    let tensor = |x: &&Candle| {
        let dims: Vec<u64> = x.dims().iter().map(|d| *d as u64).collect();
        Ok(netc_exec::Tensor::from_f32(&dims, &x.flatten_all()?.to_vec1::<f32>()?)?)
    };
    let inputs = operands.iter().map(tensor).collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    let outputs = plan.run(&inputs)?;
    let dims: Vec<usize> = outputs[0].dims().iter().map(|d| *d as usize).collect();
    let numbers: Vec<f32> = outputs[0].to_f64s().iter().map(|x| *x as f32).collect();
    Ok(Candle::from_vec(numbers, dims, &Device::Cpu)?)
}

/// Checks that netc computes the same for `op` as candle, up to `tolerance` relative to the largest number.
fn agrees(op: &str, operands: &[&Candle], expect: candle_core::Result<Candle>, tolerance: f32) -> Result<(), Wrong> {
    let found = netc(op, operands).map_err(|e| format!("{op}: {e}"))?;
    let numbers = |x: &Candle| x.flatten_all()?.to_vec1::<f32>();
    let compared = || {
        let expect = expect?;
        assert_eq!(found.dims(), expect.dims(), "{op}");
        Ok::<_, candle_core::Error>((numbers(&found)?, numbers(&expect)?))
    };
    let (found, expect) = compared().map_err(|e| format!("{op}: {e}"))?;
    let bound = tolerance * expect.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    // False for a NaN.
    let is_near = |(found, expect): (&f32, &f32)| (found - expect).abs() <= bound;
    match found.iter().zip(&expect).position(|pair| !is_near(pair)) {
        Some(i) => Err(format!("{op}: element {i} is {}, and {} in candle; the bound is {bound}", found[i], expect[i])),
        None => Ok(()),
    }
}

/// Random numbers between -1 and 1.
fn random(dims: &[usize], seed: u64) -> Candle {
    let count: usize = dims.iter().product();
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let numbers: Vec<f32> = (0..count).map(next).collect();
    Candle::from_vec(numbers, dims, &Device::Cpu).expect("as many numbers as the shape has")
}

fn spelled(dims: &[usize]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn matrix_products() {
    let extents = (1..4usize, 1..90usize, 1..600usize, 1..90usize, any::<u64>());
    property::check(200, extents, |(batch, m, k, n, seed)| {
        let (a, b) = (random(&[batch, m, k], seed), random(&[batch, k, n], seed ^ 1));
        agrees(&format!("%y = matmul(%x0, %x1) : f32[{batch},{m},{n}]"), &[&a, &b], a.matmul(&b), 1e-5)
    })
    .unwrap();
}

#[test]
fn convolutions() {
    let kernel = (1..4usize, 1..5usize, 1..9usize, 1..30usize);
    let window = (1..4usize, 0..3usize, 1..3usize, 9..24usize);
    property::check(200, (kernel, window, any::<u64>()), |(kernel, window, seed)| {
        let ((taps, groups, per_group, width), (stride, padding, dilation, extent)) = (kernel, window);
        let (channels, filters) = (groups * per_group, groups * width);
        let config = candle_nn::Conv2dConfig { padding, stride, dilation, groups, ..Default::default() };
        let x = random(&[2, channels, extent, extent], seed);
        let weight = random(&[filters, per_group, taps, taps], seed ^ 1);
        let expect = candle_nn::Conv2d::new(weight.clone(), None, config).forward(&x);
        // netc has the channels and the filters last.
        let weight = weight.permute([2, 3, 1, 0]).and_then(|w| w.contiguous()).expect("four axes");
        let out = (extent + 2 * padding - dilation * (taps - 1) - 1) / stride + 1;
        let op = format!(
            "%y = conv(%x0, %x1) {{strides = [{stride}, {stride}], dilations = [{dilation}, {dilation}], groups = {groups}, \
             padding = [[{padding}, {padding}], [{padding}, {padding}]], layout = \"channels_first\"}} : \
             f32[2,{filters},{out},{out}]"
        );
        agrees(&op, &[&x, &weight], expect, 1e-5)
    })
    .unwrap();
}

#[test]
fn poolings() {
    let extents = (1..4usize, 1..4usize, 1..4usize, 6..12usize, any::<u64>());
    property::check(100, extents, |(channels, size, stride, extent, seed)| {
        let x = random(&[2, channels, extent, extent], seed);
        let out = (extent - size) / stride + 1;
        let pool = |kind: &str| {
            format!(
                "%y = {kind}(%x0) {{size = [{size}, {size}], strides = [{stride}, {stride}], \
                 layout = \"channels_first\"}} : f32[2,{channels},{out},{out}]"
            )
        };
        agrees(&pool("max_pool"), &[&x], x.max_pool2d_with_stride(size, stride), 0.0)?;
        agrees(&pool("avg_pool"), &[&x], x.avg_pool2d_with_stride(size, stride), 1e-6)
    })
    .unwrap();
}

#[test]
fn unary_functions() {
    type Function = fn(&Candle) -> candle_core::Result<Candle>;
    let functions: [(&str, Function); 14] = [
        ("neg", Candle::neg),
        ("abs", Candle::abs),
        ("sign", Candle::sign),
        ("floor", Candle::floor),
        ("ceil", Candle::ceil),
        ("exp", Candle::exp),
        ("log", |x| x.abs()?.log()),
        ("sqrt", |x| x.abs()?.sqrt()),
        ("sin", Candle::sin),
        ("cos", Candle::cos),
        ("tanh", Candle::tanh),
        ("sigmoid", candle_nn::ops::sigmoid),
        ("erf", Candle::erf),
        ("relu", Candle::relu),
    ];
    property::check(50, (1..5000usize, any::<u64>()), |(count, seed)| {
        let x = (random(&[count], seed) * 5.0).map_err(|e| e.to_string())?;
        for (name, function) in functions {
            let of = if matches!(name, "log" | "sqrt") { "%a" } else { "%x0" };
            let op = format!("%a = abs(%x0) : f32[{count}]\n%y = {name}({of}) : f32[{count}]");
            agrees(&op, &[&x], function(&x), 1e-6)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn binary_functions_broadcast() {
    type Function = fn(&Candle, &Candle) -> candle_core::Result<Candle>;
    let functions: [(&str, Function); 6] = [
        ("add", Candle::broadcast_add),
        ("sub", Candle::broadcast_sub),
        ("mul", Candle::broadcast_mul),
        ("div", Candle::broadcast_div),
        ("max", Candle::broadcast_maximum),
        ("min", Candle::broadcast_minimum),
    ];
    let extents = (1..5usize, 1..5usize, 1..5usize, 0..8u8, 0..8u8, any::<u64>());
    property::check(100, extents, |(a, b, c, left, right, seed)| {
        let dims =
            |ones: u8| [a, b, c].iter().enumerate().map(|(i, d)| if ones >> i & 1 == 1 { 1 } else { *d }).collect();
        let (left, right): (Vec<usize>, Vec<usize>) = (dims(left), dims(right));
        let out: Vec<usize> = left.iter().zip(&right).map(|(a, b)| *a.max(b)).collect();
        let (x, y) = (random(&left, seed), random(&right, seed ^ 1));
        for (name, function) in functions {
            agrees(&format!("%y = {name}(%x0, %x1) : f32[{}]", spelled(&out)), &[&x, &y], function(&x, &y), 0.0)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn reductions_and_moves() {
    property::check(100, (1..7usize, 1..7usize, 1..7usize, 0..3usize, any::<u64>()), |(a, b, c, axis, seed)| {
        let (dims, x) = ([a, b, c], random(&[a, b, c], seed));
        let mut kept = dims.to_vec();
        kept.remove(axis);
        let reduce = |kind: &str| format!("%y = reduce_{kind}(%x0) {{axes = [{axis}]}} : f32[{}]", spelled(&kept));
        agrees(&reduce("sum"), &[&x], x.sum(axis), 1e-6)?;
        agrees(&reduce("mean"), &[&x], x.mean(axis), 1e-6)?;
        agrees(&reduce("max"), &[&x], x.max(axis), 0.0)?;
        agrees(&reduce("min"), &[&x], x.min(axis), 0.0)?;
        let transposed = format!("%y = transpose(%x0) {{perm = [2, 0, 1]}} : f32[{c},{a},{b}]");
        agrees(&transposed, &[&x], x.permute([2, 0, 1]), 0.0)?;
        let mut doubled = dims;
        doubled[axis] *= 2;
        let concat = format!("%y = concat(%x0, %x0) {{axis = {axis}}} : f32[{}]", spelled(&doubled));
        agrees(&concat, &[&x], Candle::cat(&[&x, &x], axis), 0.0)
    })
    .unwrap();
}

#[test]
fn softmax_from_core_ops() {
    property::check(100, (1..20usize, 1..200usize, any::<u64>()), |(rows, columns, seed)| {
        let x = (random(&[rows, columns], seed) * 20.0).map_err(|e| e.to_string())?;
        let op = format!(
            "%max = reduce_max(%x0) {{axes = [1], keep = true}} : f32[{rows},1]\n\
             %shifted = sub(%x0, %max) : f32[{rows},{columns}]\n\
             %e = exp(%shifted) : f32[{rows},{columns}]\n\
             %sum = reduce_sum(%e) {{axes = [1], keep = true}} : f32[{rows},1]\n\
             %y = div(%e, %sum) : f32[{rows},{columns}]"
        );
        agrees(&op, &[&x], candle_nn::ops::softmax(&x, 1), 1e-5)
    })
    .unwrap();
}

#[test]
fn computed_extents() {
    property::check(100, (1..40usize, 1..6usize, any::<u64>()), |(rows, columns, seed)| {
        let x = random(&[rows, columns], seed);
        let lists = "%n = dim(%x0) {axis = 0} : i64[]\n%i = iota(%n) : i64[K]\n\
                     %m = dim(%x0) {axis = 1} : i64[]\n%j = iota(%m) : i64[J]\n";
        let numbers = Candle::arange(0.0, rows as f32, &Device::Cpu);
        agrees(&format!("{lists}%y = cast(%i) : f32[K]"), &[&x], numbers, 0.0)?;
        let repeated = x.broadcast_as((rows, rows, columns));
        agrees(&format!("{lists}%y = broadcast(%x0, %i) : f32[K,{rows},{columns}]"), &[&x], repeated, 0.0)?;
        let reshaped = x.reshape((columns, rows));
        agrees(&format!("{lists}%y = reshape(%x0, %i, %j) : f32[J,K]"), &[&x], reshaped, 0.0)
    })
    .unwrap();
}
