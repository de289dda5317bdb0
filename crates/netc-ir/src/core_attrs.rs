//! Converts core ops to and from the attributes of their text.
//!
//! Attributes do not repeat the result type, such as the shape of `reshape` or the element type of `cast`.

use crate::attr::{Attr, Attrs, F64};
use crate::id::WeightId;
use crate::literal_text::{literal_attr, literal_from};
use crate::op::{Binary, Compare, CoreOp, Layout, PadMode, Padding, Pool, Reduce, SliceAxis, Unary, Window};
use crate::print::AttrText;
use crate::types::Type;

impl CoreOp {
    /// The attributes that are printed in braces after the operands.
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
            | Self::Broadcast(_)
            | Self::Iota(_) => Attrs::new(),
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
            Self::Concat(axis) | Self::Gather(axis) | Self::CumSum(axis) | Self::Dim(axis) => {
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
                // Other modes ignore the value, so print it only if it is not the default.
                if *mode == PadMode::Constant || *value != F64::new(0.0) {
                    attrs.push("value", Attr::Float(*value));
                }
                attrs
            }
        }
    }

    /// Builds the core op `name` from its attributes and the type of its result.
    ///
    /// `subject` is the weight that follows the op's name in the text of a `weight` op.
    ///
    /// # Errors
    /// The op is unknown, or an attribute is missing, malformed, unknown or repeated.
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
                let value = self.get("value").ok_or_else(|| self.bad("value", "a number or lists of numbers"))?;
                CoreOp::Constant(literal_from(value, result)?)
            }
            "weight" => CoreOp::Weight(subject.ok_or("`weight` needs the weight after its name, as in `weight w0`")?),
            "select" => CoreOp::Select,
            "cast" => CoreOp::Cast(result.elem),
            "matmul" => CoreOp::MatMul,
            "conv" => CoreOp::Conv { window: self.window()?, groups: self.int_or("groups", 1)? },
            "reshape" => CoreOp::Reshape(shape()?),
            "broadcast" => CoreOp::Broadcast(shape()?),
            "iota" => match shape()?.as_slice() {
                [extent] => CoreOp::Iota(extent.clone()),
                _ => return Err(format!("`iota` needs a result type with one axis, found {result}")),
            },
            "transpose" => CoreOp::Transpose(self.ints("perm")?),
            "concat" => CoreOp::Concat(self.int("axis")?),
            "gather" => CoreOp::Gather(self.int("axis")?),
            "cumsum" => CoreOp::CumSum(self.int("axis")?),
            "dim" => CoreOp::Dim(self.int("axis")?),
            "sort" => CoreOp::Sort { axis: self.int("axis")?, descending: self.flag("descending")? },
            "reverse" => CoreOp::Reverse(self.ints("axes")?),
            "slice" => CoreOp::Slice(self.slices()?),
            "pad" => CoreOp::Pad { amounts: self.pairs("amounts")?, mode: self.pad_mode()?, value: self.pad_value()? },
            _ => {
                return Err(format!(
                    "there is no core op `{name}`; the name of a source op has a dot, as in `dialect.Class`"
                ));
            }
        })
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Attr> {
        self.seen.push(key);
        self.attrs.get(key)
    }

    /// The error message for an attribute that is missing or malformed.
    fn bad(&self, key: &str, expected: &str) -> String {
        let Some(found) = self.attrs.get(key) else {
            return format!("`{}` needs the attribute `{key}`: {expected}", self.name);
        };
        let found = AttrText::plain(found).to_string();
        let (shown, dots) = match found.char_indices().nth(40) {
            Some((end, _)) => (&found[..end], "..."),
            None => (&*found, ""),
        };
        format!("the attribute `{key}` of `{}` is {shown}{dots}, expected {expected}", self.name)
    }

    fn int(&mut self, key: &'static str) -> Result<u64, String> {
        self.get(key).and_then(as_u64).ok_or_else(|| self.bad(key, "an integer of 0 or more"))
    }

    fn int_or(&mut self, key: &'static str, default: u64) -> Result<u64, String> {
        match self.get(key) {
            None => Ok(default),
            Some(_) => self.int(key),
        }
    }

    fn ints(&mut self, key: &'static str) -> Result<Vec<u64>, String> {
        let list = self.get(key).and_then(Attr::as_list);
        let ints = list.and_then(|l| l.iter().map(as_u64).collect());
        ints.ok_or_else(|| self.bad(key, "a list of integers of 0 or more"))
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.bad(key, "true or false")),
        }
    }

    fn pairs(&mut self, key: &'static str) -> Result<Vec<(u64, u64)>, String> {
        let list = self.get(key).and_then(Attr::as_list);
        let pairs = list.and_then(|l| l.iter().map(as_pair).collect());
        pairs.ok_or_else(|| self.bad(key, "a list of pairs of integers of 0 or more"))
    }

    fn window(&mut self) -> Result<Window, String> {
        let strides = self.ints("strides")?;
        let dilations = match self.get("dilations") {
            None => vec![1; strides.len()],
            Some(_) => self.ints("dilations")?,
        };
        let padding = match self.get("padding") {
            None => Padding::Valid,
            Some(Attr::Str(s)) if &**s == "same" => Padding::Same,
            Some(Attr::Str(_)) => return Err(self.bad("padding", "\"same\" or a list of pairs")),
            Some(_) => Padding::Explicit(self.pairs("padding")?),
        };
        let layout = match self.get("layout") {
            None => Layout::ChannelsLast,
            Some(value) => value
                .as_str()
                .and_then(Layout::parse)
                .ok_or_else(|| self.bad("layout", "\"channels_last\" or \"channels_first\""))?,
        };
        Ok(Window { strides, dilations, padding, layout })
    }

    fn slices(&mut self) -> Result<Vec<SliceAxis>, String> {
        let list = self.get("axes").and_then(Attr::as_list);
        let axes = list.and_then(|l| l.iter().map(as_slice).collect());
        axes.ok_or_else(|| self.bad("axes", "a list of [start, end or null, step]"))
    }

    fn pad_mode(&mut self) -> Result<PadMode, String> {
        match self.get("mode") {
            None => Ok(PadMode::Constant),
            Some(value) => value
                .as_str()
                .and_then(PadMode::parse)
                .ok_or_else(|| self.bad("mode", "\"constant\", \"reflect\", \"symmetric\" or \"edge\"")),
        }
    }

    fn pad_value(&mut self) -> Result<F64, String> {
        match self.get("value") {
            None => Ok(F64::new(0.0)),
            Some(value) => value.as_f64().map(F64::new).ok_or_else(|| self.bad("value", "a number")),
        }
    }
}

fn as_u64(attr: &Attr) -> Option<u64> {
    if let Attr::Int(i) = attr { u64::try_from(*i).ok() } else { None }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElemType;

    fn concat(attrs: &Attrs) -> Result<CoreOp, String> {
        CoreOp::from_attrs("concat", None, attrs, &Type::unranked(ElemType::F32))
    }

    #[test]
    fn attribute_errors_show_found_and_expected() {
        let missing = concat(&Attrs::new()).unwrap_err();
        assert_eq!(missing, "`concat` needs the attribute `axis`: an integer of 0 or more");
        let malformed = concat(&Attrs::new().with("axis", -1)).unwrap_err();
        assert_eq!(malformed, "the attribute `axis` of `concat` is -1, expected an integer of 0 or more");
        let long = concat(&Attrs::new().with("axis", Attr::ints(0..1000))).unwrap_err();
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn every_u64_reads_back() {
        let op = CoreOp::Concat(u64::MAX);
        assert_eq!(concat(&op.to_attrs()), Ok(op));
    }

    #[test]
    fn unknown_padding_and_repeated_attributes_are_errors() {
        let attrs = Attrs::new().with("size", Attr::ints([2u64])).with("strides", Attr::ints([1u64]));
        let padded = attrs.with("padding", "valid");
        let error = CoreOp::from_attrs("max_pool", None, &padded, &Type::unranked(ElemType::F32)).unwrap_err();
        assert!(error.ends_with("is \"valid\", expected \"same\" or a list of pairs"), "{error}");
        let mut twice = Attrs::new();
        twice.push("axis", 0);
        twice.push("axis", 0);
        assert_eq!(concat(&twice).unwrap_err(), "`concat` has the attribute `axis` twice");
    }
}
