//! A file that a model is read from.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netc_data::ReadAt;

/// Number of bytes at the start of a file that identify its format, enough for the first header of a tar archive.
const HEAD: usize = 512;

/// The folder of a file, or `.` for a bare file name.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An open file with its first bytes.
///
/// ```
/// use netc_format::Source;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.ops");
/// std::fs::write(&path, "ops relu exp")?;
/// let source = Source::open(&path)?;
/// assert!(source.head().starts_with(b"ops "));
/// assert_eq!(source.len(), 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: Arc<dyn ReadAt>,
    len: u64,
    head: Vec<u8>,
}

impl Source {
    /// Opens the file at `path`. [`foreign::open`](crate::foreign::open) gives more helpful errors.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(path, Arc::new(File::open(path)?))
    }

    /// Treats the bytes of `file` as the file at `path`. Other files that it names are looked up relative to `path`.
    ///
    /// ```
    /// use std::path::Path;
    /// use std::sync::Arc;
    ///
    /// use netc_dialect::Dialects;
    /// use netc_format::{ReadOptions, Source, nir};
    ///
    /// // A program in memory.
    /// let text = b"netc 1\nfunc @main(%x: f32[N]) -> (%y) { %y = relu(%x) : f32[N] }";
    /// let source = Source::of(Path::new("relu.nir"), Arc::new(text.to_vec()))?;
    /// let reader = nir::NIR.reader.ok_or("no reader")?;
    /// let imported = reader.read(&source, &ReadOptions::default(), &Dialects::new())?;
    /// assert_eq!(imported.module.num_ops(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub fn of(path: &Path, file: Arc<dyn ReadAt>) -> io::Result<Self> {
        let len = file.num_bytes()?;
        let mut head = vec![0; HEAD];
        let n = file.read_at(&mut head, 0)?;
        head.truncate(n);
        Ok(Self { path: path.into(), file, len, head })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its first bytes: 512, or all of a shorter file.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The file itself.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }

    /// The length of the file, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is the length of a file, which nobody iterates over")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The whole file as UTF-8 text.
    ///
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn text(&self) -> io::Result<String> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let mut bytes = vec![0; usize::try_from(self.len).map_err(too_large)?];
        self.read_exact_at(&mut bytes, 0)?;
        String::from_utf8(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8 text: {error}")))
    }

    /// Reads up to `bytes.len()` bytes from `offset` and returns how many were read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    /// Fills `bytes` with the bytes from `offset`.
    ///
    /// # Errors
    /// The file is too short or cannot be read.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}
