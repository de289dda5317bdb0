//! Writes the files of a TensorFlow.js layers model.

use std::io::{self, Write};

use crc32fast::Hasher;
use netc_data::{Checksum, Store};
use netc_ir::{Attr, Attrs, Module, WeightId};

use crate::config::attrs::NETC;
use crate::container::tfjs::CONVERTED_BY;
use crate::error::Result;
use crate::export::tfjs::dtype;

/// The name of the main file.
pub(crate) const MODEL: &str = "model.json";

/// Bytes per shard, except the last. The TensorFlow.js converter uses the same number.
const SHARD: u64 = 4 << 20;

/// The content of `model.json`.
pub(super) fn layers_model(object: Attrs, keras_version: &str, module: &Module, weights: &[(&str, WeightId)]) -> Attr {
    let entry = |(name, id): &(&str, WeightId)| {
        let ty = &module[*id].ty;
        let shape = ty.fixed_dims().unwrap_or_default().into_iter().map(|d| Attr::Int(d.into())).collect();
        let dtype = dtype(ty.elem).unwrap_or_default();
        Attr::Map(Attrs::new().with("name", *name).with("shape", Attr::List(shape)).with("dtype", dtype))
    };
    let paths = (0..num_shards(module, weights)).map(|i| Attr::str(shard_name(module, weights, i))).collect();
    let group =
        Attrs::new().with("paths", Attr::List(paths)).with("weights", Attr::List(weights.iter().map(entry).collect()));
    let topology =
        Attrs::new().with("keras_version", keras_version).with("backend", "tensorflow").with("model_config", object);
    Attrs::new()
        .with("format", "layers-model")
        .with("generatedBy", format!("keras v{keras_version}").as_str())
        .with(CONVERTED_BY, NETC)
        .with("modelTopology", topology)
        .with("weightsManifest", Attr::List(vec![Attr::Map(group)]))
        .into()
}

fn num_bytes(module: &Module, weights: &[(&str, WeightId)]) -> u64 {
    weights.iter().filter_map(|(_, id)| module[*id].ty.num_bytes()).sum()
}

fn num_shards(module: &Module, weights: &[(&str, WeightId)]) -> u64 {
    num_bytes(module, weights).div_ceil(SHARD)
}

fn shard_name(module: &Module, weights: &[(&str, WeightId)], i: u64) -> String {
    format!("group1-shard{}of{}.bin", i + 1, num_shards(module, weights))
}

/// Writes the bytes of the weights one after another into files that `create` opens. Returns the checksum of each file.
pub(super) fn write_shards<W: Write>(
    module: &Module,
    weights: &[(&str, WeightId)],
    store: &Store,
    mut create: impl FnMut(&str) -> io::Result<W>,
) -> Result<Vec<Checksum>> {
    let mut number = 0;
    let open = || {
        number += 1;
        create(&shard_name(module, weights, number - 1))
    };
    let mut shards = Cut { open, current: None, crcs: Vec::new() };
    for (_, id) in weights {
        store.copy(&module[*id], &mut shards)?;
    }
    shards.flush()?;
    Ok(shards.crcs.into_iter().map(Checksum::from).collect())
}

/// Splits its output into shards.
struct Cut<F, W> {
    open: F,
    /// The current file, and the number of bytes that still fit.
    current: Option<(W, u64)>,
    /// The checksums of the files so far.
    crcs: Vec<Hasher>,
}

impl<W: Write, F: FnMut() -> io::Result<W>> Write for Cut<F, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.current.as_ref().is_none_or(|(_, left)| *left == 0) {
            self.flush()?;
            self.current = Some(((self.open)()?, SHARD));
            self.crcs.push(Hasher::new());
        }
        let (Some((out, left)), Some(crc)) = (&mut self.current, self.crcs.last_mut()) else { return Ok(0) };
        let n = out.write(&bytes[..bytes.len().min(*left as usize)])?;
        crc.update(&bytes[..n]);
        *left -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), |(out, _)| out.flush())
    }
}
