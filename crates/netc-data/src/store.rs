//! The bytes of a module's weights.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Mutex;

use crc32fast::Hasher;
use netc_ir::literal::pack;
use netc_ir::{ElemType, FileId, Literal, Module, Name, Number, Weight, WeightData};

use crate::error::{DataError, Result};
use crate::files::{Files, lock};
use crate::random::Rng;
use crate::read_at::ReadAt;

/// Bytes copied at a time, large enough to keep system calls rare.
pub(crate) const BLOCK: usize = 2048 * 1024;

/// Provides the bytes of weights, row-major and little-endian. Keeps only a few files open at a time.
pub struct Store {
    files: Files,
    /// Free blocks, for reuse by later copies.
    blocks: Mutex<Vec<Vec<u8>>>,
    copied: Mutex<BTreeMap<(FileId, u64), Span>>,
    pub(crate) reads_ahead: bool,
}

/// A range of a file that was copied.
#[derive(Debug, Clone)]
pub struct Span {
    /// Offset of the first byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
    /// The CRC-32 of the bytes, as in zip archives.
    pub crc: Hasher,
}

impl Store {
    /// Opens the files that the weights of `module` refer to.
    ///
    /// The store closes and reopens files as needed. If a file was replaced or changed meanwhile, reopening it is an
    /// error.
    pub fn open(module: &Module) -> Result<Self, DataError> {
        let mut files = Files::default();
        for weight in &module.weights {
            if let WeightData::File { file, .. } = weight.data {
                files.add(file, &module[file])?;
            }
        }
        Ok(Self { files, blocks: Mutex::default(), copied: Mutex::default(), reads_ahead: false })
    }

    /// Makes [`Store::ahead`] read on a thread of its own.
    ///
    /// Use this to write one file at a time. When several files are written in parallel, the thread only takes a core
    /// from the others.
    #[must_use]
    pub fn reading_ahead(self) -> Self {
        Self { reads_ahead: true, ..self }
    }

    /// The files that weights are read from.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &Name)> {
        self.files.paths()
    }

    /// The ranges of a file that were read so far, in file order, with their checksums.
    ///
    /// To verify the checksum of the whole file, only the rest needs to be read.
    pub fn copied(&self, file: FileId) -> Vec<Span> {
        lock(&self.copied).range((file, 0)..=(file, u64::MAX)).map(|(_, span)| span.clone()).collect()
    }

    /// Reads all bytes of a weight, which must belong to the module that the store was opened for.
    pub fn read(&self, weight: &Weight) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size(weight)?).map_err(|_| no_room(weight))?;
        self.copy(weight, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads all bytes of a weight into `out`, which must have exactly their length, and returns their CRC-32.
    pub fn read_into(&self, weight: &Weight, mut out: &mut [u8]) -> Result<u32, DataError> {
        let crc = self.copy(weight, &mut out)?;
        if out.is_empty() {
            return Ok(crc.finalize());
        }
        let source = io::Error::other(format!("the weight is {} bytes shorter than its buffer", out.len()));
        Err(DataError::Write { weight: weight.name.clone(), source })
    }

    /// Writes all bytes of a weight to `out`, a block at a time, and returns their checksum.
    pub fn copy(&self, weight: &Weight, out: &mut dyn Write) -> Result<Hasher, DataError> {
        let mut out = Hashed::new(out);
        self.emit(weight, &mut out)?;
        let crc = out.into_crc();
        if let WeightData::File { file, offset, len } = weight.data {
            self.note(file, offset, len, crc.clone());
        }
        Ok(crc)
    }

    /// Records that a range of a file was read, with its checksum.
    pub(crate) fn note(&self, file: FileId, offset: u64, len: u64, crc: Hasher) {
        lock(&self.copied).insert((file, offset), Span { offset, len, crc });
    }

    fn emit(&self, weight: &Weight, out: &mut dyn Write) -> Result<(), DataError> {
        let written = |source| DataError::Write { weight: weight.name.clone(), source };
        match &weight.data {
            WeightData::File { file, offset, len } => self.copy_file(weight, *file, *offset, *len, out),
            WeightData::Inline(literal) if literal.elem.is_packed() => {
                let count = literal.ty().num_elements().unwrap_or(0);
                // A splat stores one element.
                let element = |i: u64| literal.bytes.get(i as usize).or(literal.bytes.first()).copied().unwrap_or(0);
                for at in (0..count).step_by(BLOCK) {
                    let elements: Vec<u8> = (at..count.min(at + BLOCK as u64)).map(element).collect();
                    out.write_all(&pack(literal.elem, &elements)).map_err(written)?;
                }
                Ok(())
            }
            WeightData::Inline(literal) => {
                for _ in 0..repeats(literal) {
                    out.write_all(&literal.bytes).map_err(written)?;
                }
                Ok(())
            }
            WeightData::Random { seed, low, high } => {
                let mut rng = Rng::for_part(*seed, &weight.name);
                let mut left = size(weight)? as u64 / weight.ty.elem.size().max(1);
                while left > 0 {
                    let n = left.min(BLOCK as u64 / 8);
                    let numbers = (0..n).map(|_| Number::Float(rng.uniform(low.get(), high.get())));
                    out.write_all(&Literal::dense(weight.ty.elem, &[n], numbers).bytes).map_err(written)?;
                    left -= n;
                }
                Ok(())
            }
        }
    }

    fn copy_file(
        &self,
        weight: &Weight,
        file: FileId,
        offset: u64,
        len: u64,
        out: &mut dyn Write,
    ) -> Result<(), DataError> {
        let failed = |source| DataError::Memory { weight: weight.name.clone(), source };
        let mut block = self.take_block().map_err(failed)?;
        let copied = (0..len).step_by(BLOCK).try_for_each(|at| {
            let n = (len - at).min(BLOCK as u64) as usize;
            self.read_at(weight, file, offset.saturating_add(at), &mut block[..n])?;
            out.write_all(&block[..n]).map_err(|source| DataError::Write { weight: weight.name.clone(), source })
        });
        lock(&self.blocks).push(block);
        copied
    }

    /// Reads bytes at `offset` in the file. `weight` is for error messages.
    pub(crate) fn read_at(
        &self,
        weight: &Weight,
        file: FileId,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), DataError> {
        let (path, opened) = self.files.get(file)?;
        opened.read_exact_at(bytes, offset).map_err(|source| {
            let (weight, path, len) = (weight.name.clone(), path.clone(), bytes.len() as u64);
            DataError::Read { weight, path, offset, len, source }
        })
    }

    fn take_block(&self) -> io::Result<Vec<u8>> {
        lock(&self.blocks).pop().map_or_else(|| block(BLOCK), Ok)
    }
}

/// A block of `len` zeros.
pub(crate) fn block(len: usize) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(len)?;
    block.resize(len, 0);
    Ok(block)
}

/// A writer that computes the CRC-32 of everything written through it. `crc32fast` is fast enough to keep up with a
/// copy.
pub struct Hashed<'a> {
    inner: &'a mut dyn Write,
    crc: Hasher,
}

impl<'a> Hashed<'a> {
    /// A writer to `inner`.
    pub fn new(inner: &'a mut dyn Write) -> Self {
        Self { inner, crc: Hasher::new() }
    }

    /// Lets `copy` write to the inner writer directly. It returns the checksum of what it wrote.
    pub fn splice<E>(&mut self, copy: impl FnOnce(&mut dyn Write) -> Result<Hasher, E>) -> Result<(), E> {
        self.crc.combine(&copy(self.inner)?);
        Ok(())
    }

    /// The checksum of all bytes written, which includes their number.
    pub fn into_crc(self) -> Hasher {
        self.crc
    }
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.crc.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn size(weight: &Weight) -> Result<usize, DataError> {
    let bytes = weight.ty.num_bytes().filter(|_| weight.ty.elem != ElemType::Any && weight.ty.elem != ElemType::Str);
    let bytes = bytes.and_then(|b| usize::try_from(b).ok()).filter(|b| *b <= isize::MAX as usize);
    bytes.ok_or_else(|| no_room(weight))
}

fn no_room(weight: &Weight) -> DataError {
    DataError::Size { weight: weight.name.clone(), ty: weight.ty.to_string() }
}

fn repeats(literal: &Literal) -> u64 {
    if literal.bytes.len() as u64 == literal.elem.size() { literal.ty().num_elements().unwrap_or(0) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netc_ir::{F64, Narrow, Type};

    fn weight(data: WeightData, dims: &[u64]) -> Weight {
        Weight { name: "w".into(), ty: Type::fixed(ElemType::F32, dims), data }
    }

    #[test]
    fn files_are_read_at_offsets_and_short_files_are_errors() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[9, 0, 0, 128, 63, 0, 0, 0, 64]).unwrap();
        let mut module = Module::new();
        let id = module.intern_file(file.path().to_str().unwrap());
        module.add_weight(weight(WeightData::File { file: id, offset: 1, len: 8 }, &[2]));
        let store = Store::open(&module).unwrap();
        assert_eq!(store.read(&module.weights[0]).unwrap(), [0, 0, 128, 63, 0, 0, 0, 64]);
        let copied = store.copied(id);
        assert_eq!(copied.iter().map(|s| (s.offset, s.len)).collect::<Vec<_>>(), [(1, 8)]);
        assert_eq!(copied[0].crc.clone().finalize(), crc32fast::hash(&[0, 0, 128, 63, 0, 0, 0, 64]));

        let long = weight(WeightData::File { file: id, offset: 1, len: 12 }, &[3]);
        assert!(matches!(store.read(&long), Err(DataError::Read { .. })));
    }

    #[test]
    fn a_splat_fills_the_shape() {
        let store = Store::open(&Module::new()).unwrap();
        let splat = weight(WeightData::Inline(Literal::splat(ElemType::F32, &[3], 1.0)), &[3]);
        assert_eq!(store.read(&splat).unwrap(), [0, 0, 128, 63].repeat(3));
    }

    #[test]
    fn sub_byte_elements_are_packed() {
        let store = Store::open(&Module::new()).unwrap();
        let i4 = ElemType::Narrow(Narrow::I4);
        let read = |literal: Literal| {
            let ty = literal.ty();
            store.read(&Weight { name: "w".into(), ty, data: WeightData::Inline(literal) }).unwrap()
        };
        assert_eq!(read(Literal::dense(i4, &[3], [1, -2, 3].map(Number::Int))), [0xe1, 0x03]);
        assert_eq!(read(Literal::splat(i4, &[5], -1.0)), [0xff, 0xff, 0x0f]);
        let more = BLOCK as u64 + 1;
        assert_eq!(read(Literal::splat(i4, &[more], 1.0)).len() as u64, more.div_ceil(2));
    }

    #[test]
    fn random_weights_depend_only_on_seed_and_name() {
        let store = Store::open(&Module::new()).unwrap();
        let random = |seed| weight(WeightData::Random { seed, low: F64::new(-1.0), high: F64::new(1.0) }, &[100_000]);
        let bytes = store.read(&random(7)).unwrap();
        assert_eq!(bytes.len(), 400_000);
        assert_eq!(bytes, store.read(&random(7)).unwrap());
        assert_ne!(bytes, store.read(&random(8)).unwrap());
        assert!(bytes.chunks(4).all(|b| f32::from_le_bytes(b.try_into().unwrap()).abs() <= 1.0));
    }
}
