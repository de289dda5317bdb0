//! The text of a manifest, and how to recognise one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use netc_format::Formats;
use serde_json::Value;

/// The maximum size of a manifest in bytes, larger than any real one.
const MAX_SIZE: u64 = 256 << 20;

/// Some editors put this before text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file that may be a manifest, without a byte order mark.
pub(super) struct Text(String);

impl Text {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.len() > MAX_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read_to_string(path).map(Self::new)
    }

    fn new(mut text: String) -> Self {
        if text.starts_with(BYTE_ORDER_MARK) {
            text.remove(0);
        }
        Self(text)
    }

    pub(super) fn json(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.0)
    }
}

/// Whether the file at `path` is a manifest, possibly a damaged one.
pub(crate) fn is_manifest(path: &Path, formats: &Formats) -> bool {
    if !path.is_file() || !begins_as_object(path) {
        return false;
    }
    let Ok(text) = Text::read(path) else { return false };
    let has = |key: &str| text.0.contains(&format!("\"{key}\""));
    if !has("netc") && !has("stages") {
        return false;
    }
    match text.json() {
        Ok(json) => {
            let has = |key: &str| json.get(key).is_some();
            (has("netc") || has("stages")) && !formats.json_keys().any(has)
        }
        Err(_) => has("netc") && has("stages") && !formats.json_keys().any(has),
    }
}

fn begins_as_object(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && Text::new(String::from_utf8_lossy(&start).into_owned()).0.trim_start().starts_with('{')
}
