//! Reads the weights of a model: finds every dataset of an HDF5 file and where its bytes are.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdf5_pure::{ChunkIndex, Dataset, Error, FormatError, Group, Layout, Source};
use netc_data::ReadAt;
use netc_ir::{Budget, ElemType, Exceeded, Literal, Resource, Type};

use crate::config::path::join;
use crate::container::hdf5::links::{self, Links};
use crate::container::hdf5::source::{InMemory, Metered, Part};
use crate::container::hdf5::types::{Stored, from_hdf5};
use crate::container::training_state;
use crate::container::variable::{Bytes, Variable, Variables};
use crate::error::{Problem, Result};
use netc_format::stack::MAX_NESTING;

/// The deepest nesting of groups. Each nested model takes two levels. The limit also stops at links that form a cycle.
const MAX_DEPTH: usize = 2 * MAX_NESTING + 64;

/// Bytes to charge for a table entry, in addition to its path.
const ENTRY: u64 = 128;

/// The most bytes of never-written datasets in total. Their size costs nothing here, because they have one fill value,
/// but every byte is written to the output.
const MAX_FILLED: u64 = 256 << 20;

/// Reads the headers of the HDF5 file in the `len` bytes at `offset`. Includes the optimizer's if `optimizer` is set.
pub(crate) fn read(
    file: Arc<dyn ReadAt>,
    offset: u64,
    len: u64,
    optimizer: bool,
    budget: &Arc<Budget>,
) -> Result<Variables> {
    Headers::open(file, offset, len, budget)?.all(optimizer)
}

/// Reads an HDF5 file from memory. Its weights stay in memory, too.
pub(crate) fn read_bytes(bytes: Vec<u8>, optimizer: bool, budget: &Arc<Budget>) -> Result<Variables> {
    let bytes: Arc<[u8]> = bytes.into();
    let headers = Headers::of_source(Metered::new(InMemory(bytes.clone()), budget.clone()), budget)?;
    Headers { bytes: Some(bytes), ..headers }.all(optimizer)
}

/// An HDF5 file that is being read.
pub(crate) struct Headers {
    h5: hdf5_pure::File,
    /// The source that `h5` reads from.
    source: Metered,
    found: Variables,
    budget: Arc<Budget>,
    /// The remaining bytes of [`MAX_FILLED`].
    filled: u64,
    base: u64,
    end: u64,
    /// The bytes of a file in memory.
    bytes: Option<Arc<[u8]>>,
    /// Whether to skip the optimizer's group.
    skips_optimizer: bool,
}

impl Headers {
    /// Opens the HDF5 file in the `len` bytes at `offset`. Charges what it reads and holds to `budget`.
    pub(crate) fn open(file: Arc<dyn ReadAt>, offset: u64, len: u64, budget: &Arc<Budget>) -> Result<Self> {
        let headers = Self::of_source(Metered::new(Part::new(file, offset, len), budget.clone()), budget)?;
        Ok(Self { base: offset, end: offset + len, ..headers })
    }

    fn of_source(source: Metered, budget: &Arc<Budget>) -> Result<Self> {
        let h5 = hdf5_pure::File::from_source(source.clone()).map_err(|e| broken("file", &e))?;
        let len = source.len();
        require_whole(&h5, len)?;
        Ok(Self {
            h5,
            source,
            found: Variables::default(),
            budget: budget.clone(),
            filled: MAX_FILLED,
            base: 0,
            end: len,
            bytes: None,
            skips_optimizer: false,
        })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn root(&self) -> Group {
        self.h5.root()
    }

    fn all(mut self, optimizer: bool) -> Result<Variables> {
        self.skips_optimizer = !optimizer;
        let links = self.require_own("")?;
        self.group(&self.root(), String::new(), 0)?;
        links.require_complete("")?;
        Ok(self.found)
    }

    /// The datasets below `group`, by path relative to it; `place` is the group's path.
    pub(crate) fn datasets(&mut self, group: &Group, place: &str) -> Result<BTreeMap<String, Variable>> {
        let links = self.require_own(place)?;
        self.group(group, String::new(), 0).map_err(|problem| problem_below(problem, place))?;
        links.require_complete(place)?;
        Ok(std::mem::take(&mut self.found.datasets))
    }

    /// Rejects soft and external links below the group at `place`.
    fn require_own(&self, place: &str) -> Result<Links> {
        let skipped = self.skips_optimizer.then_some(training_state::GROUP);
        match links::stray(&self.source, &self.budget, self.h5.superblock(), place, skipped) {
            Links::Stray(stray) => Err(Problem::weights(
                join(place, &stray.path),
                format!("it is {}, which netc does not follow; store the dataset itself there", stray.what),
            )),
            links @ (Links::Own | Links::Unlisted(_)) => Ok(links),
        }
    }

    fn group(&mut self, group: &Group, path: String, depth: usize) -> Result<()> {
        let place = || if path.is_empty() { "/".to_string() } else { path.clone() };
        if depth > MAX_DEPTH {
            return Err(Problem::weights(
                place(),
                format!("groups nest deeper than {MAX_DEPTH} levels, perhaps because of links that form a cycle"),
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
            if depth == 0 && self.skips_optimizer && name == training_state::GROUP {
                continue;
            }
            let path = below(&path, &name)?;
            self.spend(&path)?;
            self.group(&child, path, depth + 1)?;
        }
        Ok(())
    }

    fn name(&mut self, group: &Group, path: &str) -> Result<()> {
        let attrs = group.attrs().map_err(|e| broken(path, &e))?;
        if let Some(name) = attrs.get("name").and_then(|v| v.as_str()) {
            let above = path.strip_suffix("vars").unwrap_or(path).trim_end_matches('/');
            self.found.names.insert(above.into(), name.into());
        }
        Ok(())
    }

    /// Charges the table entry of an object.
    fn spend(&self, path: &str) -> Result<()> {
        self.charge(path, ENTRY + path.len() as u64)
    }

    fn dataset(&mut self, path: &str, dataset: &Dataset) -> Result<Variable> {
        let read = |e| broken(path, &e);
        let datatype = dataset.datatype().map_err(read)?;
        let opaque = matches!(datatype, hdf5_pure::Datatype::Opaque { .. });
        let marked = opaque && dataset.attrs().map_err(read)?.get("dtype").and_then(|v| v.as_str()) == Some("bfloat16");
        let stored = from_hdf5(&datatype, marked).map_err(|note| Problem::weights(path, note))?;
        let elem = stored.elem;
        let ty = Type::fixed(elem, &dataset.shape().map_err(read)?);
        let size = ty.num_bytes().ok_or_else(|| Problem::weights(path, format!("its shape {ty} is too large")))?;
        let header = Header { path, dataset, stored, ty, size };
        let bytes = match dataset.layout().map_err(read)? {
            Layout::Contiguous { address: Some(address), size: stored_size } => {
                let place = self.in_place(path, address, stored_size, size)?;
                match stored.is_swapped {
                    true => Bytes::Read(self.in_pieces(&header)?),
                    false => self.read_out(path, place, elem, &header.ty)?,
                }
            }
            Layout::Contiguous { address: None, .. } => Bytes::Read(self.unwritten(&header)?),
            Layout::Chunked { index, chunk_shape } => {
                require_known_filters(path, dataset)?;
                let of_chunk = chunk_shape.iter().try_fold(elem.size(), |n, extent| n.checked_mul(*extent));
                // With a version 2 B-tree, listing the chunks fails if there are any.
                let is_unwritten = match (index, self.require_room(path, size).is_err()) {
                    (ChunkIndex::BTreeV2, _) => {
                        if dataset.chunks().is_err() {
                            let note = "its chunks are indexed by a version 2 B-tree (several unlimited axes), which \
                                        netc does not read; write the dataset without `maxshape`";
                            return Err(Problem::weights(path, note));
                        }
                        true
                    }
                    (_, true) => dataset.chunks().map_err(read)?.is_empty(),
                    (_, false) => false,
                };
                match is_unwritten {
                    true => Bytes::Read(self.unwritten(&header)?),
                    false => {
                        self.require_room(path, of_chunk.unwrap_or(u64::MAX))?;
                        self.require_chunks(path, dataset, of_chunk.unwrap_or(u64::MAX))?;
                        Bytes::Read(self.in_pieces(&header)?)
                    }
                }
            }
            Layout::Compact { .. } => Bytes::Read(self.in_pieces(&header)?),
            Layout::Virtual | _ => {
                let note = "it is a virtual dataset, whose data is in other files, which netc does not open; store the \
                            data in this file";
                return Err(Problem::weights(path, note));
            }
        };
        Ok(Variable { ty: header.ty, bytes })
    }

    /// Reads a never-written dataset: every element has the fill value.
    fn unwritten(&mut self, header: &Header<'_>) -> Result<Literal> {
        let Header { path, dataset, stored, ref ty, size } = *header;
        let (elem, dims) = (stored.elem, dims(ty));
        let note = || format!("the datasets that were never written take more than {MAX_FILLED} bytes in total");
        self.filled = self.filled.checked_sub(size).ok_or_else(|| Problem::weights(path, note()))?;
        self.require_room(path, size / dims.first().copied().unwrap_or(1).max(1))?;
        // Reads a row even of an empty dataset, so that external storage is rejected.
        let row = dataset.read_raw_rows(0, 1).map_err(|e| broken(path, &e))?;
        let mut value = row.get(..elem.size() as usize).unwrap_or_default().to_vec();
        stored.in_order(&mut value);
        Ok(if size == 0 { Literal::dense(elem, &dims, []) } else { Literal { elem, dims, bytes: value.into() } })
    }

    fn in_place(&self, path: &str, address: u64, stored: u64, size: u64) -> Result<Bytes> {
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

    /// Replaces the place of the bytes by the bytes if the file is in memory.
    fn read_out(&mut self, path: &str, place: Bytes, elem: ElemType, ty: &Type) -> Result<Bytes> {
        match (self.bytes.clone(), place) {
            (Some(bytes), Bytes::At { offset, len, .. }) => {
                self.charge(path, len)?;
                let bytes = bytes[offset as usize..(offset + len) as usize].into();
                Ok(Bytes::Read(Literal { elem, dims: dims(ty), bytes }))
            }
            (_, place) => Ok(place),
        }
    }

    /// Charges memory for bytes. Several datasets may use the same bytes of the file.
    fn charge(&self, path: &str, size: u64) -> Result<()> {
        self.budget.charge(Resource::Memory, size).map_err(|exceeded| too_large(path, exceeded))
    }

    /// Rejects a dataset if the `size` bytes that `hdf5-pure` allocates to read it exceed the budget.
    fn require_room(&self, path: &str, size: u64) -> Result<()> {
        self.charge(path, size)?;
        self.budget.release(Resource::Memory, size);
        Ok(())
    }

    /// Charges `inflated` bytes for each chunk of a dataset. Rejects chunks longer than the file, because `hdf5-pure`
    /// trusts the sizes in the index when it allocates.
    fn require_chunks(&self, path: &str, dataset: &Dataset, inflated: u64) -> Result<()> {
        let chunks = dataset.chunks().map_err(|e| broken(path, &e))?;
        let all = inflated.saturating_mul(chunks.len() as u64);
        self.budget.charge(Resource::Read, all).map_err(|exceeded| too_large(path, exceeded))?;
        match chunks.iter().map(|chunk| chunk.storage_size).find(|size| *size > self.source.len()) {
            Some(size) => {
                Err(Problem::weights(path, format!("a chunk of {size} bytes reaches beyond the end of the file")))
            }
            None => Ok(()),
        }
    }

    fn in_pieces(&mut self, header: &Header<'_>) -> Result<Literal> {
        let Header { path, dataset, stored, ref ty, size } = *header;
        self.charge(path, size)?;
        let mut bytes = dataset.read_raw().map_err(|e| broken(path, &e))?;
        if bytes.len() as u64 != size {
            return Err(Problem::weights(path, format!("it holds {} bytes, its shape needs {size}", bytes.len())));
        }
        stored.in_order(&mut bytes);
        Ok(Literal { elem: stored.elem, dims: dims(ty), bytes: bytes.into() })
    }
}

/// The header of the dataset at `path`; its elements take `size` bytes.
struct Header<'d> {
    path: &'d str,
    dataset: &'d Dataset,
    stored: Stored,
    ty: Type,
    size: u64,
}

/// Prefixes the place of a problem with the path of `group`.
fn problem_below(problem: Problem, group: &str) -> Problem {
    let Problem::Weights { place, note } = problem else { return problem };
    Problem::weights(join(group, place.trim_matches('/')), note)
}

fn too_large(path: &str, exceeded: Exceeded) -> Problem {
    Problem::weights(path, format!("its datasets are too large for the size of the file: {exceeded}"))
}

/// The filters that `hdf5-pure` decodes.
const FILTERS: [u16; 5] = [1, 2, 3, 6, 32000];

/// Names of other filters, from the HDF Group's list of registered filters.
const NAMED_FILTERS: [(u16, &str); 9] = [
    (4, "szip"),
    (5, "nbit"),
    (307, "bzip2"),
    (32001, "blosc"),
    (32004, "lz4"),
    (32008, "bitshuffle"),
    (32013, "zfp"),
    (32015, "zstd"),
    (32026, "blosc2"),
];

fn require_known_filters(path: &str, dataset: &Dataset) -> Result<()> {
    let Some(filter) = dataset.filters().into_iter().find(|filter| !FILTERS.contains(filter)) else { return Ok(()) };
    let name = NAMED_FILTERS.iter().find(|(id, _)| *id == filter).map_or("unknown", |(_, name)| name);
    let note = format!(
        "it is compressed with the HDF5 filter {filter} ({name}), which netc does not support; write it with gzip or \
         without a filter"
    );
    Err(Problem::weights(path, note))
}

/// Rejects a file that is shorter than its superblock says.
fn require_whole(h5: &hdf5_pure::File, len: u64) -> Result<()> {
    let end = h5.superblock().eof_address;
    if end > len {
        return Err(Problem::weights("file", format!("it is truncated: it has {len} of {end} bytes")));
    }
    Ok(())
}

fn dims(ty: &Type) -> Vec<u64> {
    ty.fixed_dims().unwrap_or_default()
}

/// The path of the link `name` in the group at `path`.
fn below(path: &str, name: &str) -> Result<String> {
    let is_one_part = !name.is_empty() && name != "." && !name.contains('/');
    let path = join(path, name);
    if is_one_part { Ok(path) } else { Err(Problem::weights(path, format!("`{name}` is not a valid link name"))) }
}

pub(crate) fn broken(place: &str, error: &Error) -> Problem {
    if matches!(error, Error::Format(FormatError::UnsupportedExternalStorage)) {
        let note =
            "its data is in other files (external storage), which netc does not open; store the data in this file";
        return Problem::weights(place, note);
    }
    if let Error::Format(FormatError::InvalidLayoutVersion(version)) = error {
        let note = format!(
            "its layout has version {version}, netc reads 3 and 4; write it with `libver=\"v114\"` or without `libver`"
        );
        return Problem::weights(place, note);
    }
    if matches!(error, Error::Format(FormatError::OffsetOverflow { offset: u64::MAX, .. })) {
        return Problem::weights(
            place,
            "it holds a soft link, or an object without an address, which netc does not follow",
        );
    }
    Problem::weights(place, error.to_string())
}
