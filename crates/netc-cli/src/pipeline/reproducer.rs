//! Reproducers: a program and the pass that fails on it.
//!
//! A reproducer is a `.nir` program with a header of `; key: value` comments, so every command can read it.

use std::fs;
use std::path::Path;

use netc_ir::Module;
use netc_model::Session;
use netc_pass::{FailedPass, Pipeline, chain};

use super::{Settings, run_quietly};
use crate::args::{RandomArgs, VerifyEach};
use crate::error::{CliError, Result};
use crate::program;

/// A program with the pipeline that fails on it.
pub(crate) struct Reproducer {
    pub(crate) version: String,
    pub(crate) pipeline: String,
    pub(crate) failure: String,
    pub(crate) layers: Vec<String>,
    pub(crate) fuel: Option<u64>,
    pub(crate) values: bool,
    pub(crate) random: RandomArgs,
    /// The program, or the reason why there is none.
    program: Result<Module, String>,
}

impl Reproducer {
    /// Reruns the passes before the failed one on `original` to recover the program on which it failed.
    pub(super) fn of(failed: &FailedPass, original: &Module, settings: &Settings<'_>, session: &Session) -> Self {
        let mut module = original.clone();
        let (ran, burnt) = run_quietly(&mut module, settings.pipeline, session, settings.fuel, failed.number);
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            pipeline: Pipeline::from(failed.call.clone()).to_string(),
            failure: failed.to_string().lines().next().unwrap_or_default().into(),
            layers: settings.layers.clone(),
            fuel: settings.fuel.limit().map(|limit| limit - burnt),
            values: settings.watch.verify_each == VerifyEach::Values,
            random: settings.random.clone(),
            program: ran.map(|_| module).map_err(|e| chain(&e)),
        }
    }

    /// Writes the reproducer to `path`.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let module = self.program.as_ref().map_err(|e| CliError::input(e.clone()))?;
        program::write(module, &self.header(), path)
    }

    fn header(&self) -> String {
        let mut out = format!("; netc-reproducer: {}\n", self.version);
        out.push_str(&format!("; pipeline: {}\n; failure: {}\n", self.pipeline, self.failure));
        self.layers.iter().for_each(|path| out.push_str(&format!("; layers: {path}\n")));
        if let Some(fuel) = self.fuel {
            out.push_str(&format!("; fuel: {fuel}\n"));
        }
        if self.values {
            let RandomArgs { seed, batch } = self.random;
            out.push_str(&format!("; values: seed {seed}, batch {batch}\n"));
        }
        out
    }

    /// Reads the header of the reproducer at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|e| CliError::because(format!("cannot read `{shown}`"), e))?;
        let lines: Vec<(&str, &str)> = text
            .lines()
            .take_while(|l| l.starts_with(';'))
            .filter_map(|l| l.trim_start_matches("; ").split_once(": "))
            .collect();
        let find = |key: &str| lines.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_string());
        let need = |key: &str| {
            let missing = || format!("`{shown}` is not a reproducer: its header has no line `; {key}: ...`");
            find(key).ok_or_else(|| CliError::input(missing()))
        };
        let values = find("values");
        let number =
            |what: &str| values.as_deref()?.split(", ").find_map(|p| p.strip_prefix(what)?.trim().parse().ok());
        Ok(Self {
            version: need("netc-reproducer")?,
            pipeline: need("pipeline")?,
            failure: need("failure")?,
            layers: lines.iter().filter(|(k, _)| *k == "layers").map(|(_, v)| (*v).to_string()).collect(),
            fuel: find("fuel").and_then(|n| n.parse().ok()),
            values: values.is_some(),
            random: RandomArgs { seed: number("seed").unwrap_or(0), batch: number("batch").unwrap_or(1) },
            program: Err("only the header was read".into()),
        })
    }
}
