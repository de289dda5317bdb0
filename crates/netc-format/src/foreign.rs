//! Recognises files in formats that netc does not read, and tells the user what to do with each.
//!
//! Most formats begin with a signature. Protocol buffers do not: the fields of the outermost message tell an ONNX
//! `ModelProto` (`onnx.proto3`), a TensorFlow `SavedModel` and a TensorFlow `GraphDef` from each other and from text.

use std::fs;
use std::path::Path;

use rawzip::{RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipLocator};

use crate::error::OpenError;
use crate::source::Source;

// Advice follows a semicolon and must hold for every table of formats. `Formats` adds advice to a text without one.
const ONNX: &str = "it is an ONNX model, which netc does not read";
const PYTORCH: &str = "it is a PyTorch file made by `torch.save`, which netc does not read";
const TORCHSCRIPT: &str = "it is a PyTorch TorchScript archive, which netc does not read";
const PT2: &str = "it is a .pt2 archive made by `torch.export`, which netc does not read";
const PICKLE: &str = "it is a Python pickle, which is a program that netc does not run";
const SAVED_MODEL: &str = "it is a TensorFlow SavedModel, which netc does not read";
const GRAPH_DEF: &str = "it is a frozen TensorFlow graph, which has no layers; give the model that it was made from";
const CHECKPOINT: &str = "it is a TensorFlow checkpoint: weights without a model; give a model file";
const TFLITE: &str = "it is a TFLite model, which netc does not read; give the model that it was converted from";
const GGUF: &str = "it is a GGUF file: weights for llama.cpp without a graph; give a model file";
const SAFETENSORS: &str = "it is a safetensors file: weights without a model; give the .nir file next to it if netc \
                           wrote it, or else a model file";
const NPY: &str = "it is a NumPy array, not a model; give a model, which may take the array as an input";
const NPZ: &str = "it is a NumPy .npz file: arrays without a model; give a model file";
const GZIP: &str = "it is compressed with gzip; unpack it with `gunzip` first";
const OTHER_COMPRESSION: &str = "it is compressed with xz, bzip2 or zstd; unpack it first";
const TORCH_TAR: &str = "it is a tar archive made by PyTorch before 0.1.10, which netc does not read";
const TAR: &str = "it is a tar archive; unpack it with `tar -xf` and give the model inside";
const LFS: &str = "it is a Git LFS pointer, not the file itself; run `git lfs pull` to get the file";
const WEB_PAGE: &str = "it is a web page, not a model; download the file itself";
/// A netc program without the extension by which netc recognises programs.
pub(crate) const PROGRAM: &str = "it is a netc program in text form; rename it to have the extension .nir";
const UTF32: &str = "it is UTF-32 text, which netc does not read; save it as UTF-8";
const TRANSFORMERS: &str =
    "it is a Hugging Face Transformers folder with PyTorch or safetensors weights, which netc does not read";
const FOLDER: &str = "it is a directory; give a file inside it";

/// Extensions of files that netc does not write. An output path with one of them is not taken for a folder.
pub const EXTENSIONS: &[&str] = &["onnx", "npz", "npy", "pt", "pth", "pt2", "tflite", "gguf", "safetensors", "pb"];

/// Describes a folder that is not a model.
fn folder(path: &Path) -> &'static str {
    let names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.take(10_000).map(|name| name.to_string_lossy().into_owned()).collect();
    let has = |is: &dyn Fn(&str) -> bool| names.iter().any(|name| is(name));
    if has(&|name| matches!(name, "saved_model.pb" | "saved_model.pbtxt")) {
        SAVED_MODEL
    } else if has(&|name| name == "checkpoint" || name.ends_with(".index")) {
        CHECKPOINT
    } else if has(&|name| name.ends_with(".safetensors") || name == "pytorch_model.bin") {
        TRANSFORMERS
    } else {
        FOLDER
    }
}

/// Opens the file at `path`.
///
/// # Errors
/// It is a folder, a pipe or a device, or cannot be opened. The message says what to do if netc recognises it.
pub fn open(path: &Path) -> Result<Source, OpenError> {
    if path.is_dir() {
        return Err(OpenError::NoModel(folder(path).into()));
    }
    // Opening a pipe would wait for a writer.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(OpenError::NoModel("it is a pipe or a device, not a file".into()));
    }
    Source::open(path).map_err(|error| {
        // A checkpoint is named by the common prefix of its files, which is not a file itself.
        let is_checkpoint = Path::new(&format!("{}.index", path.display())).exists();
        if is_checkpoint { OpenError::NoModel(CHECKPOINT.into()) } else { error.into() }
    })
}

/// Describes a zip archive by the names of its members, if netc recognises but does not read it.
pub fn archive<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let has = |name: &str| {
        names.clone().any(|member| {
            let above = member.strip_suffix(name);
            above.is_some_and(|above| above.is_empty() || above.ends_with('/'))
        })
    };
    if has("archive_format") || has("serialized_exported_program.json") {
        Some(PT2)
    } else if has("data.pkl") {
        Some(if has("constants.pkl") { TORCHSCRIPT } else { PYTORCH })
    } else if has("saved_model.pb") {
        Some(SAVED_MODEL)
    } else if names.clone().next().is_some() && names.clone().all(|member| member.ends_with(".npy")) {
        Some(NPZ)
    } else {
        None
    }
}

/// Describes a file and what to do with it, if netc recognises its format but does not read it.
///
/// ```
/// let file = tempfile::NamedTempFile::new()?;
/// std::fs::write(&file, b"GGUF\x03\0\0\0")?;
/// let note = netc_format::foreign::named(&netc_format::Source::open(file.path())?);
/// assert!(note.is_some_and(|note| note.starts_with("it is a GGUF file")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn named(source: &Source) -> Option<&'static str> {
    let start = source.head();
    let at = |offset: usize, bytes: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let first = [
        (&b"\x93NUMPY"[..], NPY),
        (b"GGUF", GGUF),
        (b"\x1f\x8b", GZIP),
        (b"\xfd7zXZ\0", OTHER_COMPRESSION),
        (b"BZh", OTHER_COMPRESSION),
        (b"\x28\xb5\x2f\xfd", OTHER_COMPRESSION),
        // The pickled magic number of `torch.save` files from before the zip format.
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", PYTORCH),
        (b"model_checkpoint_path:", CHECKPOINT),
        (b"version https://git-lfs.github.com/spec/", LFS),
        (b"netc 1\n", PROGRAM),
        (b"\xff\xfe\0\0", UTF32),
        (b"\0\0\xfe\xff", UTF32),
    ];
    if let Some((_, note)) = first.iter().find(|(bytes, _)| start.starts_with(bytes)) {
        return Some(note);
    }
    if at(4, b"TFL3") {
        return Some(TFLITE);
    }
    if matches!(start, [0x80, 2..=5, ..]) {
        return Some(PICKLE);
    }
    if at(257, b"ustar") {
        let is_torch = ["sys_info", "pickle", "storages", "tensors"].iter().any(|name| at(0, name.as_bytes()));
        return Some(if is_torch { TORCH_TAR } else { TAR });
    }
    let text = start.trim_ascii_start().iter().take(14).map(u8::to_ascii_lowercase).collect::<Vec<u8>>();
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        return Some(WEB_PAGE);
    }
    if start.starts_with(b"PK") {
        let names = member_names(source)?;
        return archive(names.iter().map(String::as_str));
    }
    let len = source.len();
    if is_safetensors(start, len) {
        return Some(SAFETENSORS);
    }
    if is_table(source) || is_data_of_checkpoint(source.path()) {
        return Some(CHECKPOINT);
    }
    message(source)
}

/// The names of the members of a zip archive; `None` if it is damaged.
fn member_names(source: &Source) -> Option<Vec<String>> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipLocator::new().locate_in_reader(source, &mut buffer, source.len()).ok()?;
    let (mut names, mut entries) = (Vec::new(), archive.entries(&mut buffer));
    while let Some(entry) = entries.next_entry().ok()? {
        names.push(String::from_utf8_lossy(entry.file_path().as_ref()).into_owned());
    }
    Some(names)
}

impl ReaderAt for Source {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
        Source::read_at(self, bytes, offset)
    }
}

/// Whether the file begins with the length of a header and then the header, a JSON object.
fn is_safetensors(start: &[u8], len: u64) -> bool {
    let Some((header, rest)) = start.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*header).checked_add(8).is_some_and(|end| end <= len) && rest.starts_with(b"{")
}

/// Whether the file is a TensorFlow table, which ends with a magic number. The index of a checkpoint is a table, and so
/// is a checkpoint of version 1.
fn is_table(file: &Source) -> bool {
    let mut end = [0; 8];
    file.len() >= 48
        && file.read_exact_at(&mut end, file.len() - 8).is_ok()
        && end == *b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
}

/// Whether the file is a data file of a checkpoint, recognised by its name and the index file next to it.
fn is_data_of_checkpoint(path: &Path) -> bool {
    let Some((stem, part)) = path.to_str().and_then(|path| path.rsplit_once(".data-")) else { return false };
    part.contains("-of-") && Path::new(&format!("{stem}.index")).exists()
}

/// The maximum number of fields that are read from a message. A graph has a field per node.
const MAX_FIELDS: usize = 256;

/// A field of a message: its number, and its value or the position and length of its bytes.
#[derive(Clone, Copy)]
struct Field {
    number: u64,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Number(u64),
    Bytes { at: u64, len: u64 },
}

/// Describes a file that consists of one message. Recognises a truncated file by the fields before its end.
fn message(file: &Source) -> Option<&'static str> {
    let fields = fields(file, 0, file.len())?;
    let first = fields.first()?;
    let is_number = |field: &Field| matches!(field.content, Content::Number(_));
    let all = |is: &dyn Fn(&Field) -> bool| fields.iter().all(is);
    if let (1, Content::Number(1..=99)) = (first.number, first.content) {
        let of_onnx = |field: &Field| match field.number {
            1 | 5 => is_number(field),
            2..=4 | 6..=8 | 14 | 20 | 25 | 26 => !is_number(field),
            _ => false,
        };
        if all(&of_onnx) && fields.iter().any(|field| field.number == 7) {
            return Some(ONNX);
        }
        let of_saved_model = |field: &Field| field.number == if is_number(field) { 1 } else { 2 };
        return (all(&of_saved_model) && fields.iter().any(|field| field.number == 2)).then_some(SAVED_MODEL);
    }
    let Content::Bytes { at, len } = first.content else { return None };
    let of_graph = |field: &Field| match field.number {
        1 | 2 | 4 => !is_number(field),
        3 => is_number(field),
        _ => false,
    };
    let node = self::fields(file, at, at.checked_add(len)?)?;
    let is_node = first.number == 1
        && node.len() > 1
        && node[..2].iter().zip([1, 2]).all(|(field, number)| {
            field.number == number && matches!(field.content, Content::Bytes { at, len } if is_word(file, at, len))
        });
    (all(&of_graph) && is_node).then_some(GRAPH_DEF)
}

/// The first fields of the message from `at` to `end`, or `None` if it is not a message.
fn fields(file: &Source, mut at: u64, end: u64) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while at < end && fields.len() < MAX_FIELDS {
        let key = varint(file, &mut at)?;
        let content = match key & 7 {
            0 => Content::Number(varint(file, &mut at)?),
            2 => {
                let len = varint(file, &mut at)?;
                let bytes = Content::Bytes { at, len };
                at = at.checked_add(len)?;
                bytes
            }
            _ => return None,
        };
        fields.push(Field { number: key >> 3, content });
    }
    Some(fields)
}

fn varint(file: &Source, at: &mut u64) -> Option<u64> {
    let mut bytes = [0; 10];
    let n = file.read_at(&mut bytes, *at).ok()?;
    let used = bytes[..n].iter().position(|byte| byte & 0x80 == 0)? + 1;
    *at += used as u64;
    Some(bytes[..used].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
}

/// Whether the bytes are a name of a TensorFlow node or operation.
fn is_word(file: &Source, at: u64, len: u64) -> bool {
    let mut bytes = vec![0; len.min(1024) as usize];
    (1..1024).contains(&len)
        && file.read_exact_at(&mut bytes, at).is_ok()
        && bytes.iter().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&str>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let found = named(&Source::open(file.path()).unwrap());
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    /// A length-delimited field.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn protobuf_messages_are_recognised_by_their_fields() {
        let node = [field(1, b"x"), field(2, b"Placeholder")].concat();
        let graph = [field(1, &node), field(4, b"\x08\x15")].concat();
        let onnx =
            [vec![8, 8], field(2, b"pytorch"), field(3, b"2.1"), field(7, &node), field(8, b"\x10\x11")].concat();
        check(&onnx, Some(ONNX));
        check(&onnx[..onnx.len() - 6], Some(ONNX));
        check(&[vec![8, 8], field(7, &node)].concat(), Some(ONNX));
        check(&graph, Some(GRAPH_DEF));
        check(&[vec![8, 1], field(2, &field(1, b"\x0a\x01x"))].concat(), Some(SAVED_MODEL));
        // An ONNX model without a graph, messages of other formats, and text.
        for other in [
            [vec![8, 8], field(2, b"a"), field(9, b"b")].concat(),
            [vec![8, 8], vec![2 << 3, 1]].concat(),
            field(1, b"only a text"),
            b"\n a text that begins with a line feed, and goes on for so long that it could be a field".to_vec(),
            b"\x08\x08".to_vec(),
            b"hello".to_vec(),
            vec![8; 40],
            vec![0xff; 40],
        ] {
            check(&other, None);
        }
    }

    #[test]
    fn signatures_and_magic_numbers_are_recognised() {
        let mut tar = vec![0; 512];
        tar[..5].copy_from_slice(b"a.txt");
        tar[257..262].copy_from_slice(b"ustar");
        check(&tar, Some(TAR));
        tar[..8].copy_from_slice(b"sys_info");
        check(&tar, Some(TORCH_TAR));
        check(b"\x1c\0\0\0TFL3\x14\0\x20\0", Some(TFLITE));
        check(b"\x08\0\0\0\0\0\0\0{\"a\":{}}", Some(SAFETENSORS));
        check(b"\x09\0\0\0\0\0\0\0{\"a\":{}}", None);
        check(&[&[0; 40][..], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"].concat(), Some(CHECKPOINT));
    }
}
