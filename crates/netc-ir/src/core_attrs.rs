//! The attributes of core ops as text sees them: to a tree for printing, from a tree when parsing.
//!
//! What the result type already says (the shape of `reshape`, the element type of `cast`) is not repeated.

use crate::attr::{Attr, Attrs, F64};
use crate::id::WeightId;
use crate::literal::{Literal, Number};
use crate::op::{Binary, Compare, CoreOp, Layout, PadMode, Padding, Pool, Reduce, SliceAxis, Unary, Window};
use crate::types::{ElemType, Type};

impl CoreOp {
    /// The attributes that print in braces after the operands.
    pub fn to_attrs(&self) -> Attrs {
        match self {
            Self::Weight(_)
            | Self::Unary(_)
            | Self::Binary(_)
            | Self::Compare(_)
            | Self::Select
            | Self::Cast(_)
            | Self::MatMul
            | Self::Reshape(_)
            | Self::Broadcast(_) => Attrs::new(),
            Self::Constant(literal) => Attrs::new().with("value", literal_attr(literal)),
            Self::Conv { window, groups } => {
                let attrs = window_attrs(window);
                if *groups == 1 { attrs } else { attrs.with("groups", Attr::Int((*groups).into())) }
            }
            Self::Pool { size, window, .. } => {
                std::iter::once(("size".into(), Attr::ints(size.iter().copied()))).chain(window_attrs(window)).collect()
            }
            Self::Reduce { axes, keep, .. } => {
                let attrs = Attrs::new().with("axes", Attr::ints(axes.iter().copied()));
                if *keep { attrs.with("keep", true) } else { attrs }
            }
            Self::Transpose(perm) => Attrs::new().with("perm", Attr::ints(perm.iter().copied())),
            Self::Concat(axis) | Self::Gather(axis) | Self::CumSum(axis) => {
                Attrs::new().with("axis", Attr::Int((*axis).into()))
            }
            Self::Sort { axis, descending } => {
                let attrs = Attrs::new().with("axis", Attr::Int((*axis).into()));
                if *descending { attrs.with("descending", true) } else { attrs }
            }
            Self::Reverse(axes) => Attrs::new().with("axes", Attr::ints(axes.iter().copied())),
            Self::Slice(axes) => Attrs::new().with("axes", Attr::List(axes.iter().map(slice_attr).collect())),
            Self::Pad { amounts, mode, value } => {
                let mut attrs = Attrs::new().with("amounts", pairs_attr(amounts));
                if *mode != PadMode::Constant {
                    attrs.push("mode", mode.name());
                }
                // The other modes do not read the value: it prints where it is not the default.
                if *mode == PadMode::Constant || *value != F64::new(0.0) {
                    attrs.push("value", Attr::Float(*value));
                }
                attrs
            }
        }
    }

    /// The core op called `name` with `attrs`, whose result has the type `result`. `subject` is the weight named
    /// after the op, for those that have one.
    ///
    /// The error says which attribute is missing or malformed and what was expected.
    pub fn from_attrs(name: &str, subject: Option<WeightId>, attrs: &Attrs, result: &Type) -> Result<Self, String> {
        let mut r = Reader { name, attrs, seen: Vec::new() };
        let op = r.core(subject, result)?;
        let mut known = r.seen;
        known.sort_unstable();
        known.dedup();
        for (i, (key, _)) in attrs.iter().enumerate() {
            if !known.contains(&&**key) {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(format!("`{name}` has no attribute `{key}`; it has: {known}"));
            }
            if attrs.iter().take(i).any(|(k, _)| k == key) {
                return Err(format!("`{name}` has the attribute `{key}` twice"));
            }
        }
        Ok(op)
    }
}

fn window_attrs(window: &Window) -> Attrs {
    let mut attrs = Attrs::new();
    attrs.push("strides", Attr::ints(window.strides.iter().copied()));
    if window.dilations.iter().any(|d| *d != 1) {
        attrs.push("dilations", Attr::ints(window.dilations.iter().copied()));
    }
    match &window.padding {
        Padding::Valid => {}
        Padding::Same => attrs.push("padding", "same"),
        Padding::Explicit(pads) => attrs.push("padding", pairs_attr(pads)),
    }
    if window.layout == Layout::ChannelsFirst {
        attrs.push("layout", window.layout.name());
    }
    attrs
}

fn pairs_attr(pairs: &[(u64, u64)]) -> Attr {
    Attr::List(pairs.iter().map(|(a, b)| Attr::ints([*a, *b])).collect())
}

fn slice_attr(axis: &SliceAxis) -> Attr {
    let end = axis.end.map_or(Attr::Null, |e| Attr::Int(e.into()));
    Attr::List(vec![Attr::Int(axis.start.into()), end, Attr::Int(axis.step.into())])
}

/// A number for a splat, nested lists for the rest.
pub(crate) fn literal_attr(literal: &Literal) -> Attr {
    if let Some(splat) = literal.as_splat() {
        return number_attr(splat);
    }
    Attr::List(literal.numbers().map(number_attr).collect())
}

fn number_attr(number: Number) -> Attr {
    match number {
        Number::Int(i) => Attr::Int(i),
        Number::Float(x) => Attr::Float(F64::new(x)),
    }
}

/// The literal of type `ty` that prints as `value`: a number for a splat, a list (nested or flat) in row-major order.
pub(crate) fn literal_from(value: &Attr, ty: &Type) -> Result<Literal, String> {
    let dims = ty.fixed_dims().ok_or_else(|| format!("a constant of type {ty}: expected a shape of numbers"))?;
    if ty.elem.size() == 0 {
        return Err(format!("a constant of type {ty}: expected a numeric element type"));
    }
    if let Some(number) = number_of(value, ty.elem) {
        return Ok(Literal::splat_number(ty.elem, &dims, number));
    }
    let mut numbers = Vec::new();
    flatten(value, ty.elem, &mut numbers)?;
    if Some(numbers.len() as u64) != ty.num_elements() {
        return Err(format!("{} numbers for a constant of type {ty}", numbers.len()));
    }
    Ok(Literal::dense(ty.elem, &dims, numbers))
}

fn number_of(value: &Attr, elem: ElemType) -> Option<Number> {
    match value {
        Attr::Int(i) => Some(Number::Int(*i)),
        Attr::Float(x) => Some(Number::Float(x.get())),
        Attr::Bool(b) if elem == ElemType::Bool => Some(Number::Int(i128::from(*b))),
        Attr::Null | Attr::Bool(_) | Attr::Str(_) | Attr::List(_) | Attr::Map(_) | Attr::Operand(_) => None,
    }
}

fn flatten(value: &Attr, elem: ElemType, out: &mut Vec<Number>) -> Result<(), String> {
    match (number_of(value, elem), value.as_list()) {
        (Some(number), _) => out.push(number),
        (None, Some(items)) => items.iter().try_for_each(|v| flatten(v, elem, out))?,
        (None, None) => return Err("a constant's value is a number or lists of numbers".into()),
    }
    Ok(())
}

struct Reader<'a> {
    name: &'a str,
    attrs: &'a Attrs,
    seen: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn core(&mut self, subject: Option<WeightId>, result: &Type) -> Result<CoreOp, String> {
        let name = self.name;
        if let Some(f) = Unary::parse(name) {
            return Ok(CoreOp::Unary(f));
        }
        if let Some(f) = Binary::parse(name) {
            return Ok(CoreOp::Binary(f));
        }
        if let Some(f) = Compare::parse(name) {
            return Ok(CoreOp::Compare(f));
        }
        if let Some(kind) = Pool::parse(name) {
            return Ok(CoreOp::Pool { kind, size: self.ints("size")?, window: self.window()? });
        }
        if let Some(kind) = Reduce::parse(name) {
            return Ok(CoreOp::Reduce { kind, axes: self.ints("axes")?, keep: self.flag("keep")? });
        }
        let shape =
            || result.dims.clone().ok_or_else(|| format!("`{name}` needs a result type with a shape, found {result}"));
        Ok(match name {
            "constant" => {
                let value = self.get("value").ok_or_else(|| self.missing("value", "a number or lists of numbers"))?;
                CoreOp::Constant(literal_from(value, result)?)
            }
            "weight" => CoreOp::Weight(subject.ok_or("`weight` needs the weight after its name, as in `weight w0`")?),
            "select" => CoreOp::Select,
            "cast" => CoreOp::Cast(result.elem),
            "matmul" => CoreOp::MatMul,
            "conv" => CoreOp::Conv { window: self.window()?, groups: self.int_or("groups", 1)? },
            "reshape" => CoreOp::Reshape(shape()?),
            "broadcast" => CoreOp::Broadcast(shape()?),
            "transpose" => CoreOp::Transpose(self.ints("perm")?),
            "concat" => CoreOp::Concat(self.int("axis")?),
            "gather" => CoreOp::Gather(self.int("axis")?),
            "cumsum" => CoreOp::CumSum(self.int("axis")?),
            "sort" => CoreOp::Sort { axis: self.int("axis")?, descending: self.flag("descending")? },
            "reverse" => CoreOp::Reverse(self.ints("axes")?),
            "slice" => CoreOp::Slice(self.slices()?),
            "pad" => CoreOp::Pad { amounts: self.pairs("amounts")?, mode: self.pad_mode()?, value: self.pad_value()? },
            _ => {
                return Err(format!(
                    "there is no core op `{name}`; an op of a source framework has a point in its name"
                ));
            }
        })
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Attr> {
        self.seen.push(key);
        self.attrs.get(key)
    }

    fn missing(&self, key: &str, expected: &str) -> String {
        format!("`{}` needs the attribute `{key}`: {expected}", self.name)
    }

    fn int(&mut self, key: &'static str) -> Result<u64, String> {
        self.get(key).and_then(as_u64).ok_or_else(|| self.missing(key, "an integer of 0 or more"))
    }

    fn int_or(&mut self, key: &'static str, default: u64) -> Result<u64, String> {
        if self.attrs.get(key).is_some() { self.int(key) } else { Ok(self.get(key).map_or(default, |_| default)) }
    }

    fn ints(&mut self, key: &'static str) -> Result<Vec<u64>, String> {
        let list = self.get(key).and_then(Attr::as_list);
        let ints = list.and_then(|l| l.iter().map(as_u64).collect());
        ints.ok_or_else(|| self.missing(key, "a list of integers of 0 or more"))
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.missing(key, "true or false")),
        }
    }

    fn pairs(&mut self, key: &'static str) -> Result<Vec<(u64, u64)>, String> {
        let list = self.get(key).and_then(Attr::as_list);
        let pairs = list.and_then(|l| l.iter().map(as_pair).collect());
        pairs.ok_or_else(|| self.missing(key, "a list of pairs of integers of 0 or more"))
    }

    fn window(&mut self) -> Result<Window, String> {
        let strides = self.ints("strides")?;
        let dilations = match self.attrs.get("dilations") {
            Some(_) => self.ints("dilations")?,
            None => vec![1; strides.len()],
        };
        self.seen.push("dilations");
        let padding = match self.get("padding") {
            None => Padding::Valid,
            Some(Attr::Str(s)) if &**s == "same" => Padding::Same,
            Some(_) => Padding::Explicit(self.pairs("padding")?),
        };
        let layout = match self.get("layout") {
            None => Layout::ChannelsLast,
            Some(value) => value
                .as_str()
                .and_then(Layout::parse)
                .ok_or_else(|| self.missing("layout", "\"channels_last\" or \"channels_first\""))?,
        };
        Ok(Window { strides, dilations, padding, layout })
    }

    fn slices(&mut self) -> Result<Vec<SliceAxis>, String> {
        let list = self.get("axes").and_then(Attr::as_list);
        let axes = list.and_then(|l| l.iter().map(as_slice).collect());
        axes.ok_or_else(|| self.missing("axes", "a list of [start, end or null, step]"))
    }

    fn pad_mode(&mut self) -> Result<PadMode, String> {
        match self.get("mode") {
            None => Ok(PadMode::Constant),
            Some(value) => value
                .as_str()
                .and_then(PadMode::parse)
                .ok_or_else(|| self.missing("mode", "\"constant\", \"reflect\", \"symmetric\" or \"edge\"")),
        }
    }

    fn pad_value(&mut self) -> Result<F64, String> {
        match self.get("value") {
            None => Ok(F64::new(0.0)),
            Some(value) => value.as_f64().map(F64::new).ok_or_else(|| self.missing("value", "a number")),
        }
    }
}

fn as_u64(attr: &Attr) -> Option<u64> {
    attr.as_int().and_then(|i| u64::try_from(i).ok())
}

fn as_pair(attr: &Attr) -> Option<(u64, u64)> {
    match attr.as_list()? {
        [a, b] => Some((as_u64(a)?, as_u64(b)?)),
        _ => None,
    }
}

fn as_slice(attr: &Attr) -> Option<SliceAxis> {
    match attr.as_list()? {
        [start, end, step] => {
            let end = if end.is_null() { None } else { Some(as_u64(end)?) };
            Some(SliceAxis { start: as_u64(start)?, end, step: as_u64(step)? })
        }
        _ => None,
    }
}
