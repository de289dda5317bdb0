//! Checksums of files: CRC-32, as in zip archives. Copying computes them on the fly.

use std::fmt;
use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use crc32fast::Hasher;

use crate::read_at::ReadAt;
use crate::store::block;

/// Bytes that a thread reads at a time, few enough to be in its cache when it hashes them.
const BLOCK: usize = 256 << 10;

/// The length of a file and the CRC-32 of its bytes. Detects changes, but not deliberate forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// Number of bytes.
    pub bytes: u64,
    /// CRC-32 of the bytes.
    pub crc: u32,
}

impl Checksum {
    /// Computes the checksum of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(hash(&file, 0, len)?.into())
    }
}

impl From<Hasher> for Checksum {
    fn from(hasher: Hasher) -> Self {
        Self { bytes: hasher.total_len(), crc: hasher.finalize() }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crc32:{:08x}", self.crc)
    }
}

/// Computes the checksum of the bytes from `start` to `end` of `file`, on one thread per core.
///
/// # Errors
/// The bytes cannot be read.
pub fn hash(file: &dyn ReadAt, start: u64, end: u64) -> io::Result<Hasher> {
    if end - start <= BLOCK as u64 {
        return hash_here(file, start, end);
    }
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = (end - start).div_ceil(threads);
    thread::scope(|scope| {
        let starts = (start..end).step_by(share as usize);
        let part = |start| {
            let hash = move || hash_here(file, start, end.min(start + share));
            // If the system has no more threads, hash on this one.
            thread::Builder::new().spawn_scoped(scope, hash).map_err(|_| hash)
        };
        let parts: Vec<_> = starts.map(part).collect();
        parts.into_iter().try_fold(Hasher::new(), |mut whole, part| {
            let hashed = match part {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(hash) => hash(),
            };
            whole.combine(&hashed?);
            Ok(whole)
        })
    })
}

fn hash_here(file: &dyn ReadAt, start: u64, end: u64) -> io::Result<Hasher> {
    let mut hasher = Hasher::new();
    let mut block = block(BLOCK.min((end - start) as usize))?;
    for at in (start..end).step_by(BLOCK) {
        let bytes = &mut block[..BLOCK.min((end - at) as usize)];
        file.read_exact_at(bytes, at)?;
        hasher.update(bytes);
    }
    Ok(hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashing_in_parts_equals_hashing_the_whole() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 7).map(|i| (i % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let checksum = Checksum::of(file.path()).unwrap();
        assert_eq!(checksum, Checksum { bytes: bytes.len() as u64, crc: crc32fast::hash(&bytes) });
        let middle = hash(file.as_file(), 5, BLOCK as u64 + 9).unwrap();
        assert_eq!(middle.finalize(), crc32fast::hash(&bytes[5..BLOCK + 9]));
        assert_eq!(Checksum { bytes: 0, crc: 0xab }.to_string(), "crc32:000000ab");
    }
}
