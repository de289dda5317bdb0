//! The table of TensorFlow operations with an equivalent in `keras.ops`, and how their arguments map.

use netc_ir::{Attr, Attrs, ElemType, Type};

use crate::config::names::elem_type;
use crate::legacy::tensorflow::{Mapped, Mapping, Twin, array, is_of_numbers, shown};

const fn twin(
    of: &'static str,
    (module, class): (&'static str, &'static str),
    map: fn(&mut Mapping<'_>) -> Mapped,
) -> Twin {
    Twin { of, module, class, more: None, map }
}

/// An entry that also maps back to TensorFlow. `more` are the names of the TensorFlow arguments after the first.
const fn both(
    of: &'static str,
    (module, class): (&'static str, &'static str),
    more: &'static [&'static str],
    map: fn(&mut Mapping<'_>) -> Mapped,
) -> Twin {
    Twin { of, module, class, more: Some(more), map }
}

const fn numpy(class: &'static str) -> (&'static str, &'static str) {
    ("numpy", class)
}

const fn nn(class: &'static str) -> (&'static str, &'static str) {
    ("nn", class)
}

/// The operations with an equivalent. netc rejects all others by name.
pub(super) const ALL: &[Twin] = &[
    // Two tensors, elementwise.
    both("__operators__.add", numpy("Add"), &["y"], two),
    twin("math.add", numpy("Add"), two),
    both("math.subtract", numpy("Subtract"), &["y"], two),
    both("math.multiply", numpy("Multiply"), &["y"], two),
    both("math.truediv", numpy("TrueDivide"), &["y"], two_floats),
    twin("math.divide_no_nan", numpy("DivideNoNan"), two_floats),
    twin("math.pow", numpy("Power"), two_floats),
    twin("math.floormod", numpy("Mod"), two),
    both("math.maximum", numpy("Maximum"), &["y"], two),
    both("math.minimum", numpy("Minimum"), &["y"], two),
    twin("__operators__.eq", numpy("Equal"), two),
    twin("__operators__.ne", numpy("NotEqual"), two),
    twin("math.equal", numpy("Equal"), two),
    twin("math.not_equal", numpy("NotEqual"), two),
    twin("math.less", numpy("Less"), two),
    twin("math.less_equal", numpy("LessEqual"), two),
    twin("math.greater", numpy("Greater"), two),
    twin("math.greater_equal", numpy("GreaterEqual"), two),
    twin("math.logical_and", numpy("LogicalAnd"), two),
    twin("math.logical_or", numpy("LogicalOr"), two),
    twin("math.logical_xor", numpy("LogicalXor"), two),
    twin("where", numpy("Where"), |m| {
        m.first()?;
        m.elem = m.operands.get(1).map(|ty| ty.elem);
        m.also("x")?;
        m.also("y")
    }),
    twin("nn.bias_add", numpy("Add"), |m| {
        m.only("data_format", "NHWC")?;
        m.first()?;
        m.also("bias")
    }),
    // One tensor, elementwise.
    both("math.negative", numpy("Negative"), &[], one),
    both("math.abs", numpy("Absolute"), &[], one),
    twin("math.sign", numpy("Sign"), one),
    both("math.square", numpy("Square"), &[], one),
    twin("math.reciprocal", numpy("Reciprocal"), floats),
    both("math.exp", numpy("Exp"), &[], one),
    twin("math.expm1", numpy("Expm1"), one),
    both("math.log", numpy("Log"), &[], one),
    twin("math.log1p", numpy("Log1p"), one),
    both("math.sqrt", numpy("Sqrt"), &[], one),
    twin("math.rsqrt", ("math", "Rsqrt"), one),
    twin("math.erf", ("math", "Erf"), one),
    both("math.sin", numpy("Sin"), &[], one),
    both("math.cos", numpy("Cos"), &[], one),
    twin("math.tan", numpy("Tan"), one),
    both("math.tanh", numpy("Tanh"), &[], one),
    twin("math.floor", numpy("Floor"), floats),
    twin("math.ceil", numpy("Ceil"), floats),
    twin("math.round", numpy("Round"), one),
    twin("math.rint", numpy("Round"), one),
    twin("math.is_nan", numpy("Isnan"), one),
    twin("math.is_finite", numpy("Isfinite"), one),
    twin("math.is_inf", numpy("Isinf"), one),
    twin("math.logical_not", numpy("LogicalNot"), one),
    twin("clip_by_value", numpy("Clip"), |m| {
        m.first()?;
        m.key_of("clip_value_min", "x_min", number)?;
        m.key_of("clip_value_max", "x_max", number)
    }),
    twin("cast", ("core", "Cast"), |m| {
        m.first()?;
        m.key_of("dtype", "dtype", dtype)
    }),
    twin("identity", numpy("Copy"), one),
    twin("stop_gradient", ("core", "StopGradient"), one),
    twin("zeros_like", numpy("ZerosLike"), |m| {
        m.first()?;
        m.key("dtype", "dtype", dtype)
    }),
    twin("ones_like", numpy("OnesLike"), |m| {
        m.first()?;
        m.key("dtype", "dtype", dtype)
    }),
    // Activation functions.
    both("nn.relu", nn("Relu"), &[], one),
    both("nn.relu6", nn("Relu6"), &[], floats),
    twin("nn.leaky_relu", nn("LeakyRelu"), |m| {
        m.only_floats()?;
        m.first()?;
        m.key_or("alpha", "negative_slope", number, 0.2)
    }),
    both("nn.elu", nn("Elu"), &[], one),
    both("nn.selu", nn("Selu"), &[], one),
    twin("nn.gelu", nn("Gelu"), |m| {
        m.first()?;
        m.key_or("approximate", "approximate", flag, false)
    }),
    both("nn.silu", nn("Silu"), &[], |m| {
        m.only("beta", 1.0)?;
        m.first()
    }),
    both("math.softplus", nn("Softplus"), &[], one),
    both("nn.softsign", nn("Softsign"), &[], one),
    both("math.sigmoid", nn("Sigmoid"), &[], one),
    twin("math.log_sigmoid", nn("LogSigmoid"), one),
    twin("nn.softmax", nn("Softmax"), softmax),
    twin("nn.log_softmax", nn("LogSoftmax"), softmax),
    twin("math.l2_normalize", nn("Normalize"), |m| {
        m.first()?;
        m.key_of("axis", "axis", integer)?;
        m.config.set("order", Attr::Int(2));
        // TensorFlow applies the lower bound to the squared norm, Keras to the norm.
        m.key_or("epsilon", "epsilon", |a| Some(a.as_f64()?.sqrt().into()), 1e-6)
    }),
    // Reductions.
    twin("math.reduce_sum", numpy("Sum"), sum),
    twin("math.reduce_prod", numpy("Prod"), sum),
    twin("math.reduce_mean", numpy("Mean"), |m| {
        m.only_floats()?;
        reduce(m)
    }),
    twin("math.reduce_std", numpy("Std"), reduce),
    twin("math.reduce_variance", numpy("Var"), reduce),
    twin("math.reduce_max", numpy("Max"), reduce),
    twin("math.reduce_min", numpy("Min"), reduce),
    twin("math.reduce_any", numpy("Any"), reduce),
    twin("math.reduce_all", numpy("All"), reduce),
    twin("math.reduce_logsumexp", ("math", "Logsumexp"), reduce),
    twin("math.argmax", numpy("Argmax"), arg_extreme),
    twin("math.argmin", numpy("Argmin"), arg_extreme),
    twin("math.cumsum", numpy("Cumsum"), |m| {
        m.only_types(keeps_sums)?;
        m.only("exclusive", false)?;
        m.only("reverse", false)?;
        m.first()?;
        m.key_or("axis", "axis", integer, 0)
    }),
    // Products.
    twin("linalg.matmul", numpy("Matmul"), matmul),
    // Shapes.
    twin("reshape", numpy("Reshape"), |m| {
        m.first()?;
        m.key_of("shape", "newshape", integers)
    }),
    twin("transpose", numpy("Transpose"), transpose),
    twin("compat.v1.transpose", numpy("Transpose"), transpose),
    twin("expand_dims", numpy("ExpandDims"), |m| {
        m.first()?;
        m.key_of("axis", "axis", integer)
    }),
    twin("squeeze", numpy("Squeeze"), squeeze),
    twin("compat.v1.squeeze", numpy("Squeeze"), squeeze),
    twin("broadcast_to", numpy("BroadcastTo"), |m| {
        m.first()?;
        m.key_of("shape", "shape", integers)
    }),
    twin("tile", numpy("Tile"), |m| {
        m.first()?;
        m.key_of("multiples", "repeats", integers)
    }),
    twin("repeat", numpy("Repeat"), |m| {
        m.first()?;
        m.key_of("repeats", "repeats", integer)?;
        m.key("axis", "axis", integer)
    }),
    twin("reverse", numpy("Flip"), |m| {
        m.first()?;
        m.key_of("axis", "axis", axis)
    }),
    twin("roll", numpy("Roll"), |m| {
        m.first()?;
        m.key_of("shift", "shift", integer)?;
        m.key_of("axis", "axis", integer)
    }),
    twin("pad", numpy("Pad"), pad),
    twin("compat.v1.pad", numpy("Pad"), pad),
    twin("nn.depth_to_space", nn("DepthToSpace"), blocks),
    twin("nn.space_to_depth", nn("SpaceToDepth"), blocks),
    // Splitting and joining tensors.
    twin("concat", numpy("Concatenate"), |m| {
        m.list()?;
        m.key_of("axis", "axis", integer)
    }),
    twin("stack", numpy("Stack"), |m| {
        m.list()?;
        m.key_or("axis", "axis", integer, 0)
    }),
    twin("split", numpy("Split"), |m| {
        m.first()?;
        m.ignore(&["num"]);
        m.key_of("num_or_size_splits", "indices_or_sections", sections)?;
        m.key_or("axis", "axis", integer, 0)
    }),
    twin("unstack", ("core", "Unstack"), |m| {
        m.first()?;
        m.key("num", "num", integer)?;
        m.key_or("axis", "axis", integer, 0)
    }),
    // Indexing.
    twin("__operators__.getitem", numpy("GetItem"), |m| {
        m.first()?;
        // `None` is a valid index, but a null argument counts as missing.
        let spec = m.take("slice_spec").unwrap_or(&Attr::Null);
        m.args.push(key(spec).ok_or_else(|| format!("the index {}", shown(spec)))?);
        Ok(())
    }),
    twin("gather", numpy("Take"), gather),
    twin("compat.v1.gather", numpy("Take"), gather),
    twin("one_hot", nn("OneHot"), |m| {
        m.first()?;
        // The arguments have the type of the result.
        m.only("on_value", Attr::Null)?;
        m.only("off_value", Attr::Null)?;
        m.key_of("depth", "num_classes", integer)?;
        m.key_or("axis", "axis", integer, -1)?;
        m.key_or("dtype", "dtype", dtype, "float32")
    }),
];

fn one(m: &mut Mapping<'_>) -> Mapped {
    m.first()
}

fn floats(m: &mut Mapping<'_>) -> Mapped {
    m.only_floats()?;
    m.first()
}

fn two(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.also("y")
}

/// Requires floats. For integers, TensorFlow returns `float64` or integers, Keras `float32`.
fn two_floats(m: &mut Mapping<'_>) -> Mapped {
    m.only_floats()?;
    two(m)
}

fn softmax(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.key_or("axis", "axis", integer, -1)
}

fn reduce(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.key("axis", "axis", axis)?;
    m.key("keepdims", "keepdims", flag)
}

/// Requires a type for which Keras returns the same type; it widens sums of smaller integers.
fn sum(m: &mut Mapping<'_>) -> Mapped {
    m.only_types(keeps_sums)?;
    reduce(m)
}

fn keeps_sums(elem: ElemType) -> bool {
    elem.is_float() || matches!(elem, ElemType::I32 | ElemType::I64)
}

/// Keras returns `int32` indices, whatever the call requests.
fn arg_extreme(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.ignore(&["output_type"]);
    m.key_or("axis", "axis", integer, 0)
}

/// Uses `Einsum` if a transpose flag is set, because Keras's `Matmul` has none.
fn matmul(m: &mut Mapping<'_>) -> Mapped {
    for name in ["adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"] {
        m.only(name, false)?;
    }
    let mut is_transposed = |name| match m.take(name) {
        None => Ok(false),
        Some(Attr::Bool(transposed)) => Ok(*transposed),
        Some(other) => Err(format!("`{name}` = {}", shown(other))),
    };
    let (a, b) = (is_transposed("transpose_a")?, is_transposed("transpose_b")?);
    m.first()?;
    m.also("b")?;
    if !a && !b {
        return Ok(());
    }
    let ranks: Vec<_> = m.operands.iter().map(Type::rank).collect();
    if ranks.len() != m.args.len() || ranks.iter().any(|rank| rank.is_none() || *rank != ranks[0]) {
        return Err("`transpose_a` or `transpose_b` and tensors of different ranks".into());
    }
    m.instead = Some("Einsum");
    let (a, b) = (if a { "ji" } else { "ij" }, if b { "kj" } else { "jk" });
    m.config.set("subscripts", format!("...{a},...{b}->...ik").as_str());
    Ok(())
}

fn transpose(m: &mut Mapping<'_>) -> Mapped {
    m.only("conjugate", false)?;
    m.first()?;
    m.key("perm", "axes", integers)
}

fn squeeze(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.key("axis", "axis", axis)
}

fn pad(m: &mut Mapping<'_>) -> Mapped {
    m.first()?;
    m.key_of("paddings", "pad_width", |a| a.as_list()?.iter().map(integers).collect::<Option<_>>().map(Attr::List))?;
    m.key_or("mode", "mode", |a| Some(a.as_str()?.to_lowercase().as_str().into()), "constant")?;
    let value = m.take("constant_values").filter(|value| value.as_f64() != Some(0.0));
    // In the other modes TensorFlow ignores the argument, and Keras rejects it.
    let fills = m.config.get("mode").and_then(Attr::as_str) == Some("constant");
    if let Some(value) = value.filter(|_| fills) {
        m.args.push(number(value).ok_or_else(|| format!("`constant_values` = {}", shown(value)))?);
    }
    Ok(())
}

fn blocks(m: &mut Mapping<'_>) -> Mapped {
    m.only("data_format", "NHWC")?;
    m.first()?;
    m.config.set("data_format", "channels_last");
    m.key_of("block_size", "block_size", integer)
}

fn gather(m: &mut Mapping<'_>) -> Mapped {
    m.only("batch_dims", 0)?;
    m.ignore(&["validate_indices"]);
    m.first()?;
    let indices = m.require("indices")?;
    // A negative index is an error in TensorFlow, but counts from the end in Keras.
    let is_constant = indices.as_list().is_some() && is_of_numbers(indices);
    let indices = if is_constant { array(indices, "int32") } else { m.tensor(indices)? };
    m.args.push(indices);
    m.key_or("axis", "axis", integer, 0)
}

fn number(a: &Attr) -> Option<Attr> {
    a.as_f64().map(|_| a.clone())
}

fn integer(a: &Attr) -> Option<Attr> {
    a.as_int().map(Attr::from)
}

fn flag(a: &Attr) -> Option<Attr> {
    a.as_bool().map(Attr::from)
}

fn integers(a: &Attr) -> Option<Attr> {
    a.as_list().unwrap_or(std::slice::from_ref(a)).iter().map(integer).collect::<Option<_>>().map(Attr::List)
}

/// An axis, or a list of several.
fn axis(a: &Attr) -> Option<Attr> {
    match a.as_list() {
        Some([one]) => integer(one),
        Some(_) => integers(a),
        None => integer(a),
    }
}

fn dtype(a: &Attr) -> Option<Attr> {
    a.as_str().filter(|name| elem_type(name).is_some()).map(Attr::from)
}

/// A number of parts, or the sizes of all parts, for which Keras takes their start indices except the first.
fn sections(a: &Attr) -> Option<Attr> {
    let Some(extents) = a.as_list() else { return integer(a) };
    let mut at: i64 = 0;
    let mut places = Vec::new();
    for extent in extents.split_last()?.1 {
        at = at.checked_add(extent.as_int().filter(|n| *n >= 0)?)?;
        places.push(Attr::from(at));
    }
    extents.last()?.as_int().filter(|n| *n >= 0)?;
    // Keras would read an empty list as a list of floats.
    Some(if places.is_empty() { Attr::Int(1) } else { Attr::List(places) })
}

/// A subscript: one index, or one per axis.
fn key(a: &Attr) -> Option<Attr> {
    match a.as_list() {
        Some(items) => items.iter().map(index).collect::<Option<_>>().map(Attr::List),
        None => Some(Attr::List(vec![index(a)?])),
    }
}

fn index(a: &Attr) -> Option<Attr> {
    match a {
        Attr::Null => Some(Attr::Null),
        Attr::Int(_) => integer(a),
        Attr::Map(map) if map.get("class_name").and_then(Attr::as_str) == Some("__ellipsis__") => {
            Some(Attrs::new().with("class_name", "__ellipsis__").with("config", Attrs::new()).into())
        }
        Attr::Map(map) => {
            let bound = |key| {
                let value = map.get(key)?;
                if value.is_null() { Some(Attr::Null) } else { integer(value) }
            };
            let config =
                Attrs::new().with("start", bound("start")?).with("stop", bound("stop")?).with("step", bound("step")?);
            Some(Attrs::new().with("class_name", "__slice__").with("config", config).into())
        }
        Attr::Bool(_) | Attr::Float(_) | Attr::Str(_) | Attr::List(_) | Attr::Operand(_) | Attr::NonJson(_) => None,
    }
}
