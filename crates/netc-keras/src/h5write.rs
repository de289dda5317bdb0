//! Writing the weights of a model as an HDF5 file, without holding them.
//!
//! `hdf5-pure` lays the file out front to back from complete data. Large weights are handed to it as zeros, which
//! take no memory as nobody touches them, and what it writes is kept as an [`Image`]: the headers, with a hole where
//! each large run of zeros is. The image is then read back for the address of every dataset, and written out with the
//! bytes of the weights streamed into the holes. The weights must fill the holes exactly, or nothing is written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use hdf5_pure::{AttrValue, Dataset, DatasetBuilder, FileBuilder, FormatError, Group, GroupBuilder, Layout, Source};
use netc_data::{Hashed, Store};
use netc_ir::{ElemType, Module, Weight, WeightId};

use crate::error::Problem;
use crate::graph::join;
use crate::h5types::to_hdf5;

/// Weights of at least this size are streamed. Larger than the buffer of `hdf5-pure`, so each arrives in one piece.
const STREAMED: u64 = 64 * 1024;

/// The longest names that are written as text of fixed length, in bytes.
const MAX_FIXED: usize = 1024;

/// What is written: groups with their weights and attributes.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) groups: BTreeMap<String, Tree>,
    pub(crate) weights: BTreeMap<String, WeightId>,
    pub(crate) attrs: BTreeMap<String, AttrValue>,
}

impl Tree {
    /// The group at `path` below this one, made if new.
    pub(crate) fn at(&mut self, path: &str) -> &mut Self {
        path.split('/').filter(|p| !p.is_empty()).fold(self, |tree, part| tree.groups.entry(part.into()).or_default())
    }

    /// Adds a weight at `path` below this group.
    pub(crate) fn add_weight(&mut self, path: &str, weight: WeightId) {
        let (above, leaf) = path.rsplit_once('/').unwrap_or(("", path));
        self.at(above).weights.insert(leaf.into(), weight);
    }

    /// Gives the group a text of any length, marked as ASCII: the first releases of Keras 2 read no other.
    pub(crate) fn set_ascii(&mut self, key: &str, text: &str) {
        self.attrs.insert(key.into(), AttrValue::VarLenAsciiString(text.into()));
    }

    /// Gives the group the name of a layer. Text of variable length takes 4 KB in the file, however short it is.
    pub(crate) fn set_name(&mut self, name: &str) {
        let value = match name.len() {
            1..=MAX_FIXED => AttrValue::String(name.into()),
            _ => AttrValue::VarLenString(name.into()),
        };
        self.attrs.insert("name".into(), value);
    }
}

/// An HDF5 file with holes where the bytes of large weights belong.
pub(crate) struct Laid {
    image: Image,
    /// The weight at each address.
    holes: BTreeMap<u64, WeightId>,
}

/// Lays `tree` out as an HDF5 file.
pub(crate) fn lay_out(tree: &Tree, module: &Module, store: &Store) -> Result<Laid, Problem> {
    let mut builder = FileBuilder::new();
    let mut skeleton = Skeleton { module, store, streamed: BTreeMap::new() };
    tree.attrs.iter().for_each(|(key, value)| builder.set_attr(key, value.clone()));
    for (name, child) in &tree.groups {
        let mut group = builder.create_group(name);
        skeleton.fill(&mut group, child, name)?;
        builder.add_group(group.finish());
    }
    let mut image = Image::default();
    builder.finish_to(&mut image).map_err(|e| Problem::weights("layout", e.to_string()))?;
    let holes = skeleton.addresses(&image)?;
    Ok(Laid { image, holes })
}

impl Laid {
    /// Writes the file, with the bytes of the weights.
    pub(crate) fn write(&self, module: &Module, store: &Store, out: &mut Hashed<'_>) -> Result<(), Problem> {
        self.image.emit(&self.holes, module, store, out)
    }
}

struct Skeleton<'m> {
    module: &'m Module,
    store: &'m Store,
    /// The weights that are streamed, by their path.
    streamed: BTreeMap<String, WeightId>,
}

impl Skeleton<'_> {
    fn fill(&mut self, group: &mut GroupBuilder, tree: &Tree, path: &str) -> Result<(), Problem> {
        tree.attrs.iter().for_each(|(key, value)| group.set_attr(key, value.clone()));
        for (name, weight) in &tree.weights {
            if tree.groups.contains_key(name) {
                let note = "other weights have places below it: HDF5 has one thing of a name";
                return Err(Problem::weights(format!("{path}/{name}"), note));
            }
            self.dataset(group.create_dataset(name), *weight, format!("{path}/{name}"))?;
        }
        for (name, child) in &tree.groups {
            let mut inner = group.create_group(name);
            self.fill(&mut inner, child, &format!("{path}/{name}"))?;
            group.add_group(inner.finish());
        }
        Ok(())
    }

    fn dataset(&mut self, dataset: &mut DatasetBuilder, id: WeightId, path: String) -> Result<(), Problem> {
        let weight = &self.module[id];
        let known = (to_hdf5(weight.ty.elem), weight.ty.fixed_dims(), weight.ty.num_bytes(), weight.ty.num_elements());
        let (Some(datatype), Some(dims), Some(size), Some(count)) = known else {
            return Err(Problem::weights(path, format!("a weight of type {} cannot be written", weight.ty)));
        };
        let bytes = if size < STREAMED {
            self.store.read(weight)?
        } else {
            self.streamed.insert(path.clone(), id);
            let len =
                usize::try_from(size).map_err(|_| Problem::weights(path, "it is larger than memory can address"))?;
            vec![0; len]
        };
        dataset.with_raw_data(datatype, bytes, count).with_shape(&dims);
        if weight.ty.elem == ElemType::BF16 {
            // Text of fixed length would be bytes to h5py, and no mark to Keras.
            dataset.set_attr("dtype", AttrValue::VarLenString("bfloat16".into()));
        }
        Ok(())
    }

    /// The place in the image of each weight that is streamed.
    fn addresses(mut self, image: &Image) -> Result<BTreeMap<u64, WeightId>, Problem> {
        let h5 = hdf5_pure::File::from_source(image.clone()).map_err(|e| broken("layout", &e))?;
        let mut holes = BTreeMap::new();
        self.find(&h5.root(), "", &mut holes)?;
        match self.streamed.first_key_value() {
            Some((path, _)) => Err(Problem::weights(path.as_str(), "the layout has no such dataset")),
            None => Ok(holes),
        }
    }

    /// Finds the weights below a group. To look each up by its path would read all links of its groups each time.
    fn find(&mut self, group: &Group, path: &str, holes: &mut BTreeMap<u64, WeightId>) -> Result<(), Problem> {
        for (name, dataset) in group.iter_datasets().map_err(|e| broken(path, &e))? {
            let path = join(path, &name);
            if let Some(id) = self.streamed.remove(&path) {
                holes.insert(address(&path, &dataset)?, id);
            }
        }
        for (name, child) in group.iter_groups().map_err(|e| broken(path, &e))? {
            self.find(&child, &join(path, &name), holes)?;
        }
        Ok(())
    }
}

fn address(path: &str, dataset: &Dataset) -> Result<u64, Problem> {
    match dataset.layout().map_err(|e| broken(path, &e))? {
        Layout::Contiguous { address: Some(address), .. } => Ok(address),
        Layout::Contiguous { address: None, .. }
        | Layout::Compact { .. }
        | Layout::Chunked { .. }
        | Layout::Virtual
        | _ => Err(Problem::weights(path, "the layout has no place for its bytes")),
    }
}

fn broken(path: &str, error: &hdf5_pure::Error) -> Problem {
    Problem::weights(path, error.to_string())
}

/// A file with holes: stretches of zeros of which only the length is kept.
#[derive(Clone, Default)]
struct Image {
    pieces: Arc<Vec<Piece>>,
    len: u64,
}

struct Piece {
    start: u64,
    bytes: Vec<u8>,
    /// Zeros after the bytes.
    hole: u64,
}

impl Write for Image {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len() as u64;
        let pieces = Arc::get_mut(&mut self.pieces).ok_or_else(|| io::Error::other("the image is being read"))?;
        // Looking at all of it would fault its pages in. Blocks of headers begin with a signature, so the beginning
        // tells; what it does not, `emit` finds.
        if len >= STREAMED && bytes.starts_with(&[0; 8]) {
            match pieces.last_mut() {
                Some(last) => last.hole += len,
                None => pieces.push(Piece { start: 0, bytes: Vec::new(), hole: len }),
            }
        } else {
            match pieces.last_mut() {
                Some(last) if last.hole == 0 => last.bytes.extend_from_slice(bytes),
                Some(_) | None => pieces.push(Piece { start: self.len, bytes: bytes.to_vec(), hole: 0 }),
            }
        }
        self.len += len;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Image {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(FormatError::OffsetOverflow { offset, length: buf.len() as u64 });
        }
        buf.fill(0);
        let first = self.pieces.partition_point(|p| p.start <= offset).saturating_sub(1);
        for piece in &self.pieces[first..] {
            let (begin, end) =
                (piece.start.max(offset), (piece.start + piece.bytes.len() as u64).min(offset + buf.len() as u64));
            if piece.start >= offset + buf.len() as u64 {
                break;
            }
            if begin < end {
                let (from, to) = ((begin - piece.start) as usize, (end - piece.start) as usize);
                buf[(begin - offset) as usize..(end - offset) as usize].copy_from_slice(&piece.bytes[from..to]);
            }
        }
        Ok(())
    }
}

impl Image {
    /// Writes the image with each weight at its place.
    fn emit(
        &self,
        holes: &BTreeMap<u64, WeightId>,
        module: &Module,
        store: &Store,
        out: &mut Hashed<'_>,
    ) -> Result<(), Problem> {
        let weights: Vec<&Weight> = holes.values().map(|id| &module[*id]).collect();
        store.ahead(&weights, |ahead| {
            let mut holes = holes.iter().peekable();
            for piece in self.pieces.iter() {
                out.write_all(&piece.bytes)?;
                let mut at = piece.start + piece.bytes.len() as u64;
                let end = at + piece.hole;
                while let Some((_, id)) = holes.next_if(|(address, _)| **address == at && at < end) {
                    out.splice(|out| ahead.copy(out))?;
                    at += module[*id].ty.num_bytes().unwrap_or(0);
                }
                if at != end {
                    let note = "the weights do not fill the places that were made for them";
                    return Err(Problem::weights("layout", note));
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reads_as_what_was_written() {
        let mut image = Image::default();
        let zeros = vec![0u8; STREAMED as usize];
        for part in [&[1u8, 2, 3][..], &zeros, &zeros, &[4, 5], &[6], &zeros, &[7]] {
            image.write_all(part).unwrap();
        }
        assert_eq!(image.pieces.len(), 3);
        let mut whole = vec![0xff; image.len as usize];
        image.read_at(0, &mut whole).unwrap();
        let s = STREAMED as usize;
        assert_eq!(whole.iter().map(|b| u64::from(*b)).sum::<u64>(), 28);
        assert_eq!(&whole[3 + 2 * s - 1..3 + 2 * s + 4], [0, 4, 5, 6, 0]);
        let mut middle = [0xff; 4];
        image.read_at(3 + 2 * s as u64 - 1, &mut middle).unwrap();
        assert_eq!(middle, [0, 4, 5, 6]);
        assert!(image.read_at(image.len, &mut middle).is_err());
    }
}
