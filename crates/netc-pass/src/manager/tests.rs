//! Tests of pipelines, with passes made for the purpose.

use netc_dialect::Dialects;
use netc_ir::{CoreOp, OpKind, Unary, parse, print};

use super::*;
use crate::context::Fuel;
use crate::pass::PassInfo;
use crate::pass::{OptionInfo, OptionKind};
use crate::registry::NamedPipeline;

const PROGRAM: &str = "netc 1
func @main(%x: f32[4]) -> (%c) {
  %a = neg(%x) : f32[4]
  %b = neg(%a) : f32[4]
  %c = neg(%b) : f32[4]
}
";

/// Turns the first `limit` ops that are `neg` into `abs`.
struct NegToAbs {
    limit: u64,
}

impl Pass for NegToAbs {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        let mut left = self.limit;
        for func in &mut module.funcs {
            for op in func.op_ids().collect::<Vec<_>>() {
                let fits = func[op].kind == OpKind::Core(CoreOp::Unary(Unary::Neg));
                if fits && left > 0 && context.rewrite() {
                    left -= 1;
                    func.set_kind(op, CoreOp::Unary(Unary::Abs));
                    context.count("negations", 1);
                }
            }
        }
        Ok(())
    }
}

const NEG: PassInfo = PassInfo {
    name: "neg",
    summary: "",
    help: "",
    fidelity: Fidelity::Rounding,
    options: &[OptionInfo { name: "limit", kind: OptionKind::Count { default: 100 }, help: "" }],
    build: |options| Ok(Box::new(NegToAbs { limit: options.count("limit") })),
};

/// Turns the first op into `neg`, or into `abs` if it is `neg` already.
struct Swing;

impl Pass for Swing {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        let func = &mut module.funcs[0];
        let first = func.op_ids().next().unwrap();
        let is_neg = func[first].kind == OpKind::Core(CoreOp::Unary(Unary::Neg));
        if context.rewrite() {
            func.set_kind(first, CoreOp::Unary(if is_neg { Unary::Abs } else { Unary::Neg }));
        }
        Ok(())
    }
}

const SWING: PassInfo = PassInfo {
    name: "swing",
    summary: "",
    help: "",
    fidelity: Fidelity::Rounding,
    options: &[],
    build: |_| Ok(Box::new(Swing)),
};

/// Fails as its option says.
struct Fail(String);

impl Pass for Fail {
    fn run(&self, module: &mut Module, _: &mut Context<'_>) -> Result<(), PassError> {
        match self.0.as_str() {
            "error" => return Err(PassError::new("no")),
            "panic" => panic!("oh {}", "dear"),
            _ => module.funcs[0].retain_ops(|_| false),
        }
        Ok(())
    }
}

const FAIL: PassInfo = PassInfo {
    name: "fail",
    summary: "",
    help: "",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo { name: "how", kind: OptionKind::Text { value: "HOW" }, help: "" }],
    build: |options| Ok(Box::new(Fail(options.text("how").into()))),
};

const TWO: NamedPipeline = NamedPipeline { name: "two", summary: "", text: "neg=1,neg=1" };
const LOOP: NamedPipeline = NamedPipeline { name: "loop", summary: "", text: "neg,@loop" };

fn registry() -> Registry {
    Registry::new(&[&NEG, &SWING, &FAIL], &[&TWO, &LOOP])
}

/// Runs a pipeline. Returns the number of negations left, and the record or the error.
fn run(pipeline: &str, fuel: Fuel) -> (usize, Result<Record, String>) {
    let mut module = parse(PROGRAM).unwrap();
    let dialects = Dialects::new();
    let mut context = Context::new(&dialects).with_fuel(fuel);
    let record = Manager::new(&registry()).run(&mut module, &pipeline.parse().unwrap(), &mut context);
    (print(&module).matches("neg(").count(), record.map_err(|e| e.to_string()))
}

#[test]
fn steps_run_in_order_and_are_recorded() {
    let (left, record) = run("neg=1,@two", Fuel::unlimited());
    let record = record.unwrap();
    assert_eq!((left, record.rewrites, record.counts["negations"]), (0, 3, 3));
    assert_eq!(record.fidelity, Fidelity::Rounding);
    let passes: Vec<_> = record.passes().iter().map(|r| (r.name.clone(), r.rewrites, r.ops_after)).collect();
    assert_eq!(passes, [("neg=1".into(), 1, 3), ("neg=1".into(), 1, 3), ("neg=1".into(), 1, 3)]);
}

#[test]
fn fix_stops_when_nothing_is_rewritten_or_at_its_limit() {
    let (left, record) = run("fix(neg=1)", Fuel::unlimited());
    assert_eq!((left, record.unwrap().passes().len()), (0, 4), "three rounds rewrite, the fourth does not");
    let (left, record) = run("fix{max=2}(neg=1)", Fuel::unlimited());
    assert_eq!((left, record.unwrap().passes().len()), (1, 2));
    assert_eq!(run("fix(neg=0)", Fuel::unlimited()).1.unwrap().fidelity, Fidelity::Exact, "nothing was rewritten");
}

#[test]
fn fix_stops_when_an_earlier_program_comes_back() {
    let (_, record) = run("fix{max=1000000}(swing)", Fuel::unlimited());
    assert_eq!(record.unwrap().passes().len(), 4, "the program after the second round comes back after the fourth");
    let (_, record) = run("fix{max=1000000}(swing,swing)", Fuel::unlimited());
    assert_eq!(record.unwrap().passes().len(), 4, "rewrites that undo each other change nothing");
}

#[test]
fn fuel_can_stop_after_any_rewrite() {
    assert_eq!([0, 1, 2, 3, 9].map(|fuel| run("neg=1,@two", Fuel::of(fuel)).0), [3, 2, 1, 0, 0]);
}

#[test]
fn a_failing_pass_is_named_with_the_reason() {
    for (pipeline, error) in [
        ("neg,fail=error", "pass `fail=error`: no"),
        ("neg,fail=panic", "pass `fail=panic` panicked (a bug in the pass): oh dear"),
        ("nag", "no such pass: `nag`; did you mean `neg`?"),
        ("neg,@twoo", "no such pipeline: `@twoo`; did you mean `@two` or `@loop`?"),
        ("neg,@loop", "pipeline `@loop` contains itself"),
        ("neg=x", "option `limit` of pass `neg` takes a whole number, found `x`"),
    ] {
        assert_eq!(run(pipeline, Fuel::unlimited()).1, Err(error.to_string()), "{pipeline}");
    }
    let broken = run("fail=broken", Fuel::unlimited()).1.unwrap_err();
    assert!(
        broken.starts_with("pass `fail=broken` left a module that breaks the rules of the IR (a bug in the pass):\n")
    );
}

#[test]
fn nothing_runs_if_a_later_pass_cannot_be_built() {
    assert_eq!(run("neg,neg=x", Fuel::unlimited()).0, 3);
}

/// Records the events, and rejects the pass with the number `reject`.
#[derive(Default)]
struct Notes {
    seen: Vec<String>,
    reject: Option<usize>,
}

impl Observer for Notes {
    fn before(&mut self, event: Event<'_>) {
        self.seen.push(format!("before {} {}", event.number, event.call));
    }

    fn after(&mut self, event: Event<'_>) -> Result<(), String> {
        self.seen.push(format!(
            "after {} {} {}",
            event.number,
            event.fidelity,
            print(event.module).matches("neg(").count()
        ));
        if self.reject == Some(event.number) { Err("not this one".into()) } else { Ok(()) }
    }
}

#[test]
fn observers_see_each_pass_and_may_reject_it() {
    let mut module = parse(PROGRAM).unwrap();
    let dialects = Dialects::new();
    let mut notes = Notes { reject: Some(1), ..Notes::default() };
    let registry = registry();
    let error = Manager::new(&registry)
        .observe(&mut notes)
        .run(&mut module, &"neg=2,neg,neg".parse().unwrap(), &mut Context::new(&dialects))
        .unwrap_err();
    assert_eq!(error.to_string(), "pass `neg`: not this one");
    assert_eq!(notes.seen, ["before 0 neg=2", "after 0 rounding 1", "before 1 neg", "after 1 rounding 0"]);
}

#[test]
fn stop_after_limits_the_number_of_passes() {
    let mut module = parse(PROGRAM).unwrap();
    let dialects = Dialects::new();
    let registry = registry();
    let pipeline = "fix(neg=1)".parse().unwrap();
    Manager::new(&registry).stop_after(2).run(&mut module, &pipeline, &mut Context::new(&dialects)).unwrap();
    assert_eq!(print(&module).matches("neg(").count(), 1);
}

#[test]
fn an_interrupt_keeps_the_changes_so_far() {
    /// Interrupts after the first pass.
    struct Stop<'f>(&'f std::sync::atomic::AtomicBool);
    impl Observer for Stop<'_> {
        fn after(&mut self, _: Event<'_>) -> Result<(), String> {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    }
    let mut module = parse(PROGRAM).unwrap();
    let (dialects, flag) = (Dialects::new(), std::sync::atomic::AtomicBool::new(false));
    let (registry, mut stop) = (registry(), Stop(&flag));
    let mut context = Context::new(&dialects).with_interrupt(&flag);
    let record = Manager::new(&registry)
        .observe(&mut stop)
        .run(&mut module, &"neg=1,neg".parse().unwrap(), &mut context)
        .unwrap();
    assert!(record.interrupted);
    assert_eq!(print(&module).matches("neg(").count(), 2);
}
