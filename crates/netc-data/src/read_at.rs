//! Reading at offsets: files on Unix and Windows, memory everywhere.

use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io;

/// Bytes that are read at offsets: of a file, of memory, or of what a host gives. Threads may read at once.
pub trait ReadAt: Debug + Send + Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// The system does not tell.
    fn num_bytes(&self) -> io::Result<u64>;

    /// Reads bytes from `offset` on, as many as there are and the system gives at once, and returns how many.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `bytes` with those from `offset` on.
    ///
    /// # Errors
    /// There are fewer, or they cannot be read.
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

/// The number of a file on its device, where the system has such numbers: another file at the same path has another.
#[cfg(unix)]
pub(crate) fn number(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// There is no such number.
#[cfg(not(unix))]
pub(crate) fn number(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_files_are_read_alike() {
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
