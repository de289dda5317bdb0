//! Layer libraries: user-defined lowerings of unsupported layers, written as IR functions.
//!
//! A library is a `.nir` file with one function per layer class, named after the class. A function takes the
//! layer's input tensors, then its weights in the order of the model file. Parameter types say what the function
//! expects (`any[*]` accepts everything); at each use, the types are inferred from the actual operands.
//!
//! Two ops exist only here, because their result depends on the layer's configuration or on a rank:
//!
//! - `lib.along(v, x) {axis = A}`: the vector `v`, reshaped to broadcast along axis `A` of `x` (negative axes count
//!   from the end);
//! - `lib.scalar(x) {value = A}`: the scalar `A` in the element type of `x`.
//!
//! `A` is a number, or `{config = "key", default = number}` to read the layer's [setting](Dialect::settings) `key`.
//!
//! Layers of a library neither read nor produce masks.

use std::collections::BTreeMap;

use netc_ir::extents::Symbols;
use netc_ir::{
    Attr, Attrs, Builder, CoreOp, Dim, Func, Module, Name, Op, OpKind, SourceOp, Type, ValueId, Violations, verify,
};
use thiserror::Error;

use crate::lowering::{Dialect, LowerError, LoweredOp, OpContext, Result};

/// Why a library cannot be used.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// The text is not a program.
    #[error(transparent)]
    Parse(#[from] netc_ir::ParseError),
    /// The program breaks a rule of the IR.
    #[error(transparent)]
    Verify(#[from] Violations),
    /// A function uses an op that a library may not use.
    #[error("function `@{func}`: {note}")]
    Func {
        /// The function.
        func: Name,
        /// What was found and what was expected.
        note: String,
    },
}

/// A set of functions, each the lowering of the layer class it is named after.
#[derive(Debug)]
pub struct LayerLibrary {
    module: Module,
}

impl LayerLibrary {
    /// Reads a library from `.nir` text.
    pub fn parse(text: &str) -> Result<Self, LibraryError> {
        let module = netc_ir::parse(text)?;
        verify(&module)?;
        for func in &module.funcs {
            if let Some(note) = func.ops().find_map(|(_, op)| unusable(op)) {
                return Err(LibraryError::Func { func: func.name.clone(), note });
            }
        }
        Ok(Self { module })
    }

    /// The layer classes that it defines.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.module.funcs.iter().map(|f| &*f.name)
    }
}

/// Returns why a library may not use `op`, if it may not.
fn unusable(op: &Op) -> Option<String> {
    let known = match &op.kind {
        OpKind::Core(core) => !matches!(core, CoreOp::Weight(_)),
        OpKind::Source(source) => matches!(&*source.name, "lib.along" | "lib.scalar"),
        OpKind::Call(_) => false,
    };
    let (name, results) = (op.kind.name(), op.results.len());
    if !known {
        return Some(format!(
            "`{name}` is not allowed: use core ops other than `weight`, `lib.along` and `lib.scalar`"
        ));
    }
    (results != 1).then(|| format!("`{name}` must have one result, found {results}"))
}

impl Dialect for LayerLibrary {
    fn owns(&self, _: &str) -> bool {
        false
    }

    fn lower(&self, b: &mut Builder<'_>, context: OpContext<'_>) -> Result<LoweredOp> {
        let class = context.dialects.class(&context.op.name);
        let Some(func) = self.module.func_named(class).map(|id| &self.module[id]) else {
            return Err(LowerError::Unknown { class: class.into() });
        };
        if !context.op.absent.is_empty() {
            return Err(LowerError::Operands(format!("`@{class}` needs every operand, but the op omits some")));
        }
        let mut arguments = context.operands.to_vec();
        for (_, weight) in context.layer.map_or(&[][..], |l| &l.weights) {
            arguments.push(b.weight(*weight)?);
        }
        if arguments.len() != func.params.len() {
            let note = format!(
                "`@{class}` takes {} values (tensors, then weights), but the layer has {} tensors and {} weights",
                func.params.len(),
                context.operands.len(),
                arguments.len() - context.operands.len(),
            );
            let has_none = context.layer.is_some_and(|layer| layer.weights.is_empty());
            return Err(match func.params.get(arguments.len()).filter(|_| has_none) {
                Some(missing) => LowerError::Weight { place: missing.name.clone(), expected: note },
                None => LowerError::Operands(note),
            });
        }
        let settings = context.layer.and_then(|layer| context.dialects.settings(layer));
        instantiate(b, func, settings, &arguments)
    }
}

fn instantiate(b: &mut Builder<'_>, func: &Func, settings: Option<&Attrs>, arguments: &[ValueId]) -> Result<LoweredOp> {
    let mut values: BTreeMap<ValueId, ValueId> =
        func.params.iter().map(|p| p.value).zip(arguments.iter().copied()).collect();
    let mut symbols = Symbols::called(func, arguments.iter().map(|v| b.ty(*v)));
    for (_, op) in func.ops() {
        let operands: Vec<ValueId> = op.operands.iter().map(|v| values[v]).collect();
        let result = match &op.kind {
            OpKind::Core(core) => {
                let old: Vec<&Type> = op.operands.iter().map(|v| &func[*v].ty).collect();
                b.copied(core, &old, &operands, &mut symbols)?
            }
            OpKind::Source(source) => library_op(b, source, op, settings, &operands)?,
            OpKind::Call(_) => return Err(LowerError::Operands("a library function cannot call another".into())),
        };
        values.insert(op.results[0], result);
    }
    Ok(func.outputs.iter().map(|o| values[&o.value]).collect::<Vec<_>>().into())
}

fn library_op(
    b: &mut Builder<'_>,
    source: &SourceOp,
    op: &Op,
    settings: Option<&Attrs>,
    operands: &[ValueId],
) -> Result<ValueId> {
    let number = |key: &str| {
        let attr = source.attrs.get(key);
        attr.and_then(|a| number_of(a, settings)).ok_or_else(|| LowerError::Config {
            key: key.into(),
            found: format!("{attr:?}"),
            expected: "a number, or {config = \"key\", default = number} with a number at that key".into(),
        })
    };
    match (&*source.name, operands) {
        ("lib.scalar", [x]) => {
            let value = number("value")?;
            Ok(b.scalar_like(*x, value)?)
        }
        ("lib.along", [v, x]) => along(b, *v, *x, number("axis")? as i64),
        _ => Err(LowerError::Operands(format!("`{}` cannot take {} operands", source.name, op.operands.len()))),
    }
}

/// Reshapes the vector `v` to broadcast along `axis` of `x`.
fn along(b: &mut Builder<'_>, v: ValueId, x: ValueId, axis: i64) -> Result<ValueId> {
    let (Some(rank), Some([extent])) = (b.ty(x).rank(), b.ty(v).dims.as_deref()) else {
        return Err(LowerError::Operands(format!(
            "`lib.along` needs a vector and a ranked tensor, found {} and {}",
            b.ty(v),
            b.ty(x)
        )));
    };
    let extent = extent.clone();
    let position = if axis < 0 { axis + rank as i64 } else { axis };
    let Some(position) = usize::try_from(position).ok().filter(|p| *p < rank) else {
        return Err(LowerError::Config {
            key: "axis".into(),
            found: axis.to_string(),
            expected: format!("an axis of {}", b.ty(x)),
        });
    };
    let mut dims = vec![Dim::Known(1); rank];
    dims[position] = extent;
    Ok(b.reshape(v, dims)?)
}

/// Reads a number, or the layer's setting at a key. Frameworks write an axis as a number or as a list of one number.
fn number_of(attr: &Attr, settings: Option<&Attrs>) -> Option<f64> {
    let Some(key) = attr.get("config").and_then(Attr::as_str) else { return attr.as_f64() };
    let value = settings.and_then(|settings| settings.get(key)).or_else(|| attr.get("default"))?;
    value.as_f64().or_else(|| value.as_list()?.first()?.as_f64())
}
