//! Oracles of readers: no bytes make a reader panic or allocate more memory than they justify, and whatever a reader
//! accepts round-trips through its format.

use std::io::Write;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::{Consts, Tensor, npy, npz};
use netc_ir::{Attrs, Layer, Module, SourceOp, Type, parse, verify};
use tempfile::NamedTempFile;

use super::{Wrong, print_parse, require};

/// An oracle of bytes.
pub type Reader = fn(&[u8]) -> Result<(), Wrong>;

/// Maximum number of rules to check.
const FEW_RULES: usize = 2;

/// The readers of netc's own formats and of NumPy's, by the names of their fuzz targets.
pub const READERS: &[(&str, Reader)] = &[
    ("parse_ir", parse_ir),
    ("layers_text", layers_text),
    ("rules_text", rules_text),
    ("npy", npy_file),
    ("npz", npz_file),
];

/// `.nir` text: a valid program round-trips through text.
pub fn parse_ir(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    match parse(text) {
        Ok(module) if verify(&module).is_ok() => print_parse(&module),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A layer library as `.nir` text: types are inferred for each of its layers without a panic.
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
        // A library may well contain layers that do not type-check.
        drop(dialects.result_types(&Module::new(), &op, Some(&layer), &given));
    }
    Ok(())
}

/// Rules as text: the first few are checked on random programs without a panic.
pub fn rules_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(rules) = netc_rules::parse(text) else { return Ok(()) };
    // The rules may well be false.
    rules.iter().take(FEW_RULES).for_each(|rule| drop(netc_rules::check(rule, &Consts, 1)));
    Ok(())
}

/// A `.npy` file: a valid tensor round-trips.
pub fn npy_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensor) = npy::read(temporary(bytes)?.path()) else { return Ok(()) };
    let back = npy::read(temporary(&npy::encode(&tensor))?.path()).map_err(|e| e.to_string())?;
    require(back == tensor, || format!("reads back as {back:?}, expected {tensor:?}"))
}

/// A `.npz` file: valid tensors round-trip.
pub fn npz_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensors) = npz::read(temporary(bytes)?.path()) else { return Ok(()) };
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let written = npz::encode(named).map_err(|e| e.to_string())?;
    let back: Vec<(String, Tensor)> = npz::read(temporary(&written)?.path()).map_err(|e| e.to_string())?;
    require(back == tensors, || format!("reads back as {back:?}, expected {tensors:?}"))
}

/// Writes the bytes to a temporary file.
pub fn temporary(bytes: &[u8]) -> Result<NamedTempFile, Wrong> {
    let written = NamedTempFile::new().and_then(|mut file| file.write_all(bytes).and(Ok(file)));
    written.map_err(|e| e.to_string())
}
