//! Nothing is lost in a file.

use std::fs;
use std::io::Write;

use netc_data::Store;
use netc_ir::{Attr, Attrs, FuncId, Layer, Literal, Loc, MAIN, Module, WeightData, print};
use netc_keras::{KerasError, Written};
use netc_pass::Dialects;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};

use super::{Wrong, print_parse, require};

/// The Keras model that is written as `.keras` and read back is the same but for the place of its weights' bytes, which are
/// equal; writing it again gives the same file.
pub fn round_trip_keras(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    round_trip(module, dialects, KERAS)
}

/// The same through an HDF5 file, unless that cannot say the model: netc does not know in which order the weights of some
/// layers are listed, and an index with `...` is misread.
pub fn round_trip_hdf5(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let cannot_say = |l: &Layer| match &*l.class {
        "keras.ops.GetItem" | "keras.RNN" | "keras.SpectralNormalization" => true,
        class => class.starts_with("custom.") && !l.weights.is_empty(),
    };
    let may_be_refused = module.layers.iter().any(cannot_say);
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    match written(module, main, HDF5) {
        Err(_) if may_be_refused => Ok(()),
        Ok(_) | Err(_) => round_trip(module, dialects, HDF5),
    }
}

/// A writer of files.
type Writer = fn(&Module, FuncId, &Store, &mut Vec<u8>) -> Result<Written, KerasError>;

const KERAS: Writer = |module, id, store, out| netc_keras::write(module, id, store, out);
const HDF5: Writer = |module, id, store, out| netc_keras::write_hdf5(module, id, store, out);

fn round_trip(module: &Module, dialects: &Dialects, writer: Writer) -> Result<(), Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let (back, folder) = through(module, main, dialects, writer)?;
    print_parse(&back)?;
    let (expected, found) = (print(&without_places(module)), print(&without_places(&back)));
    require(expected == found, || format!("is read back differently:\n{expected}\n---\n{found}"))?;
    let (ours, theirs) = (weight_bytes(module)?, weight_bytes(&back)?);
    require(ours == theirs, || "the bytes of the weights differ".into())?;
    let again = written(&back, back.func_named(MAIN).ok_or("there is no @main")?, writer)?;
    let first = fs::read(folder.path().join(FILE)).map_err(|e| e.to_string())?;
    require(again == first, || format!("is written differently the second time:\n{found}"))
}

/// The bytes of the `.keras` file of the function `id`.
pub fn file_bytes(module: &Module, id: FuncId) -> Result<Vec<u8>, Wrong> {
    written(module, id, KERAS)
}

fn written(module: &Module, id: FuncId, writer: Writer) -> Result<Vec<u8>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    writer(module, id, &store, &mut bytes).map_err(|e| format!("{e:?}\n{}", print(module)))?;
    Ok(bytes)
}

/// The name of the file that [`through_file`] leaves.
const FILE: &str = "model.keras";

/// The function written as a `.keras` file and read back, with the folder that holds the file and its weights.
pub fn through_file(module: &Module, id: FuncId, dialects: &Dialects) -> Result<(Module, tempfile::TempDir), Wrong> {
    through(module, id, dialects, KERAS)
}

fn through(
    module: &Module,
    id: FuncId,
    dialects: &Dialects,
    writer: Writer,
) -> Result<(Module, tempfile::TempDir), Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join(FILE);
    fs::write(&path, written(module, id, writer)?).map_err(|e| e.to_string())?;
    let imported = netc_keras::read(&path, dialects);
    let imported = imported.map_err(|e| format!("cannot be read back: {e:?}\n{}", print(module)))?;
    Ok((imported.module, folder))
}

/// The module without what only a model from a file has: places of bytes, and the parts of the file that are no graph.
fn without_places(module: &Module) -> Module {
    let mut module = module.clone();
    module.files.clear();
    module.attrs = Attrs::new();
    for weight in &mut module.weights {
        let dims = weight.ty.fixed_dims().unwrap_or_default();
        weight.data = WeightData::Inline(Literal::splat(weight.ty.elem, &dims, 0.0));
    }
    for func in &mut module.funcs {
        let kept = ["class", "name"].into_iter().filter_map(|k| Some((k.into(), func.attrs.get(k)?.clone())));
        func.attrs = kept.collect::<Attrs>();
        let ops: Vec<_> = func.op_ids().collect();
        for op in ops {
            if let Loc::Call { file, .. } = &mut func[op].loc {
                *file = None;
            }
        }
    }
    module
}

/// The bytes of every weight, by its name.
fn weight_bytes(module: &Module) -> Result<Vec<(Attr, Vec<u8>)>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let bytes = |w: &netc_ir::Weight| Ok((Attr::str(&*w.name), store.read(w).map_err(|e| e.to_string())?));
    module.weights.iter().map(bytes).collect()
}

/// The bytes of the member `name` of a zip archive that stores it.
pub fn member(archive: &[u8], name: &str) -> Result<Vec<u8>, Wrong> {
    let archive = ZipArchive::from_slice(archive).map_err(|e| e.to_string())?;
    let mut entries = archive.entries();
    while let Some(header) = entries.next_entry().map_err(|e| e.to_string())? {
        if header.file_path().as_ref() == name.as_bytes() {
            let entry = archive.get_entry(header.wayfinder()).map_err(|e| e.to_string())?;
            return Ok(entry.data().to_vec());
        }
    }
    Err(format!("there is no `{name}`"))
}

/// A zip archive that stores `members`.
pub(super) fn archive(members: &[(&str, &[u8])]) -> Result<Vec<u8>, Wrong> {
    let write = || {
        let mut archive = ZipArchiveWriter::new(Vec::new());
        for (name, bytes) in members {
            let (mut entry, config) = archive.new_file(name).compression_method(CompressionMethod::STORE).start()?;
            let mut writer = config.wrap(&mut entry);
            writer.write_all(bytes).map_err(rawzip::Error::from)?;
            let (_, descriptor) = writer.finish()?;
            entry.finish(descriptor)?;
        }
        archive.finish()
    };
    write().map_err(|e: rawzip::Error| e.to_string())
}
