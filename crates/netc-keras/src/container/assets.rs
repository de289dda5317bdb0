//! Files that layers keep, such as the vocabulary of a `StringLookup`.
//!
//! They are members of the archive, each in a folder that is called as the group of the layer's weights:
//! `assets/layers/string_lookup/vocabulary.txt`. As they are not parsed, they are weights of bytes to a module.

use std::collections::BTreeMap;

use netc_ir::{ElemType, Literal, Name, Type, is_path};

use crate::container::variable::{Bytes, Variable};
use crate::container::zip::{Archive, Member};
use crate::error::{Problem, Result};

/// What the names of the members begin with.
pub(crate) const FOLDER: &str = "assets/";

/// The files that no layer has claimed, by their path in the folder of all.
#[derive(Default)]
pub(crate) struct Assets(BTreeMap<String, Variable>);

impl Assets {
    /// Those of an archive. What is compressed there is read.
    pub(crate) fn of(archive: &Archive) -> Result<Self> {
        let mut found = BTreeMap::new();
        for member in &archive.members {
            let path = member.name.strip_prefix(FOLDER).unwrap_or_default();
            // A name that ends with a slash is that of a folder.
            if path.is_empty() || path.ends_with('/') {
                continue;
            }
            if !is_path(path) {
                let note = "is not a path in a folder: assets are refused that lead out of theirs";
                return Err(Problem::Archive(format!("`{}` {note}", member.name)));
            }
            found.insert(path.to_string(), variable(member, archive)?);
        }
        Ok(Self(found))
    }

    /// Takes those of the layer whose weights are in `group`, each with its path in the layer's folder. The layers in a
    /// layer that is `nested`, a model, have their own.
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

    /// The paths of those that no layer claimed.
    pub(crate) fn unclaimed(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The bytes of a member, where they are unless they are compressed.
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
