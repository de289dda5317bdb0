//! Streams weights in order, reading the next ones from their files while earlier ones are written.

use std::io::{self, Write};
use std::slice;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crc32fast::Hasher;
use netc_ir::{FileId, Weight, WeightData};

use crate::error::{DataError, Result};
use crate::store::{BLOCK, Store, block};

/// Number of blocks shared by the reading and the writing thread: one being filled, one full, one being written.
const IN_FLIGHT: usize = 3;

/// A stream of weights in a given order.
pub struct Ahead<'a> {
    store: &'a Store,
    weights: slice::Iter<'a, &'a Weight>,
    /// Blocks of the weights in files, if they are read ahead.
    read: Option<Blocks>,
}

/// The writing thread's ends of the channels.
struct Blocks {
    full: Receiver<Result<Block>>,
    free: Sender<Vec<u8>>,
}

/// Some bytes of a weight.
struct Block {
    bytes: Vec<u8>,
    len: usize,
    /// The checksum of the weight, if these are its last bytes.
    end: Option<Hasher>,
}

impl Store {
    /// Calls `write` with a stream of `weights`. A store made by [`Store::reading_ahead`] reads them ahead on a thread.
    ///
    /// # Errors
    /// The errors of `write`. Read errors of the thread reach it through [`Ahead::copy`].
    pub fn ahead<T, E>(&self, weights: &[&Weight], write: impl FnOnce(&mut Ahead<'_>) -> Result<T, E>) -> Result<T, E> {
        if !self.reads_ahead {
            return write(&mut Ahead { store: self, weights: weights.iter(), read: None });
        }
        thread::scope(|scope| {
            let (send, full) = sync_channel(IN_FLIGHT);
            let (free, receive) = channel();
            let mut reader = Reader { store: self, allocated: 0, full: send, free: receive };
            let read = move || weights.iter().try_for_each(|weight| reader.weight(weight));
            // If the system has no more threads, read without one.
            let thread = thread::Builder::new().spawn_scoped(scope, read);
            let read = thread.is_ok().then_some(Blocks { full, free });
            // When `write` returns, its ends of the channels are dropped, which ends the thread.
            write(&mut Ahead { store: self, weights: weights.iter(), read })
        })
    }
}

impl Ahead<'_> {
    /// Writes all bytes of the next weight to `out` and returns their checksum.
    ///
    /// # Errors
    /// Those of [`Store::copy`], or no weights are left.
    pub fn copy(&mut self, out: &mut dyn Write) -> Result<Hasher> {
        let ended = || io::Error::other("there are no more weights");
        let Some(weight) = self.weights.next() else {
            return Err(DataError::Write { weight: "".into(), source: ended() });
        };
        let Some(blocks) = self.read.as_ref().filter(|_| matches!(weight.data, WeightData::File { .. })) else {
            return self.store.copy(weight, out);
        };
        let failed = |source| DataError::Write { weight: weight.name.clone(), source };
        loop {
            let block = blocks.full.recv().map_err(|_| failed(ended()))??;
            out.write_all(&block.bytes[..block.len]).map_err(failed)?;
            // Fails if the thread has read everything, and then no block is needed.
            let _ = blocks.free.send(block.bytes);
            if let Some(crc) = block.end {
                return Ok(crc);
            }
        }
    }
}

/// The reading thread.
struct Reader<'a> {
    store: &'a Store,
    allocated: usize,
    full: SyncSender<Result<Block>>,
    free: Receiver<Vec<u8>>,
}

impl Reader<'_> {
    /// Reads a weight that is in a file. Returns `None` if the writer stopped or an error was sent to it.
    fn weight(&mut self, weight: &Weight) -> Option<()> {
        let WeightData::File { file, offset, len } = weight.data else { return Some(()) };
        let (mut at, mut crc) = (0, Hasher::new());
        loop {
            let block = self.block(weight)?;
            let read = self.fill(block, weight, file, (offset.saturating_add(at), len - at));
            let block = match read {
                Ok(block) => block,
                Err(error) => {
                    // Fails if the writer has stopped, and then nobody needs the error.
                    let _ = self.full.send(Err(error));
                    return None;
                }
            };
            crc.update(&block.bytes[..block.len]);
            at += block.len as u64;
            if at == len {
                self.store.note(file, offset, len, crc.clone());
                return self.full.send(Ok(Block { end: Some(crc), ..block })).ok();
            }
            self.full.send(Ok(block)).ok()?;
        }
    }

    /// Waits for a free block. Makes do with fewer blocks if memory is short.
    fn block(&mut self, weight: &Weight) -> Option<Vec<u8>> {
        if self.allocated < IN_FLIGHT {
            match block(BLOCK) {
                Ok(block) => {
                    self.allocated += 1;
                    return Some(block);
                }
                Err(source) if self.allocated == 0 => {
                    let _ = self.full.send(Err(DataError::Memory { weight: weight.name.clone(), source }));
                    return None;
                }
                Err(_) => {}
            }
        }
        self.free.recv().ok()
    }

    fn fill(&self, mut bytes: Vec<u8>, weight: &Weight, file: FileId, (offset, left): (u64, u64)) -> Result<Block> {
        let len = left.min(bytes.len() as u64) as usize;
        self.store.read_at(weight, file, offset, &mut bytes[..len])?;
        Ok(Block { bytes, len, end: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netc_ir::{ElemType, F64, Literal, Module, Type};

    /// A module with weights at `places` (offset, length) in a file of `len` bytes, with other weights between them.
    /// Returns the bytes of the file too.
    fn module(file: &tempfile::NamedTempFile, len: usize, places: &[(u64, u64)]) -> (Module, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut module = Module::new();
        let id = module.intern_file(file.path().to_str().unwrap());
        let mut add = |name: String, len: u64, data| {
            module.add_weight(Weight { name: name.into(), ty: Type::fixed(ElemType::U8, &[len]), data });
        };
        for (offset, len) in places {
            add(format!("file{offset}"), *len, WeightData::File { file: id, offset: *offset, len: *len });
            add(format!("random{offset}"), 5, WeightData::Random { seed: 3, low: F64::new(0.0), high: F64::new(9.0) });
            add(format!("splat{offset}"), 3, WeightData::Inline(Literal::splat(ElemType::U8, &[3], 7.0)));
        }
        (module, bytes)
    }

    #[test]
    fn reading_ahead_yields_the_same_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let large = (BLOCK * (IN_FLIGHT + 2) + 3) as u64;
        let (module, bytes) = module(&file, BLOCK * 8, &[(5, large), (0, 0), (1, 9), (7, BLOCK as u64), (2, 40)]);
        let weights: Vec<&Weight> = module.weights.iter().collect();
        for store in [Store::open(&module).unwrap(), Store::open(&module).unwrap().reading_ahead()] {
            let all = |ahead: &mut Ahead<'_>| {
                for weight in &weights {
                    let mut found = Vec::new();
                    let crc = ahead.copy(&mut found)?;
                    assert!(found == Store::open(&module)?.read(weight)?, "{}", weight.name);
                    assert_eq!(crc.finalize(), crc32fast::hash(&found), "{}", weight.name);
                }
                assert!(ahead.copy(&mut io::sink()).is_err(), "copied more weights than there are");
                Ok::<_, DataError>(())
            };
            store.ahead(&weights, all).unwrap();
            let spans = store.copied(FileId::new(0));
            assert_eq!(spans.len(), 5);
            for span in spans {
                let of_span = &bytes[span.offset as usize..(span.offset + span.len) as usize];
                assert_eq!(span.crc.finalize(), crc32fast::hash(of_span));
            }
        }
    }

    #[test]
    fn short_files_and_stopped_writers_end_the_thread_with_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (module, _) = module(&file, BLOCK * 6, &[(0, BLOCK as u64 * 5), (1, BLOCK as u64 * 6)]);
        let store = Store::open(&module).unwrap().reading_ahead();
        let files = [&module.weights[0], &module.weights[3]];
        let all = |ahead: &mut Ahead<'_>| {
            ahead.copy(&mut io::sink())?;
            ahead.copy(&mut io::sink())
        };
        let error = store.ahead(&files, all).unwrap_err();
        assert!(matches!(&error, DataError::Read { weight, .. } if &**weight == "file1"), "{error}");
        let mut full: &mut [u8] = &mut [0; 9];
        let error = store.ahead(&files, |ahead| ahead.copy(&mut full)).unwrap_err();
        assert!(matches!(&error, DataError::Write { weight, .. } if &**weight == "file0"), "{error}");
        store.ahead(&files, |_| Ok::<_, DataError>(())).unwrap();
    }
}
