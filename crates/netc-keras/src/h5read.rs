//! The weights of a model: every dataset of an HDF5 file, addressed in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use hdf5_pure::{Dataset, Group, Layout};
use netc_ir::{ElemType, Literal, Type};

use crate::compiled;
use crate::error::Problem;
use crate::graph::join;
use crate::h5source::{InMemory, Part};
use crate::h5types::from_hdf5;

/// Deeper nesting of groups than any model has; a file whose links form a cycle ends here.
const MAX_DEPTH: usize = 64;

/// The smallest object header. What an object costs at least, and the length of its path, are bounded by the file's size.
const MIN_OBJECT: u64 = 16;

/// Datasets that do not lie in one piece are read into memory, up to this size in all.
pub(crate) const MAX_INLINE: u64 = 256 << 20;

/// A byte of the file cannot inflate to more bytes of a dataset: deflate's best is 258 bytes for two bits.
const MAX_INFLATION: u64 = 1032;

/// One dataset.
pub(crate) struct Variable {
    pub(crate) ty: Type,
    pub(crate) bytes: Bytes,
}

/// Where the bytes of a dataset are.
pub(crate) enum Bytes {
    /// In one piece, at an offset from the start of one of the files that hold the weights.
    At { file: usize, offset: u64, len: u64 },
    /// In pieces, or nowhere: read.
    Read(Literal),
}

/// What a file of weights holds, by path.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) datasets: BTreeMap<String, Variable>,
    /// The `name` attributes of `vars` groups, by the path of the group above.
    pub(crate) names: BTreeMap<String, String>,
}

/// Reads the headers of the HDF5 file that is `len` bytes from `offset` on, those of the optimizer if `optimizer` is set.
pub(crate) fn read(file: Arc<File>, offset: u64, len: u64, optimizer: bool) -> Result<Variables, Problem> {
    Headers::open(file, offset, len)?.all(optimizer)
}

/// Reads an HDF5 file that is in memory; so are its weights then.
pub(crate) fn read_bytes(bytes: Vec<u8>, optimizer: bool) -> Result<Variables, Problem> {
    Headers::of_bytes(bytes)?.all(optimizer)
}

/// The headers of a file that is being read, with what may still be read of it.
pub(crate) struct Headers {
    h5: hdf5_pure::File,
    found: Variables,
    budget: u64,
    inline: u64,
    base: u64,
    end: u64,
    /// The bytes of a file that is in memory.
    bytes: Option<Arc<[u8]>>,
    /// Whether the group of the optimizer is passed over.
    skips_optimizer: bool,
}

impl Headers {
    /// The HDF5 file that is `len` bytes from `offset` on.
    pub(crate) fn open(file: Arc<File>, offset: u64, len: u64) -> Result<Self, Problem> {
        let h5 = hdf5_pure::File::from_source(Part::new(file, offset, len)).map_err(|e| broken("file", &e))?;
        require_whole(&h5, len)?;
        let inline = MAX_INLINE.min(len.saturating_mul(MAX_INFLATION));
        let found = Variables::default();
        Ok(Self {
            h5,
            found,
            budget: len,
            inline,
            base: offset,
            end: offset + len,
            bytes: None,
            skips_optimizer: false,
        })
    }

    fn of_bytes(bytes: Vec<u8>) -> Result<Self, Problem> {
        let len = bytes.len() as u64;
        let bytes: Arc<[u8]> = bytes.into();
        let h5 = hdf5_pure::File::from_source(InMemory(bytes.clone())).map_err(|e| broken("file", &e))?;
        require_whole(&h5, len)?;
        let (found, inline) = (Variables::default(), MAX_INLINE.min(len));
        Ok(Self { h5, found, budget: len, inline, base: 0, end: len, bytes: Some(bytes), skips_optimizer: false })
    }

    pub(crate) fn root(&self) -> Group {
        self.h5.root()
    }

    fn all(mut self, optimizer: bool) -> Result<Variables, Problem> {
        self.skips_optimizer = !optimizer;
        self.group(&self.root(), String::new(), 0)?;
        Ok(self.found)
    }

    /// The datasets below `group`, which is at `place`, by path from it.
    pub(crate) fn datasets(&mut self, group: &Group, place: &str) -> Result<BTreeMap<String, Variable>, Problem> {
        self.group(group, String::new(), 0).map_err(|problem| problem.below(place))?;
        Ok(std::mem::take(&mut self.found.datasets))
    }

    fn group(&mut self, group: &Group, path: String, depth: usize) -> Result<(), Problem> {
        let place = || if path.is_empty() { "/".to_string() } else { path.clone() };
        if depth > MAX_DEPTH {
            return Err(Problem::weights(
                place(),
                format!("groups nest deeper than {MAX_DEPTH} levels; links that form a cycle do"),
            ));
        }
        if depth > 0 && path.rsplit('/').next() == Some("vars") {
            self.name(group, &path)?;
        }
        for (name, dataset) in group.iter_datasets().map_err(|e| broken(&place(), &e))? {
            let path = below(&path, &name)?;
            self.spend(&path)?;
            let variable = self.dataset(&path, &dataset)?;
            self.found.datasets.insert(path, variable);
        }
        for (name, child) in group.iter_groups().map_err(|e| broken(&place(), &e))? {
            if depth == 0 && self.skips_optimizer && name == compiled::GROUP {
                continue;
            }
            let path = below(&path, &name)?;
            self.spend(&path)?;
            self.group(&child, path, depth + 1)?;
        }
        Ok(())
    }

    fn name(&mut self, group: &Group, path: &str) -> Result<(), Problem> {
        let attrs = group.attrs().map_err(|e| broken(path, &e))?;
        if let Some(name) = attrs.get("name").and_then(|v| v.as_str()) {
            let above = path.strip_suffix("vars").unwrap_or(path).trim_end_matches('/');
            self.found.names.insert(above.into(), name.into());
        }
        Ok(())
    }

    fn spend(&mut self, path: &str) -> Result<(), Problem> {
        let left = self.budget.checked_sub((path.len() as u64).max(MIN_OBJECT));
        self.budget = left.ok_or_else(|| Problem::weights(path, "the file lists more objects than it has room for"))?;
        Ok(())
    }

    fn dataset(&mut self, path: &str, dataset: &Dataset) -> Result<Variable, Problem> {
        let read = |e| broken(path, &e);
        let datatype = dataset.datatype().map_err(read)?;
        let opaque = matches!(datatype, hdf5_pure::Datatype::Opaque { .. });
        let marked = opaque && dataset.attrs().map_err(read)?.get("dtype").and_then(|v| v.as_str()) == Some("bfloat16");
        let elem = from_hdf5(&datatype, marked).map_err(|note| Problem::weights(path, note))?;
        let ty = Type::fixed(elem, &dataset.shape().map_err(read)?);
        let size = ty.num_bytes().ok_or_else(|| Problem::weights(path, format!("its shape {ty} is too large")))?;
        let bytes = match dataset.layout().map_err(read)? {
            Layout::Contiguous { address: Some(address), size: stored } => {
                let place = self.in_place(path, address, stored, size)?;
                self.read_out(path, place, elem, &ty)?
            }
            Layout::Contiguous { address: None, .. } if size == 0 => Bytes::Read(Literal::dense(elem, &dims(&ty), [])),
            Layout::Contiguous { address: None, .. } => return Err(Problem::weights(path, "it was never written")),
            Layout::Compact { .. } | Layout::Chunked { .. } => {
                Bytes::Read(self.in_pieces(path, dataset, elem, &ty, size)?)
            }
            Layout::Virtual | _ => {
                return Err(Problem::weights(path, "it refers to another file, which netc does not open"));
            }
        };
        Ok(Variable { ty, bytes })
    }

    fn in_place(&self, path: &str, address: u64, stored: u64, size: u64) -> Result<Bytes, Problem> {
        let offset = self.base.saturating_add(address);
        if offset.saturating_add(size) > self.end {
            return Err(Problem::weights(
                path,
                format!("its {size} bytes at {address} reach beyond the end of the file"),
            ));
        }
        if stored != size {
            return Err(Problem::weights(path, format!("it holds {stored} bytes, its shape needs {size}")));
        }
        Ok(Bytes::At { file: 0, offset, len: size })
    }

    /// The bytes themselves, where the file that they are in is in memory.
    fn read_out(&mut self, path: &str, place: Bytes, elem: ElemType, ty: &Type) -> Result<Bytes, Problem> {
        match (self.bytes.clone(), place) {
            (Some(bytes), Bytes::At { offset, len, .. }) => {
                self.charge(path, len)?;
                let bytes = bytes[offset as usize..(offset + len) as usize].into();
                Ok(Bytes::Read(Literal { elem, dims: dims(ty), bytes }))
            }
            (_, place) => Ok(place),
        }
    }

    /// Takes what is read into memory from what may be: datasets may share bytes.
    fn charge(&mut self, path: &str, size: u64) -> Result<(), Problem> {
        let note = || {
            format!(
                "the weights that are compressed or chunked are larger than {MAX_INLINE} bytes in all, or than the file \
                 can hold"
            )
        };
        let left = self.inline.checked_sub(size);
        self.inline = left.ok_or_else(|| Problem::weights(path, note()))?;
        Ok(())
    }

    fn in_pieces(
        &mut self,
        path: &str,
        dataset: &Dataset,
        elem: ElemType,
        ty: &Type,
        size: u64,
    ) -> Result<Literal, Problem> {
        self.charge(path, size)?;
        let bytes = dataset.read_raw().map_err(|e| broken(path, &e))?;
        if bytes.len() as u64 != size {
            return Err(Problem::weights(path, format!("it holds {} bytes, its shape needs {size}", bytes.len())));
        }
        Ok(Literal { elem, dims: dims(ty), bytes: bytes.into() })
    }
}

/// Refuses a file that ends before it says so.
fn require_whole(h5: &hdf5_pure::File, len: u64) -> Result<(), Problem> {
    let end = h5.superblock().eof_address;
    if end > len {
        return Err(Problem::weights("file", format!("it is cut off: it ends after {len} bytes of {end}")));
    }
    Ok(())
}

fn dims(ty: &Type) -> Vec<u64> {
    ty.fixed_dims().unwrap_or_default()
}

/// The path of what the group at `path` links to by `name`.
fn below(path: &str, name: &str) -> Result<String, Problem> {
    let is_one_part = !name.is_empty() && name != "." && !name.contains('/');
    let path = join(path, name);
    if is_one_part { Ok(path) } else { Err(Problem::weights(path, format!("`{name}` is not the name of a link"))) }
}

fn broken(place: &str, error: &hdf5_pure::Error) -> Problem {
    Problem::weights(place, error.to_string())
}
