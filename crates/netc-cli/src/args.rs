//! The command line: subcommands, options and their help.

mod examples;

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use netc_format::Formats;
use netc_model::Random;
use netc_pass::misspelt;

use crate::limits;

/// Split, convert and rewrite neural-network models, and check that their outputs do not change
#[derive(Parser)]
#[command(name = "netc", version, after_help = examples::NETC, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the places to cut a model where a single tensor crosses
    Cuts(CutsArgs),
    /// List the layers of a model with their shapes, parameters and inputs
    Inspect(InspectArgs),
    /// List the layers after a layer, or those before it
    Layers(LayersArgs),
    /// Run a model on inputs from .npy files, or on random inputs
    Run(RunArgs),
    /// Compare the outputs of two models, or of a model and its stages
    Diff(DiffArgs),
    /// Merge the stages of a split into one model
    Merge(MergeArgs),
    /// List the passes and pipelines, or describe one of them
    Passes(PassesArgs),
    /// Find the first pass, and its first rewrite, that breaks a model
    Bisect(BisectArgs),
    /// Shrink a model while a failure persists
    Reduce(ReduceArgs),
    /// Rerun a failed pass from the reproducer that netc wrote
    Repro(ReproArgs),
    /// List the built-in models
    Zoo,
    /// Generate a random program or model; the same seed gives the same bytes
    #[command(after_help = examples::of_gen())]
    Gen(GenArgs),
    /// Print a completion script for your shell
    Completions(CompletionsArgs),
}

/// The command line, with the formats of the table in its help.
pub(crate) fn command(formats: &Formats) -> clap::Command {
    let mut read: Vec<String> = Vec::new();
    for format in formats.all().filter(|format| format.reader.is_some()) {
        read.extend(format.extensions.first().map(|extension| format!(".{extension}")));
    }
    let help =
        format!("A model file ({}), a folder of stages, zoo:NAME, or - to read a program from stdin", read.join(", "));
    let written = formats.of_models().map(|format| PossibleValue::new(format.name).help(format.help));
    let written = PossibleValuesParser::new(written);
    let with_tables = |command: clap::Command| {
        let command = command.mut_args(|arg| match (arg.get_id().as_str(), arg.get_help().map(ToString::to_string)) {
            ("input", Some(old)) if old == MODEL_HELP => arg.help(help.clone()),
            ("format", _) => arg.value_parser(written.clone()),
            _ => arg,
        });
        // A negative number is a value out of range, not another argument.
        let takes_value = |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
        command.mut_args(|arg| if takes_value(&arg) { arg.allow_negative_numbers(true) } else { arg })
    };
    with_tables(Cli::command()).mut_subcommands(with_tables)
}

/// The subcommand that a misspelt word is closest to, unless the word is a file.
pub(crate) fn misspelt_command(word: &str) -> Option<String> {
    let command = Cli::command();
    let meant = misspelt(word, command.get_subcommands().map(clap::Command::get_name));
    meant.filter(|_| !Path::new(word).exists()).map(str::to_string)
}

/// The help of every INPUT, without the formats.
const MODEL_HELP: &str = "A model file, a folder of stages, zoo:NAME, or - to read a program from stdin";

#[derive(Args)]
pub(crate) struct CompileArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) passes: PassesToRun,
    /// The output: a folder for stages and for `--format tfjs`; otherwise a file x.keras, x.h5, x.nir, or x.json (which has
    /// no weights)
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// The format of the stages; by default keras. For an unsplit model the extension of `-o` decides the format: use
    /// `--format` only for h5-keras2 and tfjs
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Overwrite files that netc did not write, and stages that changed since netc wrote them
    #[arg(long)]
    pub(crate) force: bool,
    /// Drop the training state (compile configuration and optimizer), as every pass does
    #[arg(long)]
    pub(crate) no_optimizer: bool,
    /// Run the model before and after the passes on N random inputs (default 1) and compare the outputs: bit for bit, or
    /// within a rounding bound if a pass changes the rounding
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) verify: Option<u64>,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Write exact numbers in the report
    #[arg(long)]
    pub(crate) long: bool,
    /// What to print on standard output
    #[arg(long, value_enum, default_value_t = Emit::Report)]
    pub(crate) emit: Emit,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
    #[command(flatten, next_help_heading = "Looking into pipelines")]
    pub(crate) watch: WatchArgs,
}

#[derive(Args)]
pub(crate) struct PassesToRun {
    /// A pass to run, such as split=mixed9. Repeat it to run several, in order (see `netc passes`)
    #[arg(long = "pass", value_name = "PASS")]
    pub(crate) passes: Vec<String>,
    /// Passes separated by commas, such as 'lower,fix{max=4}(cse,dce)', or a named pipeline, such as @simplify
    #[arg(long, value_name = "PIPELINE", conflicts_with = "passes")]
    pub(crate) pipeline: Option<String>,
    /// Stop after N rewrites
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Print the program to standard error before each run of this pass. May be repeated
    #[arg(long, value_name = "PASS")]
    pub(crate) print_ir_before: Vec<String>,
    /// Print the program after each run of this pass. May be repeated
    #[arg(long, value_name = "PASS")]
    pub(crate) print_ir_after: Vec<String>,
    /// Print the program after every pass
    #[arg(long)]
    pub(crate) print_ir_after_all: bool,
    /// Print the program after every pass that changed it
    #[arg(long)]
    pub(crate) print_ir_after_change: bool,
    /// Print whole programs, or the difference from the previous one
    #[arg(long, value_enum, default_value_t = PrintIr::Full)]
    pub(crate) print_ir: PrintIr,
    /// Write the programs to numbered files in this folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) print_ir_dir: Option<PathBuf>,
    /// Print the time that each pass took to standard error
    #[arg(long)]
    pub(crate) timing: bool,
    /// Print the statistics of each pass to standard error
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) stats: Option<Stats>,
    /// What to check after each pass: the rules of the IR, or also the outputs of the program
    #[arg(long, value_enum, default_value_t = VerifyEach::Structure)]
    pub(crate) verify_each: VerifyEach,
    /// Where to write a reproducer if a pass has a bug (see `netc repro`)
    #[arg(long, value_name = "FILE", default_value = "netc-reproducer.nir")]
    pub(crate) reproducer: PathBuf,
}

/// How `--print-ir-…` prints a program.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintIr {
    /// The whole program
    Full,
    /// A unified diff from the previous program
    Diff,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stats {
    /// A table
    Text,
    /// JSON
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyEach {
    /// The rules of the IR
    Structure,
    /// The rules, and the outputs: run the program before and after each pass
    Values,
}

#[derive(Args)]
pub(crate) struct BisectArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    #[command(flatten)]
    pub(crate) passes: PassesToRun,
    #[command(flatten)]
    pub(crate) check: CheckArgs,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

#[derive(Args)]
pub(crate) struct ReduceArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    #[command(flatten)]
    pub(crate) passes: PassesToRun,
    #[command(flatten)]
    pub(crate) check: CheckArgs,
    /// Where to write the smallest program that still fails
    #[arg(short, long, value_name = "FILE.nir")]
    pub(crate) output: PathBuf,
    /// Runs without a failure before a program counts as good. By default netc measures how often the failure occurs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: Option<u32>,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// A shell command that EXITS WITH 0 IF THE FAILURE OCCURS. Its last argument is the path of the rewritten program
    /// (.nir). By default a failure is a pass that panics, breaks the rules of the IR, or changes the outputs
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check: Option<String>,
}

#[derive(Args)]
pub(crate) struct ReproArgs {
    /// The reproducer that netc wrote when a pass failed
    pub(crate) file: PathBuf,
    /// Allow the reproducer to name files in this folder, not only in its own. May be repeated
    #[arg(long = "allow-path", value_name = "DIR")]
    pub(crate) allowed: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

#[derive(Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) library: LayerArgs,
    /// Read the weights from this file instead: .weights.h5, the .weights.json of a sharded set, .h5 or .keras
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct LayerArgs {
    /// A .nir file with functions that define layers, named after the layer classes. May be repeated
    #[arg(long = "layers", value_name = "FILE")]
    pub(crate) layers: Vec<PathBuf>,
    /// Allow the model to name files in this folder, not only in its own. May be repeated
    #[arg(long = "allow-path", value_name = "DIR")]
    pub(crate) allowed: Vec<PathBuf>,
}

#[derive(Args, Clone)]
pub(crate) struct RandomArgs {
    /// The seed of random inputs
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Examples in each random input
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
}

impl RandomArgs {
    /// The seed and batch size of random inputs.
    pub(crate) fn random(&self) -> Random {
        Random { seed: self.seed, batch: self.batch }
    }
}

/// Limits on running a model.
#[derive(Args, Clone)]
pub(crate) struct LimitArgs {
    /// Refuse to run a model that needs more memory, such as 8GB; by default 90 % of the free memory
    #[arg(long, value_name = "SIZE", value_parser = limits::size)]
    pub(crate) max_memory: Option<u64>,
    /// Refuse to run a model that takes more steps: one per op, plus one per 100 million multiply-accumulates. By default
    /// 100,000 plus 16 per op
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// A text report
    Report,
    /// The program as .nir text
    Ir,
    /// The report as JSON; for a split, the manifest
    Json,
    /// The graph of @main for Graphviz
    Dot,
}

#[derive(Args)]
pub(crate) struct CutsArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// How to sort the list
    #[arg(long, value_enum, default_value_t = CutOrder::Order)]
    pub(crate) sort: CutOrder,
    /// List only the first N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) top: Option<u64>,
    /// Print exact numbers
    #[arg(long)]
    pub(crate) long: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CutOrder {
    /// In model order
    Order,
    /// The smallest tensor first
    Bytes,
    /// The most balanced cut first: by multiply-accumulates, or by parameters if those are unknown
    Balance,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// Show only this layer, such as backbone/block1; for a nested model, its layers
    #[arg(value_name = "LAYER")]
    pub(crate) layer: Option<String>,
    /// Show the layers of nested models too, as `summary(expand_nested=True)` does
    #[arg(long)]
    pub(crate) nested: bool,
    /// Print exact numbers
    #[arg(long)]
    pub(crate) long: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Args)]
#[command(group = ArgGroup::new("side").required(true).multiple(false))]
pub(crate) struct LayersArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// List this layer and all layers that depend on it. Name a nested layer by its path: backbone/conv1
    #[arg(long, value_name = "LAYER", group = "side")]
    pub(crate) above: Option<String>,
    /// List this layer and all layers that it depends on
    #[arg(long, value_name = "LAYER", group = "side")]
    pub(crate) below: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// A .npy file for a single input, or NAME=FILE. Without this option the inputs are random
    #[arg(long = "input", value_name = "[NAME=]FILE", conflicts_with_all = ["seed", "batch"])]
    pub(crate) inputs: Vec<String>,
    /// Where to write the outputs: x.npz, keyed by output name, or x.npy for a single output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    #[arg(help = "The first model")]
    pub(crate) a: String,
    #[arg(help = "The second model; differences are relative to its outputs")]
    pub(crate) b: String,
    /// Compare on this many random inputs
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) inputs: u64,
    /// Accept |a - b| up to R times the largest |b| of each output; 0 requires equal bits
    #[arg(long, default_value_t = 0.0, value_name = "R", value_parser = tolerance, allow_negative_numbers = true)]
    pub(crate) tolerance: f64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: LayerArgs,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|r: &f64| r.is_finite() && *r >= 0.0);
    number.ok_or_else(|| "expected a number from 0 up, such as 1e-4".into())
}

#[derive(Args)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(Args)]
pub(crate) struct PassesArgs {
    /// A pass, or a pipeline @NAME, to describe
    pub(crate) name: Option<String>,
}

#[derive(Args)]
pub(crate) struct GenArgs {
    /// The seed of the generator
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The approximate number of ops or layers
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32))]
    pub(crate) ops: u32,
    /// Features to use, separated by commas; by default every feature that runs and that Keras can load
    #[arg(long, value_name = "NAMES")]
    pub(crate) features: Option<String>,
    /// Generate core ops or layers; by default layers for a .keras or .h5 file, otherwise core ops
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
    /// Where to write: x.nir, x.keras or x.h5. By default netc prints the program
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Core ops of the IR
    Core,
    /// Keras layers
    Layers,
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
