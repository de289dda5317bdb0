//! Delta debugging: finds a small module that still shows a failure.
//!
//! [`reduce`] lists edits that make the module smaller and tries many at once, then half of them, and so on down to one
//! (A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002). It keeps
//! an edited module that is valid, smaller and still shows the failure, and ends when no single edit succeeds.

mod edit;
mod rebuild;
mod simpler;
#[cfg(test)]
mod tests;

use netc_dialect::Dialects;
use netc_ir::{CoreOp, Module, OpKind, Type, print, verify};

pub use edit::Edit;

/// The outcome of trying a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The module shows the failure.
    Shows,
    /// The module does not show the failure.
    Clean,
    /// End the reduction now, with the best module so far.
    Stop,
}

/// The result of a reduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduced {
    /// The smallest module found that shows the failure.
    pub module: Module,
    /// The number of modules tried.
    pub tried: usize,
    /// Whether [`Verdict::Stop`] ended the reduction.
    pub stopped: bool,
}

/// Makes `module`, which shows a failure, as small as possible while `shows` still reports the failure.
///
/// `shows` gets only valid modules, each smaller than the last one that showed the failure. Layers known to `dialects`
/// keep matching their configurations, weights and operands.
pub fn reduce(module: &Module, dialects: &Dialects, shows: &mut dyn FnMut(&Module) -> Verdict) -> Reduced {
    let size = Size::of(module);
    let mut reducer = Reducer { best: module.clone(), dialects, size, shows, tried: 0, stopped: false };
    while reducer.round() {}
    Reduced { module: reducer.best, tried: reducer.tried, stopped: reducer.stopped }
}

/// The size that a reduction minimizes, most important part first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Size {
    /// Ops other than constants and weights.
    ops: usize,
    constants: usize,
    /// Functions, parameters, outputs, weights and layers.
    declarations: usize,
    /// Elements of all tensors; symbols count as 1.
    elements: u64,
    /// The length of the text, then the text, so that `1` is smaller than `2`.
    text: (usize, String),
}

impl Size {
    fn of(module: &Module) -> Self {
        let constant = |kind: &OpKind| matches!(kind, OpKind::Core(CoreOp::Constant(_) | CoreOp::Weight(_)));
        let constants = module.funcs.iter().flat_map(|f| f.ops()).filter(|(_, op)| constant(&op.kind)).count();
        let ends: usize = module.funcs.iter().map(|f| f.params.len() + f.outputs.len()).sum();
        let values = module.funcs.iter().flat_map(|f| f.values_in_order().map(|v| &f[v].ty));
        let types = values.chain(module.weights.iter().map(|w| &w.ty));
        let text = print(module);
        Self {
            ops: module.num_ops() - constants,
            constants,
            declarations: module.funcs.len() + ends + module.weights.len() + module.layers.len(),
            elements: types.map(elements).fold(0, u64::saturating_add),
            text: (text.len(), text),
        }
    }
}

fn elements(ty: &Type) -> u64 {
    ty.dims.iter().flatten().filter_map(netc_ir::Dim::known).fold(1, u64::saturating_mul)
}

struct Reducer<'a> {
    best: Module,
    dialects: &'a Dialects,
    size: Size,
    shows: &'a mut dyn FnMut(&Module) -> Verdict,
    tried: usize,
    stopped: bool,
}

impl Reducer<'_> {
    /// Tries every kind of edit. Returns whether the module became smaller.
    fn round(&mut self) -> bool {
        let mut smaller = false;
        for edits in edit::KINDS {
            smaller |= self.kind(*edits);
        }
        smaller && !self.stopped
    }

    /// Tries the edits of one kind in chunks of decreasing size. Returns whether the module became smaller.
    fn kind(&mut self, edits: fn(&Module) -> Vec<Edit>) -> bool {
        let mut smaller = false;
        let mut chunk = edits(&self.best).len();
        while chunk > 0 && !self.stopped {
            // A kept edit shifts the others, so list them again and continue at the same position.
            let mut at = 0;
            let mut all = edits(&self.best);
            while at < all.len() && !self.stopped {
                let end = (at + chunk).min(all.len());
                if self.try_edits(&all[at..end]) {
                    smaller = true;
                    all = edits(&self.best);
                } else {
                    at = end;
                }
            }
            chunk /= 2;
        }
        smaller
    }

    /// Applies `edits` and keeps the result if it is valid, smaller and shows the failure.
    fn try_edits(&mut self, edits: &[Edit]) -> bool {
        let Some(module) = edit::apply(&self.best, self.dialects, edits) else { return false };
        let size = Size::of(&module);
        if size >= self.size || verify(&module).is_err() {
            return false;
        }
        self.tried += 1;
        match (self.shows)(&module) {
            Verdict::Shows => {
                (self.best, self.size) = (module, size);
                true
            }
            Verdict::Clean => false,
            Verdict::Stop => {
                self.stopped = true;
                false
            }
        }
    }
}
