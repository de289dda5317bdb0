//! Kernel tests: each runs a function of one op.

mod elements;
mod moves;
mod products;
mod windows;

use netc_ir::{ElemType, Number, Type};

use crate::{ExecError, Plan, Tensor};

/// Runs `op` on parameters `params` of fixed types and returns its result.
pub(super) fn run(params: &str, op: &str, inputs: &[Vec<f64>]) -> Result<Tensor, ExecError> {
    let text = format!("netc 1\nfunc @main({params}) -> (%result) {{ %result = {op} }}");
    let module = netc_ir::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
    netc_ir::verify(&module).unwrap_or_else(|e| panic!("{text}: {e}"));
    let store = netc_data::Store::open(&module).unwrap();
    let main = module.func_named("main").unwrap();
    let func = &module[main];
    let types = func.params.iter().map(|p| &func[p.value].ty);
    let inputs: Vec<Tensor> = types.zip(inputs).map(|(ty, values)| tensor(ty, values)).collect();
    let outputs = Plan::new(&module, main, &store)?.run(&inputs)?;
    assert!(outputs[0].ty().agrees_with(&func[func.outputs[0].value].ty), "{}", outputs[0].ty());
    Ok(outputs.into_iter().next().unwrap())
}

fn tensor(ty: &Type, values: &[f64]) -> Tensor {
    let dims = ty.fixed_dims().unwrap_or_else(|| vec![values.len() as u64]);
    Tensor::from_numbers(ty.elem, &dims, values.iter().map(|x| number(ty.elem, *x))).unwrap()
}

/// Converts a test number. Integers beyond 2^53 do not occur.
fn number(elem: ElemType, x: f64) -> Number {
    if elem.is_float() { Number::Float(x) } else { Number::Int(x as i128) }
}

/// Checks that the result equals `expect`, rounded to its element type. All NaNs are equal.
#[track_caller]
pub(super) fn check(params: &str, op: &str, inputs: &[&[f64]], expect: &[f64]) {
    let inputs: Vec<Vec<f64>> = inputs.iter().map(|x| x.to_vec()).collect();
    let found = run(params, op, &inputs).unwrap_or_else(|e| panic!("{e}"));
    same(&found, expect);
}

#[track_caller]
fn same(found: &Tensor, expect: &[f64]) {
    let expect: Vec<Number> = expect.iter().map(|x| number(found.elem(), *x)).collect();
    let expect = Tensor::from_numbers(found.elem(), found.dims(), expect).unwrap();
    let bits =
        |t: &Tensor| t.to_f64s().iter().map(|x| if x.is_nan() { f64::NAN } else { *x }.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(&expect), "found {:?}, expected {:?}", found.to_f64s(), expect.to_f64s());
}

/// Checks the message of an error.
#[track_caller]
pub(super) fn check_error(params: &str, op: &str, inputs: &[&[f64]], expect: &str) {
    let inputs: Vec<Vec<f64>> = inputs.iter().map(|x| x.to_vec()).collect();
    let error = run(params, op, &inputs).unwrap_err();
    let first: &dyn std::error::Error = &error;
    let message: Vec<String> = std::iter::successors(Some(first), |e| e.source()).map(ToString::to_string).collect();
    let message = message.join(": ");
    assert!(message.contains(expect), "{message}");
}

/// Checks a window op in every element type that holds the numbers. Element `i` of the input is `(7i + 3) mod 11 - 5`,
/// of the kernel `(5i + 2) mod 7 - 3`.
#[track_caller]
pub(super) fn check_window(params: &str, op: &str, expect: &[f64]) {
    for elem in ["f32", "f64", "f16", "bf16", "i64", "i32"] {
        let exact = expect.iter().all(|x| x.fract().abs() < f64::EPSILON && x.abs() <= 256.0 || x.is_infinite());
        if elem != "f32" && !exact || elem.starts_with('i') && expect.iter().any(|x| x.is_infinite()) {
            continue;
        }
        let (params, op) = (params.replace("f32", elem), op.replace("f32", elem));
        let counts: Vec<usize> = params.split('[').skip(1).map(volume).collect();
        let x = (0..counts[0]).map(|i| ((i * 7 + 3) % 11) as f64 - 5.0).collect();
        let w = (0..counts.get(1).copied().unwrap_or(0)).map(|i| ((i * 5 + 2) % 7) as f64 - 3.0).collect();
        same(&run(&params, &op, &[x, w]).unwrap_or_else(|e| panic!("{e}")), expect);
    }
}

fn volume(dims: &str) -> usize {
    dims.split(']').next().unwrap().split(',').map(|d| d.parse::<usize>().unwrap()).product()
}
