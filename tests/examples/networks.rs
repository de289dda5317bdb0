//! Measures the speedup of a pipeline: `cargo run --release --example networks [--then PIPELINE] [NETWORK...]`.
//!
//! A network is a name or a model file. Each is simplified with `@simplify` and then run before and after the pipeline
//! (default: `saturate{costs=measured},@simplify`), in pairs, at batch 1. The two of a pair take turns at running
//! first. The table has the median times, and the median and quartiles of the ratios of the pairs.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use netc_data::Store;
use netc_exec::{Consts, MeasuredCosts, Plan, Tensor, inputs};
use netc_ir::{MAIN, Module};
use netc_pass::{Context, Manager, Pipeline};

/// Minimum number of pairs, and minimum time of all pairs. The number of pairs is odd.
const PAIRS: usize = 15;
const SECONDS: f64 = 8.0;

/// Networks commonly used to benchmark optimisers of tensor graphs.
const NETWORKS: &[&str] = &["nasrnn", "bert", "resnext50", "nasnet_a", "squeezenet", "vgg19", "inception_v3"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut asked: Vec<String> = std::env::args().skip(1).collect();
    let mut then = String::from("saturate{costs=measured},@simplify");
    if let Some(flag) = asked.iter().position(|a| a == "--then") {
        asked.remove(flag);
        then = if flag < asked.len() { asked.remove(flag) } else { return Err("--then needs a pipeline".into()) };
    }
    let costs = MeasuredCosts::default();
    println!("| network | run before | run after | ratio | quartiles | optimised in | e-graph |");
    println!("|---|--:|--:|--:|--:|--:|---|");
    let all: Vec<String> = NETWORKS.iter().map(|name| (*name).into()).collect();
    for name in if asked.is_empty() { all } else { asked } {
        measure(&name, &network(&name)?, &then, &costs)?;
    }
    Ok(())
}

fn network(name: &str) -> Result<Module, Box<dyn Error>> {
    match netc_zoo::find(name) {
        Some(model) => Ok((model.build)(0)?),
        None => Ok(netc_keras::read(Path::new(name), &netc_keras_testgen::dialects())?.module),
    }
}

fn measure(name: &str, model: &Module, then: &str, costs: &MeasuredCosts) -> Result<(), Box<dyn Error>> {
    let simple = optimised(model, "@simplify", costs)?.0;
    // Warm the cache of costs, so that the measured time does not include measuring ops.
    optimised(&simple, then, costs)?;
    let start = Instant::now();
    let (fast, remarks) = optimised(&simple, then, costs)?;
    let seconds = start.elapsed().as_secs_f64();
    let Pairs { before, after, ratios: [low, ratio, high] } = paired(&simple, &fast)?;
    let graph = remarks.iter().map(|r| r.as_str()).filter(|r| r.starts_with("saturate")).collect::<Vec<_>>().join("; ");
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {ratio:.3} | {low:.3}-{high:.3} | {seconds:.2} s | {graph} |",
        before * 1e3,
        after * 1e3,
    );
    Ok(())
}

/// Runs the pipeline on the model. Returns the result and the remarks.
fn optimised(model: &Module, text: &str, costs: &MeasuredCosts) -> Result<(Module, Vec<String>), Box<dyn Error>> {
    let (dialects, registry) = (netc_keras_testgen::dialects(), netc_passes::registry());
    let mut module = model.clone();
    let mut context = Context::new(&dialects).with_consts(&Consts).with_costs(costs);
    let pipeline: Pipeline = text.parse()?;
    Manager::new(&registry).run(&mut module, &pipeline, &mut context).map_err(|e| netc_pass::chain(&e))?;
    Ok((module, context.remarks.iter().map(ToString::to_string).collect()))
}

/// The times of pairs of runs.
struct Pairs {
    /// Median seconds.
    before: f64,
    after: f64,
    /// The quartiles of the ratios `after / before`.
    ratios: [f64; 3],
}

fn paired(before: &Module, after: &Module) -> Result<Pairs, Box<dyn Error>> {
    let (before, after) = (Ready::of(before)?, Ready::of(after)?);
    // Warm up.
    before.seconds()?;
    after.seconds()?;
    let (mut pairs, start) = (Vec::new(), Instant::now());
    while pairs.len() < PAIRS || pairs.len() % 2 == 0 || start.elapsed().as_secs_f64() < SECONDS {
        pairs.push(if pairs.len() % 2 == 0 {
            (before.seconds()?, after.seconds()?)
        } else {
            let second = after.seconds()?;
            (before.seconds()?, second)
        });
    }
    let quartile = |of: fn(&(f64, f64)) -> f64, part: usize| {
        let mut numbers: Vec<f64> = pairs.iter().map(of).collect();
        numbers.sort_by(f64::total_cmp);
        numbers[(numbers.len() - 1) * part / 4]
    };
    let ratios = [1, 2, 3].map(|part| quartile(|pair| pair.1 / pair.0, part));
    Ok(Pairs { before: quartile(|pair| pair.0, 2), after: quartile(|pair| pair.1, 2), ratios })
}

/// A planned network with inputs.
struct Ready {
    plan: Plan,
    inputs: Vec<Tensor>,
}

impl Ready {
    fn of(module: &Module) -> Result<Self, Box<dyn Error>> {
        let main = module.func_named(MAIN).ok_or("there is no @main")?;
        let store = Store::open(module)?;
        let plan = Plan::new(module, main, &store)?;
        Ok(Self { plan, inputs: inputs::random_inputs(&module[main], 1, 1)? })
    }

    fn seconds(&self) -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        self.plan.run(&self.inputs)?;
        Ok(start.elapsed().as_secs_f64())
    }
}
