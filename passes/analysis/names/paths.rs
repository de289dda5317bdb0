//! Places inside nested models: `resnet50/conv4_block1_out` is the layer of that name in the model that is the layer
//! `resnet50`. The application of a model that is applied several times is named as that of any layer: `tower@1/conv`.

use netc_ir::{Func, FuncId, Module, OpId, OpKind};

use super::{CutError, Place, Scope};

/// A part of a cut: between `+` and `+`.
pub(crate) enum CutPart {
    /// A place in the function itself.
    Here {
        /// As it was given.
        text: String,
        /// Whether the cut is before the place.
        before: bool,
        /// The op that applies a layer there, if a layer is named and not a value.
        op: Option<OpId>,
    },
    /// A place in a model inside the model.
    Inside {
        /// The path as it was given, without `before:`.
        text: String,
        /// Whether the cut is before the place.
        before: bool,
        /// The calls from the outermost in, each in the function that the one before calls.
        calls: Vec<OpId>,
        /// The op, in the function that the last call calls.
        op: OpId,
    },
}

/// The parts of the cut `spec` of the function `main`.
pub(crate) fn cut_parts(module: &Module, main: FuncId, spec: &str) -> Result<Vec<CutPart>, CutError> {
    let scope = Scope { module, func: &module[main] };
    scope.parts(spec)?.into_iter().map(|part| scope.cut_part(part)).collect()
}

impl<'m> Scope<'m> {
    fn cut_part(self, text: &str) -> Result<CutPart, CutError> {
        let (before, name) = self.side(text);
        let inside = if self.is_name(name) { None } else { self.inside(name)? };
        Ok(match inside {
            Some((calls, op)) => CutPart::Inside { text: name.into(), before, calls, op },
            None => {
                let op =
                    self.place(name).ok().and_then(|place| if let Place::Op(op) = place { Some(op) } else { None });
                CutPart::Here { text: text.into(), before, op }
            }
        })
    }

    /// What the path leads to; `None` if it does not begin with a model.
    pub(super) fn inside(self, path: &str) -> Result<Option<(Vec<OpId>, OpId)>, CutError> {
        let (mut scope, mut rest, mut calls) = (self, path, Vec::new());
        while !scope.is_name(rest) {
            let Some((call, callee, below)) = scope.first_model(rest)? else { break };
            calls.push(call);
            scope.func = callee;
            rest = below;
        }
        if calls.is_empty() { Ok(None) } else { Ok(Some((calls, scope.op_of_layer(rest)?))) }
    }

    /// The call of the model that the path begins with, the model, and the rest of the path.
    fn first_model<'t>(self, path: &'t str) -> Result<Option<(OpId, &'m Func, &'t str)>, CutError> {
        for (at, _) in path.match_indices('/') {
            let op = match self.find(&path[..at]) {
                Ok(Some(Place::Op(op))) => op,
                Err(several @ CutError::SeveralApplications { .. }) => return Err(several),
                Ok(Some(Place::Value(_)) | None) | Err(_) => continue,
            };
            if let OpKind::Call(call) = &self.func[op].kind {
                return Ok(Some((op, &self.module[call.callee], &path[at + 1..])));
            }
        }
        Ok(None)
    }

    fn op_of_layer(self, text: &str) -> Result<OpId, CutError> {
        let op = match self.place(text)? {
            Place::Op(op) => Some(op),
            Place::Value(value) => self.func.producer(value),
        };
        op.filter(|op| self.func[*op].kind.layer().is_some()).ok_or_else(|| CutError::Input { name: text.into() })
    }

    /// The path to the layer called `name` in a model inside the model, if there is one. The stack is explicit.
    pub(super) fn path_to(self, name: &str) -> Option<String> {
        let mut open = vec![(self, String::new())];
        let mut seen = vec![false; self.module.funcs.len()];
        while let Some((scope, path)) = open.pop() {
            for (_, op) in scope.func.ops() {
                let Some(layer) = op.kind.layer() else { continue };
                let here = &self.module[layer].name;
                if !path.is_empty() && &**here == name {
                    return Some(format!("{path}{name}"));
                }
                if let OpKind::Call(call) = &op.kind
                    && !std::mem::replace(&mut seen[call.callee.index()], true)
                {
                    open.push((Scope { func: &self.module[call.callee], ..self }, format!("{path}{here}/")));
                }
            }
        }
        None
    }
}
