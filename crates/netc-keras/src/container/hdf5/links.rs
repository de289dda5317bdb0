//! Finds the soft and external links of an HDF5 file, which lead to no object of the file.
//!
//! `hdf5-pure` fails at them in old-style groups and skips them in new-style groups, so weights would be missing. This
//! module lists the links of a group and of the groups below it, following the format specification (version 3.0,
//! sections III.A to III.C and IV.A). If it cannot list the links of a group, netc rejects the file.

use std::collections::BTreeSet;

use hdf5_pure::{Source, Superblock};
use netc_ir::{Budget, Resource};

use crate::config::path::join;
use crate::error::{Problem, Result};

/// Types of messages in an object header.
const LINK_INFO: u16 = 0x02;

const LINK: u16 = 0x06;

const CONTINUATION: u16 = 0x10;

const SYMBOL_TABLE: u16 = 0x11;

/// The deepest B-tree. Real files have fewer levels; the limit stops at cycles of nodes.
const MAX_LEVELS: usize = 16;

/// A soft or external link.
pub(crate) struct Stray {
    /// The path of the link.
    pub(crate) path: String,
    /// The kind and target of the link, for a message.
    pub(crate) what: String,
}

/// What the links of a group and of the groups below it lead to.
pub(crate) enum Links {
    /// All lead to objects of the file.
    Own,
    /// The first soft or external link.
    Stray(Stray),
    /// The links of the group at this path cannot be listed.
    Unlisted(String),
}

impl Links {
    /// Returns an error if links could not be listed, because `hdf5-pure` may have skipped some.
    pub(crate) fn require_complete(&self, place: &str) -> Result<()> {
        let Self::Unlisted(path) = self else { return Ok(()) };
        let path = join(place, path);
        let place = if path.is_empty() { "/".to_string() } else { path };
        let note = "the links of this group cannot be listed, so weights may be missing; save the file again";
        Err(Problem::weights(place, note))
    }
}

/// Looks for a soft or external link in the group at `place` and the groups below it, except in the root's group
/// `skipped`. Charges names and paths to `budget`, because parts of a malicious file may overlap.
pub(crate) fn stray(
    source: &dyn Source,
    budget: &Budget,
    superblock: &Superblock,
    place: &str,
    skipped: Option<&str>,
) -> Links {
    let (offsets, lengths) = (superblock.offset_size.into(), superblock.length_size.into());
    let base = superblock.base_address.get();
    let mut walk = Walk { source, budget, offsets, lengths, base, seen: BTreeSet::new() };
    let mut at = superblock.root_group_address;
    for part in place.split('/').filter(|part| !part.is_empty()) {
        let links = walk.links(at).unwrap_or_default();
        let found = links.into_iter().find(|link| link.name == part);
        let Some(Link { target: Target::Object(inner), .. }) = found else { return Links::Unlisted(String::new()) };
        at = inner;
    }
    // Groups that remain to be visited.
    let mut open = vec![(String::new(), at)];
    walk.seen.insert(at);
    while let Some((path, at)) = open.pop() {
        let Some(links) = walk.links(at) else { return Links::Unlisted(path) };
        for link in links {
            if path.is_empty() && place.is_empty() && Some(&*link.name) == skipped {
                continue;
            }
            match link.target {
                Target::Object(at) => {
                    if walk.seen.insert(at) {
                        let len = path.len() + 1 + link.name.len();
                        if walk.charge(len).is_none() {
                            return Links::Unlisted(path);
                        }
                        open.push((join(&path, &link.name), at));
                    }
                }
                Target::Other(what) => return Links::Stray(Stray { path: join(&path, &link.name), what }),
            }
        }
    }
    Links::Own
}

/// The header of a fractal heap.
struct Heap {
    /// The number of blocks in a row, the size of a block in the first row, and the size of the largest direct block.
    width: u64,
    first: u64,
    largest: u64,
    /// Bytes per offset.
    offset_width: usize,
    /// The root block and its number of rows. With no rows it is the only, direct block.
    root: u64,
    rows: u64,
}

struct Link {
    name: String,
    target: Target,
}

enum Target {
    /// An object of the file, with its header at this address.
    Object(u64),
    /// Anything else, described for a message.
    Other(String),
}

struct Walk<'s> {
    source: &'s dyn Source,
    budget: &'s Budget,
    /// Bytes per address, and per length.
    offsets: usize,
    lengths: usize,
    /// The base that addresses are relative to.
    base: u64,
    /// The headers visited so far.
    seen: BTreeSet<u64>,
}

impl Walk<'_> {
    fn charge(&self, len: usize) -> Option<()> {
        self.budget.charge(Resource::Memory, len as u64).ok()
    }

    fn bytes(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        self.source.read_exact_at(self.base.checked_add(at)?, len).ok()
    }

    /// The links of the object whose header is at `at`. An object other than a group has none.
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
                        let tree = body.number(self.offsets)?;
                        self.dense_links(heap, tree, &mut links)?;
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

    /// The messages of a header of version 1 or 2, including its continuations.
    fn messages(&mut self, at: u64) -> Option<Vec<(u16, Vec<u8>)>> {
        let start = self.bytes(at, 16)?;
        let is_new = start.starts_with(b"OHDR");
        let mut messages = Vec::new();
        let mut tracks_order = false;
        // Blocks of messages that remain to be read: address and length.
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
                    // A version 2 continuation begins with a signature and ends with a checksum.
                    open.push(if is_new { (at.checked_add(4)?, len.checked_sub(8)?) } else { (at, len) });
                } else if matches!(kind, LINK_INFO | LINK | SYMBOL_TABLE) {
                    messages.push((kind, body.to_vec()));
                }
            }
        }
        Some(messages)
    }

    /// The links of an old-style group. A B-tree leads to nodes with the entries; their names are in a heap.
    fn old_links(&mut self, tree: u64, heap: u64, links: &mut Vec<Link>) -> Option<()> {
        let head = self.bytes(heap, 8 + 2 * self.lengths + self.offsets)?;
        let mut fields = Fields { bytes: head.strip_prefix(b"HEAP")? };
        fields.take(4)?;
        let (len, _free, at) =
            (fields.number(self.lengths)?, fields.number(self.lengths)?, fields.number(self.offsets)?);
        let names = self.bytes(at, usize::try_from(len).ok()?)?;
        let text = |walk: &mut Self, at: u64| -> Option<String> {
            let rest = names.get(usize::try_from(at).ok()?..)?;
            let name = rest.split(|byte| *byte == 0).next()?;
            walk.charge(name.len())?;
            Some(String::from_utf8_lossy(name).into_owned())
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
                    let (name, header) = (text(self, fields.number(self.offsets)?)?, fields.number(self.offsets)?);
                    let (kind, rest) = (fields.number(4)?, fields.take(20)?);
                    let is_soft = kind == 2 || self.is_undefined(header);
                    let target = match is_soft {
                        // The offset of the target path follows four reserved bytes.
                        true => Target::soft(&text(self, Fields { bytes: &rest[4..] }.number(4)?)?),
                        false => Target::Object(header),
                    };
                    links.push(Link { name, target });
                }
            } else {
                return None;
            }
        }
        Some(())
    }

    /// The links of a group that stores them in a fractal heap. A B-tree lists their places in the heap.
    fn dense_links(&mut self, heap: u64, tree: u64, links: &mut Vec<Link>) -> Option<()> {
        let heap = self.heap(heap)?;
        for id in self.records(tree)? {
            // A record has a hash, the kind of the object, its offset and its length.
            let mut id = Fields { bytes: id.get(4..)? };
            if id.take(1)?[0] != 0 {
                return None;
            }
            let offset = id.number(heap.offset_width)?;
            let len = id.number(id.bytes.len())?;
            let at = self.place_in(&heap, offset)?;
            let bytes = self.bytes(at, usize::try_from(len).ok()?)?;
            self.charge(bytes.len())?;
            links.push(self.link(&mut Fields { bytes: &bytes })?);
        }
        Some(())
    }

    fn heap(&mut self, at: u64) -> Option<Heap> {
        let head = self.bytes(at, 26 + 12 * self.lengths + 3 * self.offsets)?;
        let mut fields = Fields { bytes: head.strip_prefix(b"FRHP")? };
        fields.take(3)?;
        let filters = fields.number(2)?;
        fields.take(5 + 10 * self.lengths + 2 * self.offsets)?;
        let width = fields.number(2)?;
        let (first, largest) = (fields.number(self.lengths)?, fields.number(self.lengths)?);
        let offset_width = usize::try_from(fields.number(2)?.div_ceil(8)).ok()?;
        fields.take(2)?;
        let (root, rows) = (fields.number(self.offsets)?, fields.number(2)?);
        (filters == 0 && width > 0 && first > 0).then_some(Heap { width, first, largest, offset_width, root, rows })
    }

    /// The address of an offset in the heap. An indirect block has rows of `width` blocks. The first two rows have
    /// blocks of the same size; from then on each row doubles it.
    fn place_in(&mut self, heap: &Heap, mut offset: u64) -> Option<u64> {
        if heap.rows == 0 {
            return heap.root.checked_add(offset);
        }
        let mut at = heap.root;
        for _ in 0..MAX_LEVELS {
            let row_size = heap.width.checked_mul(heap.first)?;
            let row = (offset / row_size).checked_ilog2().map_or(0, |log| log + 1);
            let scale = 1u64.checked_shl(row.saturating_sub(1))?;
            let size = heap.first.checked_mul(scale)?;
            let start = if row == 0 { 0 } else { row_size.checked_mul(scale)? };
            let column = (offset - start) / size;
            let entry = u64::from(row) * heap.width + column;
            let before = (5 + self.offsets + heap.offset_width) as u64;
            let entry = at.checked_add(before)?.checked_add(entry.checked_mul(self.offsets as u64)?)?;
            at = Fields { bytes: &self.bytes(entry, self.offsets)? }.number(self.offsets)?;
            if self.is_undefined(at) {
                return None;
            }
            offset -= start + column * size;
            if size <= heap.largest {
                return at.checked_add(offset);
            }
        }
        None
    }

    /// The records of a version 2 B-tree.
    fn records(&mut self, tree: u64) -> Option<Vec<Vec<u8>>> {
        let head = self.bytes(tree, 18 + self.offsets + self.lengths)?;
        let mut fields = Fields { bytes: head.strip_prefix(b"BTHD")? };
        fields.take(2)?;
        let (node, size) = (fields.number(4)?, usize::try_from(fields.number(2)?).ok()?);
        let depth = usize::try_from(fields.number(2)?).ok()?;
        fields.take(2)?;
        let (root, count, total) = (fields.number(self.offsets)?, fields.number(2)?, fields.number(self.lengths)?);
        if size == 0 || depth > MAX_LEVELS {
            return None;
        }
        // The most records in a node of each level and in its subtree, and the number of bytes that store these counts.
        let width = |n: u64| n.checked_ilog2().map_or(1, |log| log as usize / 8 + 1);
        let most = node.checked_sub(10)? / size as u64;
        let count_width = width(most);
        let mut total_widths = vec![0];
        let mut below = most;
        for level in 1..=depth {
            let pointer = (self.offsets + count_width + total_widths[level - 1]) as u64;
            let most = node.checked_sub(10 + pointer)? / (size as u64 + pointer);
            below = most.checked_add(1)?.checked_mul(below)?.checked_add(most)?;
            total_widths.push(width(below));
        }
        let mut records = Vec::new();
        let mut open = if total == 0 { Vec::new() } else { vec![(root, count, depth)] };
        while let Some((at, count, level)) = open.pop() {
            let count = usize::try_from(count).ok()?;
            let total_width = if level > 0 { total_widths[level - 1] } else { 0 };
            let pointer = if level > 0 { self.offsets + count_width + total_width } else { 0 };
            let bytes = self.bytes(at, 6 + count * size + if level > 0 { (count + 1) * pointer } else { 0 })?;
            let mut fields = Fields { bytes: bytes.strip_prefix(if level > 0 { b"BTIN" } else { b"BTLF" })? };
            fields.take(2)?;
            for _ in 0..count {
                records.push(fields.take(size)?.to_vec());
            }
            for _ in 0..if level > 0 { count + 1 } else { 0 } {
                open.push((fields.number(self.offsets)?, fields.number(count_width)?, level - 1));
                fields.take(total_width)?;
            }
        }
        (records.len() as u64 == total).then_some(records)
    }

    /// Reads a link message.
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

/// Bytes that are consumed from the front.
struct Fields<'b> {
    bytes: &'b [u8],
}

impl<'b> Fields<'b> {
    fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Takes a little-endian number of up to eight bytes.
    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        (width <= 8).then(|| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn text(&mut self, len: u64) -> Option<String> {
        Some(String::from_utf8_lossy(self.take(usize::try_from(len).ok()?)?).into_owned())
    }
}
