//! Opens the model that INPUT names: a file, a folder, `zoo:NAME` or standard input.

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use netc_data::Folders;
use netc_dialect::LayerLibrary;
use netc_format::{Formats, Note, nir};
use netc_model::output::RECOVERED;
use netc_model::{Config, Model, ModelError, OpenOptions, Session};
use netc_pass::{Registry, chain, nearest};

use crate::args::{LayerArgs, LimitArgs, misspelt_command};
use crate::error::{CliError, Result};
use crate::text;

/// The model that passes run on if there is no INPUT.
const DEFAULT: &str = "zoo:inception_v3";

/// The seed for the weights of built-in models.
const ZOO_SEED: u64 = 0;

/// The passes and formats of the command.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) registry: Registry,
    pub(crate) formats: Formats,
}

impl Tables {
    /// A session with the user's layer libraries and limits.
    pub(crate) fn session(&self, args: &LayerArgs, limits: Option<&LimitArgs>) -> Result<Session> {
        let mut config = Config { registry: self.registry.clone(), ..Config::new(self.formats.clone()) };
        for path in &args.layers {
            // As for a file of rules, the command line names a file that is of no use.
            let unusable = |error: &dyn Error| {
                let cause = chain(error);
                CliError::Usage(format!("cannot use the layer library `{}`: {cause}", path.display()))
            };
            let text = fs::read_to_string(path).map_err(|error| unusable(&error))?;
            config.layers.push(LayerLibrary::parse(&text).map_err(|error| unusable(&error))?);
        }
        config.inputs = args.layers.clone();
        config.allowed = args.allowed.clone();
        config.max_memory = limits.and_then(|limits| limits.max_memory);
        config.max_steps = limits.and_then(|limits| limits.max_steps);
        Ok(Session::of(config))
    }
}

/// Loads the model `input` and leaves the remarks of the reader in the model's notes.
///
/// Without an input, passes run on the default model, with a note on standard error.
///
/// # Errors
/// There is neither an input nor a pass, or the input cannot be loaded.
pub(crate) fn load_or_default(
    session: &Session,
    input: Option<&str>,
    has_passes: bool,
    options: OpenOptions<'_>,
) -> Result<Model> {
    let input = match input {
        Some(input) => input,
        None if has_passes => {
            text::note(&format!("no INPUT is given: using {DEFAULT} with random weights"));
            DEFAULT
        }
        None => {
            let note = "no INPUT is given: name a model file, or a built-in model such as `zoo:inception_v3`";
            return Err(CliError::Usage(note.into()));
        }
    };
    load_quietly(session, input, options)
}

/// Loads the model and prints the remarks of the reader.
pub(crate) fn load(session: &Session, input: &str, weights: Option<&Path>) -> Result<Model> {
    let model = load_quietly(session, input, OpenOptions { weights, training_state: false })?;
    // The caller writes no model, so a note that the training state is dropped would mislead.
    let notes = model.notes.iter().filter(|note| note.code != Note::TRAINING_STATE);
    notes.for_each(|note| text::note(&note.text));
    Ok(model)
}

fn load_quietly(session: &Session, input: &str, options: OpenOptions<'_>) -> Result<Model> {
    if let Some(weights) = options.weights.filter(|_| input == "-" || input.starts_with("zoo:")) {
        let weights = weights.display();
        let note = format!("`--weights {weights}` does not apply to `{input}`, which has its own weights");
        return Err(CliError::Usage(note));
    }
    if let Some(name) = input.strip_prefix("zoo:") {
        return zoo(session, name);
    }
    if input == "-" {
        let mut model = standard_input(session)?;
        if !options.training_state {
            model.remove_training_state();
        }
        return Ok(model);
    }
    if let Some(meant) = meant_instead(input) {
        return Err(CliError::input(format!("cannot read `{input}`: no such file. Did you mean `{meant}`?")));
    }
    let opened = session.open_with(Path::new(input), options).map_err(|error| match error {
        ModelError::Recovered { notes, source } => {
            notes.iter().for_each(|note| text::note(&note.text));
            *source
        }
        error
        @ (ModelError::Usage(_) | ModelError::Other(_) | ModelError::Failed { .. } | ModelError::Needs { .. }) => error,
    });
    let mut model = opened?;
    // Recovery has changed files already, so report it now.
    let recovered = model.notes.extract_if(.., |note| note.code == RECOVERED);
    recovered.for_each(|note| text::note(&note.text));
    Ok(model)
}

/// A suggestion for a path that does not exist.
fn meant_instead(input: &str) -> Option<String> {
    if Path::new(input).exists() {
        return None;
    }
    match netc_zoo::find(input) {
        Some(_) => Some(format!("zoo:{input}")),
        None => misspelt_command(input),
    }
}

fn zoo(session: &Session, name: &str) -> Result<Model> {
    let Some(entry) = netc_zoo::find(name) else {
        let names: Vec<&str> = netc_zoo::ZOO.iter().map(|m| m.name).collect();
        return Err(CliError::input(format!(
            "there is no built-in model `{name}`; `netc zoo` lists them{}",
            nearest(name, &names)
        )));
    };
    let module = (entry.build)(ZOO_SEED).map_err(CliError::from_error)?;
    Ok(session.model(module, name, name)?)
}

/// Reads a program from standard input. It may name files in the folders that the session allows.
fn standard_input(session: &Session) -> Result<Model> {
    let place = "standard input";
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|e| CliError::because(format!("cannot read {place}"), e))?;
    let folders = Folders::of_model(Path::new("-"), session.allowed());
    let program = nir::program(&text, Path::new(""), &folders);
    let program = program.map_err(|e| CliError::because(format!("cannot read {place}"), e))?;
    Ok(session.model(program, "model", place)?)
}
