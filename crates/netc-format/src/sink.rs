//! Destinations for the files of a model.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use netc_data::{Checksum, Hashed};

/// A destination for the files of a model.
pub trait Sink {
    /// The final path of the main file. The file may be elsewhere while the model is written.
    fn main(&self) -> &Path;

    /// Creates the file `name` in the folder of the main file. The caller must flush it.
    ///
    /// # Errors
    /// The file cannot be written, or the model is being read from it.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Write>>;

    /// Creates the main file.
    ///
    /// # Errors
    /// See [`Sink::create`].
    fn create_main(&mut self) -> io::Result<Box<dyn Write>> {
        let name = self.main().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.create(&name)
    }

    /// Writes the whole main file and returns its checksum.
    ///
    /// # Errors
    /// See [`Sink::create`].
    fn write_main(&mut self, bytes: &[u8]) -> io::Result<Checksum> {
        let mut out = self.create_main()?;
        let mut hashed = Hashed::new(&mut out);
        hashed.write_all(bytes)?;
        let checksum = hashed.into_crc().into();
        out.flush()?;
        Ok(checksum)
    }
}

/// Writes files directly to their final paths. A failure leaves incomplete files.
///
/// ```
/// use netc_format::{InPlace, Sink};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.ops");
/// InPlace::new(&path).write_main(b"ops relu exp")?;
/// assert_eq!(std::fs::read(&path)?, b"ops relu exp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InPlace(PathBuf);

impl InPlace {
    /// A sink whose main file is at `main`.
    pub fn new(main: impl Into<PathBuf>) -> Self {
        Self(main.into())
    }
}

impl Sink for InPlace {
    fn main(&self) -> &Path {
        &self.0
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn Write>> {
        Ok(Box::new(BufWriter::new(File::create(self.0.with_file_name(name))?)))
    }
}
