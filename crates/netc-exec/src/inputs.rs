//! Inputs of a function: makes random ones and converts given ones to the parameter types.

use netc_data::Rng;
use netc_ir::{Dim, ElemType, Func, Name, Number, Param, Type};

use crate::error::{ExecError, Result, TensorError};
use crate::tensor::{Tensor, byte_size};

/// Default extent of symbolic axes other than the batch.
pub const SYMBOLIC_EXTENT: u64 = 64;

/// Exclusive upper bound of random integers, small enough to index most embeddings.
const INTEGERS: u64 = 8;

/// Makes a random input for each parameter of `func`: floats uniform in `[-1, 1)`, integers in `0..8`, or booleans.
///
/// A parameter of unknown element type gets `f32`. An input depends only on `seed` and on the name and type of its
/// parameter.
///
/// # Errors
/// Those of [`random_extents`], and tensors that do not fit into memory.
pub fn random_inputs(func: &Func, seed: u64, batch: u64) -> Result<Vec<Tensor>> {
    let input = |(param, dims): (&Param, Vec<u64>)| {
        random(element(func, param), &dims, seed, &param.name)
            .map_err(|source| ExecError::InputTensor { name: param.name.clone(), source })
    };
    func.params.iter().zip(random_extents(func, batch)?).map(input).collect()
}

/// The types of the inputs that [`random_inputs`] makes.
///
/// # Errors
/// Those of [`random_extents`].
pub fn random_types(func: &Func, batch: u64) -> Result<Vec<Type>> {
    let extents = random_extents(func, batch)?;
    Ok(func.params.iter().zip(extents).map(|(param, dims)| Type::fixed(element(func, param), &dims)).collect())
}

fn element(func: &Func, param: &Param) -> ElemType {
    let elem = func[param.value].ty.elem;
    if elem == ElemType::Any { ElemType::F32 } else { elem }
}

/// The extents of random inputs: known extents as they are, `batch` for every symbol that is the first extent of some
/// parameter, and [`SYMBOLIC_EXTENT`] for all others.
///
/// # Errors
/// A parameter has an unknown rank or, with these values, a negative extent.
pub fn random_extents(func: &Func, batch: u64) -> Result<Vec<Vec<u64>>> {
    let first = |p: &Param| func[p.value].ty.dims.as_ref()?.first()?.as_symbol().cloned();
    let batches: Vec<Name> = func.params.iter().filter_map(first).collect();
    let value = |symbol: &Name| Some(Dim::Known(if batches.contains(symbol) { batch } else { SYMBOLIC_EXTENT }));
    let extent = |dim: &Dim| if dim.is_unknown() { Some(SYMBOLIC_EXTENT) } else { dim.substitute(&value).known() };
    let extents = |param: &Param| {
        let ty = &func[param.value].ty;
        let fixed = ty.dims.as_ref().and_then(|dims| dims.iter().map(extent).collect());
        fixed.ok_or_else(|| ExecError::Input {
            name: param.name.clone(),
            found: ty.to_string(),
            expected: "a known rank and no negative extents, to generate random values".into(),
        })
    };
    func.params.iter().map(extents).collect()
}

fn random(elem: ElemType, dims: &[u64], seed: u64, name: &str) -> Result<Tensor, TensorError> {
    let count = byte_size(elem, dims)? / elem.size().max(1);
    let mut rng = Rng::for_part(seed, name);
    let mut number = || match elem {
        ElemType::F16 | ElemType::BF16 | ElemType::F32 | ElemType::F64 => Number::Float(rng.uniform(-1.0, 1.0)),
        ElemType::Bool => Number::Int(rng.below(2).into()),
        ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::I64
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => Number::Int(rng.below(INTEGERS).into()),
    };
    Tensor::from_numbers(elem, dims, (0..count).map(|_| number()))
}

/// Converts the inputs to the element types of the parameters, as [`Tensor::convert`] does.
///
/// A `float64` file can thus feed an `f32` parameter, while `1.5` for an integer parameter is an error.
///
/// # Errors
/// The number of inputs differs from the number of parameters, or a value cannot be converted exactly.
pub fn fit(func: &Func, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    if inputs.len() != func.params.len() {
        let names = func.params.iter().map(|p| &*p.name).collect::<Vec<_>>().join(", ");
        return Err(ExecError::InputCount { found: inputs.len(), expected: func.params.len(), names });
    }
    let convert = |(param, tensor): (&Param, Tensor)| {
        let elem = func[param.value].ty.elem;
        if elem == ElemType::Any {
            return Ok(tensor);
        }
        tensor.convert(elem).map_err(|source| ExecError::InputTensor { name: param.name.clone(), source })
    };
    func.params.iter().zip(inputs).map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn func(params: &str) -> Func {
        netc_ir::parse(&format!("netc 1\nfunc @main({params}) -> () {{}}")).unwrap().funcs.remove(0)
    }

    #[test]
    fn a_symbol_has_the_same_extent_in_all_inputs() {
        let func = func("%ids: i32[N,T], %mask: bool[N,T], %x: f32[N,T,2*N+1], %y: f64[T]");
        let inputs = random_inputs(&func, 7, 3).unwrap();
        let dims: Vec<&[u64]> = inputs.iter().map(Tensor::dims).collect();
        assert_eq!(dims, [&[3, 3][..], &[3, 3], &[3, 3, 7], &[3]], "T is the first extent of y");
        assert!(inputs[0].to_f64s().iter().all(|x| (0.0..8.0).contains(x)));
        assert!(inputs[1].bytes().iter().all(|b| *b < 2));
        assert!(inputs[2].to_f64s().iter().all(|x| (-1.0..1.0).contains(x)));
        assert_eq!(inputs, random_inputs(&func, 7, 3).unwrap());
        assert_ne!(inputs, random_inputs(&func, 8, 3).unwrap());
    }

    #[test]
    fn other_symbols_get_the_default_extent() {
        assert_eq!(random_inputs(&func("%x: f32[N,H,3]"), 1, 2).unwrap()[0].dims(), [2, 64, 3]);
        assert_eq!(random_inputs(&func("%x: f32[N,?]"), 1, 2).unwrap()[0].dims(), [2, 64]);
        assert!(random_inputs(&func("%x: f32[*]"), 1, 2).is_err());
        assert!(random_inputs(&func("%x: f32[N,1099511627776]"), 1, 2).is_err());
    }

    #[test]
    fn inputs_are_converted_to_the_parameter_types() {
        let func = func("%x: f32[2], %n: i64[1]");
        let doubles = Tensor::from_numbers(ElemType::F64, &[2], [0.1, 2.0].map(Number::Float)).unwrap();
        let count = Tensor::from_numbers(ElemType::F64, &[1], [Number::Float(3.0)]).unwrap();
        let inputs = fit(&func, vec![doubles, count]).unwrap();
        assert_eq!(inputs, [Tensor::from_f32(&[2], &[0.1, 2.0]).unwrap(), Tensor::from_i64(&[1], &[3]).unwrap()]);
    }
}
