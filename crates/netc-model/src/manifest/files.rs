//! The files of a manifest's stages: records them and detects changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use netc_data::Checksum;
use netc_format::{Formats, Note};
use netc_ir::{Func, Type, ValueId};
use serde_json::{Map, Value, json};

use super::entry::{FILE_NAME, Recorded, port};
use super::text::Text;
use crate::error::{ModelError, Remedy, Result};
use crate::model::Model;
use crate::output::{Stamp, cannot_write, check_target, is_inside, stamp};

/// Records the files of a stage in its entry: the main file, then others next to it.
pub(super) fn record(entry: &mut Map<String, Value>, files: &[Recorded]) {
    let Some((first, others)) = files.split_first() else { return };
    entry.insert("bytes".into(), first.checksum.bytes.into());
    entry.insert("checksum".into(), first.checksum.to_string().into());
    if !others.is_empty() {
        let shard =
            |r: &Recorded| json!({"file": r.file, "bytes": r.checksum.bytes, "checksum": r.checksum.to_string()});
        entry.insert("shards".into(), others.iter().map(shard).collect());
    }
}

/// The files of a stage, each with its checksum. Manifests of older versions of netc have none. Returns `None` if the
/// entry is malformed.
fn recorded(stage: &Value) -> Option<Vec<(String, Option<Checksum>)>> {
    let file = |entry: &Value| {
        let file = entry.get("file")?.as_str().filter(|file| is_inside(Path::new(file)))?.to_string();
        let checksum = match entry.get("checksum") {
            None => None,
            Some(text) => {
                let digits = text.as_str()?.strip_prefix("crc32:")?;
                Some(Checksum { bytes: entry.get("bytes")?.as_u64()?, crc: u32::from_str_radix(digits, 16).ok()? })
            }
        };
        Some((file, checksum))
    };
    let shards = match stage.get("shards") {
        None => &[][..],
        Some(shards) => shards.as_array()?,
    };
    std::iter::once(stage).chain(shards).map(file).collect()
}

/// Whether the files of a stage changed since netc wrote them.
pub(super) enum Changed {
    /// No file changed, as far as the manifest tells.
    No,
    /// This file changed.
    Yes(PathBuf),
}

/// Compares the files of a stage with the manifest. Returns `None` if the entry is malformed.
pub(super) fn compare(folder: &Path, stage: &Value, formats: &Formats) -> Result<Option<Changed>> {
    let Some(files) = recorded(stage) else { return Ok(None) };
    for (file, checksum) in files {
        let path = folder.join(file);
        if let Some(checksum) = checksum
            && formats.checksum(&path).map_err(ModelError::from_error)? != checksum
        {
            return Ok(Some(Changed::Yes(path)));
        }
    }
    Ok(Some(Changed::No))
}

/// Describes how the signature of a stage's model differs from the manifest.
pub(super) fn misfit(stage: &Value, func: &Func) -> Option<String> {
    let params: Vec<(&str, ValueId)> = func.params.iter().map(|p| (&*p.name, p.value)).collect();
    let outputs: Vec<(&str, ValueId)> = func.outputs.iter().map(|o| (&*o.name, o.value)).collect();
    [("inputs", params), ("outputs", outputs)].into_iter().find_map(|(key, found)| {
        let expected = stage.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if expected.len() != found.len() {
            return Some(format!("its model has {} {key}, expected {}", found.len(), expected.len()));
        }
        let mut pairs = expected.iter().zip(found);
        pairs.find_map(|(expected, (name, value))| misfit_of(key, expected, name, &func[value].ty))
    })
}

fn misfit_of(key: &str, expected: &Value, name: &str, ty: &Type) -> Option<String> {
    let found = port(name, ty);
    // A shape or type that is unknown on one side agrees with any.
    let agrees = |key: &str| {
        let (a, b) = (&expected[key], &found[key]);
        a == b || key != "name" && (a.is_null() || b.is_null())
    };
    if ["name", "shape", "dtype"].into_iter().all(agrees) {
        return None;
    }
    let name = |port: &Value| format!("`{}`", port["name"].as_str().unwrap_or_default());
    let ty = |port: &Value| format!("{} {}", port["dtype"], port["shape"]).replace('"', "");
    let found = Value::Object(found);
    let found = format!("{} is {}", name(&found), ty(&found));
    let expected = format!("{} {}", name(expected), ty(expected));
    Some(format!("{} {found}, expected {expected}", key.trim_end_matches('s')))
}

/// The earlier split in a folder to which another one is written.
pub(crate) struct Earlier<'a> {
    folder: &'a Path,
    /// Whether its files may be replaced even if they changed.
    force: bool,
    /// The stages' files.
    stages: Vec<Vec<(String, Option<Checksum>)>>,
    owner: Owner,
    /// Files that may be replaced, with their stamps. Avoids reading a file twice.
    allowed: BTreeMap<String, Option<Stamp>>,
    /// The files that are replaced only because of `--force`, each with the reason.
    forced: Vec<String>,
}

/// The owner of the manifest in a folder.
#[derive(PartialEq, Eq)]
enum Owner {
    /// There is no manifest, or it belongs to the model that is being split.
    Same,
    /// It belongs to the model with this name.
    Other(String),
    /// netc did not write it.
    Unknown,
}

/// The files of an earlier split that the new one does not replace.
#[derive(Default)]
pub(crate) struct Rest {
    /// Unchanged files, to be removed.
    pub(crate) removed: Vec<(String, Option<Stamp>)>,
    /// Changed files and those of another model, to be kept.
    pub(crate) kept: Vec<String>,
}

impl<'a> Earlier<'a> {
    /// Reads the manifest in `folder`, if there is one.
    pub(crate) fn in_folder(folder: &'a Path, model: &Model, force: bool) -> Self {
        let path = folder.join(FILE_NAME);
        let json = path.exists().then(|| {
            let json = Text::read(&path).ok().and_then(|text| text.json().ok());
            json.unwrap_or(Value::Null)
        });
        let list = json.as_ref().and_then(|json| json.get("stages")?.as_array()).map_or(&[][..], Vec::as_slice);
        let stages = list.iter().filter_map(recorded).collect();
        let owner = match json.as_ref().map(|json| json.get("model").and_then(Value::as_str)) {
            None => Owner::Same,
            Some(Some(name)) if !list.is_empty() && name == model.name => Owner::Same,
            Some(Some(name)) if !list.is_empty() => Owner::Other(name.into()),
            Some(Some(_) | None) => Owner::Unknown,
        };
        Self { folder, force, stages, owner, allowed: BTreeMap::new(), forced: Vec::new() }
    }

    /// Checks that the manifest does not belong to another model.
    pub(crate) fn refuse_other_model(&self) -> Result<()> {
        let what = match &self.owner {
            _ if self.force => return Ok(()),
            Owner::Same => return Ok(()),
            Owner::Other(name) => format!("is the manifest of another model, `{name}`"),
            Owner::Unknown => "was not written by netc".into(),
        };
        let path = self.folder.join(FILE_NAME);
        check_target(&path)?;
        Err(ModelError::needs(Remedy::Force, format!("`{}` {what}; choose another folder", path.display())))
    }

    /// Checks that the model is not one of the stages in the folder, because the other stages would be lost.
    pub(crate) fn refuse_stage(&self, model: &Model) -> Result<()> {
        let files = self.stages.iter().flatten().filter_map(|(file, _)| self.folder.join(file).canonicalize().ok());
        let files: Vec<PathBuf> = files.collect();
        let is_stage = |file: &PathBuf| file.canonicalize().is_ok_and(|file| files.contains(&file));
        match model.files().find(is_stage) {
            Some(stage) => Err(ModelError::failed(format!(
                "`{}` is a stage of the chain in `{}`, which would be replaced; choose another folder",
                stage.display(),
                self.folder.join(FILE_NAME).display()
            ))),
            None => Ok(()),
        }
    }

    /// Checks that `file` and the other files of its stage may be replaced: they do not exist or are as netc wrote
    /// them.
    pub(crate) fn allow(&mut self, file: &str) -> Result<()> {
        if self.allowed.contains_key(file) {
            return Ok(());
        }
        let of_stage = self.stages.iter().find(|files| files.iter().any(|(other, _)| other == file));
        let files = of_stage.cloned().unwrap_or_else(|| vec![(file.to_string(), None)]);
        let is_known = of_stage.is_some();
        for (file, checksum) in files {
            let path = self.folder.join(&file);
            let stamp = stamp(&path).map_err(|e| cannot_write(&path, e))?;
            if stamp.is_some() {
                let why = match checksum {
                    Some(checksum) if unchanged(&path, checksum)? => None,
                    Some(_) => Some("has changed since netc wrote it"),
                    None if is_known => Some("may have changed: its manifest, of an older netc, has no checksums"),
                    None => Some("does not belong to the earlier split"),
                };
                match why {
                    None => {}
                    Some(why) if self.force => self.forced.push(format!("`{file}`, which {why}")),
                    Some(why) => {
                        let context = format!("`{}` {why}; choose another folder", path.display());
                        return Err(ModelError::needs(Remedy::Force, context));
                    }
                }
            }
            self.allowed.insert(file, stamp);
        }
        Ok(())
    }

    /// A note about the files that `--force` replaced.
    pub(crate) fn forced(&self) -> Option<Note> {
        let note = || format!("replaced {}", self.forced.join("; "));
        (!self.forced.is_empty()).then(|| Note::new("files-replaced", note()))
    }

    /// The stamps of the files that [`Earlier::allow`] checked.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (PathBuf, Option<Stamp>)> + '_ {
        self.allowed.iter().map(|(file, stamp)| (self.folder.join(file), stamp.clone()))
    }

    /// The files of the earlier split that are not among `new`.
    pub(crate) fn rest(&self, new: &[Recorded]) -> Result<Rest> {
        let mut rest = Rest::default();
        for (file, checksum) in self.stages.iter().flatten() {
            if new.iter().any(|new| new.file == *file) {
                continue;
            }
            let path = self.folder.join(file);
            let Some(stamp) = stamp(&path).map_err(|e| cannot_write(&path, e))? else { continue };
            let is_own = match checksum {
                Some(checksum) => self.owner == Owner::Same && unchanged(&path, *checksum)?,
                None => false,
            };
            if is_own { rest.removed.push((file.clone(), Some(stamp))) } else { rest.kept.push(file.clone()) }
        }
        Ok(rest)
    }
}

/// Whether the file still has this length and checksum.
fn unchanged(path: &Path, checksum: Checksum) -> Result<bool> {
    let is_as_long = fs::metadata(path).is_ok_and(|metadata| metadata.len() == checksum.bytes);
    if !is_as_long {
        return Ok(false);
    }
    let found = Checksum::of(path);
    Ok(found.map_err(|e| ModelError::because(format!("cannot read `{}`", path.display()), e))? == checksum)
}
