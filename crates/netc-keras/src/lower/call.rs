//! Typed access to one call of a layer: its configuration, arguments, operands and weights.

pub(crate) mod literal;
pub(crate) mod mask;
pub(crate) mod promote;
pub(crate) mod tensor;

use netc_dialect::{Dialects, LowerError, LoweredOp, OpContext, Purpose, Repeat};
use netc_ir::{Attr, Builder, Dim, ElemType, Layer, Layout, Name, SourceOp, Type, ValueId, WeightId};

use crate::config::message::found;
use crate::config::version::KerasVersion;
use crate::lower::call::literal::literal;
use crate::lower::call::promote::{Arg, dtype};
use crate::lower::result::{Result, bad};

/// One call of a layer or operation, and the builder that receives its core ops.
pub(crate) struct Call<'a, 'm> {
    pub(crate) b: &'a mut Builder<'m>,
    pub(crate) op: &'a SourceOp,
    layer: Option<&'a Layer>,
    pub(crate) operands: &'a [ValueId],
    config: Option<&'a Attr>,
    /// The masks attached to the operands.
    pub(crate) masks: &'a [Option<ValueId>],
    /// The masks that the layer attaches to its results.
    pub(crate) attached: Vec<Option<ValueId>>,
    /// The operands whose masks the layer removes.
    pub(crate) unmasked: Vec<usize>,
    pub(crate) purpose: Purpose,
    pub(crate) dialects: &'a Dialects,
    /// Ranges of ops that represent several steps.
    pub(crate) repeats: Vec<Repeat>,
    version: KerasVersion,
}

impl<'a, 'm> Call<'a, 'm> {
    pub(crate) fn new(b: &'a mut Builder<'m>, context: OpContext<'a>) -> Self {
        let config = context.layer.and_then(|l| l.config.get("config"));
        let OpContext { op, layer, operands, masks, purpose, dialects } = context;
        let version = KerasVersion::of(&b.module().attrs);
        let (attached, unmasked, repeats) = (Vec::new(), Vec::new(), Vec::new());
        Self { b, op, layer, operands, config, masks, attached, unmasked, purpose, dialects, repeats, version }
    }

    /// Runs `f` with `config` in place of the layer's configuration.
    pub(crate) fn with_config<T>(&mut self, config: &'a Attr, f: impl FnOnce(&mut Self) -> T) -> T {
        let own = self.config.replace(config);
        let answer = f(self);
        self.config = own;
        answer
    }

    /// Lowers a layer that is declared in this layer's configuration.
    pub(crate) fn lower_inner(&mut self, context: OpContext<'_>) -> Result<LoweredOp> {
        self.dialects.lower(self.b, context)
    }

    /// Whether the model is from Keras 1 or 2, which treat some masks differently.
    pub(crate) fn is_legacy(&self) -> bool {
        self.version == KerasVersion::Legacy
    }

    pub(crate) fn class(&self) -> &'a str {
        self.op.name.rsplit('.').next().unwrap_or(&self.op.name)
    }
}

/// Errors.
impl Call<'_, '_> {
    pub(crate) fn unsupported(&self, what: impl Into<String>) -> LowerError {
        LowerError::Unsupported { class: self.class().into(), what: what.into(), types: Vec::new() }
    }

    /// The error for a value at `key` that the lowering does not support.
    pub(crate) fn unsupported_key(&self, key: &str) -> LowerError {
        self.unsupported(format!("`{key}` = {}", found(self.config.and_then(|c| c.get(key)))))
    }

    pub(crate) fn bad(&self, key: &str, expected: &str) -> LowerError {
        bad(key, self.config.and_then(|c| c.get(key)), expected)
    }
}

/// The configuration.
impl<'a> Call<'a, '_> {
    /// The value at `key`; null counts as missing.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Attr> {
        self.config.and_then(|c| c.get(key)).filter(|a| !a.is_null())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl FnOnce(&'a Attr) -> Option<T>) -> Result<T> {
        self.get(key).and_then(read).ok_or_else(|| self.bad(key, expected))
    }

    pub(crate) fn int(&self, key: &str) -> Result<i64> {
        self.read(key, "an integer", Attr::as_int)
    }

    pub(crate) fn int_or(&self, key: &str, default: i64) -> Result<i64> {
        if self.has(key) { self.int(key) } else { Ok(default) }
    }

    /// An integer of 1 or more.
    pub(crate) fn count(&self, key: &str) -> Result<u64> {
        self.read(key, "an integer of 1 or more", |a| as_count(a).filter(|n| *n >= 1))
    }

    pub(crate) fn float(&self, key: &str) -> Result<f64> {
        self.read(key, "a number", Attr::as_f64)
    }

    pub(crate) fn float_or(&self, key: &str, default: f64) -> Result<f64> {
        if self.has(key) { self.float(key) } else { Ok(default) }
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        if self.has(key) { self.read(key, "true or false", Attr::as_bool) } else { Ok(default) }
    }

    pub(crate) fn text(&self, key: &str) -> Result<&'a str> {
        self.read(key, "text", Attr::as_str)
    }

    /// The name at `key`, one of `names`; the first of them if the key is missing.
    pub(crate) fn one_of(&self, key: &str, names: &[&'static str]) -> Result<&'static str> {
        let expected = || format!("one of {}", names.join(", "));
        let Some(value) = self.get(key) else {
            return names.first().copied().ok_or_else(|| self.bad(key, &expected()));
        };
        let name = value.as_str().ok_or_else(|| self.bad(key, &expected()))?;
        // An unknown name may come from a newer Keras: it is unsupported, not invalid.
        names.iter().find(|n| **n == name).copied().ok_or_else(|| self.unsupported_key(key))
    }

    /// `n` integers; a single integer stands for `n` equal ones.
    pub(crate) fn tuple(&self, key: &str, n: usize) -> Result<Vec<u64>> {
        self.read(key, &format!("an integer of 0 or more, or {n} of them"), |a| as_tuple(a, n))
    }

    pub(crate) fn tuple_or(&self, key: &str, n: usize, default: u64) -> Result<Vec<u64>> {
        if self.has(key) { self.tuple(key, n) } else { Ok(vec![default; n]) }
    }

    /// `n` pairs. An integer in place of a pair stands for two equal ones, a single integer for all pairs.
    pub(crate) fn pairs(&self, key: &str, n: usize) -> Result<Vec<(u64, u64)>> {
        self.read(key, &format!("{n} pairs of integers of 0 or more"), |a| as_pairs(a, n))
    }

    /// The axis at `key` of a tensor of rank `rank`; negative axes count from the end.
    pub(crate) fn axis(&self, key: &str, rank: usize, default: i64) -> Result<usize> {
        normal_axis(self.int_or(key, default)?, rank).ok_or_else(|| self.bad(key, &axis_of(rank)))
    }

    /// The axis or axes at `key`, sorted; `None` if the key is missing.
    pub(crate) fn axes(&self, key: &str, rank: usize) -> Result<Option<Vec<u64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let axes = normal_axes(value, rank).ok_or_else(|| self.bad(key, &axis_of(rank)))?;
        Ok(Some(axes))
    }

    pub(crate) fn layout(&self) -> Result<Layout> {
        let name = self.one_of("data_format", &["channels_last", "channels_first"])?;
        Ok(if name == "channels_first" { Layout::ChannelsFirst } else { Layout::ChannelsLast })
    }

    /// The layer's compute type; `None` for operations, which keep their operands' types.
    pub(crate) fn compute_type(&self) -> Result<Option<ElemType>> {
        let Some(policy) = self.get("dtype") else { return Ok(None) };
        let name = match self.quantized_from()?.or_else(|| policy.as_str()) {
            Some(name) => name,
            None => match policy.get("class_name").and_then(Attr::as_str) {
                Some("DTypePolicy" | "FloatDTypePolicy" | "Policy") => {
                    let name = policy.get("config").and_then(|c| c.get("name")).and_then(Attr::as_str);
                    name.ok_or_else(|| self.bad("dtype", "a policy with a name"))?
                }
                _ => return Err(self.unsupported_key("dtype")),
            },
        };
        match name {
            "mixed_float16" => Ok(Some(ElemType::F16)),
            "mixed_bfloat16" => Ok(Some(ElemType::BF16)),
            _ => dtype(name).map(Some).ok_or_else(|| self.unsupported(format!("the dtype \"{name}\""))),
        }
    }
}

/// The tensors.
impl<'a> Call<'a, '_> {
    /// The argument at `position` or with the keyword `name`; null counts as missing.
    pub(crate) fn arg(&self, position: usize, name: &str) -> Option<&'a Attr> {
        let args = self.op.attrs.get("args").and_then(Attr::as_list);
        let named = self.op.attrs.get("kwargs").and_then(|k| k.get(name));
        args.and_then(|a| a.get(position)).or(named).filter(|a| !a.is_null())
    }

    /// A boolean argument; false if it is missing.
    pub(crate) fn flag_arg(&self, position: usize, name: &str) -> Result<bool> {
        let arg = self.arg(position, name);
        arg.map_or(Some(false), Attr::as_bool).ok_or_else(|| bad(name, arg, "true or false"))
    }

    /// Rejects positional arguments from `positions` on, and keyword arguments that are not `known`, unless they are
    /// null or false.
    ///
    /// `training` is always accepted: `Model.predict` overrides it.
    pub(crate) fn only_args(&self, positions: usize, known: &[&str]) -> Result<()> {
        let args = self.op.attrs.get("args").and_then(Attr::as_list).unwrap_or_default();
        if let Some((i, arg)) = args.iter().enumerate().skip(positions).find(|(_, a)| is_on(a)) {
            return Err(self.unsupported(format!("the positional argument {i} = {}", found(Some(arg)))));
        }
        let kwargs = self.op.attrs.get("kwargs").and_then(Attr::as_map);
        let odd = kwargs
            .and_then(|k| k.iter().find(|(key, arg)| !known.contains(&&**key) && &**key != "training" && is_on(arg)));
        match odd {
            Some((key, arg)) => Err(self.unsupported(format!("the argument `{key}` = {}", found(Some(arg))))),
            None => Ok(()),
        }
    }

    /// The only input of the call, cast to the compute type.
    pub(crate) fn input(&mut self) -> Result<ValueId> {
        let x = self.raw_input()?;
        self.autocast(x)
    }

    /// The only input of the call, in its own type.
    pub(crate) fn raw_input(&mut self) -> Result<ValueId> {
        match self.raw_inputs()?[..] {
            [x] => Ok(x),
            ref all => Err(self.not_one(all.len())),
        }
    }

    fn not_one(&self, found: usize) -> LowerError {
        LowerError::Operands(format!("`{}` takes one tensor, found {found}", self.class()))
    }

    /// The inputs of the call, cast to the compute type.
    pub(crate) fn inputs(&mut self) -> Result<Vec<ValueId>> {
        let inputs = self.raw_inputs()?;
        inputs.into_iter().map(|x| self.autocast(x)).collect()
    }

    /// The only input of the call, cast to the compute type, and its mask.
    pub(crate) fn input_with_mask(&mut self) -> Result<(ValueId, Option<ValueId>)> {
        let x = match self.raw_inputs_beside(&["inputs"], &["mask"])?[..] {
            [x] => self.autocast(x)?,
            ref all => return Err(self.not_one(all.len())),
        };
        Ok((x, self.mask(1)?))
    }

    fn raw_inputs(&mut self) -> Result<Vec<ValueId>> {
        self.raw_inputs_beside(&["inputs", "x", "data"], &[])
    }

    /// The tensors in the first argument, whose keyword is one of `names`. The call may also have the arguments
    /// `others`.
    pub(crate) fn raw_inputs_beside(&mut self, names: &[&str], others: &[&str]) -> Result<Vec<ValueId>> {
        self.only_args(1 + others.len(), &[names, others].concat())?;
        if self.op.attrs.get("args").is_none() && self.op.attrs.get("kwargs").is_none() {
            return Ok(self.operands.to_vec());
        }
        let first = names.iter().find_map(|name| self.arg(0, name));
        self.tensors(first)
    }

    /// The operands in an argument, which is a tensor or a list of tensors.
    pub(crate) fn tensors(&self, arg: Option<&Attr>) -> Result<Vec<ValueId>> {
        let items = match arg {
            Some(Attr::List(items)) => &items[..],
            Some(one) => std::slice::from_ref(one),
            None => return Err(self.not_tensors(None)),
        };
        let operand = |item: &Attr| match item.as_operand() {
            Some(i) => self.operand(i),
            None => Err(self.not_tensors(Some(item))),
        };
        items.iter().map(operand).collect()
    }

    fn not_tensors(&self, arg: Option<&Attr>) -> LowerError {
        if matches!(arg, Some(Attr::Map(_) | Attr::List(_))) {
            return self.unsupported(format!("{} as its input", found(arg)));
        }
        LowerError::Operands(format!("`{}` is called with {}, expected tensors", self.class(), found(arg)))
    }

    pub(crate) fn operand(&self, i: u32) -> Result<ValueId> {
        let operand = usize::try_from(i).ok().and_then(|i| self.operands.get(i));
        let missing = || {
            LowerError::Operands(format!(
                "the call refers to operand ${i}, but its number of operands is {}",
                self.operands.len()
            ))
        };
        operand.copied().ok_or_else(missing)
    }

    /// An argument of an operation: a tensor, a constant tensor or a number.
    pub(crate) fn value(&mut self, position: usize, name: &str) -> Result<Arg> {
        self.arg_value(name, self.arg(position, name))
    }

    /// An argument that is a list of tensors or numbers.
    pub(crate) fn values(&mut self, position: usize, name: &str) -> Result<Vec<Arg>> {
        let arg = self.arg(position, name);
        let items = arg.and_then(Attr::as_list).ok_or_else(|| bad(name, arg, "a list of tensors"))?;
        items.iter().map(|item| self.arg_value(name, Some(item))).collect()
    }

    pub(crate) fn arg_value(&mut self, name: &str, arg: Option<&Attr>) -> Result<Arg> {
        match arg {
            Some(Attr::Operand(i)) => Ok(Arg::Tensor(self.operand(*i)?)),
            Some(Attr::Int(i)) => Ok(Arg::Int(*i)),
            Some(Attr::Float(x)) => Ok(Arg::Float(x.get())),
            Some(constant @ (Attr::Bool(_) | Attr::List(_) | Attr::Map(_))) => {
                Ok(Arg::Tensor(self.b.constant(literal(name, constant)?)?))
            }
            Some(Attr::Null | Attr::Str(_) | Attr::NonJson(_)) | None => Err(bad(name, arg, "a tensor or a number")),
        }
    }

    /// An argument of an operation as a tensor; a number becomes a scalar.
    pub(crate) fn tensor(&mut self, position: usize, name: &str) -> Result<ValueId> {
        let value = self.value(position, name)?;
        self.materialize(value)
    }

    /// `x` cast to the compute type if it is a float. Integers are left alone.
    pub(crate) fn autocast(&mut self, x: ValueId) -> Result<ValueId> {
        match self.compute_type()? {
            Some(elem) if self.elem(x).is_float() => Ok(self.b.cast(x, elem)?),
            Some(_) | None => Ok(x),
        }
    }

    /// The weight at `place`, cast to the compute type. Errors call it `what`.
    pub(crate) fn weight(&mut self, place: &str, what: &str) -> Result<ValueId> {
        let weight = self.raw_weight(place, what)?;
        self.autocast(weight)
    }

    /// The weight at `place`, as it is stored. Errors call it `what`.
    pub(crate) fn raw_weight(&mut self, place: &str, what: &str) -> Result<ValueId> {
        let Some((_, id)) = self.weights().iter().find(|(p, _)| &**p == place) else {
            return Err(LowerError::Weight { place: place.into(), expected: what.into() });
        };
        Ok(self.b.weight(*id)?)
    }

    /// Checks that the `n` extents of `weight` from `axis` on are those at `key` of the configuration, if it has the
    /// key.
    ///
    /// Keras does not load a weight of another shape.
    pub(crate) fn require_extents(&self, weight: ValueId, what: &str, axis: usize, key: &str, n: usize) -> Result<()> {
        if !self.has(key) {
            return Ok(());
        }
        let (expected, dims) = (self.tuple(key, n)?, self.dims(weight)?);
        let found = dims.iter().skip(axis).map(Dim::known).take(n);
        if found.eq(expected.iter().map(|extent| Some(*extent))) {
            return Ok(());
        }
        Err(LowerError::Operands(format!("{what} is {}, which does not match `{key}` = {expected:?}", self.ty(weight))))
    }

    /// The weights of the layer, with their places.
    pub(crate) fn weights(&self) -> &'a [(Name, WeightId)] {
        self.layer.map_or(&[][..], |l| &l.weights)
    }

    pub(crate) fn ty(&self, x: ValueId) -> &Type {
        self.b.ty(x)
    }

    pub(crate) fn elem(&self, x: ValueId) -> ElemType {
        self.b.ty(x).elem
    }

    pub(crate) fn dims(&self, x: ValueId) -> Result<Vec<Dim>> {
        self.b.ty(x).dims.clone().ok_or_else(|| {
            LowerError::Operands(format!("`{}` needs a tensor of known rank, found {}", self.class(), self.b.ty(x)))
        })
    }

    pub(crate) fn rank(&self, x: ValueId) -> Result<usize> {
        Ok(self.dims(x)?.len())
    }

    /// The extent of an axis; an error unless it is a number.
    pub(crate) fn extent(&self, x: ValueId, axis: usize) -> Result<u64> {
        let dims = self.dims(x)?;
        let extent = dims.get(axis).and_then(Dim::known);
        extent.ok_or_else(|| self.unsupported(format!("a symbolic extent (axis {axis} of {})", self.ty(x))))
    }
}

/// Whether an argument has an effect: null and false do not.
fn is_on(arg: &Attr) -> bool {
    match arg.as_list() {
        Some(items) => items.iter().any(is_on),
        None => !arg.is_null() && arg.as_bool() != Some(false),
    }
}

fn axis_of(rank: usize) -> String {
    format!("distinct axes of a tensor of rank {rank}")
}

pub(crate) fn as_count(attr: &Attr) -> Option<u64> {
    attr.as_int().and_then(|i| u64::try_from(i).ok())
}

fn as_tuple(attr: &Attr, n: usize) -> Option<Vec<u64>> {
    match attr.as_list() {
        Some(items) => items.iter().map(as_count).collect::<Option<Vec<_>>>().filter(|t| t.len() == n),
        None => Some(vec![as_count(attr)?; n]),
    }
}

fn as_pairs(attr: &Attr, n: usize) -> Option<Vec<(u64, u64)>> {
    let pair = |a: &Attr| match as_tuple(a, 2)?[..] {
        [low, high] => Some((low, high)),
        _ => None,
    };
    match attr.as_list() {
        // A single pair may be written without an enclosing list.
        Some([Attr::Int(_), _]) if n == 1 => Some(vec![pair(attr)?]),
        Some(items) => items.iter().map(pair).collect::<Option<Vec<_>>>().filter(|p| p.len() == n),
        None => Some(vec![pair(attr)?; n]),
    }
}

/// `axis` counted from the start; `None` if it is out of range.
pub(crate) fn normal_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    if axis < rank { usize::try_from(axis).ok() } else { None }
}

/// One axis or a list of axes, counted from the start and sorted; `None` if an axis is out of range or repeated.
pub(crate) fn normal_axes(attr: &Attr, rank: usize) -> Option<Vec<u64>> {
    let one = std::slice::from_ref(attr);
    let items = attr.as_list().unwrap_or(one);
    let axes = items.iter().map(|a| Some(normal_axis(a.as_int()?, rank)? as u64));
    let mut axes = axes.collect::<Option<Vec<_>>>()?;
    axes.sort_unstable();
    axes.is_sorted_by(|a, b| a < b).then_some(axes)
}
