//! Reads at offsets: from files on Unix and Windows, and from memory everywhere.

use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io;

/// A source of bytes that can be read at offsets, such as a file, memory or a host's own source. Threads can share it.
pub trait ReadAt: Debug + Send + Sync {
    /// The length in bytes.
    ///
    /// # Errors
    /// The system cannot tell the length.
    fn num_bytes(&self) -> io::Result<u64>;

    /// Reads up to `bytes.len()` bytes from `offset` and returns how many were read; 0 at the end.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `bytes` with the bytes from `offset`.
    ///
    /// # Errors
    /// There are too few bytes, or they cannot be read.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "failed to fill whole buffer")),
                Ok(n) => {
                    bytes = &mut bytes[n..];
                    offset += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for File {
    fn num_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, bytes, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl ReadAt for Vec<u8> {
    fn num_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let n = rest.len().min(bytes.len());
        bytes[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Device and inode number, which tell a file from another one at the same path.
#[cfg(unix)]
pub(crate) fn number(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Always the same: this system has no inode numbers.
#[cfg(not(unix))]
pub(crate) fn number(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_files_read_the_same() {
        let bytes: Vec<u8> = (0..10).collect();
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &bytes).unwrap();
        let file = File::open(path.path()).unwrap();
        for source in [&bytes as &dyn ReadAt, &file] {
            assert_eq!(source.num_bytes().unwrap(), 10);
            let mut found = [0; 4];
            source.read_exact_at(&mut found, 6).unwrap();
            assert_eq!(found, [6, 7, 8, 9]);
            assert_eq!(source.read_at(&mut found, 8).unwrap(), 2);
            assert_eq!(source.read_at(&mut found, 1 << 40).unwrap(), 0);
            let error = source.read_exact_at(&mut found, 7).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (io::ErrorKind::UnexpectedEof, "failed to fill whole buffer".into())
            );
        }
    }
}
