//! The graph of stages of a module whose `@main` only calls stages.

use netc_ir::{Def, Func, FuncId, Module, OpId, OpKind, ValueId};

/// The origin of a value of `@main`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// The model's input with this index.
    Input(usize),
    /// An output of a stage, both by index.
    Stage(usize, usize),
}

/// The stages of a module and how they connect.
pub struct StageGraph {
    /// The stages, in execution order.
    pub stages: Vec<Stage>,
    /// The origin of each output of the model.
    pub outputs: Vec<Origin>,
}

/// A stage: a function and the origins of its inputs.
pub struct Stage {
    /// The function.
    pub func: FuncId,
    /// The origin of each of its inputs.
    pub inputs: Vec<Origin>,
}

impl StageGraph {
    /// The graph of `main`, if its only ops are calls of stages.
    ///
    /// ```
    /// use netc_model::StageGraph;
    ///
    /// let text = "netc 1
    /// func @main(%x: f32[N,2]) -> (%y) {
    ///   %y = call @stage0(%x) : f32[N,2]
    /// }
    /// func @stage0(%x: f32[N,2]) -> (%y) {
    ///   %y = relu(%x) : f32[N,2]
    /// }";
    /// let module = netc_ir::parse(text)?;
    /// let main = module.func_named("main").ok_or("no @main")?;
    /// assert_eq!(StageGraph::of(&module, main).map(|graph| graph.stages.len()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(module: &Module, main: FuncId) -> Option<Self> {
        let main = &module[main];
        let calls: Vec<OpId> = main.op_ids().collect();
        // The number of each call, by op id.
        let mut numbers = vec![0; main.num_op_slots()];
        calls.iter().enumerate().for_each(|(i, op)| numbers[op.index()] = i);
        let callee = |op: &OpId| match &main[*op].kind {
            OpKind::Call(call) if call.layer.is_none() && !module[call.callee].is_fused() => Some(call.callee),
            OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => None,
        };
        let source = |value: ValueId| source(main, &numbers, value);
        let stages = calls.iter().map(|op| {
            let inputs = main[*op].operands.iter().map(|v| source(*v)).collect();
            Some(Stage { func: callee(op)?, inputs })
        });
        let stages: Vec<Stage> = stages.collect::<Option<_>>()?;
        let outputs = main.outputs.iter().map(|o| source(o.value)).collect();
        (!stages.is_empty()).then_some(Self { stages, outputs })
    }
}

fn source(main: &Func, numbers: &[usize], value: ValueId) -> Origin {
    match main[value].def {
        Def::Param(i) => Origin::Input(i as usize),
        Def::Result(op, i) => Origin::Stage(numbers[op.index()], i as usize),
    }
}
