//! Costs of ops on this machine, measured by running them and cached.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use netc_data::Store;
use netc_ir::attr::F64;
use netc_ir::{Builder, CoreOp, Dim, FuncId, MAIN, Module, OpClass, OpKind, Type, Weight, WeightData, WeightId};
use netc_pass::{OpCosts, Operand};

use crate::error::Result;
use crate::host::Host;
use crate::inputs;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Minimum number of runs of an op and minimum total time. The shortest run counts.
const RUNS: usize = 5;
const LONG: Duration = Duration::from_millis(10);

/// Minimum number of pairs of runs when comparing two programs. Short programs get more.
const PAIRS: usize = 3;

/// Cost of an op that fails to run, in seconds: more than any op that runs.
const NEVER: f64 = 1e6;

/// Cost of an op on extents, in seconds.
const EXTENT: f64 = 1e-7;

/// Measures each op once per combination of operand types. The measurements can be kept in a file.
#[derive(Default)]
pub struct MeasuredCosts {
    file: Option<PathBuf>,
    /// Limits for the runs.
    host: Arc<Host>,
    /// Seconds by op and types; `None` until the file is read.
    known: RefCell<Option<BTreeMap<String, f64>>>,
    news: Cell<bool>,
}

impl MeasuredCosts {
    /// Costs cached in `file`, which need not exist. The file is read for the first cost; lines that are not costs are
    /// ignored.
    pub fn kept_in(file: PathBuf) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    /// Measures within the limits of `host`. Ops and programs beyond its limits cost more than any that run.
    #[must_use]
    pub fn on(self, host: Arc<Host>) -> Self {
        Self { host, ..self }
    }

    /// Writes new measurements to the file, if there are any.
    pub fn save(&self) -> io::Result<()> {
        let (Some(file), Some(known), true) = (&self.file, &*self.known.borrow(), self.news.get()) else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let lines: String = known.iter().map(|(op, seconds)| format!("{seconds:e}\t{op}\n")).collect();
        let temporary = file.with_extension(format!("{}.part", std::process::id()));
        fs::write(&temporary, lines)?;
        fs::rename(temporary, file)
    }

    fn read(&self) -> BTreeMap<String, f64> {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let entry = |line: &str| {
            let (seconds, op) = line.split_once('\t')?;
            Some((op.to_string(), seconds.parse().ok()?))
        };
        text.lines().filter_map(entry).collect()
    }
}

impl OpCosts for MeasuredCosts {
    fn seconds(&self, op: &CoreOp, operands: &[Operand<'_>], result: &Type) -> f64 {
        // Not measured: random operands make no meaningful extents, and these ops cost next to nothing.
        if op.class() == OpClass::Extent {
            return EXTENT;
        }
        let operands: Vec<(Type, bool)> = operands.iter().map(|o| (at_one(o.ty), o.constant)).collect();
        let op = fixed(op);
        let key = format!("{op:?} {operands:?}");
        let mut known = self.known.borrow_mut();
        let known = known.get_or_insert_with(|| self.read());
        *known.entry(key).or_insert_with(|| {
            self.news.set(true);
            measure(&self.host, op, &operands, &at_one(result)).unwrap_or(NEVER)
        })
    }

    fn compare(&self, before: &Module, after: &Module, func: FuncId) -> Option<f64> {
        let before = Trial::of(&self.host, before, func).ok()?;
        let after = Trial::of(&self.host, after, func);
        Some(after.and_then(|after| paired(&before, &after)).unwrap_or(f64::INFINITY))
    }
}

/// The type with 1 for every symbol.
fn at_one(ty: &Type) -> Type {
    ty.substitute(&|_| Some(Dim::Known(1)))
}

/// The op with 1 for every symbol.
fn fixed(op: &CoreOp) -> OpKind {
    let mut kind = OpKind::Core(op.clone());
    kind.substitute(&|_| Some(Dim::Known(1)));
    kind
}

/// Runs the op several times on random operands and returns the shortest time in seconds. The flag of an operand tells
/// whether it is constant.
fn measure(host: &Arc<Host>, op: OpKind, operands: &[(Type, bool)], result: &Type) -> Result<f64> {
    let mut module = Module::new();
    for (ty, _) in operands {
        let data = WeightData::Random { seed: 1, low: F64::new(-1.0), high: F64::new(1.0) };
        module.add_weight(Weight { name: "operand".into(), ty: ty.clone(), data });
    }
    let mut builder = Builder::new(&module, MAIN);
    let operand = |(i, (ty, constant)): (usize, &(Type, bool))| {
        if !constant {
            return builder.param(format!("x{i}"), ty.clone(), None);
        }
        let weight = builder.op(CoreOp::Weight(WeightId::new(i)), &[], [(ty.clone(), None)]);
        builder.results(weight)[0]
    };
    let operands: Vec<_> = operands.iter().enumerate().map(operand).collect();
    let op = builder.op(op, &operands, [(result.clone(), None)]);
    let output = builder.results(op)[0];
    let func = builder.finish([("y".into(), output)]);
    let main = module.add_func(func);
    let trial = Trial::of(host, &module, main)?;
    let mut shortest = f64::INFINITY;
    let (mut runs, start) = (0, Instant::now());
    while runs < RUNS || start.elapsed() < LONG {
        shortest = shortest.min(trial.seconds()?);
        runs += 1;
    }
    Ok(shortest)
}

/// A planned function with random inputs, ready to be timed.
struct Trial {
    plan: Plan,
    inputs: Vec<Tensor>,
}

impl Trial {
    /// Plans the function and runs it once to warm up.
    fn of(host: &Arc<Host>, module: &Module, func: FuncId) -> Result<Self> {
        let plan = Plan::on(host, module, func, &Store::open(module)?)?;
        plan.check(&inputs::random_types(&module[func], 1)?)?;
        let trial = Self { plan, inputs: inputs::random_inputs(&module[func], 1, 1)? };
        trial.seconds()?;
        Ok(trial)
    }

    fn seconds(&self) -> Result<f64> {
        self.plan.time(&self.inputs).map(|time| time.as_secs_f64())
    }
}

/// The median of the ratio `after` / `before` over pairs of runs. The two take turns at running first.
fn paired(before: &Trial, after: &Trial) -> Result<f64> {
    let (mut ratios, start) = (Vec::new(), Instant::now());
    while ratios.len() < PAIRS || ratios.len() % 2 == 0 || start.elapsed() < LONG * PAIRS as u32 {
        ratios.push(if ratios.len() % 2 == 0 {
            let first = before.seconds()?;
            after.seconds()? / first
        } else {
            after.seconds()? / before.seconds()?
        });
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios[ratios.len() / 2])
}

#[cfg(test)]
mod tests {
    use netc_ir::{Binary, ElemType};

    use super::*;

    #[test]
    fn larger_products_cost_more_and_costs_are_cached_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept/costs");
        let costs = MeasuredCosts::kept_in(file.clone());
        let cost = |costs: &MeasuredCosts, n: u64| {
            let ty = Type::fixed(ElemType::F32, &[n, n]);
            let operands = [false, true].map(|constant| Operand { ty: &ty, constant });
            costs.seconds(&CoreOp::MatMul, &operands, &ty)
        };
        let (small, large) = (cost(&costs, 8), cost(&costs, 256));
        assert!(small < large, "{small} {large}");
        costs.save().unwrap();
        let again = MeasuredCosts::kept_in(file.clone());
        assert_eq!((cost(&again, 8).to_bits(), cost(&again, 256).to_bits()), (small.to_bits(), large.to_bits()));
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 2);
    }

    #[test]
    fn programs_are_compared_by_running_them() {
        let program = |ops: &str| {
            let text = format!("netc 1\nfunc @main(%x: f32[N,100000]) -> (%y) {{ {ops} }}");
            netc_ir::parse(&text).unwrap()
        };
        let one = program("%y = exp(%x) : f32[N,100000]");
        let many: String = (1..20).map(|i| format!("%x{i} = exp(%x{}) : f32[N,100000]\n", i - 1)).collect();
        let many = program(&format!("{}%y = exp(%x19) : f32[N,100000]", many.replace("%x0)", "%x)")));
        let main = one.func_named(MAIN).unwrap();
        let costs = MeasuredCosts::default();
        let [more, less] = [(&one, &many), (&many, &one)].map(|(a, b)| costs.compare(a, b, main).unwrap());
        assert!(more > 2.0 && less < 0.5, "{more} {less}");
        let failing = program(
            "%c = constant() {value = 0} : i32[]  %d = div(%c, %c) : i32[]  %e = cast(%d) : f32[]
             %y = add(%x, %e) : f32[N,100000]",
        );
        assert_eq!(costs.compare(&failing, &one, main), None);
        assert_eq!(costs.compare(&one, &failing, main), Some(f64::INFINITY));
    }

    #[test]
    fn ops_that_fail_cost_more_than_any_op() {
        let types = [2, 3].map(|n| Type::fixed(ElemType::F32, &[n]));
        let operands = [0, 1].map(|i| Operand { ty: &types[i], constant: false });
        let cost = MeasuredCosts::default().seconds(&CoreOp::Binary(Binary::Add), &operands, &types[0]);
        assert!(cost >= NEVER);
    }
}
