//! Builds functions op by op and infers types.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::attr::F64;
use crate::dim::Dim;
use crate::extents::{Symbols, uncarried};
use crate::id::{LayerId, OpId, ValueId, WeightId};
use crate::infer::{Result, infer};
use crate::literal::Literal;
use crate::loc::Loc;
use crate::module::{Def, Func, Module, Output, Param, Value};
use crate::name::Name;
use crate::op::{Binary, Compare, CoreOp, Op, OpKind, PadMode, Pool, Reduce, SliceAxis, Unary, Window};
use crate::types::{ElemType, Type};
use crate::unique::UniqueNames;

/// Builds one function. [`infer`] types core ops; the caller gives the types of other ops.
///
/// ```
/// use netc_ir::{Binary, Builder, Dim, ElemType, Module, Type, Unary};
///
/// let mut module = Module::new();
/// let mut builder = Builder::new(&module, "main");
/// let x = builder.param("x", Type::new(ElemType::F32, [Dim::symbol("N"), Dim::Known(4)]), None);
/// let relu = builder.unary(Unary::Relu, x)?;
/// let y = builder.binary(Binary::Add, x, relu)?;
/// let main = builder.finish([("y".into(), y)]);
/// module.add_func(main);
/// netc_ir::verify(&module)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Builder<'m> {
    module: &'m Module,
    func: Func,
    names: HashSet<Name>,
    loc: Loc,
    /// The first value that carries each symbol, among parameters and results of calls, source ops and `iota` ops. Other
    /// ops get their symbols from their operands.
    carriers: BTreeMap<Name, ValueId>,
    /// The taken symbols, except those in the values from `noted` on.
    symbols: UniqueNames,
    noted: usize,
}

impl<'m> Builder<'m> {
    /// Starts the function `name`, which may refer to the weights of `module`.
    pub fn new(module: &'m Module, name: impl Into<Name>) -> Self {
        Self {
            module,
            func: Func::new(name),
            names: HashSet::new(),
            loc: Loc::Unknown,
            carriers: BTreeMap::new(),
            symbols: UniqueNames::default(),
            noted: 0,
        }
    }

    /// Sets the location of the ops that follow.
    pub fn at(&mut self, loc: Loc) -> &mut Self {
        self.loc = loc;
        self
    }

    /// The function so far.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// The module whose weights the function refers to.
    pub fn module(&self) -> &'m Module {
        self.module
    }

    /// The type of `value`.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.func[value].ty
    }

    /// Adds a parameter.
    pub fn param(&mut self, name: impl Into<Name>, ty: Type, layer: Option<LayerId>) -> ValueId {
        let name = name.into();
        let def = Def::Param(u32::try_from(self.func.params.len()).unwrap_or(u32::MAX));
        let value = self.value(ty, def, Some(name.clone()));
        self.note_carrier(value);
        self.func.params.push(Param { name, value, layer });
        value
    }

    /// Adds an op with results of the given types and names.
    ///
    /// A name that is already used is dropped. Carriers of the extents that the op itself names are added to its
    /// operands.
    pub fn op(
        &mut self,
        kind: impl Into<OpKind>,
        operands: &[ValueId],
        results: impl IntoIterator<Item = (Type, Option<Name>)>,
    ) -> OpId {
        let (kind, op) = (kind.into(), OpId::new(self.func.ops.len()));
        let operands = self.with_carriers(&kind, operands);
        let results = results.into_iter().enumerate();
        let results =
            results.map(|(i, (ty, name))| self.value(ty, Def::Result(op, u32::try_from(i).unwrap_or(u32::MAX)), name));
        let results: Vec<ValueId> = results.collect();
        if !matches!(&kind, OpKind::Core(core) if !matches!(core, CoreOp::Iota(_))) {
            results.iter().for_each(|result| self.note_carrier(*result));
        }
        self.func.ops.push(Op { kind, operands, results, loc: self.loc.clone() });
        self.func.order.push(op);
        op
    }

    /// Records `value` as the carrier of each symbol that no earlier value carries.
    fn note_carrier(&mut self, value: ValueId) {
        for symbol in self.func[value].ty.dims.iter().flatten().filter_map(Dim::as_symbol) {
            if !self.carriers.contains_key(symbol) {
                self.carriers.insert(symbol.clone(), value);
            }
        }
    }

    /// `operands`, plus carriers of the symbols that `kind` names and no operand carries.
    ///
    /// An `iota` also reads the carrier of its own symbol, unless it defines the symbol. Other ops need no parameter as
    /// carrier.
    fn with_carriers(&self, kind: &OpKind, operands: &[ValueId]) -> Vec<ValueId> {
        let mut operands = operands.to_vec();
        let OpKind::Core(core) = kind else { return operands };
        let is_bound = |value: ValueId| matches!(self.func[value].def, Def::Param(_));
        for dim in core.own_dims().iter().filter(|dim| dim.known().is_none()) {
            let types: Vec<&Type> = operands.iter().map(|v| self.ty(*v)).collect();
            let missing = uncarried(dim, &types);
            for value in missing.iter().filter_map(|symbol| self.carriers.get(symbol)) {
                if !operands.contains(value) && (matches!(core, CoreOp::Iota(_)) || !is_bound(*value)) {
                    operands.push(*value);
                }
            }
        }
        operands
    }

    /// Reserves `symbols` for values that are still to be added: [`Self::take_symbol`] returns none of them.
    pub fn reserve_symbols(&mut self, symbols: impl IntoIterator<Item = Name>) {
        symbols.into_iter().for_each(|symbol| self.symbols.reserve(symbol));
    }

    /// A free symbol: `wanted`, or `wanted` with a number appended.
    ///
    /// It is free if it does not occur in the function so far and is neither reserved nor taken.
    pub fn take_symbol(&mut self, wanted: &Name) -> Name {
        for value in &self.func.values[self.noted..] {
            let dims = value.ty.dims.iter().flatten().filter(|dim| dim.known().is_none());
            dims.flat_map(Dim::symbols).for_each(|symbol| self.symbols.reserve(symbol));
        }
        self.noted = self.func.values.len();
        self.symbols.take(wanted)
    }

    /// Copies a core op from another function, where its operands have types `old`.
    ///
    /// `symbols` maps the symbols of that function to extents of this one. A symbol that the op defines is added to it.
    ///
    /// # Errors
    /// The operands do not satisfy the constraints of the op.
    pub fn copied(
        &mut self,
        op: &CoreOp,
        old: &[&Type],
        operands: &[ValueId],
        symbols: &mut Symbols,
    ) -> Result<ValueId> {
        let mut op = op.clone();
        self.name_symbols(op.own_dims(), old, symbols);
        let types: Vec<&Type> = operands.iter().map(|v| self.ty(*v)).collect();
        for dim in op.own_dims_mut().iter_mut().filter(|dim| dim.known().is_none()) {
            *dim = symbols.adapted(dim, old, &types);
        }
        self.core(op, operands)
    }

    /// The type `ty` of a result, in the symbols of this function, for a call or source op that is copied from another
    /// function, where its operands have types `old`.
    ///
    /// `symbols` maps the symbols of that function to extents of this one. A symbol that the op brings is added to it.
    pub fn copied_type(&mut self, ty: &Type, old: &[&Type], operands: &[ValueId], symbols: &mut Symbols) -> Type {
        let Some(dims) = &ty.dims else { return ty.clone() };
        self.name_symbols(dims, old, symbols);
        let types: Vec<&Type> = operands.iter().map(|v| self.ty(*v)).collect();
        let mut dims: Vec<Dim> = dims.iter().map(|dim| symbols.adapted(dim, old, &types)).collect();
        let has =
            |name: &Name| types.iter().flat_map(|ty| ty.dims.iter().flatten()).any(|dim| dim.symbols().contains(name));
        // An `iota` here defines a symbol of this name, and no operand has it.
        let lost: BTreeSet<Name> =
            dims.iter().flat_map(Dim::symbols).filter(|name| self.defines(name) && !has(name)).collect();
        for name in lost {
            let new = match symbols.lost(&name) {
                Some(new) => new.clone(),
                None => self.take_symbol(&name),
            };
            dims.iter_mut()
                .for_each(|dim| *dim = dim.substitute(&|own| (*own == name).then(|| Dim::symbol(new.clone()))));
            symbols.set_lost(name, new);
        }
        Type { elem: ty.elem, dims: Some(dims) }
    }

    /// Names the symbols of `dims` that have no name here yet and that no operand (of types `old`) carries.
    fn name_symbols(&mut self, dims: &[Dim], old: &[&Type], symbols: &mut Symbols) {
        for name in dims.iter().filter(|dim| dim.known().is_none()).flat_map(|dim| uncarried(dim, old)) {
            if symbols.is_unnamed(&name) {
                let new = self.take_symbol(&name);
                symbols.rename(name, new);
            }
        }
    }

    /// Whether an `iota` of the function defines the symbol.
    fn defines(&self, symbol: &Name) -> bool {
        let op = self.carriers.get(symbol).and_then(|value| self.func.producer(*value));
        op.is_some_and(|op| matches!(self.func[op].kind, OpKind::Core(_)))
    }

    /// The results of op `op`.
    pub fn results(&self, op: OpId) -> &[ValueId] {
        &self.func[op].results
    }

    /// Adds a core op and returns its result.
    ///
    /// # Errors
    /// The operands do not satisfy the constraints of the op.
    pub fn core(&mut self, op: CoreOp, operands: &[ValueId]) -> Result<ValueId> {
        let types: Vec<&Type> = operands.iter().map(|v| self.ty(*v)).collect();
        let ty = infer(self.module, &op, &types)?;
        let op = self.op(op, operands, [(ty, None)]);
        Ok(self.func[op].results[0])
    }

    /// Names `value`, if it has no name and the name is free in the function.
    pub fn name(&mut self, value: ValueId, name: impl Into<Name>) {
        let name = name.into();
        if self.func[value].name.is_none() && self.names.insert(name.clone()) {
            self.func[value].name = Some(name);
        }
    }

    /// Finishes the function with the given outputs.
    pub fn finish(mut self, outputs: impl IntoIterator<Item = (Name, ValueId)>) -> Func {
        self.func.outputs = outputs.into_iter().map(|(name, value)| Output { name, value }).collect();
        self.func
    }

    fn value(&mut self, ty: Type, def: Def, name: Option<Name>) -> ValueId {
        let name = name.filter(|n| self.names.insert(n.clone()));
        self.func.values.push(Value { ty, name, def });
        ValueId::new(self.func.values.len() - 1)
    }
}

/// One method per core op, in the order of the specification.
impl Builder<'_> {
    /// A constant.
    pub fn constant(&mut self, literal: Literal) -> Result<ValueId> {
        self.core(CoreOp::Constant(literal), &[])
    }

    /// A scalar constant of the element type of `like`.
    pub fn scalar_like(&mut self, like: ValueId, value: f64) -> Result<ValueId> {
        let elem = self.ty(like).elem;
        self.constant(Literal::splat(elem, &[], value))
    }

    /// A weight.
    pub fn weight(&mut self, id: WeightId) -> Result<ValueId> {
        self.core(CoreOp::Weight(id), &[])
    }

    /// An elementwise function of one tensor.
    pub fn unary(&mut self, f: Unary, x: ValueId) -> Result<ValueId> {
        self.core(CoreOp::Unary(f), &[x])
    }

    /// An elementwise function of two tensors.
    pub fn binary(&mut self, f: Binary, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.core(CoreOp::Binary(f), &[a, b])
    }

    /// An elementwise function of a tensor and a scalar constant.
    pub fn binary_scalar(&mut self, f: Binary, a: ValueId, b: f64) -> Result<ValueId> {
        let b = self.scalar_like(a, b)?;
        self.binary(f, a, b)
    }

    /// A comparison.
    pub fn compare(&mut self, f: Compare, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.core(CoreOp::Compare(f), &[a, b])
    }

    /// A comparison with a scalar constant.
    pub fn compare_scalar(&mut self, f: Compare, a: ValueId, b: f64) -> Result<ValueId> {
        let b = self.scalar_like(a, b)?;
        self.compare(f, a, b)
    }

    /// `a` where `condition` is true, `b` elsewhere.
    pub fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.core(CoreOp::Select, &[condition, a, b])
    }

    /// A conversion to `elem`. Returns `x` if it already has that type.
    pub fn cast(&mut self, x: ValueId, elem: ElemType) -> Result<ValueId> {
        if self.ty(x).elem == elem { Ok(x) } else { self.core(CoreOp::Cast(elem), &[x]) }
    }

    /// A matrix product.
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.core(CoreOp::MatMul, &[a, b])
    }

    /// A convolution.
    pub fn conv(&mut self, x: ValueId, kernel: ValueId, window: Window, groups: u64) -> Result<ValueId> {
        self.core(CoreOp::Conv { window, groups }, &[x, kernel])
    }

    /// A pooling.
    pub fn pool(&mut self, kind: Pool, x: ValueId, size: Vec<u64>, window: Window) -> Result<ValueId> {
        self.core(CoreOp::Pool { kind, size, window }, &[x])
    }

    /// A reduction.
    pub fn reduce(&mut self, kind: Reduce, x: ValueId, axes: Vec<u64>, keep: bool) -> Result<ValueId> {
        self.core(CoreOp::Reduce { kind, axes, keep }, &[x])
    }

    /// The same elements with another shape. Returns `x` if it already has that shape.
    pub fn reshape(&mut self, x: ValueId, dims: Vec<Dim>) -> Result<ValueId> {
        if self.ty(x).dims.as_deref() == Some(&dims[..]) { Ok(x) } else { self.core(CoreOp::Reshape(dims), &[x]) }
    }

    /// A permutation of the axes.
    pub fn transpose(&mut self, x: ValueId, perm: Vec<u64>) -> Result<ValueId> {
        self.core(CoreOp::Transpose(perm), &[x])
    }

    /// Repetition along axes of extent 1.
    pub fn broadcast(&mut self, x: ValueId, dims: Vec<Dim>) -> Result<ValueId> {
        self.core(CoreOp::Broadcast(dims), &[x])
    }

    /// A concatenation along `axis`.
    pub fn concat(&mut self, parts: &[ValueId], axis: u64) -> Result<ValueId> {
        self.core(CoreOp::Concat(axis), parts)
    }

    /// A strided slice.
    pub fn slice(&mut self, x: ValueId, axes: Vec<SliceAxis>) -> Result<ValueId> {
        self.core(CoreOp::Slice(axes), &[x])
    }

    /// Padding around a tensor.
    pub fn pad(&mut self, x: ValueId, amounts: Vec<(u64, u64)>, mode: PadMode, value: f64) -> Result<ValueId> {
        self.core(CoreOp::Pad { amounts, mode, value: F64::new(value) }, &[x])
    }

    /// Slices chosen by indices.
    pub fn gather(&mut self, x: ValueId, indices: ValueId, axis: u64) -> Result<ValueId> {
        self.core(CoreOp::Gather(axis), &[x, indices])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::Attrs;
    use crate::op::SourceOp;
    use crate::verify;

    #[test]
    fn ops_get_carriers_for_their_extents() {
        let mut module = Module::new();
        let mut b = Builder::new(&module, "main");
        let symbol = |name: &str| Dim::symbol(name);
        let x = b.param("x", Type::new(ElemType::F32, [symbol("N")]), None);
        let n = b.param("n", Type::new(ElemType::I64, []), None);
        let i = b.core(CoreOp::Iota(symbol("K")), &[n]).unwrap();
        let places = OpKind::Source(Box::new(SourceOp::new("custom.Places", None, Attrs::new())));
        let places = b.op(places, &[n], [(Type::new(ElemType::I64, [symbol("P"), symbol("Q")]), None)]);
        let p = b.results(places)[0];
        let y = b.broadcast(x, ["Q", "K", "P", "N"].map(symbol).to_vec()).unwrap();
        let again = b.core(CoreOp::Iota(symbol("N")), &[n]).unwrap();
        let of_layer = b.core(CoreOp::Iota(symbol("P")), &[n]).unwrap();
        let operands = |value: ValueId| b.func()[b.func().producer(value).unwrap()].operands.clone();
        assert_eq!(operands(y), [x, p, i]);
        assert_eq!((operands(again), operands(of_layer)), (vec![n, x], vec![n, p]));
        assert_eq!(
            ["K", "N", "R", "R"].map(|name| b.take_symbol(&name.into()).to_string()),
            ["K_1", "N_1", "R", "R_1"]
        );
        let main = b.finish([("y".into(), y)]);
        module.add_func(main);
        verify(&module).unwrap();
    }
}
