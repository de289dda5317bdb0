//! Opens models.

use std::path::{Path, PathBuf};

use netc_format::{FormatError, ReadOptions};
use netc_ir::Module;

use crate::error::{ModelError, Result};
use crate::manifest;
use crate::model::Model;
use crate::output::{Intent, folder_of, recover};
use crate::session::Session;

/// Options for opening a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions<'a> {
    /// A file with weights to use instead of the model's own.
    pub weights: Option<&'a Path>,
    /// Whether to read the training state: see [`ReadOptions::training_state`].
    pub training_state: bool,
}

impl Session {
    /// Opens the model at `path`: a file in a format of the session, the manifest of a split, or a folder with either.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// # let path = folder.path().join("tiny.keras");
    /// # model.save(&path)?;
    /// let model = netc.open(&path)?;
    /// assert_eq!(model.class(), "Functional");
    /// assert!(netc.open(folder.path().join("nothing.keras")).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The file cannot be read as a model.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        self.open_with(path.as_ref(), OpenOptions::default())
    }

    /// Opens a model like [`Session::open`], with options.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// # let (path, weights) = (folder.path().join("tiny.json"), folder.path().join("tiny.keras"));
    /// # model.save(&path)?;
    /// # model.save(&weights)?;
    /// use netc_model::OpenOptions;
    ///
    /// // A `.json` file holds only the architecture.
    /// let options = OpenOptions { weights: Some(&weights), ..OpenOptions::default() };
    /// let model = netc.open_with(&path, options)?;
    /// model.check_weights()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Session::open`]; or the options do not fit the file.
    pub fn open_with(&self, given: &Path, options: OpenOptions<'_>) -> Result<Model> {
        let path = self.file_of(given);
        // A killed netc may have left the file's set half replaced.
        let recovered = recover(folder_of(&path), Intent::Read)?;
        let opened = if manifest::is_manifest(&path, self.formats()) {
            options.refuse_weights(given).and_then(|()| manifest::load(&path, self))
        } else {
            self.open_file(&path, options)
        };
        let mut model = match opened {
            Ok(model) => model,
            Err(error) => return Err(error.after(recovered)),
        };
        model.finish(Some(&path), options.training_state);
        model.notes.splice(0..0, recovered);
        Ok(model)
    }

    /// The main file of the model at `path`: the one in the folder, if `path` is a folder with a model, or else `path`.
    fn file_of(&self, path: &Path) -> PathBuf {
        let manifest = path.join(manifest::FILE_NAME);
        let main = if manifest.is_file() { Some(manifest) } else { self.formats().main_file(path) };
        main.unwrap_or_else(|| path.into())
    }

    fn open_file(&self, path: &Path, options: OpenOptions<'_>) -> Result<Model> {
        let options =
            ReadOptions { weights: options.weights, training_state: options.training_state, ..self.read_options() };
        let imported = self.formats().read(path, &options, self.dialects()).map_err(|error| match error {
            FormatError::TakesNoWeights { .. } => ModelError::Usage(error.to_string()),
            error @ (FormatError::Read { .. } | FormatError::Write { .. } | FormatError::Unsupported { .. }) => {
                ModelError::from_error(error)
            }
        })?;
        let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
        Model::new(self, imported.module, name, imported.notes, &path.display().to_string())
    }

    /// Makes a model of a module. `place` names it in errors.
    ///
    /// ```
    /// use netc_format::Formats;
    /// use netc_model::Session;
    ///
    /// let text = "netc 1
    /// func @main(%x: f32[N,2]) -> (%y) {
    ///   %y = relu(%x) : f32[N,2]
    /// }";
    /// let netc = Session::new(Formats::new());
    /// let model = netc.model(netc_ir::parse(text)?, "relu", "relu.nir")?;
    /// let x = netc_exec::Tensor::from_f32(&[1, 2], &[-1.0, 2.0])?;
    /// assert_eq!(model.run(&[x])?, [netc_exec::Tensor::from_f32(&[1, 2], &[0.0, 2.0])?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The module has no `@main`.
    pub fn model(&self, module: Module, name: impl Into<String>, place: &str) -> Result<Model> {
        let mut model = Model::new(self, module, name.into(), Vec::new(), place)?;
        model.finish(None, true);
        Ok(model)
    }
}

impl OpenOptions<'_> {
    fn refuse_weights(self, path: &Path) -> Result<()> {
        let Some(weights) = self.weights else { return Ok(()) };
        let (shown, weights) = (path.display(), weights.display());
        Err(ModelError::Usage(format!(
            "`{shown}` has its own weights; the weights in `{weights}` are for models without weights"
        )))
    }
}
