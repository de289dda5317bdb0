//! Inlining: flattens a function and its callees into one list of steps over numbered tensors.

use std::collections::BTreeSet;

use netc_ir::{CoreOp, Dim, Func, FuncId, Loc, Module, Name, Op, OpKind, Resource, SourceOp, Type, ValueId, callees};

use super::extents::Extents;
use super::group::Group;
use crate::error::{ExecError, Limit, Result};

/// A function without calls. Tensors are numbered from 0.
pub(super) struct Flat<'m> {
    pub(super) params: Vec<FlatParam<'m>>,
    pub(super) outputs: Vec<(Name, usize)>,
    pub(super) steps: Vec<FlatStep<'m>>,
    /// The number of function instances, including the outermost.
    pub(super) scopes: usize,
    /// Whether each tensor is live; all are until `liveness` runs.
    pub(super) live: Vec<bool>,
}

pub(super) struct FlatParam<'m> {
    pub(super) name: &'m Name,
    pub(super) ty: &'m Type,
    pub(super) tensor: usize,
}

pub(super) struct FlatStep<'m> {
    pub(super) kind: Kind<'m>,
    pub(super) operands: Vec<usize>,
    /// The types of the op's own operands in the program.
    pub(super) types: Vec<&'m Type>,
    pub(super) results: Vec<usize>,
    /// The types of the results in the program.
    pub(super) made: Vec<&'m Type>,
    /// The function instance whose symbols the step sees.
    pub(super) scope: usize,
    pub(super) loc: &'m Loc,
    /// The name of the first result.
    pub(super) name: Option<&'m Name>,
    /// The extents of a core op that no parameter binds.
    pub(super) extents: Extents,
    /// The rest of a group, which updates the result in place. Its operands follow those of the op.
    pub(super) group: Option<Group>,
}

pub(super) enum Kind<'m> {
    Core(&'m CoreOp),
    Source(&'m SourceOp),
    /// The entry of a callee. Its operands are those of the call.
    Enter {
        callee: Name,
        params: Vec<(Name, Type)>,
        parent: usize,
        fused: bool,
        /// Whether the operand types in the program equal the parameter types, so that no check is needed at run time.
        fits: bool,
    },
}

/// Counts the steps of `root` with its calls to functions of `module` inlined. Visits each function once.
///
/// # Errors
/// The count exceeds `limit`.
pub(super) fn num_steps(module: &Module, root: &Func, limit: u64) -> Result<u64> {
    let mut counts: Vec<Option<u64>> = vec![None; module.funcs.len()];
    let count = |counts: &[Option<u64>], func: &Func| {
        let called = callees(func).map(|id| counts.get(id.index()).copied().flatten().unwrap_or(0));
        called.fold(func.num_ops() as u64, u64::saturating_add)
    };
    // Post-order: a function is counted after its callees. The stack is explicit because call chains can be long.
    let mut stack: Vec<(FuncId, bool)> = callees(root).map(|id| (id, false)).collect();
    while let Some((id, leaving)) = stack.pop() {
        let Some(func) = module.funcs.get(id.index()) else { continue };
        if leaving {
            counts[id.index()] = Some(count(&counts, func));
        } else if counts[id.index()].is_none() {
            // Guards against recursion, which the verifier rejects: a function adds nothing to itself.
            counts[id.index()] = Some(0);
            stack.push((id, true));
            stack.extend(callees(func).map(|id| (id, false)));
        }
    }
    let needed = count(&counts, root);
    if needed <= limit {
        return Ok(needed);
    }
    let what = "the function with its calls inlined".into();
    let source = Limit { what, resource: Resource::Steps, needed, limit };
    Err(ExecError::TooLarge { func: root.name.clone(), source })
}

/// Inlines the calls of `root` to functions of `module`.
pub(super) fn flatten<'m>(module: &'m Module, root: &'m Func) -> Result<Flat<'m>> {
    let mut flattener = Flattener { module, root, tensors: 0, scopes: 1, steps: Vec::new() };
    let operands: Vec<usize> = root.params.iter().map(|_| flattener.tensor()).collect();
    let params = root.params.iter().zip(&operands);
    let params = params.map(|(p, t)| FlatParam { name: &p.name, ty: &root[p.value].ty, tensor: *t }).collect();
    let results = flattener.run(&operands)?;
    let outputs = root.outputs.iter().map(|o| o.name.clone()).zip(results).collect();
    let live = vec![true; flattener.tensors];
    Ok(Flat { params, outputs, steps: flattener.steps, scopes: flattener.scopes, live })
}

/// The function `id`; an error names `caller`, which refers to it.
pub(super) fn function<'m>(module: &'m Module, id: FuncId, caller: &str) -> Result<&'m Func> {
    let note = || ExecError::Malformed { func: caller.into(), note: format!("there is no function {id}") };
    module.funcs.get(id.index()).ok_or_else(note)
}

struct Flattener<'m> {
    module: &'m Module,
    root: &'m Func,
    tensors: usize,
    scopes: usize,
    steps: Vec<FlatStep<'m>>,
}

/// A function that is being inlined.
struct Frame<'m> {
    func: &'m Func,
    /// The symbols that its parameters bind.
    symbols: BTreeSet<Name>,
    scope: usize,
    /// The tensor of each value.
    map: Vec<Option<usize>>,
    ops: Box<dyn Iterator<Item = &'m Op> + 'm>,
    /// The results of the call in the caller.
    results: &'m [ValueId],
}

impl<'m> Frame<'m> {
    fn new(func: &'m Func, scope: usize, operands: &[usize], results: &'m [ValueId]) -> Self {
        let mut map = vec![None; func.num_values()];
        for (param, tensor) in func.params.iter().zip(operands) {
            map[param.value.index()] = Some(*tensor);
        }
        let dims = func.params.iter().flat_map(|p| func[p.value].ty.dims.iter().flatten());
        let symbols = dims.filter_map(Dim::as_symbol).cloned().collect();
        Self { func, symbols, scope, map, ops: Box::new(func.ops().map(|(_, op)| op)), results }
    }

    fn tensor(&self, value: ValueId) -> Result<usize> {
        let note = || format!("{value} is read before it is defined");
        let tensor = self.map.get(value.index()).copied().flatten();
        tensor.ok_or_else(|| ExecError::Malformed { func: self.func.name.clone(), note: note() })
    }

    fn outputs(&self) -> Result<Vec<usize>> {
        self.func.outputs.iter().map(|o| self.tensor(o.value)).collect()
    }
}

impl<'m> Flattener<'m> {
    fn tensor(&mut self) -> usize {
        self.tensors += 1;
        self.tensors - 1
    }

    /// Inlines with an explicit stack, so that a long chain of calls cannot overflow it.
    fn run(&mut self, operands: &[usize]) -> Result<Vec<usize>> {
        let mut frame = Frame::new(self.root, 0, operands, &[]);
        let mut callers: Vec<Frame<'m>> = Vec::new();
        loop {
            let Some(op) = frame.ops.next() else {
                let outputs = frame.outputs()?;
                let Some(mut caller) = callers.pop() else { return Ok(outputs) };
                for (value, tensor) in frame.results.iter().zip(outputs) {
                    caller.map[value.index()] = Some(tensor);
                }
                frame = caller;
                continue;
            };
            if let Some(callee) = self.op(&mut frame, op)? {
                callers.push(std::mem::replace(&mut frame, callee));
            }
        }
    }

    /// Adds the step of `op`. Returns the frame of the callee if `op` is a call.
    fn op(&mut self, frame: &mut Frame<'m>, op: &'m Op) -> Result<Option<Frame<'m>>> {
        let operands = op.operands.iter().map(|v| frame.tensor(*v)).collect::<Result<Vec<_>, _>>()?;
        let func = frame.func;
        let types: Vec<&Type> = op.operands.iter().map(|v| &func[*v].ty).collect();
        let made = op.results.iter().map(|v| &func[*v].ty).collect();
        let (loc, scope) = (&op.loc, frame.scope);
        let name = op.results.first().and_then(|v| func[*v].name.as_ref());
        let (kind, extents) = match &op.kind {
            OpKind::Core(core) => (Kind::Core(core), Extents::of(core, &types, &frame.symbols)),
            OpKind::Source(source) => (Kind::Source(source), Extents::default()),
            OpKind::Call(call) => {
                let inner = function(self.module, call.callee, &func.name)?;
                let callee = Frame::new(inner, self.scopes, &operands, &op.results);
                self.scopes += 1;
                let params: Vec<(Name, Type)> =
                    inner.params.iter().map(|p| (p.name.clone(), inner[p.value].ty.clone())).collect();
                let fits = params.iter().map(|(_, ty)| ty).eq(types.iter().copied());
                let (callee_name, fused) = (inner.name.clone(), inner.is_fused());
                let kind = Kind::Enter { callee: callee_name, params, parent: scope, fused, fits };
                let (results, made) = (Vec::new(), Vec::new());
                self.steps.push(FlatStep {
                    kind,
                    operands,
                    types,
                    results,
                    made,
                    scope: callee.scope,
                    loc,
                    name: None,
                    extents: Extents::default(),
                    group: None,
                });
                return Ok(Some(callee));
            }
        };
        let results: Vec<usize> = op.results.iter().map(|_| self.tensor()).collect();
        for (value, tensor) in op.results.iter().zip(&results) {
            frame.map[value.index()] = Some(*tensor);
        }
        self.steps.push(FlatStep { kind, operands, types, results, made, scope, loc, name, extents, group: None });
        Ok(None)
    }
}
