//! How far rounding takes the outputs of a program, measured by running it with other floats.
//!
//! A bound that comes from the lengths of sums knows nothing of cancellation: where large numbers cancel, what is left
//! is mostly rounding. How much, the program says itself when it runs in two precisions (N. J. Higham, *Accuracy and
//! Stability of Numerical Algorithms*, 2nd ed., SIAM 2002, section 1.19).

use netc_data::Store;
use netc_ir::{Builder, CoreOp, ElemType, Func, FuncId, Module, Op, OpKind, Type, ValueId};

use crate::compare::compare;
use crate::error::ExecError;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// For each output of the function `id`, how far rounding took it from `outputs`, which it computed of `inputs`; relative
/// to its largest element, and infinite if all that is left of it is 0.
///
/// Twice the function is computed again, with `f64` in place of all floats and with `f32`. What `outputs` are apart from
/// the first is the rounding of narrower floats. What the second is apart from the first, in units of `f64` instead of
/// `f32`, is the rounding of `f64`. Where one is not finite, its floats are too narrow for the program and say nothing.
pub fn own_rounding(
    module: &Module,
    id: FuncId,
    store: &Store,
    inputs: &[Tensor],
    outputs: &[Tensor],
) -> Result<Vec<f64>, ExecError> {
    let wide = run_with(module, id, store, ElemType::F64, inputs)?;
    let narrow = run_with(module, id, store, ElemType::F32, inputs)?;
    let ratio = f64::EPSILON / f64::from(f32::EPSILON);
    let apart =
        |a: &Tensor, b: &Tensor| compare(a, b).ok().filter(|d| d.max_abs.is_finite()).map_or(0.0, |d| d.norm_rel);
    let rounding = outputs.iter().zip(wide.iter().zip(&narrow)).map(|(output, (wide, narrow))| {
        let [output, narrow] = [output, narrow].map(|t| t.convert(wide.elem()).unwrap_or_else(|_| wide.clone()));
        apart(wide, &output) + apart(wide, &narrow) * ratio
    });
    Ok(rounding.collect())
}

/// The outputs of the function where every float is of the type `elem`.
fn run_with(
    module: &Module,
    id: FuncId,
    store: &Store,
    elem: ElemType,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, ExecError> {
    let mut other = module.clone();
    for func in module.func_ids() {
        other[func] = with_floats(module, &module[func], elem);
    }
    let plan = Plan::new(&other, id, store)?;
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

    /// How far rounding took the outputs of a program, relative to the unit of `f32`.
    fn units(program: &str, inputs: &[Tensor]) -> Vec<f64> {
        let module = parse(&format!("netc 1\n{program}")).unwrap();
        let (main, store) = (module.func_named(MAIN).unwrap(), Store::open(&module).unwrap());
        let outputs = Plan::new(&module, main, &store).unwrap().run(inputs).unwrap();
        let rounding = own_rounding(&module, main, &store, inputs, &outputs).unwrap();
        rounding.iter().map(|r| r / f64::from(f32::EPSILON / 2.0)).collect()
    }

    #[test]
    fn what_is_left_of_numbers_that_cancel_is_mostly_rounding() {
        let program = "func @main(%x: f32[1]) -> (%b, %d, %x) {
            %c = constant() {value = 0.1} : f32[]
            %a = mul(%x, %c) : f32[1]
            %b = add(%a, %x) : f32[1]
            %m = neg(%x) : f32[1]
            %n = add(%b, %m) : f32[1]
            %o = neg(%a) : f32[1]
            %d = add(%n, %o) : f32[1]
        }";
        let found = units(program, &[Tensor::from_f32(&[1], &[3.7]).unwrap()]);
        assert!(found[0] > 0.0 && found[0] <= 2.0, "one sum and one product: {found:?}");
        assert!(found[1] > 1e6, "what is left is rounding: {found:?}");
        assert!(found[2] <= 0.0, "nothing is computed: {found:?}");
    }
}
