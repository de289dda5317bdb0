//! Links of an HDF5 file that lead to no object of its own: soft and external ones.
//!
//! `hdf5-pure` fails at them in groups of the old form, and passes over them in those of the new, so that weights would be
//! missing. This looks at the links of a group and of the groups below it, as the format specification (version 3.0,
//! sections III.A to III.C, IV.A) lays them out. What it cannot read it leaves to `hdf5-pure`, which says what is wrong.

use std::collections::BTreeSet;

use hdf5_pure::{Source, Superblock};

use crate::graph::join;

/// Types of messages in the header of an object.
const LINK_INFO: u16 = 0x02;
const LINK: u16 = 0x06;
const CONTINUATION: u16 = 0x10;
const SYMBOL_TABLE: u16 = 0x11;

/// Deeper B-trees than any file has; a cycle of nodes ends here.
const MAX_LEVELS: usize = 16;

/// A link that leads to no object of the file.
pub(crate) struct Stray {
    /// The path of the link.
    pub(crate) path: String,
    /// What it is and where it leads, for a message.
    pub(crate) what: String,
}

/// The first soft or external link in the group at `place`, or in a group below it. The group of the root that is called
/// `skipped` is passed over.
pub(crate) fn stray(source: &dyn Source, superblock: &Superblock, place: &str, skipped: Option<&str>) -> Option<Stray> {
    let (offsets, lengths) = (superblock.offset_size.into(), superblock.length_size.into());
    let base = superblock.base_address.get();
    let mut walk = Walk { source, offsets, lengths, base, left: 2 * source.len(), seen: BTreeSet::new() };
    let mut at = superblock.root_group_address;
    for part in place.split('/').filter(|part| !part.is_empty()) {
        let links = walk.links(at)?;
        at = links.into_iter().find_map(|link| match link {
            Link { name, target: Target::Object(at) } if name == part => Some(at),
            Link { .. } => None,
        })?;
    }
    // Groups that are still to be looked at.
    let mut open = vec![(String::new(), at)];
    while let Some((path, at)) = open.pop() {
        if !walk.seen.insert(at) {
            continue;
        }
        for link in walk.links(at).unwrap_or_default() {
            if path.is_empty() && place.is_empty() && Some(&*link.name) == skipped {
                continue;
            }
            let path = join(&path, &link.name);
            match link.target {
                Target::Object(at) => open.push((path, at)),
                Target::Other(what) => return Some(Stray { path, what }),
            }
        }
    }
    None
}

struct Link {
    name: String,
    target: Target,
}

enum Target {
    /// The header of an object is there.
    Object(u64),
    /// Something else, for a message.
    Other(String),
}

struct Walk<'s> {
    source: &'s dyn Source,
    /// Bytes of an address, and of a length.
    offsets: usize,
    lengths: usize,
    /// The place that addresses count from.
    base: u64,
    /// How many bytes may still be read: parts of a file may be in each other.
    left: u64,
    /// The headers that were looked at.
    seen: BTreeSet<u64>,
}

impl Walk<'_> {
    fn bytes(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(len as u64)?;
        self.source.read_exact_at(self.base.checked_add(at)?, len).ok()
    }

    /// The links of the object whose header is at an address; none if it is no group.
    fn links(&mut self, at: u64) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        for (kind, body) in self.messages(at)? {
            let mut body = Fields { bytes: &body };
            match kind {
                SYMBOL_TABLE => {
                    let (tree, heap) = (body.number(self.offsets)?, body.number(self.offsets)?);
                    self.old_links(tree, heap, &mut links)?;
                }
                LINK => links.push(self.link(&mut body)?),
                LINK_INFO => {
                    let flags = body.take(2)?[1];
                    body.take(if flags & 1 == 0 { 0 } else { 8 })?;
                    let heap = body.number(self.offsets)?;
                    if !self.is_undefined(heap) {
                        self.dense_links(heap, &mut links)?;
                    }
                }
                _ => {}
            }
        }
        Some(links)
    }

    fn is_undefined(&self, address: u64) -> bool {
        address == u64::MAX >> (64 - 8 * self.offsets.clamp(1, 8))
    }

    /// The messages of a header of either version, those in its continuations too.
    fn messages(&mut self, at: u64) -> Option<Vec<(u16, Vec<u8>)>> {
        let start = self.bytes(at, 16)?;
        let is_new = start.starts_with(b"OHDR");
        let mut messages = Vec::new();
        let mut tracks_order = false;
        // Stretches of messages, each as far as it was not read.
        let mut open = if is_new {
            let flags = start[5];
            tracks_order = flags & 4 != 0;
            let before = 6 + if flags & 0x20 == 0 { 0 } else { 16 } + if flags & 0x10 == 0 { 0 } else { 4 };
            let width = 1 << (flags & 3);
            let len = Fields { bytes: &self.bytes(at + before, width)? }.number(width)?;
            vec![(at + before + width as u64, len)]
        } else {
            let len = u32::from_le_bytes(start[8..12].try_into().ok()?);
            vec![(at + 16, len.into())]
        };
        while let Some((at, len)) = open.pop() {
            let stretch = self.bytes(at, usize::try_from(len).ok()?)?;
            let mut rest = Fields { bytes: &stretch };
            let head = if is_new { 4 + if tracks_order { 2 } else { 0 } } else { 8 };
            while let Some(fields) = rest.take(head) {
                let (kind, size) = match is_new {
                    true => (fields[0].into(), u16::from_le_bytes([fields[1], fields[2]])),
                    false => (u16::from_le_bytes([fields[0], fields[1]]), u16::from_le_bytes([fields[2], fields[3]])),
                };
                let Some(body) = rest.take(size.into()) else { break };
                if kind == CONTINUATION {
                    let mut body = Fields { bytes: body };
                    let (at, len) = (body.number(self.offsets)?, body.number(self.lengths)?);
                    // The new ones begin with a signature and end with a checksum.
                    open.push(if is_new { (at.checked_add(4)?, len.checked_sub(8)?) } else { (at, len) });
                } else if matches!(kind, LINK_INFO | LINK | SYMBOL_TABLE) {
                    messages.push((kind, body.to_vec()));
                }
            }
        }
        Some(messages)
    }

    /// The links of a group of the old form: a B-tree leads to nodes with the entries, whose names are in a heap.
    fn old_links(&mut self, tree: u64, heap: u64, links: &mut Vec<Link>) -> Option<()> {
        let head = self.bytes(heap, 8 + 2 * self.lengths + self.offsets)?;
        let mut fields = Fields { bytes: head.strip_prefix(b"HEAP")? };
        fields.take(4)?;
        let (len, _free, at) =
            (fields.number(self.lengths)?, fields.number(self.lengths)?, fields.number(self.offsets)?);
        let names = self.bytes(at, usize::try_from(len).ok()?)?;
        let text = |at: u64| -> Option<String> {
            let rest = names.get(usize::try_from(at).ok()?..)?;
            Some(String::from_utf8_lossy(rest.split(|byte| *byte == 0).next()?).into_owned())
        };
        let mut open = vec![(tree, 0)];
        while let Some((at, depth)) = open.pop() {
            let head = self.bytes(at, 8 + 2 * self.offsets)?;
            let count = usize::from(u16::from_le_bytes([head[6], head[7]]));
            if head.starts_with(b"TREE") && depth < MAX_LEVELS {
                let body = self.bytes(at + head.len() as u64, count * (self.lengths + self.offsets))?;
                let mut fields = Fields { bytes: &body };
                for _ in 0..count {
                    fields.take(self.lengths)?;
                    open.push((fields.number(self.offsets)?, depth + 1));
                }
            } else if head.starts_with(b"SNOD") {
                let body = self.bytes(at + 8, count * (2 * self.offsets + 24))?;
                let mut fields = Fields { bytes: &body };
                for _ in 0..count {
                    let (name, header) = (text(fields.number(self.offsets)?)?, fields.number(self.offsets)?);
                    let (kind, rest) = (fields.number(4)?, fields.take(20)?);
                    let is_soft = kind == 2 || self.is_undefined(header);
                    let soft = || Some(Target::soft(&text(Fields { bytes: &rest[4..] }.number(4)?)?));
                    let target = if is_soft { soft()? } else { Target::Object(header) };
                    links.push(Link { name, target });
                }
            } else {
                return None;
            }
        }
        Some(())
    }

    /// The links of a group that keeps them in a fractal heap: one after the other, but where links were removed.
    fn dense_links(&mut self, heap: u64, links: &mut Vec<Link>) -> Option<()> {
        let head = self.bytes(heap, 26 + 12 * self.lengths + 3 * self.offsets)?;
        let mut fields = Fields { bytes: head.strip_prefix(b"FRHP")? };
        fields.take(5)?;
        let flags = fields.take(1)?[0];
        fields.take(4 + 10 * self.lengths + 2 * self.offsets)?;
        let width = fields.number(2)?;
        let (first, largest) = (fields.number(self.lengths)?, fields.number(self.lengths)?);
        let bits = fields.number(2)?;
        fields.take(2)?;
        let (root, rows) = (fields.number(self.offsets)?, fields.number(2)?);
        let before = 5 + self.offsets as u64 + bits.div_ceil(8);
        let mut blocks = vec![(root, first)];
        if rows > 0 {
            let len = usize::try_from(rows.checked_mul(width)?).ok()?.checked_mul(self.offsets)?;
            let table = self.bytes(root.checked_add(before)?, len)?;
            let mut fields = Fields { bytes: &table };
            blocks.clear();
            for row in 0..rows.min(40) {
                let size = first.checked_mul(1 << row.saturating_sub(1))?;
                for _ in 0..width {
                    let at = fields.number(self.offsets)?;
                    if size <= largest && !self.is_undefined(at) {
                        blocks.push((at, size));
                    }
                }
            }
        }
        let before = before + if flags & 2 == 0 { 0 } else { 4 };
        for (at, size) in blocks {
            let block = self.bytes(at, usize::try_from(size).ok()?)?;
            let mut rest = Fields { bytes: block.strip_prefix(b"FHDB")?.get(before as usize - 4..)? };
            while rest.bytes.first() == Some(&1) {
                let Some(link) = self.link(&mut rest) else { break };
                links.push(link);
            }
        }
        Some(())
    }

    /// The link that a message says.
    fn link(&self, fields: &mut Fields<'_>) -> Option<Link> {
        let flags = fields.take(2)?[1];
        let kind = if flags & 8 == 0 { 0 } else { fields.take(1)?[0] };
        fields.take(if flags & 4 == 0 { 0 } else { 8 } + if flags & 16 == 0 { 0 } else { 1 })?;
        let len = fields.number(1 << (flags & 3))?;
        let name = fields.text(len)?;
        let target = match kind {
            0 => Target::Object(fields.number(self.offsets)?),
            1 => {
                let len = fields.number(2)?;
                Target::soft(&fields.text(len)?)
            }
            _ => {
                let len = fields.number(2)?;
                let content = fields.text(len)?;
                let mut parts = content.trim_start_matches('\0').split('\0');
                let (file, object) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                Target::Other(format!("an external link to `{object}` of the file `{file}`"))
            }
        };
        Some(Link { name, target })
    }
}

impl Target {
    fn soft(path: &str) -> Self {
        Self::Other(format!("a soft link to `{path}`"))
    }
}

/// Bytes that are taken off from the front.
struct Fields<'b> {
    bytes: &'b [u8],
}

impl<'b> Fields<'b> {
    fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(taken)
    }

    /// A number of up to eight bytes, the lowest first.
    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        (width <= 8).then(|| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn text(&mut self, len: u64) -> Option<String> {
        Some(String::from_utf8_lossy(self.take(usize::try_from(len).ok()?)?).into_owned())
    }
}
