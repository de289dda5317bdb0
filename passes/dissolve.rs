//! Dissolves the nested models that a cut lies in: their layers become layers of `@main`, where it can be cut.

use netc_ir::{Func, FuncId, LayerId, Loc, MAIN, Module, OpId, OpKind, callees};
use netc_pass::{Context, Fuel, PassError};

use crate::analysis::calls::callees_first;
use crate::analysis::{CutPart, OpNames, cut_parts};
use crate::inline::{Inlined, inline};
use crate::prune::replace_funcs;

/// A module whose nested models are dissolved, and the cuts as they are named in it.
pub struct Dissolved {
    /// The module.
    pub module: Module,
    /// The cuts.
    pub cuts: Vec<String>,
}

/// Inlines the models in which the cuts of `@main` have places; `None` if there are none such. Other nested models stay. A model that is applied several times is dissolved wherever it is: its layers stay shared. `pass` is the
/// one that asks, for remarks.
///
/// # Errors
/// A cut whose path leads to no layer, or into a model that cannot be dissolved.
pub fn dissolve(
    module: &Module,
    specs: &[String],
    pass: &'static str,
    context: &mut Context<'_>,
) -> Result<Option<Dissolved>, PassError> {
    let Some(main) = module.func_named(MAIN) else { return Ok(None) };
    let cuts = specs.iter().map(|spec| cut_parts(module, main, spec)).collect::<Result<Vec<_>, _>>();
    let cuts = cuts.map_err(|e| PassError(e.to_string()))?;
    let inside = cuts.iter().flatten().filter_map(|part| match part {
        CutPart::Inside { calls, .. } => Some(path(module, main, calls)),
        CutPart::Here { .. } => None,
    });
    let opened: Vec<Vec<FuncId>> = inside.collect();
    if opened.is_empty() {
        return Ok(None);
    }
    let mut wanted = vec![false; module.funcs.len()];
    for func in opened.iter().flat_map(|path| &path[1..]) {
        if !std::mem::replace(&mut wanted[func.index()], true) {
            let text = format!("the model `@{}` is dissolved: a cut lies in it", module[*func].name);
            context.remark(pass, Loc::Unknown, text);
        }
    }
    let targets: Vec<Vec<Target>> =
        cuts.iter().map(|parts| parts.iter().map(|part| Target::of(module, main, &wanted, part)).collect()).collect();
    // What dissolves models is a part of the rewrite that the pass counts.
    let fuel = std::mem::replace(&mut context.fuel, Fuel::unlimited());
    let mut module = module.clone();
    let inlined = inline(&mut module, &wanted, context);
    context.fuel = fuel;
    let Inlined { funcs, keep } = inlined?;
    let whole = &funcs[main.index()];
    let kept = funcs.iter().zip(&keep).filter(|(_, keep)| **keep).flat_map(|(func, _)| callees(func));
    if let Some(func) = kept.into_iter().find(|callee| wanted[callee.index()]) {
        let name = &module[func].name;
        return Err(PassError(format!("`@{name}` has weights of its own: it stays a model, and cannot be cut inside")));
    }
    let names = OpNames::of(&module, whole);
    let spec = |parts: &Vec<Target>| {
        let names = parts.iter().map(|target| target.name(whole, &names)).collect::<Result<Vec<_>, _>>();
        names.map(|names| names.join("+"))
    };
    let specs = targets.iter().map(spec).collect::<Result<Vec<_>, _>>()?;
    replace_funcs(&mut module, funcs, &keep);
    Ok(Some(Dissolved { module, cuts: specs }))
}

/// The functions on the way of the calls, `main` included.
fn path(module: &Module, main: FuncId, calls: &[OpId]) -> Vec<FuncId> {
    let mut path = vec![main];
    for call in calls {
        if let Some(OpKind::Call(call)) = path.last().map(|func| &module[*func][*call].kind) {
            path.push(call.callee);
        }
    }
    path
}

/// A part of a cut, by what stays the same when models are dissolved.
enum Target {
    /// A value, as it was given.
    Value(String),
    /// A nested model that is dissolved.
    Dissolved(String),
    /// An application of a layer.
    Layer {
        text: String,
        before: bool,
        layer: LayerId,
        /// How many applications of the layer come before it in `@main`.
        nth: usize,
    },
}

impl Target {
    fn of(module: &Module, main: FuncId, wanted: &[bool], part: &CutPart) -> Self {
        let (text, before, calls, op) = match part {
            CutPart::Here { text, before, op: Some(op) } => (text, before, &[][..], op),
            CutPart::Here { text, .. } => return Self::Value(text.clone()),
            CutPart::Inside { text, before, calls, op } => (text, before, &calls[..], op),
        };
        let path = path(module, main, calls);
        let kind = path.last().map(|func| &module[*func][*op].kind);
        match (kind, kind.and_then(OpKind::layer)) {
            (Some(OpKind::Call(call)), _) if wanted[call.callee.index()] => Self::Dissolved(text.clone()),
            (_, None) => Self::Value(text.clone()),
            (_, Some(layer)) => {
                let applications = Applications::of(module, wanted, layer);
                let steps = path.iter().zip(calls.iter().chain([op]));
                let nth = steps.map(|(func, step)| applications.before(*func, Some(*step))).sum();
                Self::Layer { text: text.clone(), before: *before, layer, nth }
            }
        }
    }

    /// What the place is called in `main`, which has it now.
    fn name(&self, main: &Func, names: &OpNames<'_>) -> Result<String, PassError> {
        match self {
            Self::Value(text) => Ok(text.clone()),
            Self::Dissolved(text) => Err(PassError(format!(
                "`{text}` is dissolved, as another cut lies in it: name a layer inside it, as in `{text}/layer`"
            ))),
            Self::Layer { text, before, layer, nth } => {
                let mut applied = main.ops().filter(|(_, op)| op.kind.layer() == Some(*layer));
                let (op, _) = applied.nth(*nth).ok_or_else(|| {
                    PassError(format!("`{text}` lies in a nested model that cannot be dissolved, so it cannot be cut"))
                })?;
                Ok(format!("{}{}", if *before { "before:" } else { "" }, names.op(op)))
            }
        }
    }
}

/// How often a layer is applied in each function, by id, where the calls of wanted functions are inlined.
struct Applications<'m> {
    module: &'m Module,
    wanted: &'m [bool],
    layer: LayerId,
    count: Vec<usize>,
}

impl<'m> Applications<'m> {
    fn of(module: &'m Module, wanted: &'m [bool], layer: LayerId) -> Self {
        let mut applications = Self { module, wanted, layer, count: vec![0; module.funcs.len()] };
        for func in callees_first(module) {
            applications.count[func.index()] = applications.before(func, None);
        }
        applications
    }

    /// Those before the op `end`, or all.
    fn before(&self, func: FuncId, end: Option<OpId>) -> usize {
        let ops = self.module[func].ops().take_while(|(id, _)| Some(*id) != end);
        let applied = ops.map(|(_, op)| match &op.kind {
            OpKind::Call(call) if self.wanted[call.callee.index()] => self.count[call.callee.index()],
            OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => usize::from(op.kind.layer() == Some(self.layer)),
        });
        applied.fold(0, usize::saturating_add)
    }
}
