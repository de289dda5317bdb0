//! No bytes make a reader panic or take memory that the bytes do not justify, and what a reader takes for its format
//! is written and read back the same.

use std::io::Write;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::{Consts, Tensor, npy, npz};
use netc_ir::{Attrs, Layer, Module, SourceOp, Type, parse, verify};
use tempfile::NamedTempFile;

use super::{Wrong, print_parse, require};

/// What is asked of bytes.
pub type Reader = fn(&[u8]) -> Result<(), Wrong>;

/// More rules than this are not tried.
const FEW_RULES: usize = 2;

/// Every reader of a format of netc itself or of NumPy, by the name of its fuzz target.
pub const READERS: &[(&str, Reader)] = &[
    ("parse_ir", parse_ir),
    ("layers_text", layers_text),
    ("rules_text", rules_text),
    ("npy", npy_file),
    ("npz", npz_file),
];

/// `.nir` text: what is a program prints as text that is the same program.
pub fn parse_ir(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    match parse(text) {
        Ok(module) if verify(&module).is_ok() => print_parse(&module),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A layer library as `.nir` text: each of its layers has a type, or none for a reason, on what it says it takes.
pub fn layers_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let (Ok(library), Ok(module)) = (LayerLibrary::parse(text), parse(text)) else { return Ok(()) };
    let mut dialects = Dialects::new();
    dialects.push_library(library);
    for func in &module.funcs {
        let name = format!("custom.{}", func.name);
        let given: Vec<Type> = func.params.iter().map(|p| func[p.value].ty.clone()).collect();
        let config = Attrs::new().with("config", Attrs::new().with("axis", 1).with("value", 0.5));
        let (weights, assets) = (Vec::new(), Vec::new());
        let layer = Layer { name: "layer".into(), class: name.as_str().into(), config, weights, assets };
        let op = SourceOp::new(name, None, Attrs::new());
        // Whether the types fit is the library's affair.
        drop(dialects.result_types(&Module::new(), &op, Some(&layer), &given));
    }
    Ok(())
}

/// Rules as text: the first few are tried on random programs, and are true or refused.
pub fn rules_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(rules) = netc_rules::parse(text) else { return Ok(()) };
    // Whether they are true is their author's affair.
    rules.iter().take(FEW_RULES).for_each(|rule| drop(netc_rules::check(rule, &Consts, 1)));
    Ok(())
}

/// A `.npy` file: what is a tensor is written and read back the same.
pub fn npy_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensor) = npy::read(temporary(bytes)?.path()) else { return Ok(()) };
    let back = npy::read(temporary(&npy::encode(&tensor))?.path()).map_err(|e| e.to_string())?;
    require(back == tensor, || format!("reads back as {back:?}, expected {tensor:?}"))
}

/// A `.npz` file: what is tensors is written and read back the same.
pub fn npz_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensors) = npz::read(temporary(bytes)?.path()) else { return Ok(()) };
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let written = npz::encode(named).map_err(|e| e.to_string())?;
    let back: Vec<(String, Tensor)> = npz::read(temporary(&written)?.path()).map_err(|e| e.to_string())?;
    require(back == tensors, || format!("reads back as {back:?}, expected {tensors:?}"))
}

/// The bytes as a file.
pub fn temporary(bytes: &[u8]) -> Result<NamedTempFile, Wrong> {
    let written = NamedTempFile::new().and_then(|mut file| file.write_all(bytes).and(Ok(file)));
    written.map_err(|e| e.to_string())
}
