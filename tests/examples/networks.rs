//! What a pipeline makes of networks: `cargo run --release --workspace --example networks [--then PIPELINE] [NETWORK...]`.
//!
//! A network is a name or a model file. For each, what `@simplify` leaves and what the pipeline makes of that, `saturate{costs=measured},@simplify`
//! unless another is given, are run one after the other, several times, at batch 1: the table has the medians, and their
//! ratio.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use netc_data::Store;
use netc_exec::{Consts, MeasuredCosts, Plan, Tensor, inputs};
use netc_ir::{MAIN, Module};
use netc_pass::{Context, Manager, Pipeline};

/// Pairs of runs.
const PAIRS: usize = 9;

/// The networks that optimisers of tensor graphs are measured on.
const NETWORKS: &[&str] = &["nasrnn", "bert", "resnext50", "nasnet_a", "squeezenet", "vgg19", "inception_v3"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut asked: Vec<String> = std::env::args().skip(1).collect();
    let mut then = String::from("saturate{costs=measured},@simplify");
    if let Some(flag) = asked.iter().position(|a| a == "--then") {
        asked.remove(flag);
        then = if flag < asked.len() { asked.remove(flag) } else { return Err("--then needs a pipeline".into()) };
    }
    let costs = MeasuredCosts::default();
    println!("| network | cost before | cost after | run before | run after | ratio | optimised in | e-graph |");
    println!("|---|--:|--:|--:|--:|--:|--:|---|");
    let all: Vec<String> = NETWORKS.iter().map(|name| (*name).into()).collect();
    for name in if asked.is_empty() { all } else { asked } {
        measure(&name, &network(&name)?, &then, &costs)?;
    }
    Ok(())
}

fn network(name: &str) -> Result<Module, Box<dyn Error>> {
    match netc_zoo::find(name) {
        Some(model) => Ok((model.build)(0)?),
        None => Ok(netc_keras::read(Path::new(name), &netc_testgen::dialects())?.module),
    }
}

fn measure(name: &str, model: &Module, then: &str, costs: &MeasuredCosts) -> Result<(), Box<dyn Error>> {
    let simple = optimised(model, "@simplify", costs)?.0;
    // Once more, for the time without measuring ops.
    optimised(&simple, then, costs)?;
    let start = Instant::now();
    let (fast, remarks) = optimised(&simple, then, costs)?;
    let seconds = start.elapsed().as_secs_f64();
    let (before, after) = paired(&simple, &fast)?;
    let graph = remarks.iter().map(|r| r.as_str()).filter(|r| r.contains("nodes")).collect::<Vec<_>>().join("; ");
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {:.3} | {seconds:.2} s | {graph} |",
        before * 1e3,
        after * 1e3,
        after / before
    );
    Ok(())
}

/// What the pipeline makes of the model, and what it has to say.
fn optimised(model: &Module, text: &str, costs: &MeasuredCosts) -> Result<(Module, Vec<String>), Box<dyn Error>> {
    let (dialects, registry) = (netc_testgen::dialects(), netc_passes::registry());
    let mut module = model.clone();
    let mut context = Context::new(&dialects).with_consts(&Consts).with_costs(costs);
    let pipeline: Pipeline = text.parse()?;
    Manager::new(&registry).run(&mut module, &pipeline, &mut context).map_err(|e| e.to_string())?;
    Ok((module, context.remarks.iter().map(ToString::to_string).collect()))
}

/// The medians of the seconds of runs, which take turns.
fn paired(a: &Module, b: &Module) -> Result<(f64, f64), Box<dyn Error>> {
    let (a, b) = (Ready::of(a)?, Ready::of(b)?);
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..=PAIRS {
        times.0.push(a.seconds()?);
        times.1.push(b.seconds()?);
    }
    let median = |mut times: Vec<f64>| {
        // The first run warms up.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok((median(times.0), median(times.1)))
}

/// A network with inputs.
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
