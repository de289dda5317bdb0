//! `netc bisect MODEL --pipeline P`: finds the first pass, and its first rewrite, that breaks a model.

use netc_ir::{Module, print};
use netc_pass::Fuel;

use crate::args::BisectArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::judge::{Extent, Judge, Judgement};
use crate::pipeline::{self, print_ir};
use crate::text;

pub(crate) fn run(args: &BisectArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, Some(&args.limits))?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?;
    model.check_weights()?;
    let pipeline = pipeline::parse(&args.passes)?;
    let judge =
        Judge { pipeline: &pipeline, session: &session, random: &args.random, check: args.check.check.as_deref() };
    let mut bisection = Bisection { judge: &judge, module: &model.module, runs: 0 };
    text::print(&bisection.report(pipeline::fuel(&args.passes))?)
}

/// A binary search over the passes and rewrites of a pipeline. It assumes that a broken program stays broken.
struct Bisection<'a> {
    judge: &'a Judge<'a>,
    module: &'a Module,
    runs: usize,
}

impl Bisection<'_> {
    fn run(&mut self, passes: usize, fuel: Fuel) -> Result<Judgement> {
        self.runs += 1;
        self.judge.judge(self.module, Extent { passes, fuel })
    }

    fn report(&mut self, fuel: Fuel) -> Result<String> {
        let whole = self.run(usize::MAX, fuel)?;
        let Some(wrong) = &whole.wrong else {
            self.judge.compares(self.module)?;
            return Err(CliError::input(format!(
                "there is no failure to bisect after {} and {}",
                text::count_of(whole.passes.len(), "pass", "passes"),
                text::count(usize::try_from(whole.rewrites).unwrap_or(usize::MAX), "rewrite"),
            )));
        };
        if self.run(0, fuel)?.wrong.is_some() {
            return Err(CliError::input("the model fails before any pass runs"));
        }
        let guilty = self.first(1, whole.passes.len() as u64, |search, n| {
            Ok(search.run(usize::try_from(n).unwrap_or(usize::MAX), fuel)?.wrong.is_some())
        })? as usize;
        let (pass, start) = &whole.passes[guilty - 1];
        let end = whole.passes.get(guilty).map_or(whole.rewrites, |(_, start)| *start);
        let mut out = format!(
            "failure   {}\npass      {pass} (number {guilty} of {})\n",
            wrong.to_string().trim_end(),
            whole.passes.len()
        );
        out.push_str(&self.rewrite(guilty, *start, end)?);
        out.push_str(&format!("runs      {}\n", self.runs));
        Ok(out)
    }

    /// Finds the first bad rewrite of pass number `guilty`, which does the rewrites from `start` to `end`.
    fn rewrite(&mut self, guilty: usize, start: u64, end: u64) -> Result<String> {
        let wrong = |search: &mut Self, n| Ok(search.run(guilty, Fuel::of(n))?.wrong.is_some());
        if start == end || wrong(self, start)? {
            return Ok("rewrite   unknown: the pass does not count its rewrites\n".into());
        }
        let first = self.first(start + 1, end, wrong)?;
        let (before, after) = (self.run(guilty, Fuel::of(first - 1))?, self.run(guilty, Fuel::of(first))?);
        let mut out = format!("rewrite   {} of {} (--fuel {first})\n", first - start, end - start);
        if let (Some(before), Some(after)) = (&before.module, &after.module) {
            out.push_str(&print_ir::diff(&print(before), &print(after)));
        }
        Ok(out)
    }

    /// The first of `low..=high` for which `wrong` holds. It holds for `high`.
    fn first(&mut self, mut low: u64, mut high: u64, wrong: impl Fn(&mut Self, u64) -> Result<bool>) -> Result<u64> {
        while low < high {
            let middle = low + (high - low) / 2;
            if wrong(self, middle)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}
