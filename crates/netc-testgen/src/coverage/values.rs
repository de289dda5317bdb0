//! Classes of attribute values and types, and the list of all of them.

use netc_ir::{
    Binary, Compare, CoreOp, Dim, Layout, Module, PadMode, Padding, Pool, Reduce, SliceAxis, Type, WeightData, Window,
};

use super::{EXECUTABLE, Fact};

/// An attribute and the class of its value.
type Property = (&'static str, &'static str);

const COUNTS: &[&str] = &["0", "1", "2", "3", "4", "5"];

const PARTS: &[&str] = &["none", "some", "all"];

const FLAGS: &[&str] = &["false", "true"];

fn count(n: usize) -> &'static str {
    COUNTS.get(n).copied().unwrap_or("more")
}

fn part(n: usize, of: usize) -> &'static str {
    if n == 0 {
        PARTS[0]
    } else if n < of {
        PARTS[1]
    } else {
        PARTS[2]
    }
}

fn flag(on: bool) -> &'static str {
    FLAGS[usize::from(on)]
}

fn dims(ty: &Type) -> &[Dim] {
    ty.dims.as_deref().unwrap_or_default()
}

/// The rank of a type and the kinds of its extents.
pub(super) fn of_type(ty: &Type) -> Vec<Property> {
    let extent = |dim: &Dim| match dim {
        Dim::Known(0) => "0",
        Dim::Known(1) => "1",
        Dim::Known(_) => "more",
        Dim::Expr(_) if dim.as_symbol().is_some() => "a symbol",
        Dim::Expr(_) => "an expression",
    };
    let extents = dims(ty).iter().map(|dim| ("extents", extent(dim)));
    extents.chain([("rank", count(dims(ty).len()))]).collect()
}

/// The attributes of `op`, and how its operands relate to each other.
pub(super) fn of_op(module: &Module, op: &CoreOp, operands: &[&Type], result: &Type) -> Vec<Property> {
    let shape = |i: usize| operands.get(i).map_or(&[][..], |ty| dims(ty));
    let rank = shape(0).len();
    match op {
        CoreOp::Constant(literal) => {
            vec![("form", if literal.as_splat().is_some() { "splat" } else { "dense" })]
        }
        CoreOp::Weight(id) => vec![(
            "data",
            match &module[*id].data {
                WeightData::File { .. } => "file",
                WeightData::Inline(_) => "inline",
                WeightData::Random { .. } => "random",
            },
        )],
        CoreOp::Unary(_) => Vec::new(),
        CoreOp::Binary(_) | CoreOp::Compare(_) | CoreOp::Select => {
            let equal = operands.iter().all(|ty| ty.dims == operands[0].dims);
            vec![("shapes", if equal { "equal" } else { "broadcast" })]
        }
        CoreOp::Cast(elem) => vec![("to", elem.name())],
        CoreOp::MatMul => {
            let (a, b) = (shape(0).len(), shape(1).len());
            let batch = if a.max(b) == 2 {
                "none"
            } else if shape(0)[..a - 2] == shape(1)[..b - 2] {
                "equal"
            } else {
                "broadcast"
            };
            vec![("batch", batch)]
        }
        CoreOp::Conv { window, groups } => {
            let kernel = &shape(1)[..shape(1).len() - 2];
            let depthwise = shape(1)[kernel.len()].is(1);
            let groups = if *groups == 1 {
                "1"
            } else if depthwise {
                "depthwise"
            } else {
                "some"
            };
            let largest = kernel.iter().filter_map(Dim::known).max();
            [("groups", groups)].into_iter().chain(of_window(window, largest.unwrap_or(1))).collect()
        }
        CoreOp::Pool { kind: _, size, window } => of_window(window, size.iter().copied().max().unwrap_or(1)),
        CoreOp::Reduce { kind: _, axes, keep } => vec![("axes", part(axes.len(), rank)), ("keep", flag(*keep))],
        CoreOp::Reshape(to) => vec![("axes", compared(to.len(), rank)), ("carriers", flag(operands.len() > 1))],
        CoreOp::Transpose(perm) => vec![("order", if perm.is_sorted() { "the same" } else { "another" })],
        CoreOp::Broadcast(to) => {
            let repeats = shape(0) != &to[to.len() - rank..];
            vec![("axes", compared(to.len(), rank)), ("repeats", flag(repeats)), ("carriers", flag(operands.len() > 1))]
        }
        CoreOp::Concat(axis) => vec![("operands", count(operands.len())), ("axis", place(*axis, rank))],
        CoreOp::Slice(axes) => axes.iter().flat_map(of_slice).chain([("empty", flag(is_empty(result)))]).collect(),
        CoreOp::Pad { amounts, mode, value } => {
            let zero = value.get().abs() <= 0.0;
            let amounts = amounts.iter().map(|(low, high)| ("amounts", sides(*low, *high)));
            amounts.chain([("mode", mode.name()), ("value", if zero { "0" } else { "other" })]).collect()
        }
        CoreOp::Gather(axis) => {
            let indices = operands.get(1).map_or("", |ty| ty.elem.name());
            vec![
                ("axis", place(*axis, rank)),
                ("indices", indices),
                ("indices rank", if shape(1).len() < 3 { count(shape(1).len()) } else { "more" }),
            ]
        }
        CoreOp::Sort { axis, descending } => vec![("axis", place(*axis, rank)), ("descending", flag(*descending))],
        CoreOp::CumSum(axis) => vec![("axis", place(*axis, rank))],
        CoreOp::Reverse(axes) => vec![("axes", part(axes.len(), rank))],
        CoreOp::Dim(axis) => vec![("axis", place(*axis, rank))],
        CoreOp::Iota(extent) => vec![("extent", if extent.known().is_some() { "known" } else { "symbolic" })],
    }
}

fn of_window(window: &Window, size: u64) -> Vec<Property> {
    let Window { strides, dilations, padding, layout } = window;
    let all = |steps: &[u64], n: u64| steps.iter().all(|s| *s == n);
    vec![
        ("layout", layout.name()),
        ("padding", self::padding(padding)),
        ("spatial axes", count(strides.len())),
        ("size", if size == 1 { "1" } else { "larger" }),
        (
            "strides",
            if all(strides, 1) {
                "1"
            } else if all(strides, strides[0]) {
                "larger"
            } else {
                "differ"
            },
        ),
        ("dilations", if all(dilations, 1) { "1" } else { "larger" }),
    ]
}

fn padding(padding: &Padding) -> &'static str {
    match padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        Padding::Explicit(pads) if pads.iter().all(|(low, high)| low == high) => "explicit",
        Padding::Explicit(_) => "uneven",
    }
}

fn of_slice(axis: &SliceAxis) -> [Property; 3] {
    [
        ("start", if axis.start == 0 { "0" } else { "later" }),
        ("end", if axis.end.is_none() { "open" } else { "given" }),
        ("step", if axis.step == 1 { "1" } else { "larger" }),
    ]
}

fn is_empty(ty: &Type) -> bool {
    dims(ty).iter().any(|d| d.is(0))
}

fn sides(low: u64, high: u64) -> &'static str {
    match (low, high) {
        (0, 0) => "none",
        (_, 0) => "before",
        (0, _) => "after",
        (_, _) => "both",
    }
}

fn compared(n: usize, to: usize) -> &'static str {
    match n.cmp(&to) {
        std::cmp::Ordering::Less => "fewer",
        std::cmp::Ordering::Equal => "as many",
        std::cmp::Ordering::Greater => "more",
    }
}

fn place(axis: u64, rank: usize) -> &'static str {
    match axis as usize {
        0 => "first",
        axis if axis + 1 == rank => "last",
        _ => "between",
    }
}

/// Every property that an executable module can have, except the element types of ops.
pub(super) fn possible() -> Vec<Fact> {
    let windows = [Pool::ALL.iter().map(|p| p.name()).collect(), vec!["conv"]].concat();
    let reductions: Vec<&str> = Reduce::ALL.iter().map(|r| r.name()).collect();
    let pairs: Vec<&str> = Binary::ALL.iter().map(|f| f.name()).chain(Compare::ALL.iter().map(|f| f.name())).collect();
    let layouts: Vec<&str> = Layout::ALL.iter().map(|l| l.name()).collect();
    let modes: Vec<&str> = PadMode::ALL.iter().map(|m| m.name()).collect();
    let elems: Vec<&str> = EXECUTABLE.iter().map(|e| e.name()).collect();
    let indices: Vec<&str> = EXECUTABLE.iter().filter(|e| e.is_int()).map(|e| e.name()).collect();
    let places = &["first", "between", "last"];
    let table: &[(&[&'static str], &'static str, &[&'static str])] = &[
        (&["value"], "rank", COUNTS),
        (&["value"], "extents", &["0", "1", "more", "a symbol", "an expression"]),
        (&["constant"], "form", &["splat", "dense"]),
        (&["weight"], "data", &["inline", "random"]),
        (&pairs, "shapes", &["equal", "broadcast"]),
        (&["select"], "shapes", &["equal", "broadcast"]),
        (&["cast"], "to", &elems),
        (&["matmul"], "batch", &["none", "equal", "broadcast"]),
        (&["conv"], "groups", &["1", "some", "depthwise"]),
        (&windows, "layout", &layouts),
        (&windows, "padding", &["valid", "same", "explicit", "uneven"]),
        (&windows, "spatial axes", &["1", "2", "3"]),
        (&windows, "size", &["1", "larger"]),
        (&windows, "strides", &["1", "larger", "differ"]),
        (&windows, "dilations", &["1", "larger"]),
        (&reductions, "axes", PARTS),
        (&reductions, "keep", FLAGS),
        (&["reshape"], "axes", &["fewer", "as many", "more"]),
        (&["transpose"], "order", &["the same", "another"]),
        (&["broadcast"], "axes", &["as many", "more"]),
        (&["broadcast"], "repeats", FLAGS),
        (&["concat"], "operands", &["1", "2", "3"]),
        (&["reshape", "broadcast"], "carriers", FLAGS),
        (&["concat", "gather", "sort", "cumsum", "dim"], "axis", places),
        (&["iota"], "extent", &["known", "symbolic"]),
        (&["slice"], "start", &["0", "later"]),
        (&["slice"], "end", &["open", "given"]),
        (&["slice"], "step", &["1", "larger"]),
        (&["slice"], "empty", FLAGS),
        (&["pad"], "amounts", &["none", "before", "after", "both"]),
        (&["pad"], "mode", &modes),
        (&["pad"], "value", &["0", "other"]),
        (&["gather"], "indices", &indices),
        (&["gather"], "indices rank", &["0", "1", "2", "more"]),
        (&["sort"], "descending", FLAGS),
        (&["reverse"], "axes", PARTS),
    ];
    let facts = table.iter().flat_map(|(subjects, attribute, values)| {
        let each = subjects.iter().flat_map(|subject| values.iter().map(move |value| (*subject, *value)));
        each.map(|(subject, value)| Fact { subject, attribute, value })
    });
    facts.collect()
}
