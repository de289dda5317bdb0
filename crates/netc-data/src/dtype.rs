//! Names of element types.

use netc_ir::ElemType;

/// The name of an element type in NumPy and Keras. `Any` maps to `float32`, the default of Keras.
pub fn dtype_name(elem: ElemType) -> &'static str {
    match elem {
        ElemType::Bool => "bool",
        ElemType::U8 => "uint8",
        ElemType::U16 => "uint16",
        ElemType::U32 => "uint32",
        ElemType::U64 => "uint64",
        ElemType::I8 => "int8",
        ElemType::I16 => "int16",
        ElemType::I32 => "int32",
        ElemType::I64 => "int64",
        ElemType::F16 => "float16",
        ElemType::BF16 => "bfloat16",
        ElemType::F32 | ElemType::Any => "float32",
        ElemType::F64 => "float64",
        ElemType::Str => "string",
        ElemType::Narrow(narrow) => narrow.name(),
    }
}
