//! Where the files of a model are written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use netc_data::{Checksum, Hashed};

/// The files that a model is written to.
pub trait Sink {
    /// Where the main file will be. It need not be there while the model is written.
    fn main(&self) -> &Path;

    /// Starts the file `name` in the folder of the main file. Whoever writes it flushes it.
    ///
    /// # Errors
    /// A file that cannot be written, or that the model is read from.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn Write>>;

    /// Starts the main file.
    ///
    /// # Errors
    /// As for [`Sink::create`].
    fn create_main(&mut self) -> io::Result<Box<dyn Write>> {
        let name = self.main().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.create(&name)
    }

    /// Writes all of the main file, and gives its checksum.
    ///
    /// # Errors
    /// As for [`Sink::create`].
    fn write_main(&mut self, bytes: &[u8]) -> io::Result<Checksum> {
        let mut out = self.create_main()?;
        let mut hashed = Hashed::new(&mut out);
        hashed.write_all(bytes)?;
        let checksum = hashed.into_crc().into();
        out.flush()?;
        Ok(checksum)
    }
}

/// Writes files in their places. A failure leaves what was written so far.
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
    /// The main file is at `main`.
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
