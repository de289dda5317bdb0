//! A model: a program with its name, its origin and its session.

use std::path::{Path, PathBuf};

use netc_data::Store;
use netc_dialect::Dialects;
use netc_format::Note;
use netc_format::module::{is_architecture, training_state};
use netc_ir::{Attr, FileId, FuncId, LayerId, MAIN, MODEL_CLASS, Module, Name, WeightData, WeightId};
use netc_passes::{Entry, remove_unused};

use crate::error::{ModelError, Result};
use crate::output::refuse_same;
use crate::session::Session;

/// A model: a program whose `@main` is its graph, with its name and origin.
///
/// Weights stay in their files until they are needed.
#[derive(Clone)]
pub struct Model {
    /// The program.
    pub module: Module,
    /// Its function `@main`.
    pub main: FuncId,
    /// The stem of the names of files written from it.
    pub name: String,
    /// Notes about the file that was read.
    pub notes: Vec<Note>,
    session: Session,
    /// The file that was read. Files with weights are listed in the module.
    source: Option<PathBuf>,
    is_manifest: bool,
    /// The layers for losses and metrics that it had when it was read.
    losses: Vec<Name>,
}

impl Model {
    pub(crate) fn new(session: &Session, module: Module, name: String, notes: Vec<Note>, place: &str) -> Result<Self> {
        let Some(main) = module.func_named(MAIN) else {
            return Err(ModelError::failed(format!("`{place}` has no function `@{MAIN}`")));
        };
        let (source, losses) = (None, Vec::new());
        Ok(Self { module, main, name, notes, session: session.clone(), source, is_manifest: false, losses })
    }

    /// Marks the model as read from a manifest.
    pub(crate) fn of_manifest(self) -> Self {
        Self { is_manifest: true, ..self }
    }

    /// Completes a model read from `source`: records its losses, and removes the training state unless it is to be
    /// kept.
    pub(crate) fn finish(&mut self, source: Option<&Path>, keep_training_state: bool) {
        self.source = source.filter(|path| path.exists()).map(Path::to_path_buf);
        self.losses = self.session.dialects().loss_layers(&self.module);
        if !keep_training_state {
            self.remove_training_state();
        }
    }

    /// Drops training state. Adds a note if there was any.
    pub fn remove_training_state(&mut self) {
        if remove_training_state(&mut self.module) {
            self.notes.push(Note::training_state_dropped());
        }
    }

    /// The session that it was opened with.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The class of the model in its framework, or `program`.
    pub fn class(&self) -> &str {
        self.module[self.main].attrs.get(MODEL_CLASS).and_then(Attr::as_str).unwrap_or("program")
    }

    /// The parameter count, given that the weights have `elements` elements. `None` for an architecture without
    /// weights, whose count is unknown.
    pub fn parameters(&self, elements: u64) -> Option<u64> {
        (!is_architecture(&self.module)).then_some(elements)
    }

    /// The manifest that the model was read from, if any.
    pub fn manifest(&self) -> Option<&Path> {
        self.source.as_deref().filter(|_| self.is_manifest)
    }

    /// The files that the model is read from: the opened file and those with weights.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.module.files.iter().map(|f| PathBuf::from(&**f)).chain(self.source.clone())
    }

    /// Checks that `target` is not a file that the model or its session is read from.
    ///
    /// # Errors
    /// It is one of them.
    pub fn refuse_input(&self, target: &Path) -> Result<()> {
        self.session.inputs().iter().try_for_each(|file| refuse_same(file, target))?;
        self.files().try_for_each(|file| refuse_same(&file, target))
    }

    /// The layers for losses and metrics that it had when it was read.
    pub fn losses(&self) -> &[Name] {
        &self.losses
    }

    /// Verifies the weights against the checksums in their files. Call this before computing with them.
    ///
    /// # Errors
    /// Weights are damaged or cannot be read.
    pub fn check_weights(&self) -> Result<()> {
        self.check_payload(&Store::open(&self.module).map_err(ModelError::from_error)?)
    }

    /// Verifies the weights against the checksums in the files of `store`, without rereading what it has already read.
    pub(crate) fn check_payload(&self, store: &Store) -> Result<()> {
        let formats = self.session.formats();
        let check = |(id, path): (FileId, &Name)| formats.check_payload(Path::new(&**path), &store.copied(id));
        store.files().try_for_each(|file| check(file).map_err(ModelError::from_error))
    }

    /// Finds `@main` again after a rewrite.
    pub fn find_main(&mut self) {
        self.main = self.module.func_named(MAIN).unwrap_or(self.main);
    }

    pub(crate) fn dialects(&self) -> &Dialects {
        self.session.dialects()
    }
}

/// Drops training state; returns whether there was any.
fn remove_training_state(module: &mut Module) -> bool {
    let declared: Vec<LayerId> = training_state(module).collect();
    if declared.is_empty() {
        return false;
    }
    let weights: Vec<WeightId> = declared.iter().flat_map(|layer| module[*layer].data()).collect();
    let files = weights.iter().filter_map(|weight| match module[*weight].data {
        WeightData::File { file, .. } => Some(Entry::File(file)),
        WeightData::Inline(_) | WeightData::Random { .. } => None,
    });
    let entries: Vec<Entry> = declared
        .iter()
        .map(|layer| Entry::Layer(*layer))
        .chain(weights.iter().map(|weight| Entry::Weight(*weight)))
        .chain(files)
        .collect();
    remove_unused(module, &entries);
    true
}
