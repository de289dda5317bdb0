//! The rounding error of a program's outputs, measured by running the program in other precisions.
//!
//! A bound derived from the lengths of sums ignores cancellation: after large numbers cancel, the rest is mostly
//! rounding error. Running the program in two precisions measures that error (N. J. Higham, *Accuracy and Stability of
//! Numerical Algorithms*, 2nd ed., SIAM 2002, section 1.19).

use std::sync::Arc;

use netc_data::Store;
use netc_ir::{Builder, CoreOp, ElemType, Func, FuncId, Module, Op, OpKind, Type, ValueId};

use crate::compare::compare;
use crate::error::{ExecError, Result};
use crate::host::Host;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Measures the rounding error of each output of the function `id`, as the largest absolute error of an element.
/// `outputs` are the results for `inputs`.
///
/// Runs the function twice more on `host`: once with `f64` for all floats and once with `f32`. The distance of
/// `outputs` from the `f64` run is the error of the narrower floats. The distance between the two runs, scaled by the
/// ratio of the two epsilons, estimates the error of `f64` itself. Infinite distances are ignored: the floats of that
/// run are too narrow for the program.
///
/// # Errors
/// Those of a run.
pub fn own_rounding(
    host: &Arc<Host>,
    module: &Module,
    id: FuncId,
    store: &Store,
    inputs: &[Tensor],
    outputs: &[Tensor],
) -> Result<Vec<f64>> {
    let wide = run_with(host, module, id, store, ElemType::F64, inputs)?;
    let narrow = run_with(host, module, id, store, ElemType::F32, inputs)?;
    let ratio = f64::EPSILON / f64::from(f32::EPSILON);
    let apart =
        |a: &Tensor, b: &Tensor| compare(a, b).map_or(0.0, |d| if d.max_abs.is_finite() { d.max_abs } else { 0.0 });
    let rounding = outputs.iter().zip(wide.iter().zip(&narrow)).map(|(output, (wide, narrow))| {
        let [output, narrow] = [output, narrow].map(|t| t.convert(wide.elem()).unwrap_or_else(|_| wide.clone()));
        apart(&output, wide) + apart(&narrow, wide) * ratio
    });
    Ok(rounding.collect())
}

/// Runs the function with `elem` for every float type.
fn run_with(
    host: &Arc<Host>,
    module: &Module,
    id: FuncId,
    store: &Store,
    elem: ElemType,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>> {
    let mut other = module.clone();
    for func in module.func_ids() {
        other[func] = with_floats(module, &module[func], elem);
    }
    let plan = Plan::on(host, &other, id, store)?;
    let given = plan.params().zip(inputs).map(|((name, ty), input)| {
        let error = |source| ExecError::InputTensor { name: name.clone(), source };
        if ty.elem.is_float() { input.convert(elem).map_err(error) } else { Ok(input.clone()) }
    });
    plan.run(&given.collect::<Result<Vec<_>, _>>()?)
}

/// Returns `func` with `elem` for every float type; casts weights and constants where they are read.
fn with_floats(module: &Module, func: &Func, elem: ElemType) -> Func {
    let other = |ty: &Type| if ty.elem.is_float() { Type { elem, ..ty.clone() } } else { ty.clone() };
    let mut builder = Builder::new(module, func.name.clone());
    let mut new_of: Vec<Option<ValueId>> = vec![None; func.num_values()];
    for param in &func.params {
        new_of[param.value.index()] =
            Some(builder.param(param.name.clone(), other(&func[param.value].ty), param.layer));
    }
    for (_, op) in func.ops() {
        let stored = is_stored(op);
        let kind = match &op.kind {
            OpKind::Core(CoreOp::Cast(to)) if to.is_float() => CoreOp::Cast(elem).into(),
            kind @ (OpKind::Core(_) | OpKind::Call(_) | OpKind::Source(_)) => kind.clone(),
        };
        let operands: Vec<ValueId> = op.operands.iter().filter_map(|v| new_of[v.index()]).collect();
        let types =
            op.results.iter().map(|v| &func[*v].ty).map(|ty| (if stored { ty.clone() } else { other(ty) }, None));
        let new = builder.at(op.loc.clone()).op(kind, &operands, types);
        let results = builder.results(new).to_vec();
        for (old, mut new) in op.results.iter().zip(results) {
            if stored && func[*old].ty.elem.is_float() {
                let cast = builder.op(CoreOp::Cast(elem), &[new], [(other(&func[*old].ty), None)]);
                new = builder.results(cast).first().copied().unwrap_or(new);
            }
            new_of[old.index()] = Some(new);
        }
    }
    let outputs = func.outputs.iter().filter_map(|o| Some((o.name.clone(), new_of[o.value.index()]?)));
    builder.finish(outputs.collect::<Vec<_>>())
}

/// Whether the result of `op` is stored data, whose type is fixed.
fn is_stored(op: &Op) -> bool {
    matches!(op.kind, OpKind::Core(CoreOp::Constant(_) | CoreOp::Weight(_)))
}

#[cfg(test)]
mod tests {
    use netc_ir::{MAIN, parse};

    use super::*;

    /// The rounding errors of a program's outputs for the input `x`.
    fn lost(program: &str, x: f32) -> Vec<f64> {
        let module = parse(&format!("netc 1\n{program}")).unwrap();
        let (main, store) = (module.func_named(MAIN).unwrap(), Store::open(&module).unwrap());
        let inputs = [Tensor::from_f32(&[1], &[x]).unwrap()];
        let outputs = Plan::new(&module, main, &store).unwrap().run(&inputs).unwrap();
        own_rounding(&Arc::default(), &module, main, &store, &inputs, &outputs).unwrap()
    }

    #[test]
    fn cancellation_shows_as_rounding_error() {
        let program = "func @main(%x: f32[1]) -> (%b, %d, %x) {
            %c = constant() {value = 0.1} : f32[]
            %b = mul(%x, %c) : f32[1]
            %l = constant() {value = 3e7} : f32[]
            %a = add(%x, %l) : f32[1]
            %d = sub(%a, %l) : f32[1]
        }";
        let lost = lost(program, 0.3);
        assert!(lost[0] > 0.0 && lost[0] < 1e-8, "one product: {lost:?}");
        assert!((0.29..0.31).contains(&lost[1]), "all of it: {lost:?}");
        assert!(lost[2] <= 0.0, "nothing is computed: {lost:?}");
    }
}
