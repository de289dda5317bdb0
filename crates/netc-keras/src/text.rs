//! Decodes text files in the encodings that editors and shells write.

/// The byte order mark that some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The encoding of a text. A byte order mark or a leading ASCII character, as in JSON, reveals it.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16(fn([u8; 2]) -> u16),
}

/// The encoding, and the length of its byte order mark in bytes.
fn encoding(start: &[u8]) -> (Encoding, usize) {
    match start {
        [0xff, 0xfe, ..] => (Encoding::Utf16(u16::from_le_bytes), 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16(u16::from_be_bytes), 2),
        [1..=0x7f, 0, ..] => (Encoding::Utf16(u16::from_le_bytes), 0),
        [0, 1..=0x7f, ..] => (Encoding::Utf16(u16::from_be_bytes), 0),
        _ if start.starts_with(BYTE_ORDER_MARK) => (Encoding::Utf8, BYTE_ORDER_MARK.len()),
        _ => (Encoding::Utf8, 0),
    }
}

/// Decodes UTF-8 or UTF-16, with or without a byte order mark. The error completes the sentence "the file …".
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, &'static str> {
    let (encoding, mark) = encoding(&bytes);
    let Encoding::Utf16(unit) = encoding else {
        let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
        text.drain(..mark);
        return Ok(text);
    };
    let (units, rest) = bytes[mark..].as_chunks::<2>();
    let text = char::decode_utf16(units.iter().map(|bytes| unit(*bytes))).collect::<Result<String, _>>();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        Ok(_) | Err(_) => Err("begins as UTF-16 text does, but is not valid UTF-16"),
    }
}

/// Whether these first bytes of a file could begin a JSON text: an opening `{`, `[` or `"`, or white space only.
pub(crate) fn begins_like_json(start: &[u8]) -> bool {
    let (encoding, mark) = encoding(start);
    // In UTF-16 an ASCII character comes with a zero byte.
    let is_wide = matches!(encoding, Encoding::Utf16(_));
    let ignored = |byte: &&u8| byte.is_ascii_whitespace() || is_wide && **byte == 0;
    matches!(start[mark..].iter().find(|byte| !ignored(byte)), None | Some(b'{' | b'[' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_select_the_encoding_and_are_dropped() {
        let text = "{\"é\": \"𝄞\"}";
        let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let mark = mark.then_some(0xfeff).into_iter();
            mark.chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let encoded = [
            text.as_bytes().to_vec(),
            [BYTE_ORDER_MARK, text.as_bytes()].concat(),
            utf16(true, u16::to_le_bytes),
            utf16(true, u16::to_be_bytes),
            utf16(false, u16::to_le_bytes),
            utf16(false, u16::to_be_bytes),
        ];
        for bytes in encoded {
            assert!(begins_like_json(&bytes));
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert!(
            begins_like_json(b"\xff\xfe \0\n\0[\0") && begins_like_json(b"  ") && !begins_like_json(b"\xff\xfea\0")
        );
        for bytes in [&b"\xff\xfe{"[..], b"\xff\xfe\0\xd8{\0", b"{\xff}"] {
            assert!(decode(bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }
}
