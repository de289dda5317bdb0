//! How far rounding takes the outputs of a program, measured by running it with other floats.
//!
//! A bound that comes from the lengths of sums knows nothing of cancellation: where large numbers cancel, what is left
//! is mostly rounding. How much, the program says itself when it runs in two precisions (N. J. Higham, *Accuracy and
//! Stability of Numerical Algorithms*, 2nd ed., SIAM 2002, section 1.19).

use std::sync::Arc;

use netc_data::Store;
use netc_ir::{Builder, CoreOp, ElemType, Func, FuncId, Module, Op, OpKind, Type, ValueId};

use crate::compare::compare;
use crate::error::{ExecError, Result};
use crate::host::Host;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// For each output of the function `id`, how far rounding took an element of `outputs`, which it computed of `inputs`.
///
/// Twice the function is computed again on `host`, with `f64` in place of all floats and with `f32`. What `outputs` are apart from
/// the first is the rounding of narrower floats. What the second is apart from the first, in units of `f64` instead of
/// `f32`, is the rounding of `f64`. Where one is not finite, its floats are too narrow for the program and say nothing.
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

/// The outputs of the function where every float is of the type `elem`.
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

/// `func` with every float of the type `elem`: weights and constants are cast where they are read.
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

/// Whether what `op` gives is stored with the type that it has.
fn is_stored(op: &Op) -> bool {
    matches!(op.kind, OpKind::Core(CoreOp::Constant(_) | CoreOp::Weight(_)))
}

#[cfg(test)]
mod tests {
    use netc_ir::{MAIN, parse};

    use super::*;

    /// How far rounding took the outputs of a program for a number near 1.
    fn lost(program: &str, x: f32) -> Vec<f64> {
        let module = parse(&format!("netc 1\n{program}")).unwrap();
        let (main, store) = (module.func_named(MAIN).unwrap(), Store::open(&module).unwrap());
        let inputs = [Tensor::from_f32(&[1], &[x]).unwrap()];
        let outputs = Plan::new(&module, main, &store).unwrap().run(&inputs).unwrap();
        own_rounding(&Arc::default(), &module, main, &store, &inputs, &outputs).unwrap()
    }

    #[test]
    fn what_numbers_that_cancel_lose_is_measured() {
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
