//! Parses `.nir` text. The grammar is in `ir-spec/text.md`.

use std::collections::BTreeMap;

use crate::attr::Attrs;
use crate::id::{FileId, FuncId, LayerId, OpId, ValueId, WeightId};
use crate::lex::{Cursor, Result, ValueToken};
use crate::literal_text::literal_from;
use crate::loc::Loc;
use crate::module::{Def, Func, Layer, Module, Output, Param, Value, Weight, WeightData};
use crate::name::Name;
use crate::op::{CallOp, CoreOp, Op, OpKind, SourceOp};
use crate::types::Type;

/// Parses a module. The result is syntactically correct; [`crate::verify()`] checks the other rules.
///
/// ```
/// let module = netc_ir::parse("netc 1\nfunc @main(%x: f32[N,4]) -> (%x) {\n}")?;
/// assert_eq!(module.funcs.len(), 1);
///
/// let error = netc_ir::parse("netc 1\nfunc @main(%x: f33[N]) -> (%x) {\n}").unwrap_err();
/// assert!(error.to_string().contains("line 2"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse(text: &str) -> Result<Module> {
    Parser { cursor: Cursor::new(text), module: Module::new(), funcs: BTreeMap::new(), calls: Vec::new() }.module()
}

/// A call whose callee may be defined later in the text.
struct PendingCall {
    func: usize,
    op: OpId,
    callee: Name,
    at: usize,
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    module: Module,
    funcs: BTreeMap<Name, FuncId>,
    calls: Vec<PendingCall>,
}

impl Parser<'_> {
    fn module(mut self) -> Result<Module> {
        self.cursor.expect("netc")?;
        let at = self.cursor.here();
        let version = self.cursor.u64()?;
        if version != 1 {
            return self.cursor.error_at(at, format!("the text has version {version}; this netc reads version 1"));
        }
        if self.cursor.eat_word("attrs") {
            self.module.attrs = self.attrs()?;
        }
        while !self.cursor.is_at_end() {
            if self.cursor.eat_word("file") {
                self.file()?;
            } else if self.cursor.eat_word("weight") {
                self.weight()?;
            } else if self.cursor.eat_word("layer") {
                self.layer()?;
            } else if self.cursor.eat_word("func") {
                self.func()?;
            } else {
                return self.cursor.expected("`file`, `weight`, `layer` or `func`");
            }
        }
        self.resolve_calls()?;
        self.resolve_names()?;
        Ok(self.module)
    }

    /// Attributes of anything but a source op: they cannot name weights or functions.
    fn attrs(&mut self) -> Result<Attrs> {
        let at = self.cursor.here();
        let attrs = self.cursor.attrs()?;
        if attrs.has_references() {
            return self.cursor.error_at(at, "only attributes of source ops can name weights and functions");
        }
        Ok(attrs)
    }

    /// Reads the number of an entity, which must be `next`.
    fn next_entity(&mut self, prefix: &str, next: usize) -> Result<()> {
        let at = self.cursor.here();
        let number = self.cursor.entity(prefix)?;
        if number == next {
            Ok(())
        } else {
            self.cursor.error_at(at, format!("expected `{prefix}{next}`: numbers must be consecutive"))
        }
    }

    /// A reference into a table of `len` entries.
    fn reference(&mut self, prefix: &str, len: usize) -> Result<Option<usize>> {
        let at = self.cursor.here();
        match self.cursor.eat_entity(prefix) {
            Some(n) if n >= len => self.cursor.error_at(at, format!("`{prefix}{n}` is not defined above")),
            found => Ok(found),
        }
    }

    fn file(&mut self) -> Result<()> {
        self.next_entity("file", self.module.files.len())?;
        self.cursor.expect("=")?;
        let path = self.cursor.string()?;
        self.module.files.push(path);
        Ok(())
    }

    fn weight(&mut self) -> Result<()> {
        self.next_entity("w", self.module.weights.len())?;
        let name = self.cursor.string()?;
        self.cursor.expect(":")?;
        let ty = self.cursor.ty()?;
        self.cursor.expect("=")?;
        let data = self.weight_data(&ty)?;
        self.module.weights.push(Weight { name, ty, data });
        self.cursor.weights = self.module.weights.len();
        Ok(())
    }

    fn weight_data(&mut self, ty: &Type) -> Result<WeightData> {
        if self.cursor.eat("bytes(") {
            let Some(file) = self.reference("file", self.module.files.len())? else {
                return self.cursor.expected("a file such as `file0`");
            };
            self.cursor.expect(",")?;
            let offset = self.cursor.u64()?;
            self.cursor.expect(",")?;
            let len = self.cursor.u64()?;
            self.cursor.expect(")")?;
            return Ok(WeightData::File { file: FileId::new(file), offset, len });
        }
        if self.cursor.eat("rand(") {
            let seed = self.cursor.u64()?;
            self.cursor.expect(",")?;
            let low = self.cursor.f64()?;
            self.cursor.expect(",")?;
            let high = self.cursor.f64()?;
            self.cursor.expect(")")?;
            return Ok(WeightData::Random { seed, low, high });
        }
        let at = self.cursor.here();
        let value = self.cursor.attr()?;
        literal_from(&value, ty).map(WeightData::Inline).or_else(|note| self.cursor.error_at(at, note))
    }

    fn layer(&mut self) -> Result<()> {
        self.next_entity("l", self.module.layers.len())?;
        let name = self.cursor.string()?;
        self.cursor.expect(":")?;
        let class = self.cursor.word("a class, as in DIALECT.CLASS")?;
        let config = self.attrs()?;
        let weights = self.weights_at_places("weights", "the place of a weight in its layer")?;
        let assets = self.weights_at_places("assets", "the path of an asset in the folder of its layer")?;
        self.module.layers.push(Layer { name, class, config, weights, assets });
        Ok(())
    }

    fn weights_at_places(&mut self, title: &str, place: &str) -> Result<Vec<(Name, WeightId)>> {
        let mut weights = Vec::new();
        if !self.cursor.eat_word(title) {
            return Ok(weights);
        }
        self.cursor.expect("{")?;
        while !self.cursor.eat("}") {
            let place = self.cursor.word(place)?;
            self.cursor.expect("=")?;
            let Some(weight) = self.reference("w", self.module.weights.len())? else {
                return self.cursor.expected("a weight such as `w0`");
            };
            weights.push((place, WeightId::new(weight)));
            if !self.cursor.eat(",") && !self.cursor.peek("}") {
                return self.cursor.expected("`,` or `}`");
            }
        }
        Ok(weights)
    }

    fn func(&mut self) -> Result<()> {
        let at = self.cursor.here();
        self.cursor.expect("@")?;
        let name = self.cursor.word("the name of the function")?;
        if self.funcs.insert(name.clone(), FuncId::new(self.module.funcs.len())).is_some() {
            return self.cursor.error_at(at, format!("there are two functions named `{name}`"));
        }
        let mut f = FuncParser { parser: self, func: Func::new(name), scope: BTreeMap::new() };
        f.params()?;
        // Outputs precede the ops that define them, so read them as tokens and resolve them later.
        let outputs = f.output_tokens()?;
        if f.parser.cursor.eat_word("attrs") {
            f.func.attrs = f.parser.attrs()?;
        }
        f.parser.cursor.expect("{")?;
        while !f.parser.cursor.eat("}") {
            f.op()?;
        }
        for (at, token, name) in outputs {
            let value = f.resolve(at, &token)?;
            let name = name.unwrap_or_else(|| f.default_name(&token));
            f.func.outputs.push(Output { name, value });
        }
        let func = f.func;
        self.module.funcs.push(func);
        Ok(())
    }

    fn func_named(&self, at: usize, name: &Name) -> Result<FuncId> {
        match self.funcs.get(name) {
            Some(id) => Ok(*id),
            None => self.cursor.error_at(at, format!("there is no function `@{name}`")),
        }
    }

    fn resolve_calls(&mut self) -> Result<()> {
        for call in std::mem::take(&mut self.calls) {
            let callee = self.func_named(call.at, &call.callee)?;
            if let OpKind::Call(op) = &mut self.module.funcs[call.func][call.op].kind {
                op.callee = callee;
            }
        }
        Ok(())
    }

    /// Fills in the ids of the functions that attributes name.
    fn resolve_names(&mut self) -> Result<()> {
        let named = std::mem::take(&mut self.cursor.funcs);
        let ids = named.iter().map(|(at, name)| self.func_named(*at, name)).collect::<Result<Vec<FuncId>>>()?;
        if ids.is_empty() {
            return Ok(());
        }
        for op in self.module.funcs.iter_mut().flat_map(|func| &mut func.ops) {
            if let OpKind::Source(_) = &op.kind {
                op.kind.for_each_func_mut(|id| *id = ids[id.index()]);
            }
        }
        Ok(())
    }
}

struct FuncParser<'p, 'a> {
    parser: &'p mut Parser<'a>,
    func: Func,
    scope: BTreeMap<ValueToken, ValueId>,
}

/// The part of an op from its name up to its operands.
struct Head {
    at: usize,
    name: Name,
    callee: Option<(usize, Name)>,
    weight: Option<WeightId>,
    layer: Option<LayerId>,
}

impl Head {
    fn misplaced(&self) -> Option<&'static str> {
        let is_core = self.callee.is_none() && !self.name.contains('.');
        if self.callee.is_some() != (&*self.name == "call") {
            Some("`call`, and only `call`, takes a function after its name, as in `call @f`")
        } else if self.weight.is_some() != (&*self.name == "weight") {
            Some("`weight`, and only `weight`, takes a weight after its name, as in `weight w0`")
        } else if self.layer.is_some() && is_core {
            Some("a core op cannot apply a layer")
        } else {
            None
        }
    }
}

type OutputToken = (usize, ValueToken, Option<Name>);

impl FuncParser<'_, '_> {
    fn params(&mut self) -> Result<()> {
        self.parser.cursor.expect("(")?;
        while !self.parser.cursor.eat(")") {
            let at = self.parser.cursor.here();
            let token = self.parser.cursor.value()?;
            self.parser.cursor.expect(":")?;
            let ty = self.parser.cursor.ty()?;
            let def = Def::Param(u32::try_from(self.func.params.len()).unwrap_or(u32::MAX));
            let value = self.define(at, &token, ty, def)?;
            let named = self.parser.cursor.peek("\"");
            let name = if named { self.parser.cursor.string()? } else { self.default_name(&token) };
            let layer = self.layer()?;
            self.func.params.push(Param { name, value, layer });
            self.separator()?;
        }
        Ok(())
    }

    fn separator(&mut self) -> Result<()> {
        if self.parser.cursor.eat(",") || self.parser.cursor.peek(")") {
            Ok(())
        } else {
            self.parser.cursor.expected("`,` or `)`")
        }
    }

    fn output_tokens(&mut self) -> Result<Vec<OutputToken>> {
        self.parser.cursor.expect("->")?;
        self.parser.cursor.expect("(")?;
        let mut outputs = Vec::new();
        while !self.parser.cursor.eat(")") {
            let at = self.parser.cursor.here();
            let token = self.parser.cursor.value()?;
            let named = self.parser.cursor.peek("\"");
            let name = if named { Some(self.parser.cursor.string()?) } else { None };
            outputs.push((at, token, name));
            self.separator()?;
        }
        Ok(outputs)
    }

    fn op(&mut self) -> Result<()> {
        let mut results = Vec::new();
        while results.is_empty() || self.parser.cursor.eat(",") {
            let at = self.parser.cursor.here();
            results.push((at, self.parser.cursor.value()?));
        }
        self.parser.cursor.expect("=")?;
        let head = self.head()?;
        let is_source = head.callee.is_none() && head.name.contains('.');
        let (operands, absent) = self.operands(is_source)?;
        let attrs = if is_source { self.parser.cursor.attrs()? } else { self.parser.attrs()? };
        let types = self.types(results.len())?;
        let loc = self.loc()?;

        let id = OpId::new(self.func.ops.len());
        let mut kind = self.kind(id, head, attrs, &types[0])?;
        if let OpKind::Source(source) = &mut kind {
            source.absent = absent;
        }
        let mut ids = Vec::new();
        for (i, ((at, token), ty)) in results.iter().zip(types).enumerate() {
            let def = Def::Result(id, u32::try_from(i).unwrap_or(u32::MAX));
            ids.push(self.define(*at, token, ty, def)?);
        }
        self.func.ops.push(Op { kind, operands, results: ids, loc });
        self.func.order.push(id);
        Ok(())
    }

    fn head(&mut self) -> Result<Head> {
        let at = self.parser.cursor.here();
        let name = self.parser.cursor.word("the name of an op")?;
        let callee_at = self.parser.cursor.here();
        let calls = self.parser.cursor.eat("@");
        let callee = if calls { Some((callee_at, self.parser.cursor.word("the name of a function")?)) } else { None };
        let weight = self.parser.reference("w", self.parser.module.weights.len())?.map(WeightId::new);
        let head = Head { at, name, callee, weight, layer: self.layer()? };
        match head.misplaced() {
            Some(note) => self.parser.cursor.error_at(at, note),
            None => Ok(head),
        }
    }

    /// The kind of op `id`. The callee of a call is filled in when all functions are known.
    fn kind(&mut self, id: OpId, head: Head, attrs: Attrs, result: &Type) -> Result<OpKind> {
        let Head { at, name, callee, weight, layer } = head;
        if let Some((at, callee)) = callee {
            let func = self.parser.module.funcs.len();
            self.parser.calls.push(PendingCall { func, op: id, callee, at });
            return Ok(OpKind::Call(Box::new(CallOp { callee: FuncId::new(0), layer, attrs })));
        }
        if name.contains('.') {
            return Ok(OpKind::Source(Box::new(SourceOp::new(name, layer, attrs))));
        }
        let core = CoreOp::from_attrs(&name, weight, &attrs, result);
        core.map(OpKind::Core).or_else(|note| self.parser.cursor.error_at(at, note))
    }

    fn layer(&mut self) -> Result<Option<LayerId>> {
        let len = self.parser.module.layers.len();
        Ok(self.parser.reference("l", len)?.map(LayerId::new))
    }

    /// The present operands, and the positions of absent ones, which only a source op can have.
    fn operands(&mut self, is_source: bool) -> Result<(Vec<ValueId>, Vec<u32>)> {
        let (mut operands, mut absent) = (Vec::new(), Vec::new());
        if self.parser.cursor.eat("(") {
            while !self.parser.cursor.eat(")") {
                let at = self.parser.cursor.here();
                if !self.parser.cursor.eat_word("_") {
                    let token = self.parser.cursor.value()?;
                    operands.push(self.resolve(at, &token)?);
                } else if is_source {
                    absent.push(u32::try_from(operands.len() + absent.len()).unwrap_or(u32::MAX));
                } else {
                    return self.parser.cursor.error_at(at, "only a source op can have absent operands");
                }
                self.separator()?;
            }
        }
        Ok((operands, absent))
    }

    fn types(&mut self, n: usize) -> Result<Vec<Type>> {
        self.parser.cursor.expect(":")?;
        let mut types = vec![self.parser.cursor.ty()?];
        while types.len() < n {
            self.parser.cursor.expect(",")?;
            types.push(self.parser.cursor.ty()?);
        }
        Ok(types)
    }

    fn loc(&mut self) -> Result<Loc> {
        if !self.parser.cursor.eat_word("loc") {
            return Ok(Loc::Unknown);
        }
        self.parser.cursor.expect("(")?;
        let mut locs = Vec::new();
        while locs.is_empty() || self.parser.cursor.eat("+") {
            let file = self.parser.reference("file", self.parser.module.files.len())?.map(FileId::new);
            if file.is_some() {
                self.parser.cursor.expect(",")?;
            }
            let path = self.parser.cursor.string()?;
            let call = if self.parser.cursor.eat("@") { self.parser.cursor.u32()? } else { 0 };
            locs.push(Loc::Call { file, path, call });
        }
        self.parser.cursor.expect(")")?;
        if locs.len() > 1 { Ok(Loc::Fused(locs)) } else { Ok(locs.remove(0)) }
    }

    fn define(&mut self, at: usize, token: &ValueToken, ty: Type, def: Def) -> Result<ValueId> {
        let name = match token {
            ValueToken::Named(name) => Some(name.clone()),
            ValueToken::Numbered(_) => None,
        };
        self.func.values.push(Value { ty, name, def });
        let value = ValueId::new(self.func.values.len() - 1);
        match self.scope.insert(token.clone(), value) {
            None => Ok(value),
            Some(_) => self.parser.cursor.error_at(at, format!("`{token}` is already defined")),
        }
    }

    fn resolve(&mut self, at: usize, token: &ValueToken) -> Result<ValueId> {
        match self.scope.get(token) {
            Some(value) => Ok(*value),
            None => self.parser.cursor.error_at(at, format!("`{token}` is not defined above")),
        }
    }

    /// The name of a parameter or output for callers, if the text gives none.
    fn default_name(&self, token: &ValueToken) -> Name {
        match token {
            ValueToken::Named(name) => name.clone(),
            ValueToken::Numbered(n) => n.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests;
