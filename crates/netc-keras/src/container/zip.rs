//! The `.keras` container: a zip archive whose stored members are read in place.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use crc32fast::Hasher;
use netc_data::{Hashed, ReadAt, Span};
use netc_ir::{Budget, Resource};
use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipLocator};

use crate::error::{Problem, Result};
use crate::text;

/// The most bytes of a member that is read whole, such as a text or compressed weights.
pub(crate) const MAX_MEMBER: u64 = 256 << 20;

/// The number of bytes to inflate at a time.
const PIECE: u64 = 1 << 20;

/// A member of an archive.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Offset of the first byte in the file.
    pub(crate) offset: u64,
    /// Number of bytes in the file.
    pub(crate) stored: u64,
    method: CompressionMethod,
    /// CRC-32 of the uncompressed bytes.
    crc: u32,
}

/// An opened archive.
pub(crate) struct Archive {
    file: Arc<dyn ReadAt>,
    pub(crate) members: Vec<Member>,
    /// Limits what may be read from the file and held in memory.
    pub(crate) budget: Arc<Budget>,
}

struct FileAt(Arc<dyn ReadAt>);

impl ReaderAt for FileAt {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
}

impl Archive {
    pub(crate) fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let len = file.num_bytes()?;
        let mut buffer = vec![0u8; rawzip::RECOMMENDED_BUFFER_SIZE];
        let archive = ZipLocator::new()
            .locate_in_reader(FileAt(file.clone()), &mut buffer, len)
            .map_err(|(_, e)| not_found(&*file, e))?;
        let members = members(&archive, &mut buffer, len)?;
        Ok(Self { file, members, budget: Arc::new(Budget::for_file(len)) })
    }

    /// The member called `name`. Of several, the last, as in Python.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rfind(|m| m.name == name)
    }

    /// Checks a stored member against its checksum. Does not read the spans in `copied` again, which are in file order.
    pub(crate) fn check(&self, member: &Member, copied: &[Span]) -> Result<()> {
        let crc = self.combined(member.offset, member.offset + member.stored, copied)?;
        member.require_checksum(crc.finalize())
    }

    /// The checksum of the whole file. Uses the directory's checksums of stored members instead of reading them.
    pub(crate) fn whole_checksum(&self) -> Result<Hasher> {
        let span =
            |m: &Member| Span { offset: m.offset, len: m.stored, crc: Hasher::new_with_initial_len(m.crc, m.stored) };
        let mut stored: Vec<Span> = self.members.iter().filter(|m| m.is_stored()).map(span).collect();
        stored.sort_by_key(|span| span.offset);
        self.combined(0, self.file.num_bytes()?, &stored)
    }

    /// The checksum of the bytes from `start` to `end`. Does not read the spans in `known`, which are in file order.
    fn combined(&self, start: u64, end: u64, known: &[Span]) -> Result<Hasher> {
        let mut at = start;
        let mut crc = Hasher::new();
        for span in known {
            // Weights can refer to any bytes, so spans may overlap or leave the range. An empty span may be anywhere.
            if span.offset >= at && span.offset.checked_add(span.len).is_some_and(|of_span| of_span <= end) {
                crc.combine(&netc_data::hash(&*self.file, at, span.offset)?);
                crc.combine(&span.crc);
                at = span.offset + span.len;
            }
        }
        crc.combine(&netc_data::hash(&*self.file, at, end)?);
        Ok(crc)
    }

    /// The text of a member, inflated if it is compressed.
    pub(crate) fn text(&self, name: &'static str) -> Result<String> {
        let member = self.member(name).ok_or(Problem::Missing(name))?;
        text::decode(self.bytes(member)?).map_err(|note| Problem::Archive(format!("`{name}` {note}")))
    }

    /// The bytes of a member, inflated if it is compressed.
    pub(crate) fn bytes(&self, member: &Member) -> Result<Vec<u8>> {
        let name = &member.name;
        if member.stored > MAX_MEMBER {
            return Err(Problem::Archive(format!("`{name}` is larger than {MAX_MEMBER} bytes")));
        }
        let mut bytes = vec![0u8; member.stored as usize];
        self.file.read_exact_at(&mut bytes, member.offset)?;
        if member.method == CompressionMethod::DEFLATE {
            bytes = self.inflated(name, &bytes)?;
        } else if member.method != CompressionMethod::STORE {
            let note = "pack the archive again with `zip -0`";
            return Err(Problem::Archive(format!("`{name}` is compressed with an unsupported method; {note}")));
        }
        member.require_checksum(crc32fast::hash(&bytes))?;
        Ok(bytes)
    }

    /// Inflates a member piece by piece, and charges each piece before the next.
    fn inflated(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut inflated = Vec::new();
        let mut decoder = flate2::read::DeflateDecoder::new(bytes);
        loop {
            let read = decoder.by_ref().take(PIECE).read_to_end(&mut inflated);
            let len = read.map_err(|e| Problem::Archive(format!("`{name}` cannot be inflated: {e}")))?;
            let charged = self.budget.charge(Resource::Memory, len as u64).map_err(|exceeded| exceeded.to_string());
            let note = match charged {
                Ok(()) if inflated.len() as u64 > MAX_MEMBER => format!("it has more than {MAX_MEMBER} bytes"),
                Ok(()) if len == 0 => return Ok(inflated),
                Ok(()) => continue,
                Err(exceeded) => exceeded,
            };
            let hint = "pack the archive again with `zip -0`";
            return Err(Problem::Archive(format!(
                "`{name}` inflates to too much for the size of the file: {note}; {hint}"
            )));
        }
    }
}

impl Member {
    /// Whether the member is uncompressed.
    pub(crate) fn is_stored(&self) -> bool {
        self.method == CompressionMethod::STORE
    }

    /// Rejects the member if the checksum of its bytes is not the one in the directory.
    fn require_checksum(&self, found: u32) -> Result<()> {
        if found == self.crc {
            return Ok(());
        }
        Err(Problem::Checksum { member: self.name.clone(), expected: self.crc, found })
    }
}

fn members(archive: &ZipArchive<FileAt>, buffer: &mut [u8], len: u64) -> Result<Vec<Member>> {
    let mut found = Vec::new();
    let mut entries = archive.entries(buffer);
    while let Some(entry) = entries.next_entry().map_err(broken)? {
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        found.push((name, entry.wayfinder(), entry.compression_method(), entry.crc32()));
    }
    let mut members = Vec::new();
    let mut left = len;
    for (name, wayfinder, method, crc) in found {
        let (start, end) = archive.get_entry(wayfinder).map_err(broken)?.compressed_data_range();
        if start > end || end > len {
            return Err(Problem::Archive(format!("`{name}` is outside the file")));
        }
        // Overlapping members would make netc read and write the same bytes once per member.
        left = left.checked_sub(end - start).ok_or_else(|| Problem::Archive("its members overlap".into()))?;
        members.push(Member { name, offset: start, stored: end - start, method, crc });
    }
    Ok(members)
}

/// The error for an archive whose directory, at its end, is not found.
fn not_found(file: &dyn ReadAt, error: rawzip::Error) -> Problem {
    let mut start = [0; 2];
    if matches!(error.kind(), rawzip::ErrorKind::IO(_)) {
        return broken(error);
    }
    if file.read_exact_at(&mut start, 0).is_ok() && &start == b"PK" {
        return Problem::Archive("its end is missing: the file is truncated, or still being written".into());
    }
    Problem::Unknown("it is neither HDF5 nor JSON nor a zip archive (.keras)")
}

fn broken(error: rawzip::Error) -> Problem {
    let note = error.to_string();
    if let rawzip::ErrorKind::IO(source) = error.into_kind() { Problem::Io(source) } else { Problem::Archive(note) }
}

/// Writes an archive of uncompressed members, front to back.
pub(crate) struct ArchiveWriter<W> {
    zip: rawzip::ZipArchiveWriter<Shared<W>>,
    out: Shared<W>,
}

/// The output of an archive, shared with the zip writer, which writes the headers of members.
struct Shared<W>(Rc<RefCell<Tally<W>>>);

/// An output with the checksum of what was written. `is_hashed` is set while a member is written, whose bytes are
/// already hashed.
struct Tally<W> {
    out: W,
    crc: Hasher,
    is_hashed: bool,
}

impl<W: Write> Write for Shared<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Tally { out, crc, is_hashed } = &mut *self.0.borrow_mut();
        let n = out.write(bytes)?;
        if !*is_hashed {
            crc.update(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().out.flush()
    }
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        let tally = Rc::new(RefCell::new(Tally { out, crc: Hasher::new(), is_hashed: false }));
        Self { zip: rawzip::ZipArchiveWriter::new(Shared(tally.clone())), out: Shared(tally) }
    }

    /// Adds a member; `fill` writes its bytes. Time stamps stay at the format's epoch.
    pub(crate) fn member(&mut self, name: &str, fill: impl FnOnce(&mut Hashed<'_>) -> Result<()>) -> Result<()> {
        let file = self.zip.new_file(name).compression_method(CompressionMethod::STORE);
        let (mut entry, _) = file.crc32(rawzip::Crc32Option::Skip).start().map_err(broken)?;
        self.out.0.borrow_mut().is_hashed = true;
        let mut member = Hashed::new(&mut entry);
        fill(&mut member)?;
        let crc = member.into_crc();
        {
            let mut out = self.out.0.borrow_mut();
            out.crc.combine(&crc);
            out.is_hashed = false;
        }
        let len = crc.total_len();
        let descriptor = rawzip::DataDescriptorOutput::new(crc.finalize(), len);
        entry.finish(descriptor).map_err(broken)?;
        Ok(())
    }

    /// Finishes the archive and returns the checksum of the file.
    pub(crate) fn finish(mut self) -> Result<Hasher> {
        self.zip.finish().map_err(broken)?;
        self.out.flush()?;
        let crc = self.out.0.borrow().crc.clone();
        Ok(crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn archive_checksum_combines_member_checksums() {
        let mut bytes = Vec::new();
        let mut archive = ArchiveWriter::new(&mut bytes);
        archive.member("a", |out| Ok(out.write_all(b"first")?)).unwrap();
        archive.member("empty", |_| Ok(())).unwrap();
        let block = |out: &mut dyn Write| -> Result<Hasher> {
            out.write_all(&[7; 300])?;
            let mut crc = Hasher::new();
            crc.update(&[7; 300]);
            Ok(crc)
        };
        archive.member("b", |out| out.splice(block)).unwrap();
        let crc = archive.finish().unwrap();
        assert_eq!((crc.total_len(), crc.finalize()), (bytes.len() as u64, crc32fast::hash(&bytes)));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let opened = Archive::open(Arc::new(File::open(file.path()).unwrap())).unwrap();
        assert_eq!(opened.whole_checksum().unwrap().finalize(), crc32fast::hash(&bytes));
    }
}
