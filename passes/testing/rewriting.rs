//! Helpers for tests of rewrites: compare the ops of `@main` before and after a pass.

use netc_dialect::Dialects;
use netc_ir::{Func, Literal, Module, ValueId, parse, print, verify};
use netc_pass::{ConstError, ConstEval, Context, Fuel, Manager, Pipeline, parse_pass};

/// The program whose `@main` computes `%y` from `%x` by the ops `body`, one per line.
fn program(body: &str) -> String {
    let input = body.lines().find_map(|l| l.trim().strip_prefix("; x: ")).unwrap_or("f32[2]");
    format!(
        "netc 1
weight w0 \"a\" : f32[2] = [0.5, -1.5]
weight w1 \"b\" : f32[2,2] = rand(7, -1.0, 1.0)
weight w2 \"c\" : f32[3,2,4] = rand(8, -1.0, 1.0)

func @main(%x: {input}) -> (%y) {{
{body}
}}
"
    )
}

/// The text between the braces of `@main`, without indentation.
fn body(module: &Module) -> Vec<String> {
    let text = print(module);
    let (_, main) = text.split_once("func @main").unwrap_or_default();
    main.lines().skip(1).take_while(|l| *l != "}").map(|l| l.trim().to_string()).collect()
}

/// Runs the pass `call` on `module` with `fuel`. Returns how much fuel it used.
fn run_with_fuel(module: &mut Module, call: &str, fuel: Fuel) -> u64 {
    let dialects = Dialects::new();
    let mut context = Context::new(&dialects).with_consts(&Counting).with_fuel(fuel);
    let pipeline = Pipeline(vec![parse_pass(call).unwrap()]);
    Manager::new(&crate::registry()).run(module, &pipeline, &mut context).unwrap();
    context.fuel.burnt()
}

/// Checks that the pass `call` turns the ops `before` into `after`, and does not change these.
///
/// `%x` has the type after `; x: ` on the first line, or else `f32[2]`. The result is `%y`, and there are weights.
#[track_caller]
pub(crate) fn rewrite(call: &str, before: &str, after: &str) {
    let mut module = parse(&program(before)).unwrap_or_else(|e| panic!("{e}"));
    verify(&module).unwrap_or_else(|e| panic!("{e}"));
    run_with_fuel(&mut module, call, Fuel::unlimited());
    let found = body(&module);
    let expected: Vec<&str> = after.lines().map(str::trim).filter(|l| !l.starts_with("; x: ")).collect();
    assert_eq!(found, expected, "{}", found.join("\n"));
    let burnt = run_with_fuel(&mut module, call, Fuel::unlimited());
    assert_eq!((body(&module), burnt), (found, 0), "the pass again");
}

/// Checks the number of ops that the pass `call` leaves with fuel for 0, 1, ... rewrites.
#[track_caller]
pub(crate) fn check_fuel(call: &str, before: &str, ops: &[usize]) {
    for (fuel, ops) in ops.iter().enumerate() {
        let mut module = parse(&program(before)).unwrap_or_else(|e| panic!("{e}"));
        let burnt = run_with_fuel(&mut module, call, Fuel::of(fuel as u64));
        assert_eq!((module.main().unwrap().num_ops(), burnt), (*ops, fuel as u64), "with {fuel} rewrites");
    }
}

/// A fake executor: every constant evaluates to the elements 0, 1, 2, ...
pub(crate) struct Counting;

impl ConstEval for Counting {
    fn evaluate(&self, _: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
        let count = |value: &ValueId| {
            let ty = &func[*value].ty;
            let dims = ty.fixed_dims().ok_or_else(|| ConstError::new(format!("{value} is of type {ty}")))?;
            let numbers = (0..dims.iter().product::<u64>()).map(|i| netc_ir::Number::Int(i.into()));
            Ok(Literal::dense(ty.elem, &dims, numbers))
        };
        values.iter().map(count).collect()
    }
}
