//! Lowerings of `keras.ops` operations.

use netc_dialect::{Dialect, Dialects, OpContext, Purpose};
use netc_ir::{Builder, OpKind};

use crate::lower::dialect::KerasDialect;
use crate::lower::tests::{Case, check, check_error, check_ops, layer, op};

#[test]
fn operations_take_constants_on_either_side() {
    let x = &["f32[N,4]"];
    check_ops(
        op("keras.ops.Add", "", "args = [$0, 1.0], kwargs = {}", x),
        "%1 = constant() {value = 1.0}\n%2 = add(%x0, %1)",
    );
    check_ops(
        op("keras.ops.Subtract", "", "args = [1, $0], kwargs = {}", x),
        "%1 = constant() {value = 1.0}\n%2 = sub(%1, %x0)",
    );
    check(op("keras.ops.Add", "", "args = [$0, 1], kwargs = {}", &["u8[N]"]), "u8[N]");
    check(op("keras.ops.Multiply", "", "args = [$0, 2.5], kwargs = {}", &["i32[N]"]), "f32[N]");
    check(op("keras.ops.TrueDivide", "", "args = [$0, 2], kwargs = {}", &["i32[N]"]), "f32[N]");
    check(op("keras.ops.Add", "", "args = [$0, $1], kwargs = {}", &["f16[N]", "bf16[N]"]), "f32[N]");
    check(op("keras.ops.Add", "", "args = [$0, $1], kwargs = {}", &["u8[N]", "i8[N]"]), "i16[N]");
    check(op("keras.ops.Greater", "", "args = [$0, 0], kwargs = {}", x), "bool[N,4]");
    check(op("keras.ops.Where", "", "args = [$0, $1, 0.0], kwargs = {}", &["bool[N,4]", "f32[N,4]"]), "f32[N,4]");
    check(op("keras.ops.Clip", "x_min = 0, x_max = 6", "args = [$0], kwargs = {}", x), "f32[N,4]");
    let array = "args = [$0, {class_name = \"__numpy__\", config = {value = [[1.0, 2.0, 3.0, 4.0]], dtype = \"float32\"}}], kwargs = {}";
    check(op("keras.ops.Add", "", array, x), "f32[N,4]");
}

#[test]
fn operations_reject_the_inputs_that_keras_rejects() {
    let x = &["f32[N,4,1]"];
    check_error(
        op("keras.ops.LayerNorm", "axis = -1", "args = [$0, $1], kwargs = {}", &["f32[N,4,1]", "f32[2]"]),
        "the tensor is f32[N,4,1], but its scale and offset are for f32[N,4,2]",
    );
    check_error(
        op("keras.ops.Split", "indices_or_sections = [1, 5], axis = 1", "args = [$0], kwargs = {}", x),
        "`indices_or_sections` is [1, 5], expected a list of integers up to 4",
    );
}

/// Operations are not layers: the weight groups of layers must not count them.
#[test]
fn activation_functions_are_operations() {
    let x = &["f32[N,4]"];
    let args = "args = [$0], kwargs = {}";
    check(op("keras.ops.ReLU", "negative_slope = 0.1, max_value = 1.0, threshold = 0.2", args, x), "f32[N,4]");
    check(op("keras.ops.Mish", "", args, x), "f32[N,4]");
}

#[test]
fn reductions() {
    let x = &["f32[N,4,6]"];
    let args = "args = [$0], kwargs = {}";
    check(op("keras.ops.Mean", "axis = -1, keepdims = false", args, x), "f32[N,4]");
    check(op("keras.ops.Mean", "axis = [1, 2], keepdims = true", args, x), "f32[N,1,1]");
    check(op("keras.ops.Sum", "axis = null, keepdims = false", args, x), "f32[]");
    check(op("keras.ops.Var", "axis = 1", args, x), "f32[N,6]");
    check(op("keras.ops.Any", "axis = 1", args, x), "bool[N,6]");
    check(op("keras.ops.Logsumexp", "axis = 1", args, x), "f32[N,6]");
    check_error(op("keras.ops.Max", "axis = 1, initial = 3", args, x), "`Max` with `initial` = 3 is not supported");
    check_error(op("keras.ops.Max", "axis = 3", args, x), "`axis` is 3, expected distinct axes of a tensor of rank 3");
}

#[test]
fn shape_operations() {
    let x = &["f32[N,4,6]"];
    let one = |class, config| op(class, config, "args = [$0], kwargs = {}", x);
    check(one("keras.ops.Reshape", "newshape = [-1, 24]"), "f32[N,24]");
    check(one("keras.ops.Transpose", "axes = null"), "f32[6,4,N]");
    check(one("keras.ops.ExpandDims", "axis = [1, 2]"), "f32[N,1,1,4,6]");
    check(one("keras.ops.Squeeze", "axis = null"), "f32[N,4,6]");
    check(one("keras.ops.Moveaxis", "source = 1, destination = 2"), "f32[N,6,4]");
    check(one("keras.ops.Split", "indices_or_sections = 2, axis = 1"), "f32[N,2,6] f32[N,2,6]");
    check(one("keras.ops.Split", "indices_or_sections = [1, 3], axis = 2"), "f32[N,4,1] f32[N,4,2] f32[N,4,3]");
    check(one("keras.ops.Unstack", "num = 4, axis = 1"), "f32[N,6] f32[N,6] f32[N,6] f32[N,6]");
    check(one("keras.ops.Pad", "pad_width = [[0, 0], [1, 1], [0, 2]], mode = \"reflect\""), "f32[N,6,8]");
    check(one("keras.ops.Repeat", "repeats = 2, axis = 1"), "f32[N,8,6]");
    check(one("keras.ops.Tile", "repeats = [1, 2, 1]"), "f32[N,8,6]");
    check(one("keras.ops.Cumsum", "axis = 1, dtype = null"), "f32[N,4,6]");
    let two = |class, config| op(class, config, "args = [[$0, $1]], kwargs = {}", &["f32[N,4,6]", "f32[N,4,6]"]);
    check(two("keras.ops.Concatenate", "axis = 1"), "f32[N,8,6]");
    check(two("keras.ops.Stack", "axis = -1"), "f32[N,4,6,2]");
    check(
        op(
            "keras.ops.OneHot",
            "num_classes = 5, axis = -1, dtype = \"float32\"",
            "args = [$0], kwargs = {}",
            &["i32[N,4]"],
        ),
        "f32[N,4,5]",
    );
}

#[test]
fn indexing() {
    let get = |x, key: &str| {
        let call = format!("args = [$0, {key}], kwargs = {{}}");
        let (types, _) = op("keras.ops.GetItem", "", &call, x).lower().unwrap_or_else(|e| panic!("{e}"));
        types[0].to_string()
    };
    let slice = |start: &str, stop: &str, step: &str| {
        format!("{{class_name = \"__slice__\", config = {{start = {start}, stop = {stop}, step = {step}}}}}")
    };
    let all = slice("null", "null", "null");
    let x = &["f32[N,4,6]"];
    assert_eq!(get(x, &format!("[{all}, 0]")), "f32[N,6]");
    assert_eq!(get(x, &format!("[{all}, -1]")), "f32[N,6]");
    assert_eq!(get(x, "-1"), "f32[4,6]");
    assert_eq!(get(x, &format!("[{all}, {}, {}]", slice("1", "-1", "null"), slice("null", "null", "2"))), "f32[N,2,3]");
    assert_eq!(get(x, &format!("[{all}, null]")), "f32[N,1,4,6]");
    assert_eq!(get(x, "[{class_name = \"__ellipsis__\", config = {}}, 1]"), "f32[N,4]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("null", "null", "-1"))), "f32[N,4,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("2", "0", "-1"))), "f32[N,2,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("-2", "-9", "-2"))), "f32[N,2,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("9", "99", "1"))), "f32[N,0,6]");
    assert_eq!(get(x, &slice("1", "-1", "null")), "f32[N-2,4,6]");
    assert_eq!(get(x, &slice("null", "null", "-1")), "f32[N,4,6]");
}

/// The elements that `x[start:stop:step]` selects, followed through the lowered slice and reverse.
#[test]
fn slices_select_the_elements_that_python_selects() {
    let n: i64 = 5;
    for step in [-3, -2, -1, 1, 2, 3] {
        for start in (-7..8).map(Some).chain([None]) {
            for stop in (-7..8).map(Some).chain([None]) {
                let text = |b: Option<i64>| b.map_or("null".into(), |b| b.to_string());
                let key = format!(
                    "args = [$0, {{class_name = \"__slice__\", config = {{start = {}, stop = {}, step = {step}}}}}]",
                    text(start),
                    text(stop)
                );
                let case = op("keras.ops.GetItem", "", &key, &["f32[5]"]);
                assert_eq!(chosen(case, n), python(n, start, stop, step), "{start:?}:{stop:?}:{step}");
            }
        }
    }
}

fn python(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<i64> {
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |b: i64| (if b < 0 { b + n } else { b }).clamp(low, high);
    let (start, stop) =
        (start.map_or(if step > 0 { low } else { high }, clamp), stop.map_or(if step > 0 { high } else { low }, clamp));
    let mut out = Vec::new();
    let mut i = start;
    while if step > 0 { i < stop } else { i > stop } {
        out.push(i);
        i += step;
    }
    out
}

fn chosen(case: Case<'_>, n: i64) -> Vec<i64> {
    use netc_ir::CoreOp;
    let module = case.module();
    let main = module.main().unwrap();
    let OpKind::Source(source) = &main.ops().next().unwrap().1.kind else { panic!() };
    let mut b = Builder::new(&module, "f");
    let x = b.param("x", main[main.params[0].value].ty.clone(), None);
    let context = OpContext {
        op: source,
        layer: source.layer.map(|l| &module[l]),
        operands: &[x],
        masks: &[],
        purpose: Purpose::Run,
        dialects: &Dialects::new(),
    };
    KerasDialect.lower(&mut b, context).unwrap();
    let mut items: Vec<i64> = (0..n).collect();
    for (_, op) in b.func().ops() {
        match &op.kind {
            OpKind::Core(CoreOp::Reverse(_)) => items.reverse(),
            OpKind::Core(CoreOp::Slice(axes)) => {
                let end = axes[0].end.map_or(items.len(), |e| e as usize);
                items = items[axes[0].start as usize..end].iter().copied().step_by(axes[0].step as usize).collect();
            }
            other @ (OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_)) => panic!("{other:?}"),
        }
    }
    items
}

#[test]
fn products() {
    let pair = |class, config, operands| op(class, config, "args = [$0, $1], kwargs = {}", operands);
    check(pair("keras.ops.Matmul", "", &["f32[N,4,6]", "f32[6,3]"]), "f32[N,4,3]");
    check(pair("keras.ops.Matmul", "", &["f32[6]", "f32[N,6,3]"]), "f32[N,3]");
    check(pair("keras.ops.Matmul", "", &["f32[6]", "f32[6]"]), "f32[]");
    check(pair("keras.ops.Einsum", "subscripts = \"bij,bkj->bik\"", &["f32[N,4,6]", "f32[N,5,6]"]), "f32[N,4,5]");
    check(pair("keras.ops.Einsum", "subscripts = \"...x,xy->y...\"", &["f32[N,4,6]", "f32[6,3]"]), "f32[3,N,4]");
    check_error(
        pair("keras.ops.Einsum", "subscripts = \"ij,jk->i\"", &["f32[2,3]", "f32[3,4]"]),
        "`Einsum` with the equation \"ij,jk->i\" is not supported",
    );
    let dense = [("vars/0", "f32[8,2,4]"), ("vars/1", "f32[2,4]")];
    check(
        layer("keras.EinsumDense", "equation = \"abc,cde->abde\", bias_axes = \"de\"", &dense, &["f32[N,5,8]"]),
        "f32[N,5,2,4]",
    );
    check(layer("keras.Embedding", "mask_zero = false", &[("vars/0", "f32[100,16]")], &["f32[N,T]"]), "f32[N,T,16]");
    let take = "args = [$0, {class_name = \"__numpy__\", config = {value = [0, 1], dtype = \"int64\"}}], kwargs = {}";
    check(op("keras.ops.Take", "axis = 1", take, &["f32[N,4,6]"]), "f32[N,2,6]");
    check(pair("keras.ops.Take", "axis = 1", &["f32[N,4,6]", "i32[N,2]"]), "f32[N,N,2,6]");
}
