//! Tests the results of `layout`: every window has the requested layout, and the transposes move at most as many bytes
//! as a pair around each window would. `properties.rs` tests that values are kept.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

use netc_dialect::Dialects;
use netc_ir::{CoreOp, Dim, Func, Layout, Module, OpKind, Type, ValueId};
use netc_keras_testgen::dialects;
use netc_pass::Fuel;
use netc_testgen::oracle::{Subject, Wrong};
use netc_testgen::{CoreRecipe, property};

const PIPELINES: [(&str, Layout); 2] =
    [("layout", Layout::ChannelsLast), ("layout=channels-first", Layout::ChannelsFirst)];

#[test]
fn transposes_move_at_most_as_much_as_pairs_around_each_window() {
    for (pipeline, wanted) in PIPELINES {
        let property = |recipe: CoreRecipe| {
            let module = recipe.build();
            let after = rewritten(&module, pipeline, &Dialects::new())?;
            module.funcs.iter().zip(&after.funcs).try_for_each(|(before, after)| compare(before, after, wanted))
        };
        property::check(600, CoreRecipe::strategy(24), property).unwrap();
    }
}

#[test]
fn a_network_needs_one_transpose_and_none_on_the_way_back() {
    let module = netc_zoo::find("inception_v3").map(|model| (model.build)(0)).unwrap().unwrap();
    let first = rewritten(&module, "lower,layout=channels-first", &dialects()).unwrap();
    assert_eq!(windows(first.main().unwrap(), Layout::ChannelsLast).count(), 0);
    assert_eq!(
        transposed(first.main().unwrap()).count(),
        1,
        "only the input is transposed; the global mean removes the spatial axes"
    );
    let last = rewritten(&first, "layout", &dialects()).unwrap();
    assert_eq!(transposed(last.main().unwrap()).count(), 0);
}

/// Compares a function before and after the pass.
fn compare(before: &Func, after: &Func, wanted: Layout) -> Result<(), Wrong> {
    let other = if wanted == Layout::ChannelsLast { Layout::ChannelsFirst } else { Layout::ChannelsLast };
    let ranked = |values: &[ValueId]| values.iter().all(|v| before[*v].ty.rank().is_some());
    if windows(before, other).all(|(x, y)| ranked(&[x, y])) && windows(after, other).next().is_some() {
        return Err("a window still has the other layout".into());
    }
    let there: u64 = transposed(before).map(|v| bytes(&before[v].ty)).sum();
    let around: u64 = windows(before, other).map(|(x, y)| bytes(&before[x].ty) + bytes(&before[y].ty)).sum();
    let left: u64 = transposed(after).map(|v| bytes(&after[v].ty)).sum();
    let limit = there + around;
    if left <= limit { Ok(()) } else { Err(format!("transposes move {left} bytes, expected at most {limit}")) }
}

/// The inputs and results of the windows with the layout.
fn windows(func: &Func, layout: Layout) -> impl Iterator<Item = (ValueId, ValueId)> + '_ {
    func.ops().filter_map(move |(_, op)| match &op.kind {
        OpKind::Core(CoreOp::Conv { window, .. } | CoreOp::Pool { window, .. }) if window.layout == layout => {
            Some((op.operands[0], op.results[0]))
        }
        OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => None,
    })
}

/// The operands of transposes that depend on parameters. Transposes of constants fold away.
fn transposed(func: &Func) -> impl Iterator<Item = ValueId> + '_ {
    let mut constant = vec![false; func.num_values()];
    for (_, op) in func.ops().filter(|(_, op)| matches!(op.kind, OpKind::Core(_))) {
        let fixed = func[op.results[0]].ty.num_bytes().is_some();
        constant[op.results[0].index()] = fixed && op.operands.iter().all(|v| constant[v.index()]);
    }
    let transposes = func.ops().filter(|(_, op)| matches!(op.kind, OpKind::Core(CoreOp::Transpose(_))));
    transposes.map(|(_, op)| op.operands[0]).filter(move |v| !constant[v.index()])
}

/// The bytes of a tensor, counting symbols and unknown extents as 32.
fn bytes(ty: &Type) -> u64 {
    let extent = |d: &Dim| d.substitute(&|_| Some(Dim::Known(32))).known().unwrap_or(32);
    ty.dims.iter().flatten().map(extent).fold(ty.elem.size(), u64::saturating_mul)
}

fn rewritten(module: &Module, pipeline: &str, dialects: &Dialects) -> Result<Module, Wrong> {
    let subject = Subject { pipeline, registry: &netc_passes::registry(), dialects };
    Ok(subject.apply(module, Fuel::unlimited())?.0)
}
