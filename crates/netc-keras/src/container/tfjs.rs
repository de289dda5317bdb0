//! TensorFlow.js layers models: `model.json` has the configuration and a list of weights. The bytes of the weights
//! follow one another in the files next to it, the shards.
//!
//! The format is `io.ModelJSON` of TensorFlow.js and its converter. Weights can be quantized: to half precision, or to
//! integers that represent `integer * scale + min`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use netc_data::{Folders, ReadAt};
use netc_ir::{Attr, ElemType, Literal, Number, Type};

use crate::config::names::elem_type;
use crate::config::path::is_file_name;
use crate::config::version::KERAS_2;
use crate::container::variable::{Bytes, Variable};
use crate::error::{Problem, Result};

/// A layers model as stored in its files.
pub(crate) struct LayersModel {
    /// The object of the model.
    pub(crate) object: Attr,
    pub(crate) keras_version: String,
    /// The weights with their names, in file order.
    pub(crate) weights: Vec<(String, Variable)>,
    /// The files with the weights. `Bytes::At` refers to them by index.
    pub(crate) shards: Vec<PathBuf>,
}

/// The key of `model.json` that names the converter.
pub(crate) const CONVERTED_BY: &str = "convertedBy";

/// Whether the object is the content of a TensorFlow.js `model.json`.
pub(crate) fn is_model(object: &Attr) -> bool {
    object.get("modelTopology").is_some()
}

/// Reads the model whose `model.json` is at `path` and contains `json`.
pub(crate) fn read(path: &Path, folders: &Folders, json: &Attr) -> Result<LayersModel> {
    if json.get("format").and_then(Attr::as_str) == Some("graph-model") {
        let note = "it is a graph model of TensorFlow.js, which has no layers; give the original Keras model, or \
                    convert it to a layers model";
        return Err(Problem::NoModel(note.into()));
    }
    let topology = json.get("modelTopology").unwrap_or(&Attr::Null);
    let mut object = topology.get("model_config").unwrap_or(topology).clone();
    if let Attr::Map(object) = &mut object {
        // TensorFlow.js puts these keys into the model object, its converter puts them next to it.
        ["keras_version", "backend"].iter().for_each(|key| drop(object.remove(key)));
    }
    let version = topology.get("keras_version").and_then(Attr::as_str).unwrap_or(KERAS_2);
    // A model saved by TensorFlow.js itself records its version instead.
    let keras_version = if version.starts_with("tfjs") { KERAS_2 } else { version }.to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Shards { folder, folders, paths: Vec::new(), known: BTreeSet::new(), inline: MAX_READ };
    let mut weights = Vec::new();
    for (i, group) in list(json.get("weightsManifest"), "weightsManifest")?.iter().enumerate() {
        shards.group(group, &format!("weightsManifest[{i}]"), &mut weights)?;
    }
    Ok(LayersModel { object, keras_version, weights, shards: shards.paths })
}

fn list<'a>(attr: Option<&'a Attr>, place: &str) -> Result<&'a [Attr]> {
    attr.and_then(Attr::as_list).ok_or_else(|| Problem::config(place, "expected a list"))
}

/// The most bytes of split or quantized weights, which are held in memory.
const MAX_READ: u64 = 256 << 20;

/// The weight files read so far.
struct Shards<'p> {
    folder: &'p Path,
    /// The folders that the files must be in.
    folders: &'p Folders,
    paths: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
    /// The number of bytes that may still be read into memory.
    inline: u64,
}

/// A file of a group. `start` is its position in the group's bytes. It is opened only to read from it, because a
/// process can have only so many files open.
struct Shard {
    number: usize,
    path: PathBuf,
    start: u64,
    len: u64,
}

impl Shards<'_> {
    /// Adds the weights of a group, which are stored one after another in the group's files.
    fn group(&mut self, group: &Attr, place: &str, found: &mut Vec<(String, Variable)>) -> Result<()> {
        let mut files: Vec<Shard> = Vec::new();
        let mut end = 0;
        for name in list(group.get("paths"), &format!("{place}.paths"))? {
            let shard = self.open(name.as_str().unwrap_or_default(), place, end)?;
            end = end.saturating_add(shard.len);
            files.push(shard);
        }
        let mut at = 0;
        for weight in list(group.get("weights"), &format!("{place}.weights"))? {
            let name = weight.get("name").and_then(Attr::as_str).unwrap_or_default().to_string();
            let problem = |note: String| Problem::config(format!("{place}, weight `{name}`"), note);
            let stored = Stored::of(weight).map_err(problem)?;
            let size = stored.ty.num_bytes().filter(|size| *size <= end - at).ok_or_else(|| {
                problem(format!("its bytes begin at {at} and go beyond the {end} bytes in the files of its group"))
            })?;
            // Skips empty files, which begin where the next file begins.
            let first = files.partition_point(|f| f.start + f.len <= at);
            let whole = files[first..].first().filter(|f| f.start <= at && at + size <= f.start + f.len);
            let bytes = match (whole, &stored.quantization) {
                (Some(shard), None) => Bytes::At { file: shard.number, offset: at - shard.start, len: size },
                (_, _) if self.spend(size) => Bytes::Read(stored.read(bytes(&files, at, size)?)),
                (_, _) => {
                    let note = "weights that span files or are quantized take more than";
                    return Err(problem(format!("{note} {MAX_READ} bytes in total")));
                }
            };
            found.push((name, Variable { ty: stored.read_type(), bytes }));
            at += size;
        }
        if at == end {
            Ok(())
        } else {
            Err(Problem::config(place, format!("its files have {end} bytes, its weights {at}")))
        }
    }

    fn open(&mut self, name: &str, place: &str, start: u64) -> Result<Shard> {
        if !is_file_name(name) {
            return Err(Problem::config(place, format!("`{name}` is not the name of a file next to model.json")));
        }
        let path = self.folder.join(name);
        let missing = |why: &dyn Display| {
            Problem::config(place, format!("its weights are in `{name}`, which cannot be read: {why}"))
        };
        self.folders.check(&path).map_err(|e| missing(&e))?;
        if !self.known.insert(path.clone()) {
            return Err(Problem::config(place, format!("the file `{name}` is listed twice")));
        }
        let len = fs::metadata(&path).map_err(|e| missing(&e))?.len();
        self.paths.push(path.clone());
        Ok(Shard { number: self.paths.len() - 1, path, start, len })
    }

    /// Whether another `size` bytes may be read into memory. Each may become a number of four bytes.
    fn spend(&mut self, size: u64) -> bool {
        let left = self.inline.checked_sub(size.saturating_mul(4));
        self.inline = left.unwrap_or(0);
        left.is_some()
    }
}

/// Reads the `size` bytes at `at` in the concatenation of the files.
fn bytes(files: &[Shard], at: u64, size: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    for shard in files {
        let (from, to) = (at.max(shard.start), (at + size).min(shard.start + shard.len));
        if from < to {
            let file = File::open(&shard.path)?;
            file.read_exact_at(&mut bytes[(from - at) as usize..(to - at) as usize], from - shard.start)?;
        }
    }
    Ok(bytes)
}

/// How a weight is stored.
struct Stored {
    /// The type of the stored elements.
    ty: Type,
    quantization: Option<Quantization>,
}

/// How to compute a weight of type `elem` from the stored numbers.
struct Quantization {
    elem: ElemType,
    scale: f64,
    min: f64,
}

impl Stored {
    fn of(weight: &Attr) -> Result<Self, String> {
        let dims = weight.get("shape").and_then(Attr::as_list).and_then(|dims| {
            dims.iter().map(|d| d.as_int().and_then(|n| u64::try_from(n).ok())).collect::<Option<Vec<_>>>()
        });
        let dims = dims.ok_or("its `shape` is not a list of extents")?;
        let elem = |of: &Attr| {
            let name = of.get("dtype").and_then(Attr::as_str).unwrap_or_default();
            elem_type(name)
                .filter(|e| *e != ElemType::Str)
                .ok_or_else(|| format!("its dtype `{name}` is not supported"))
        };
        let own = elem(weight)?;
        let Some(quantization) = weight.get("quantization") else {
            return Ok(Self { ty: Type::fixed(own, &dims), quantization: None });
        };
        let number = |key, default| match quantization.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| format!("its `{key}` is not a number")),
        };
        let (scale, min) = (number("scale", 1.0)?, number("min", 0.0)?);
        Ok(Self {
            ty: Type::fixed(elem(quantization)?, &dims),
            quantization: Some(Quantization { elem: own, scale, min }),
        })
    }

    fn read_type(&self) -> Type {
        let elem = self.quantization.as_ref().map_or(self.ty.elem, |q| q.elem);
        Type { elem, ..self.ty.clone() }
    }

    /// Dequantizes the stored bytes as TensorFlow.js does: in double precision, then rounded.
    fn read(&self, bytes: Vec<u8>) -> Literal {
        let dims = self.ty.fixed_dims().unwrap_or_default();
        let stored = Literal { elem: self.ty.elem, dims: dims.clone(), bytes: bytes.into() };
        let Some(Quantization { elem, scale, min }) = &self.quantization else { return stored };
        let number = |n: Number| n.as_f64() * scale + min;
        if elem.is_float() {
            Literal::dense(*elem, &dims, stored.numbers().map(|n| Number::Float(number(n))))
        } else {
            Literal::dense(*elem, &dims, stored.numbers().map(|n| Number::Int(number(n).round() as i128)))
        }
    }
}
