//! Dead code elimination.

use netc_ir::{Func, Loc, Module};
use netc_pass::{Context, Fidelity, Fuel, Pass, PassInfo, Result, counted};

use crate::analysis::live_ops;

/// `dce` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "dce",
    summary: "Remove ops that no output needs.",
    help: "Removes every op that no output of its function needs. Ops have no side effects, so outputs do not change.\n\
           Unread parameters stay, because they are part of the function's signature.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Dce)),
};

struct Dce;

impl Pass for Dce {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        for func in &mut module.funcs {
            let removed = remove_dead_ops(func, &mut context.fuel);
            if removed > 0 {
                let ops = counted(removed as u64, "op");
                context.remark("dce", Loc::Unknown, format!("removed {ops} of `@{}`", func.name));
            }
        }
        Ok(())
    }
}

/// Removes the ops that no output of `func` needs, last to first, while there is fuel. Returns how many were removed.
fn remove_dead_ops(func: &mut Func, fuel: &mut Fuel) -> usize {
    let (mut kept, before) = (live_ops(func), func.num_ops());
    for op in func.op_ids().rev() {
        let kept = &mut kept[op.index()];
        *kept = *kept || !fuel.burn();
    }
    func.retain_ops(|op| kept[op.index()]);
    before - func.num_ops()
}

#[cfg(test)]
mod tests {
    use crate::testing::run;

    #[test]
    fn removes_chains_of_dead_ops_and_keeps_parameters() {
        let (module, remarks) = run(
            "netc 1
             func @main(%x: f32[4], %unread: f32[4]) -> (%y) {
               %a = relu(%x) : f32[4]
               %b = relu(%a) : f32[4]
               %y = neg(%a) : f32[4]
               %c = add(%b, %y) : f32[4]
             }
             func @empty(%x: f32[4]) -> () { %a = relu(%x) : f32[4] }",
            "dce",
        )
        .unwrap();
        insta::assert_snapshot!(module, @r#"
        netc 1

        func @main(%x: f32[4], %unread: f32[4]) -> (%y) {
          %a = relu(%x) : f32[4]
          %y = neg(%a) : f32[4]
        }

        func @empty(%x: f32[4]) -> () {
        }
        "#);
        assert_eq!(remarks, ["dce: removed 2 ops of `@main`", "dce: removed 1 op of `@empty`"]);
    }

    #[test]
    fn leaves_a_live_function_alone() {
        let text = "netc 1\n\nfunc @main(%x: f32[4]) -> (%y) {\n  %y = relu(%x) : f32[4]\n}\n";
        let (module, remarks) = run(text, "dce").unwrap();
        assert_eq!((module.as_str(), remarks.len()), (text, 0));
    }
}
