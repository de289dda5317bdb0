//! Constant tensors in configurations and calls: numbers, nested lists, and NumPy arrays as Keras writes them.

use netc_ir::{Attr, ElemType, Literal, Number};

use crate::lower::call::promote::dtype;
use crate::lower::result::{Result, bad};

/// The tensor at `key`: a number, nested lists of numbers, or `{class_name = "__numpy__", config = {value, dtype}}`.
pub(crate) fn literal(key: &str, attr: &Attr) -> Result<Literal> {
    let wrong = || bad(key, Some(attr), "a constant: a number, lists of numbers of equal length, or a NumPy array");
    match attr.get("class_name").and_then(Attr::as_str) {
        None => read(attr, None).ok_or_else(wrong),
        Some("__numpy__" | "__tensor__") => {
            let config = attr.get("config");
            let name = config.and_then(|c| c.get("dtype")).and_then(Attr::as_str);
            let elem = name.and_then(dtype).ok_or_else(wrong)?;
            // JAX has no 64-bit types by default.
            let elem = match elem {
                ElemType::F64 => ElemType::F32,
                ElemType::I64 => ElemType::I32,
                ElemType::U64 => ElemType::U32,
                ElemType::Bool
                | ElemType::U8
                | ElemType::U16
                | ElemType::U32
                | ElemType::I8
                | ElemType::I16
                | ElemType::I32
                | ElemType::F16
                | ElemType::BF16
                | ElemType::F32
                | ElemType::Str
                | ElemType::Any
                | ElemType::Narrow(_) => elem,
            };
            config.and_then(|c| c.get("value")).and_then(|v| read(v, Some(elem))).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

/// Reads numbers as `elem`, or as the type that Python gives them if there is no `elem`.
fn read(attr: &Attr, elem: Option<ElemType>) -> Option<Literal> {
    let mut dims = Vec::new();
    let mut first = attr;
    while let Some(items) = first.as_list() {
        dims.push(items.len() as u64);
        let Some(next) = items.first() else { break };
        first = next;
    }
    let mut numbers = Vec::new();
    let mut kind = ElemType::Bool;
    flatten(attr, &dims, &mut numbers, &mut kind)?;
    if numbers.is_empty() {
        kind = ElemType::F32;
    }
    Some(Literal::dense(elem.unwrap_or(kind), &dims, numbers))
}

fn flatten(attr: &Attr, dims: &[u64], out: &mut Vec<Number>, kind: &mut ElemType) -> Option<()> {
    let (number, of) = match (attr, dims) {
        (Attr::List(items), [n, rest @ ..]) if items.len() as u64 == *n => {
            return items.iter().try_for_each(|item| flatten(item, rest, out, kind));
        }
        (Attr::Bool(b), []) => (Number::Int(i128::from(*b)), ElemType::Bool),
        (Attr::Int(i), []) => (Number::Int(*i), ElemType::I32),
        (Attr::Float(x), []) => (Number::Float(x.get()), ElemType::F32),
        _ => return None,
    };
    *kind = (*kind).max(of);
    out.push(number);
    Some(())
}
