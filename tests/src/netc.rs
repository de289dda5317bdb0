//! The command `netc` for the tests, with an additional pass that has selectable bugs.

use std::process::ExitCode;

use netc_ir::{CoreOp, Module, OpKind, Unary};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo};

fn main() -> ExitCode {
    netc_cli::main(netc_passes::registry().with(&FAULTY), netc_cli::formats())
}

const FAULTY: PassInfo = PassInfo {
    name: "faulty",
    summary: "Break the contract of passes.",
    help: "",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "bug",
        kind: OptionKind::Choice { of: &["none", "panic", "break", "values", "uncounted"], default: "values" },
        help: "The bug of the pass.",
    }],
    build: |options| Ok(Box::new(Faulty { bug: options.choice("bug").into() })),
};

/// Rewrites each op to itself, except for its bug.
struct Faulty {
    bug: String,
}

impl Pass for Faulty {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        let tanh = OpKind::Core(CoreOp::Unary(Unary::Tanh));
        for func in &mut module.funcs {
            for op in func.op_ids().collect::<Vec<_>>() {
                let wrong = func[op].kind == tanh;
                if self.bug != "uncounted" && !context.rewrite() {
                    continue;
                }
                context.count("ops looked at", 1);
                match self.bug.as_str() {
                    "panic" if wrong => unreachable!("there is no tanh"),
                    "break" if wrong => func.retain_ops(|other| other != op),
                    "values" | "uncounted" if wrong => func.set_kind(op, CoreOp::Unary(Unary::Sin)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
