//! Assets: files that belong to layers, such as the vocabulary of a `StringLookup`.
//!
//! Assets are members of the archive. Each is in a folder named after the layer's weight group:
//! `assets/layers/string_lookup/vocabulary.txt`. netc does not parse them; in a module they are weights of bytes.

use std::collections::BTreeMap;

use netc_ir::{ElemType, Literal, Name, Type, is_path};

use crate::container::variable::{Bytes, Variable};
use crate::container::zip::{Archive, Member};
use crate::error::{Problem, Result};

/// The prefix of the members' names.
pub(crate) const FOLDER: &str = "assets/";

/// The assets that no layer has claimed yet, by path below [`FOLDER`].
#[derive(Default)]
pub(crate) struct Assets(BTreeMap<String, Variable>);

impl Assets {
    /// Finds the assets of an archive. Inflates compressed ones into memory.
    pub(crate) fn of(archive: &Archive) -> Result<Self> {
        let mut found = BTreeMap::new();
        for member in &archive.members {
            let path = member.name.strip_prefix(FOLDER).unwrap_or_default();
            // A trailing slash marks a folder.
            if path.is_empty() || path.ends_with('/') {
                continue;
            }
            if !is_path(path) {
                let note = "is not a path in a folder: netc rejects assets that lead out of the assets folder";
                return Err(Problem::Archive(format!("`{}` {note}", member.name)));
            }
            found.insert(path.to_string(), variable(member, archive)?);
        }
        Ok(Self(found))
    }

    /// Takes the assets of the layer whose weight group is `group`, with their paths in the layer's folder. If the
    /// layer is a `nested` model, leaves the assets of its layers.
    pub(crate) fn claim(&mut self, group: &str, nested: bool) -> Vec<(Name, Variable)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let prefix = format!("{group}/");
        let inner = format!("{group}/layers/");
        let range = self.0.range(prefix.clone()..);
        let below = range.map(|(path, _)| path).take_while(|path| path.starts_with(&prefix));
        let own: Vec<String> = below.filter(|path| !(nested && path.starts_with(&inner))).cloned().collect();
        let take = |path: String| Some((path[prefix.len()..].into(), self.0.remove(&path)?));
        own.into_iter().filter_map(take).collect()
    }

    /// The paths of the assets that no layer claimed.
    pub(crate) fn unclaimed(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A member as a weight of bytes: a reference to the archive if it is stored, or the inflated bytes.
fn variable(member: &Member, archive: &Archive) -> Result<Variable> {
    let bytes = match member.is_stored() {
        true => Bytes::At { file: 0, offset: member.offset, len: member.stored },
        false => {
            let bytes = archive.bytes(member)?;
            Bytes::Read(Literal { elem: ElemType::U8, dims: vec![bytes.len() as u64], bytes: bytes.into() })
        }
    };
    let len = match &bytes {
        Bytes::At { len, .. } => *len,
        Bytes::Read(literal) => literal.bytes.len() as u64,
    };
    Ok(Variable { ty: Type::fixed(ElemType::U8, &[len]), bytes })
}
