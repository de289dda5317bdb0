//! Source locations of ops.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::FileId;
use crate::name::Name;

/// Where an op comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Loc {
    /// Unknown.
    #[default]
    Unknown,
    /// A call of a layer.
    Call {
        /// The file, if the model came from one.
        file: Option<FileId>,
        /// The layer's path in the model: names of nested models and of the layer, joined by `/`.
        path: Name,
        /// Which of the layer's calls it is, from 0.
        call: u32,
    },
    /// The locations of several ops that a rewrite merged.
    Fused(Vec<Loc>),
}

impl Loc {
    /// The layer path for messages: the first, if there are several.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::Call { path, .. } => Some(path),
            Self::Fused(locs) => locs.iter().find_map(Self::path),
        }
    }

    /// The location of an op that replaces ops at `locs`.
    pub fn fuse(locs: impl IntoIterator<Item = Self>) -> Self {
        let mut all = BTreeSet::new();
        for loc in locs {
            match loc {
                Self::Unknown => {}
                Self::Fused(inner) => all.extend(inner),
                Self::Call { .. } => drop(all.insert(loc)),
            }
        }
        match all.len() {
            0 => Self::Unknown,
            1 => all.into_iter().next().unwrap_or_default(),
            _ => Self::Fused(all.into_iter().collect()),
        }
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown place"),
            Self::Call { path, call: 0, .. } => f.write_str(path),
            Self::Call { path, call, .. } => write!(f, "{path}@{call}"),
            Self::Fused(locs) => {
                for (i, loc) in locs.iter().enumerate() {
                    write!(f, "{}{loc}", if i == 0 { "" } else { " + " })?;
                }
                Ok(())
            }
        }
    }
}
