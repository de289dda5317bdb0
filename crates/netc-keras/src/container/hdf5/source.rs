//! Sources of HDF5 bytes: a part of another file, read in blocks, or memory.
//!
//! `hdf5-pure` reads headers in many small pieces close to each other; caching a few blocks saves most system calls.
//! All reads go through [`Metered`], which limits their total.

use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{FormatError, Source};
use netc_data::ReadAt;
use netc_ir::{Budget, Resource};

/// Bytes per block.
const BLOCK: u64 = 4096;

/// The number of cached blocks. Together with their size it limits the memory of a source.
const KEPT: usize = 1024;

/// A part of a file, as a source.
pub(crate) struct Part {
    file: Arc<dyn ReadAt>,
    offset: u64,
    len: u64,
    /// The cache: block `i` is at index `i` modulo [`KEPT`].
    blocks: Mutex<Vec<Option<Block>>>,
}

/// A block with its number.
type Block = (u64, Vec<u8>);

impl Part {
    /// The `len` bytes of `file` at `offset`.
    pub(crate) fn new(file: Arc<dyn ReadAt>, offset: u64, len: u64) -> Self {
        Self { file, offset, len, blocks: Mutex::new(vec![None; KEPT]) }
    }

    fn read_file(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        self.file.read_exact_at(buf, self.offset + offset).map_err(|e| FormatError::Source(e.to_string()))
    }

    /// Copies bytes of block `index`, from `start` to its end or the end of `buf`. Returns their number.
    fn copy_block(&self, index: u64, start: usize, buf: &mut [u8]) -> Result<usize, FormatError> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut blocks[(index % KEPT as u64) as usize];
        let block = match kept {
            Some((i, block)) if *i == index => block,
            Some(_) | None => {
                let mut block = vec![0; BLOCK.min(self.len - index * BLOCK) as usize];
                self.read_file(index * BLOCK, &mut block)?;
                &mut kept.insert((index, block)).1
            }
        };
        let n = buf.len().min(block.len().saturating_sub(start));
        buf[..n].copy_from_slice(&block[start..start + n]);
        Ok(n)
    }
}

impl Source for Part {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(FormatError::OffsetOverflow { offset, length: buf.len() as u64 });
        }
        if buf.len() as u64 > BLOCK {
            return self.read_file(offset, buf);
        }
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            done += self.copy_block(at / BLOCK, (at % BLOCK) as usize, &mut buf[done..])?;
        }
        Ok(())
    }
}

/// A source that charges its reads to a budget. Thousands of links may lead to the same header, which `hdf5-pure` reads
/// and stores once per link.
#[derive(Clone)]
pub(crate) struct Metered {
    source: Arc<dyn Source + Send + Sync>,
    budget: Arc<Budget>,
}

impl Metered {
    pub(crate) fn new(source: impl Source + Send + Sync + 'static, budget: Arc<Budget>) -> Self {
        Self { source: Arc::new(source), budget }
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let charged = self.budget.charge(Resource::Read, buf.len() as u64);
        charged.map_err(|exceeded| {
            FormatError::Source(format!("too many of its links lead to the same place: {exceeded}"))
        })?;
        self.source.read_at(offset, buf)?;
        require_known_array(buf)
    }
}

/// The signature of an extensible array header, the chunk index of a dataset with one unlimited axis.
const ARRAY: &[u8; 4] = b"EAHD";

/// Rejects an extensible array header with sizes that HDF5 never writes. `hdf5-pure` trusts the header when it
/// allocates, up to 2^255 entries (format specification 3.0, section VII.D).
fn require_known_array(read: &[u8]) -> Result<(), FormatError> {
    let Some([_version, _client, _element_size, bits, _in_index, smallest, pointers, _page_bits, ..]) =
        read.strip_prefix(ARRAY)
    else {
        return Ok(());
    };
    // HDF5 writes 32, 16 and 4. Blocks double in size after the first few, so these limits allow a few thousand blocks.
    let is_known = *bits <= 64 && smallest.is_power_of_two() && *pointers <= 16;
    let note = "the header of its chunk index (an extensible array) has sizes that HDF5 does not write";
    if is_known { Ok(()) } else { Err(FormatError::ChunkedReadError(note.into())) }
}

/// A file in memory, as a source.
pub(crate) struct InMemory(pub(crate) Arc<[u8]>);

impl Source for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let length = buf.len() as u64;
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        let end = end.ok_or(FormatError::OffsetOverflow { offset, length })?;
        buf.copy_from_slice(&self.0[offset as usize..end as usize]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_stay_within_the_part() {
        let bytes: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let part = Part::new(Arc::new(file), 7, 30_000);
        for (offset, len) in [(0, 1), (4090, 20), (4096, 4096), (0, 20_000), (29_990, 10), (8191, 2), (4090, 20)] {
            let mut buf = vec![0; len];
            part.read_at(offset as u64, &mut buf).unwrap();
            assert_eq!(buf, bytes[7 + offset..7 + offset + len]);
        }
        assert!(part.read_at(29_990, &mut [0; 11]).is_err());
        assert!(part.read_at(u64::MAX, &mut [0; 2]).is_err());
    }
}
