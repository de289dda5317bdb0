//! The parts of a model under construction.

use std::ops::Range;

use netc_ir::{Attr, Attrs, Module, Type};

/// A tensor of a model under construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tensor(pub(super) u32);

/// A declared layer of a model under construction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LayerHandle(pub(super) u32);

/// How to apply the layer with the same index.
pub(super) struct Declared {
    pub(super) arity: usize,
    pub(super) call_attrs: Attrs,
    /// The nested model, if the layer is one.
    pub(super) model: Option<Module>,
}

/// An input of the model, or a call of a layer.
pub(super) struct Node {
    pub(super) layer: LayerHandle,
    /// The operands of the call; inputs have none.
    pub(super) operands: Option<Vec<Tensor>>,
    /// The results.
    pub(super) results: Range<usize>,
}

/// A tensor and the node that yields it.
pub(super) struct TensorSource {
    pub(super) ty: Type,
    pub(super) node: usize,
}

impl Tensor {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl LayerHandle {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

pub(super) fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The attributes of a call.
pub(super) fn call_attrs(args: Vec<Attr>, kwargs: Attrs) -> Attrs {
    Attrs::new().with("args", Attr::List(args)).with("kwargs", kwargs)
}
