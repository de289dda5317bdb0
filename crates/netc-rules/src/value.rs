//! Attributes of core ops as values, which rules take apart and compute.

use std::fmt;

use netc_ir::attr::{Attr, Attrs, F64};
use netc_ir::{CoreOp, Dim, ElemType, Literal, Name, Number, OpClass, Type};

/// A value in a rule: an attribute of an op, or the result of an expression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Value {
    /// The null attribute, such as an open end of a slice.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, or a symbolic or unknown extent.
    Extent(Dim),
    /// A floating-point number.
    Float(F64),
    /// A word, such as a layout or an element type.
    Word(Name),
    /// A sequence.
    List(Vec<Value>),
}

/// The number `x` of a rule as a scalar constant of type `elem`. Floats are rounded; `None` if an integer type does not
/// hold `x` exactly.
pub(crate) fn number(elem: ElemType, x: F64) -> Option<Literal> {
    let literal = Literal::splat(elem, &[], x.get());
    let is = |n: Number| F64::new(n.as_f64()) == x;
    (elem.is_float() || literal.as_splat().is_some_and(is)).then_some(literal)
}

/// Named attributes.
pub type Entries = Vec<(Name, Value)>;

impl Value {
    /// A whole number.
    pub fn int(n: u64) -> Self {
        Self::Extent(Dim::Known(n))
    }

    /// A list of whole numbers.
    pub fn ints(items: impl IntoIterator<Item = u64>) -> Self {
        Self::List(items.into_iter().map(Self::int).collect())
    }

    /// A shape.
    pub fn shape(dims: &[Dim]) -> Self {
        Self::List(dims.iter().cloned().map(Self::Extent).collect())
    }

    /// The whole number, if it is one and known.
    pub fn as_int(&self) -> Option<u64> {
        self.as_extent()?.known()
    }

    /// The whole number or extent, if it is one.
    pub fn as_extent(&self) -> Option<&Dim> {
        if let Self::Extent(dim) = self { Some(dim) } else { None }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The extents, if it is a list of extents.
    pub fn as_shape(&self) -> Option<Vec<Dim>> {
        self.as_list()?.iter().map(|v| v.as_extent().cloned()).collect()
    }

    /// Whether it surely equals itself. A value with an extent `?` does not.
    pub(crate) fn is_definite(&self) -> bool {
        self.extents(&|dim| !dim.is_unknown())
    }

    /// Whether it equals `other`: true or false if that holds for all values of the symbols, else `None`.
    pub(crate) fn is_surely(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Extent(a), Self::Extent(b)) if a == b => (!a.is_unknown()).then_some(true),
            (Self::Extent(a), Self::Extent(b)) => (a.known().is_some() && b.known().is_some()).then_some(false),
            (Self::List(a), Self::List(b)) if a.len() == b.len() => {
                let items: Vec<Option<bool>> = a.iter().zip(b).map(|(a, b)| a.is_surely(b)).collect();
                if items.contains(&Some(false)) { Some(false) } else { (!items.contains(&None)).then_some(true) }
            }
            (a, b) => Some(a == b),
        }
    }

    /// Whether every extent in it is a number.
    pub(crate) fn is_known(&self) -> bool {
        self.extents(&|dim| dim.known().is_some())
    }

    /// Whether all extents in it satisfy `such`.
    fn extents(&self, such: &dyn Fn(&Dim) -> bool) -> bool {
        match self {
            Self::Extent(dim) => such(dim),
            Self::List(items) => items.iter().all(|item| item.extents(such)),
            Self::Null | Self::Bool(_) | Self::Float(_) | Self::Word(_) => true,
        }
    }

    /// The number of values in it, itself included.
    pub(crate) fn size(&self) -> usize {
        self.as_list().map_or(0, |items| items.iter().map(Self::size).sum()) + 1
    }

    /// Converts an attribute; `None` for kinds that core ops do not have.
    pub fn from_attr(attr: &Attr) -> Option<Self> {
        Some(match attr {
            Attr::Null => Self::Null,
            Attr::Bool(b) => Self::Bool(*b),
            Attr::Int(i) => Self::int(u64::try_from(*i).ok()?),
            Attr::Float(x) => Self::Float(*x),
            Attr::Str(word) => Self::Word(word.clone()),
            Attr::List(items) => Self::List(items.iter().map(Self::from_attr).collect::<Option<_>>()?),
            Attr::Map(_) | Attr::Operand(_) | Attr::NonJson(_) => return None,
        })
    }

    /// Converts it to an attribute; `None` if it contains an extent that is not a number.
    fn to_attr(&self) -> Option<Attr> {
        Some(match self {
            Self::Null => Attr::Null,
            Self::Bool(b) => Attr::Bool(*b),
            Self::Extent(dim) => Attr::Int(dim.known()?.into()),
            Self::Float(x) => Attr::Float(*x),
            Self::Word(word) => Attr::Str(word.clone()),
            Self::List(items) => Attr::List(items.iter().map(Self::to_attr).collect::<Option<_>>()?),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Extent(dim) => write!(f, "{dim}"),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Word(word) => write!(f, "\"{word}\""),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "[" } else { ", " })?;
                }
                f.write_str(if items.is_empty() { "[]" } else { "]" })
            }
        }
    }
}

/// An attribute of an op, with its default value if it has one.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    default: Option<Default>,
}

/// The default value of an attribute.
enum Default {
    Bool(bool),
    Int(u64),
    Float(f64),
    Word(&'static str),
    /// A list of ones, as long as the strides.
    Ones,
}

impl Key {
    const fn required(name: &'static str) -> Self {
        Self { name, default: None }
    }

    const fn or(name: &'static str, default: Default) -> Self {
        Self { name, default: Some(default) }
    }

    /// The default value, given the other `entries`; `None` if the attribute is required.
    fn default(&self, entries: &Entries) -> Option<Value> {
        Some(match self.default.as_ref()? {
            Default::Bool(b) => Value::Bool(*b),
            Default::Int(n) => Value::int(*n),
            Default::Float(x) => Value::Float(F64::new(*x)),
            Default::Word(word) => Value::Word((*word).into()),
            Default::Ones => Value::ints(vec![1; get(entries, "strides")?.as_list()?.len()]),
        })
    }

    pub(crate) fn is_required(&self) -> bool {
        self.default.is_none()
    }
}

const AXIS: &[Key] = &[Key::required("axis")];
const AXES: &[Key] = &[Key::required("axes")];
const SHAPE: &[Key] = &[Key::required("shape")];
const ELEM: &[Key] = &[Key::required("elem")];
const PERM: &[Key] = &[Key::required("perm")];
const REDUCE: &[Key] = &[Key::required("axes"), Key::or("keep", Default::Bool(false))];
const SORT: &[Key] = &[Key::required("axis"), Key::or("descending", Default::Bool(false))];
const PAD: &[Key] =
    &[Key::required("amounts"), Key::or("mode", Default::Word("constant")), Key::or("value", Default::Float(0.0))];
const POOL: &[Key] = &[
    Key::required("size"),
    Key::required("strides"),
    Key::or("dilations", Default::Ones),
    Key::or("padding", Default::Word("valid")),
    Key::or("layout", Default::Word("channels_last")),
];
const CONV: &[Key] = &[
    Key::required("strides"),
    Key::or("dilations", Default::Ones),
    Key::or("padding", Default::Word("valid")),
    Key::or("layout", Default::Word("channels_last")),
    Key::or("groups", Default::Int(1)),
];

/// The attributes of the core op `name`. These include properties that programs state in the result type: the `shape`
/// of `reshape` and `broadcast`, and the `elem` of `cast`.
pub(crate) fn keys(name: &str) -> &'static [Key] {
    match name {
        "conv" => CONV,
        "max_pool" | "avg_pool" => POOL,
        "reduce_sum" | "reduce_mean" | "reduce_prod" | "reduce_max" | "reduce_min" => REDUCE,
        "reshape" | "broadcast" => SHAPE,
        "cast" => ELEM,
        "transpose" => PERM,
        "concat" | "gather" | "cumsum" => AXIS,
        "sort" => SORT,
        "reverse" | "slice" => AXES,
        "pad" => PAD,
        _ => &[],
    }
}

/// The value of the entry `name`.
pub(crate) fn get<'e>(entries: &'e Entries, name: &str) -> Option<&'e Value> {
    entries.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
}

/// The entries whose names are not in `named`.
pub(crate) fn unnamed(entries: &Entries, named: &Entries) -> Entries {
    entries.iter().filter(|(key, _)| get(named, key).is_none()).cloned().collect()
}

/// All attributes of `op`, in the order of [`keys`]. `None` for ops that rules cannot have.
pub(crate) fn entries_of(op: &CoreOp) -> Option<Entries> {
    let written: Entries = if let CoreOp::Reshape(dims) | CoreOp::Broadcast(dims) = op {
        vec![("shape".into(), Value::shape(dims))]
    } else if let CoreOp::Cast(elem) = op {
        vec![("elem".into(), Value::Word(elem.name().into()))]
    } else if matches!(op.class(), OpClass::Stored | OpClass::Extent) {
        return None;
    } else {
        let attrs = op.to_attrs();
        attrs.iter().map(|(key, attr)| Some((key.clone(), Value::from_attr(attr)?))).collect::<Option<_>>()?
    };
    completed(op.name(), written)
}

/// Orders the entries as in [`keys`] and adds defaults. `None` if a required entry is missing.
pub(crate) fn completed(name: &str, entries: Entries) -> Option<Entries> {
    let value = |key: &Key| get(&entries, key.name).cloned().or_else(|| key.default(&entries));
    keys(name).iter().map(|key| Some((key.name.into(), value(key)?))).collect()
}

/// The core op `name` with these attributes, if they fit. `entries` must be complete.
pub(crate) fn core_op(name: &str, entries: &Entries) -> Option<CoreOp> {
    let result = match name {
        "reshape" | "broadcast" => Type::new(ElemType::Any, get(entries, "shape")?.as_shape()?),
        "cast" => match get(entries, "elem")? {
            Value::Word(word) => Type::new(ElemType::parse(word)?, []),
            Value::Null | Value::Bool(_) | Value::Extent(_) | Value::Float(_) | Value::List(_) => return None,
        },
        _ => Type::unranked(ElemType::Any),
    };
    let valid = Value::Word("valid".into());
    let written = entries
        .iter()
        .filter(|(key, value)| !(matches!(&**key, "shape" | "elem") || &**key == "padding" && *value == valid));
    let attrs: Option<Attrs> = written.map(|(key, value)| Some((key.clone(), value.to_attr()?))).collect();
    CoreOp::from_attrs(name, None, &attrs?, &result).ok()
}
