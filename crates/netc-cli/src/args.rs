//! What the command line says.

mod examples;

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use netc_format::Formats;
use netc_model::Random;
use netc_pass::misspelt;

use crate::limits;

/// A compiler for neural-network graphs: reads a model, rewrites it with passes, proves that its values did not
/// change, writes it back.
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
    /// List the places where one tensor separates a model in two
    Cuts(CutsArgs),
    /// List the layers of a model with shapes, parameters and connections
    Inspect(InspectArgs),
    /// List the layers that depend on a layer, or that it depends on
    Layers(LayersArgs),
    /// Run a model on inputs from .npy files
    Run(RunArgs),
    /// Compare the outputs of two models, or of a model and a chain of stages
    Diff(DiffArgs),
    /// Make one model of a chain of stages
    Merge(MergeArgs),
    /// List the passes and pipelines, or show one of them
    Passes(PassesArgs),
    /// Find the first pass, and in it the first rewrite, that makes a model wrong
    Bisect(BisectArgs),
    /// Make a model as small as it can be while a failure is still there
    Reduce(ReduceArgs),
    /// Run again what failed: a reproducer that netc wrote
    Repro(ReproArgs),
    /// List the built-in architectures
    Zoo,
    /// Make a random program or model: the same seed gives the same bytes
    #[command(after_help = examples::of_gen())]
    Gen(GenArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// The command line, with what the tables add to its help: the formats that are read and written.
pub(crate) fn command(formats: &Formats) -> clap::Command {
    let mut read: Vec<String> = Vec::new();
    for format in formats.all().filter(|format| format.reader.is_some()) {
        read.extend(format.extensions.first().map(|extension| format!(".{extension}")));
    }
    let help = format!("A model ({}), a folder of stages, zoo:NAME, or - for a program on stdin", read.join(", "));
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

/// The subcommand that was meant by a word, where that is none and no file.
pub(crate) fn misspelt_command(word: &str) -> Option<String> {
    let command = Cli::command();
    let meant = misspelt(word, command.get_subcommands().map(clap::Command::get_name));
    meant.filter(|_| !Path::new(word).exists()).map(str::to_string)
}

/// The help of every INPUT, without the formats.
const MODEL_HELP: &str = "A model file, a folder of stages, zoo:NAME, or - for a program on stdin";

#[derive(Args)]
pub(crate) struct CompileArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) passes: PassesToRun,
    /// Where to write: a folder for the stages of a split or for `--format tfjs`, or a file x.keras, x.h5, x.json (without
    /// weights) or x.nir
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// What the stages of a split are written as; keras unless given. Of a whole model only `tfjs` is said by this
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Replace stages that changed since netc wrote them, and files in the folder that no split wrote
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave out the compile configuration and the optimizer's state, as passes do
    #[arg(long)]
    pub(crate) no_optimizer: bool,
    /// Run the model before and after the passes on N random inputs and compare: bit for bit, or where a pass may round
    /// differently within a bound
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) verify: Option<u64>,
    #[command(flatten)]
    pub(crate) random: RandomArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
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
    /// A pass to run, for example split=mixed9; repeat it for more, in order (see `netc passes`)
    #[arg(long = "pass", value_name = "PASS")]
    pub(crate) passes: Vec<String>,
    /// Passes with commas between them, for example 'lower,fix{max=4}(cse,dce)'; @name is a pipeline with a name
    #[arg(long, value_name = "PIPELINE", conflicts_with = "passes")]
    pub(crate) pipeline: Option<String>,
    /// Do no more than N single rewrites
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Print the program before each run of a pass, on standard error; may be repeated
    #[arg(long, value_name = "PASS")]
    pub(crate) print_ir_before: Vec<String>,
    /// Print the program after each run of a pass; may be repeated
    #[arg(long, value_name = "PASS")]
    pub(crate) print_ir_after: Vec<String>,
    /// Print the program after every pass
    #[arg(long)]
    pub(crate) print_ir_after_all: bool,
    /// Print the program after every pass that changed it
    #[arg(long)]
    pub(crate) print_ir_after_change: bool,
    /// Print whole programs, or what differs from the one before
    #[arg(long, value_enum, default_value_t = PrintIr::Full)]
    pub(crate) print_ir: PrintIr,
    /// Write the programs to numbered files in a folder instead of standard error
    #[arg(long, value_name = "DIR")]
    pub(crate) print_ir_dir: Option<PathBuf>,
    /// Print how long each pass took, on standard error
    #[arg(long)]
    pub(crate) timing: bool,
    /// Print what each pass did, on standard error
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) stats: Option<Stats>,
    /// What to check after each pass: the rules of the IR, or also the values that the program computes
    #[arg(long, value_enum, default_value_t = VerifyEach::Structure)]
    pub(crate) verify_each: VerifyEach,
    /// Where to write the program and the pass if a pass has a bug (see `netc repro`)
    #[arg(long, value_name = "FILE", default_value = "netc-reproducer.nir")]
    pub(crate) reproducer: PathBuf,
}

/// What is printed of a program.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintIr {
    /// All of it
    Full,
    /// What differs from the one before, as a unified diff
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
    /// The rules, and the values: the program runs before and after each pass
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
    /// Where to write the smallest program that shows the failure
    #[arg(short, long, value_name = "FILE.nir")]
    pub(crate) output: PathBuf,
    /// How often to try a program before it counts as good; found out by itself where the failure comes and goes
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
    /// A shell command that EXITS WITH 0 WHEN THE FAILURE IS THERE; it gets the path of the rewritten program (.nir) as
    /// its last argument. Without it, the failure is a pass that panics, breaks the rules of the IR or changes values
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check: Option<String>,
}

#[derive(Args)]
pub(crate) struct ReproArgs {
    /// A file that netc wrote when a pass failed
    pub(crate) file: PathBuf,
    /// A folder in which files that it names may be, besides its own; may be repeated
    #[arg(long = "allow-path", value_name = "DIR")]
    pub(crate) allowed: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,
}

#[derive(Args)]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) library: LayerArgs,
    /// A file with the weights of the model, in place of its own: .weights.h5, the .weights.json of several,
    /// .h5 or .keras
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct LayerArgs {
    /// A .nir file that gives layers a meaning, as functions named after their classes; may be repeated
    #[arg(long = "layers", value_name = "FILE")]
    pub(crate) layers: Vec<PathBuf>,
    /// A folder in which files that a model names may be, besides the model's own; may be repeated
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
    /// The inputs that are asked for.
    pub(crate) fn random(&self) -> Random {
        Random { seed: self.seed, batch: self.batch }
    }
}

/// What running a model may take.
#[derive(Args, Clone)]
pub(crate) struct LimitArgs {
    /// Refuse to run a model that needs more memory, for example 8GB; unless given, 90 % of the memory that is free
    #[arg(long, value_name = "SIZE", value_parser = limits::size)]
    pub(crate) max_memory: Option<u64>,
    /// Refuse to run a model that takes more steps; a step is an op, or 100 million multiply-accumulates of one. Unless
    /// given, 100,000 and 16 for each op
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// A report for people
    Report,
    /// The program as .nir text
    Ir,
    /// The report as JSON: the manifest, where the model was split
    Json,
    /// The graph of @main in Graphviz's language
    Dot,
}

#[derive(Args)]
pub(crate) struct CutsArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// The order of the list
    #[arg(long, value_enum, default_value_t = CutOrder::Order)]
    pub(crate) sort: CutOrder,
    /// List the first N alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) top: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CutOrder {
    /// As in the model
    Order,
    /// The smallest tensor first
    Bytes,
    /// The most even multiply-accumulates before and after first; parameters where those are not known
    Balance,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    #[arg(help = MODEL_HELP)]
    pub(crate) input: String,
    /// Show this layer alone; if it is a nested model, the layers in it: backbone, backbone/block1
    #[arg(value_name = "LAYER")]
    pub(crate) layer: Option<String>,
    /// Show the layers of nested models too, as `summary(expand_nested=True)` does
    #[arg(long)]
    pub(crate) nested: bool,
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
    /// The layer and all that depend on it; a layer of a nested model is named by its path, as in backbone/conv1
    #[arg(long, value_name = "LAYER", group = "side")]
    pub(crate) above: Option<String>,
    /// The layer and all that it depends on
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
    /// A .npy file for the only input, or NAME=FILE for an input by name; without any, random inputs
    #[arg(long = "input", value_name = "[NAME=]FILE", conflicts_with_all = ["seed", "batch"])]
    pub(crate) inputs: Vec<String>,
    /// Where to write the outputs: x.npz with output names as keys, or x.npy for the only output
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
    #[arg(help = "The second model: the reference of relative differences")]
    pub(crate) b: String,
    /// The number of random inputs to compare on
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) inputs: u64,
    /// Pass if |a - b| is at most this part of the largest |b| of each output; 0 asks for equal bits
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
    number.ok_or_else(|| "expected a number that is not negative, as in 1e-4".into())
}

#[derive(Args)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(Args)]
pub(crate) struct PassesArgs {
    /// Print the full help of one pass, or what a pipeline @NAME stands for
    pub(crate) name: Option<String>,
}

#[derive(Args)]
pub(crate) struct GenArgs {
    /// The seed
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// About how many ops or layers
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32))]
    pub(crate) ops: u32,
    /// What it may have, joined by commas; unless given, all that runs and that Keras loads. Models of layers have some of
    /// them
    #[arg(long, value_name = "NAMES")]
    pub(crate) features: Option<String>,
    /// What it is made of; layers for a .keras or .h5 file, else core ops
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
    /// Where to write: x.nir, x.keras or x.h5; without it, the program is printed
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Tensor operations with exact meaning
    Core,
    /// Keras layers
    Layers,
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
