//! Simpler ops of the same kind.

use netc_ir::{CoreOp, F64, Literal, Number, OpClass, PadMode, Padding, SliceAxis, Unary, Window};

/// Possible replacements for `op` with simpler attributes, the simplest first.
pub(super) fn simpler(op: &CoreOp) -> Vec<CoreOp> {
    let all = match (op, op.class()) {
        (CoreOp::Constant(literal), _) => vec![CoreOp::Constant(plain(literal))],
        (CoreOp::Unary(_), _) => vec![CoreOp::Unary(Unary::Neg)],
        (CoreOp::Conv { window, groups }, _) => {
            let windows = plainer(window).into_iter().map(|window| CoreOp::Conv { window, groups: *groups });
            windows.chain([CoreOp::Conv { window: window.clone(), groups: 1 }]).collect()
        }
        (CoreOp::Pool { kind, size, window }, _) => {
            let sizes = [vec![1; size.len()], size.clone()];
            let windows = plainer(window).into_iter().chain([window.clone()]);
            let pool = |window: Window| {
                sizes.clone().into_iter().map(move |size| CoreOp::Pool { kind: *kind, size, window: window.clone() })
            };
            windows.flat_map(pool).collect()
        }
        (CoreOp::Reduce { kind, axes, .. }, _) => {
            let fewer = (0..axes.len()).map(|i| without(axes, i));
            fewer.chain([axes.clone()]).map(|axes| CoreOp::Reduce { kind: *kind, axes, keep: false }).collect()
        }
        (CoreOp::Slice(axes), _) => {
            let whole = |i: usize| with(axes, i, SliceAxis::ALL);
            (0..axes.len()).map(whole).map(CoreOp::Slice).collect()
        }
        (CoreOp::Pad { amounts, mode, value }, _) => {
            let none = (0..amounts.len()).map(|i| (with(amounts, i, (0, 0)), *mode, *value));
            let plain = [(amounts.clone(), PadMode::Constant, F64::new(0.0))];
            none.chain(plain).map(|(amounts, mode, value)| CoreOp::Pad { amounts, mode, value }).collect()
        }
        (CoreOp::Sort { axis, .. }, _) => vec![CoreOp::Sort { axis: *axis, descending: false }],
        (CoreOp::Reverse(axes), _) => (0..axes.len()).map(|i| CoreOp::Reverse(without(axes, i))).collect(),
        (
            _,
            OpClass::Stored
            | OpClass::Elementwise
            | OpClass::Product
            | OpClass::Reduction
            | OpClass::Movement
            | OpClass::Extent,
        ) => Vec::new(),
    };
    all.into_iter().filter(|new| new != op).collect()
}

fn plain(literal: &Literal) -> Literal {
    let first = literal.numbers().next().unwrap_or(Number::Int(1));
    Literal::splat_number(literal.elem, &literal.dims, first)
}

/// Simpler windows: first with everything at its default, then with one attribute each.
fn plainer(window: &Window) -> Vec<Window> {
    let ones = vec![1; window.strides.len()];
    vec![
        Window { strides: ones.clone(), dilations: ones.clone(), padding: Padding::Valid, layout: window.layout },
        Window { strides: ones.clone(), ..window.clone() },
        Window { dilations: ones, ..window.clone() },
        Window { padding: Padding::Valid, ..window.clone() },
    ]
}

fn with<T: Clone>(all: &[T], i: usize, new: T) -> Vec<T> {
    let mut all = all.to_vec();
    all[i] = new;
    all
}

fn without<T: Clone>(all: &[T], i: usize) -> Vec<T> {
    let mut all = all.to_vec();
    all.remove(i);
    all
}
