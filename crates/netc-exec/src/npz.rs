//! NumPy's `.npz` files: zip archives of named `.npy` files.

use std::io::{Read, Write};
use std::path::Path;

use rawzip::path::{EntryPath, ZipFilePath};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};

use crate::error::TensorError;
use crate::npy;
use crate::tensor::{MAX_BYTES, Tensor};

/// Reads the named tensors in the file at `path`, in the order of the archive.
///
/// # Errors
/// The file cannot be read, or the archive or a member is malformed.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, TensorError> {
    let place = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| TensorError::File { path: place.clone(), source })?;
    decode(&bytes, &place)
}

/// Writes named tensors to a file at `path`. The same tensors give the same bytes.
///
/// # Errors
/// The file cannot be written.
pub fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<(), TensorError> {
    let place = path.display().to_string();
    let file = std::fs::File::create(path).map_err(|source| TensorError::File { path: place, source })?;
    write_to(tensors, std::io::BufWriter::new(file))
}

fn format_error(path: &str, note: impl ToString) -> TensorError {
    TensorError::Format { path: path.to_owned(), note: note.to_string() }
}

/// Encodes named tensors as a `.npz` file.
pub fn encode<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<Vec<u8>, TensorError> {
    let mut bytes = Vec::new();
    write_to(tensors, &mut bytes)?;
    Ok(bytes)
}

/// Writes named tensors to `out` as a `.npz` file.
pub fn write_to<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    out: impl Write,
) -> Result<(), TensorError> {
    archive(tensors, out).map_err(|error| format_error("the .npz archive", error))
}

fn archive<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>, out: impl Write) -> Result<(), rawzip::Error> {
    let mut archive = ZipArchiveWriter::new(out);
    for (name, tensor) in tensors {
        let file = format!("{name}.npy");
        let (mut entry, config) =
            archive.new_file(entry_path(&file)).compression_method(CompressionMethod::STORE).start()?;
        let mut writer = config.wrap(&mut entry);
        npy::write_to(tensor, &mut writer).map_err(rawzip::Error::from)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()?.flush().map_err(rawzip::Error::from)
}

/// The member name of a tensor. Tensor names are not paths, so `a//b` and `..` are kept where rawzip would normalize
/// them.
fn entry_path(file: &str) -> EntryPath<'_> {
    let unchanged = ZipFilePath::from_str(file).as_str() == file;
    if unchanged { file.into() } else { EntryPath::verbatim(file.as_bytes()) }
}

fn decode(bytes: &[u8], path: &str) -> Result<Vec<(String, Tensor)>, TensorError> {
    let archive = ZipArchive::from_slice(bytes).map_err(|error| format_error(path, error))?;
    let mut entries = archive.entries();
    let mut out = Vec::new();
    while let Some(header) = entries.next_entry().map_err(|error| format_error(path, error))? {
        let file = String::from_utf8_lossy(header.file_path().as_ref()).into_owned();
        let place = format!("{path}, member {file}");
        let method = header.compression_method();
        let entry = archive.get_entry(header.wayfinder()).map_err(|error| format_error(&place, error))?;
        let mut data = Vec::new();
        let read = if method == CompressionMethod::STORE {
            entry.verifying_reader(entry.data()).read_to_end(&mut data)
        } else if method == CompressionMethod::DEFLATE {
            let inflated = flate2::bufread::DeflateDecoder::new(entry.data());
            entry.verifying_reader(inflated).take(MAX_BYTES).read_to_end(&mut data)
        } else {
            return Err(format_error(&place, format!("compression {method:?}, expected stored or deflated")));
        };
        read.map_err(|error| format_error(&place, error))?;
        let name = file.strip_suffix(".npy").unwrap_or(&file).to_owned();
        out.push((name, npy::decode(&data).map_err(|error| error.at(&place))?));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> [(String, Tensor); 2] {
        let x = Tensor::from_f32(&[2, 1], &[1.0, 2.0]).unwrap();
        [("x".to_owned(), x), ("scope/y".to_owned(), Tensor::from_i64(&[], &[7]).unwrap())]
    }

    #[test]
    fn names_and_tensors_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npz");
        write(&path, tensors().iter().map(|(n, t)| (n.as_str(), t))).unwrap();
        assert_eq!(read(&path).unwrap(), tensors());
    }

    #[test]
    fn malformed_archives_are_errors() {
        let bytes = encode(tensors().iter().map(|(n, t)| (n.as_str(), t))).unwrap();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], "a.npz").is_err(), "{end}");
        }
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x55;
            // Any result is fine, as long as it does not panic.
            drop(decode(&bytes, "a.npz"));
        }
    }
}
