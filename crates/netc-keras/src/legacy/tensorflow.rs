//! Converts TensorFlow operations in Keras 2 models to `keras.ops`.
//!
//! Keras 2 wraps each TensorFlow operation or operator applied to a tensor of a model in a layer (`TFOpLambda`,
//! `SlicingOpLambda`). The layer names the operation, its call has the arguments. Keras 3 makes an operation of its own
//! (`keras.ops.Softmax`), whose declaration has most of the arguments. So [`upgrade`] converts a declaration together
//! with its call.

mod twins;

use netc_data::dtype_name;
use netc_ir::{Attr, Attrs, ElemType, Layer, Type};

use crate::config::{call, message};
use crate::legacy::old_call;

/// The reason why a call has no equivalent in `keras.ops`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTwin {
    /// No operation computes the same.
    Operation,
    /// There is an operation, but it does not support this argument.
    With(String),
}

/// A TensorFlow operation with an equivalent in `keras.ops`.
pub(super) struct Twin {
    /// Its TensorFlow name, without `tf.`.
    pub(super) of: &'static str,
    /// The module of the equivalent in `keras.src.ops`.
    module: &'static str,
    /// The class of the equivalent in that module.
    pub(super) class: &'static str,
    /// If a Keras 3 call can be converted back: the names of its TensorFlow arguments after the first.
    pub(super) more: Option<&'static [&'static str]>,
    /// Moves the arguments of the call to their places in Keras.
    map: fn(&mut Mapping<'_>) -> Mapped,
}

type Mapped = Result<(), String>;

/// Converts a layer and its call `call` on tensors of the types `operands` to the declaration and call of a `keras.ops`
/// operation.
pub(crate) fn upgrade(layer: &Layer, call: &Attrs, operands: &[Type]) -> Result<(Layer, Attrs), NoTwin> {
    let function = layer.class.strip_prefix("tf.").unwrap_or_default();
    let twin = twins::ALL.iter().find(|twin| twin.of == function).ok_or(NoTwin::Operation)?;
    let mut mapping = Mapping::new(call, operands);
    (twin.map)(&mut mapping).and_then(|()| mapping.nothing_left()).map_err(NoTwin::With)?;
    let Mapping { args, mut config, instead, .. } = mapping;
    let class = instead.unwrap_or(twin.class);
    config.set("name", &*layer.name);
    let declared = Attrs::new()
        .with("module", format!("keras.src.ops.{}", twin.module).as_str())
        .with("class_name", class)
        .with("config", config)
        .with("registered_name", class)
        .with("name", &*layer.name);
    let class = format!("keras.ops.{class}").into();
    let layer = Layer { class, config: declared, ..layer.clone() };
    Ok((layer, call::call_attrs(Attr::List(args), Attr::Map(Attrs::new()))))
}

/// The TensorFlow operation that is equivalent to a class of the dialect, if its calls can be converted.
pub(super) fn back(class: &str) -> Option<&'static Twin> {
    let class = class.strip_prefix("keras.ops.")?;
    twins::ALL.iter().find(|twin| twin.class == class && twin.more.is_some())
}

/// The arguments of a TensorFlow call while they move to a Keras 3 declaration and its call.
struct Mapping<'a> {
    first: Option<&'a Attr>,
    /// The keyword arguments that remain.
    named: Vec<(&'a str, &'a Attr)>,
    operands: &'a [Type],
    /// The element type of the tensors, which constants share.
    elem: Option<ElemType>,
    args: Vec<Attr>,
    config: Attrs,
    /// Another class of the same module, if the arguments require it.
    instead: Option<&'static str>,
}

impl<'a> Mapping<'a> {
    fn new(call: &'a Attrs, operands: &'a [Type]) -> Self {
        let first = call.get("args").and_then(Attr::as_list).and_then(<[Attr]>::first);
        let named = call.get("kwargs").and_then(Attr::as_map).into_iter().flat_map(Attrs::iter);
        // The names of TensorFlow ops do not matter.
        let named = named.filter(|(key, value)| &**key != "name" && !value.is_null());
        let named = named.map(|(key, value)| (&**key, value)).collect();
        let elem = operands.first().map(|ty| ty.elem);
        Self { first, named, operands, elem, args: Vec::new(), config: Attrs::new(), instead: None }
    }

    /// Removes and returns the argument `name`, if the call has it.
    fn take(&mut self, name: &str) -> Option<&'a Attr> {
        let at = self.named.iter().position(|(key, _)| *key == name)?;
        Some(self.named.remove(at).1)
    }

    fn require(&mut self, name: &str) -> Result<&'a Attr, String> {
        self.take(name).ok_or_else(|| format!("no `{name}` in its call"))
    }

    fn nothing_left(&self) -> Mapped {
        match self.named.first() {
            Some((name, value)) => Err(format!("`{name}` = {}", shown(value))),
            None => Ok(()),
        }
    }

    /// Passes the first argument to the Keras operation.
    fn first(&mut self) -> Mapped {
        let first = self.first.ok_or("no arguments in its call")?;
        let value = self.tensor(first)?;
        self.args.push(value);
        Ok(())
    }

    /// Passes the argument `name` to the Keras operation.
    fn also(&mut self, name: &str) -> Mapped {
        let value = self.require(name)?;
        let value = self.tensor(value)?;
        self.args.push(value);
        Ok(())
    }

    /// Passes the first argument, a list of tensors, to the Keras operation.
    fn list(&mut self) -> Mapped {
        let items = self.first.filter(|first| old_call::constant_of(first).is_none()).and_then(Attr::as_list);
        let items = items.ok_or("a tensor in place of a list")?;
        let items = items.iter().map(|item| self.tensor(item)).collect::<Result<_, _>>()?;
        self.args.push(Attr::List(items));
        Ok(())
    }

    /// Converts a tensor or constant. A list of numbers becomes an array of the other tensors' type, as in TensorFlow;
    /// Keras would give it its default type.
    fn tensor(&self, value: &Attr) -> Result<Attr, String> {
        let value = old_call::constant_of(value).unwrap_or(value);
        match value {
            Attr::Operand(_) | Attr::Int(_) | Attr::Float(_) => Ok(value.clone()),
            Attr::List(_) if is_of_numbers(value) => {
                let elem = self.elem.filter(|elem| *elem != ElemType::Any).ok_or("a constant of unknown type")?;
                Ok(array(value, dtype_name(elem)))
            }
            Attr::List(_) | Attr::Null | Attr::Bool(_) | Attr::Str(_) | Attr::Map(_) | Attr::NonJson(_) => {
                Err(format!("{} in place of a tensor", shown(value)))
            }
        }
    }

    /// Moves the argument `name` to `key` of the declaration, converted by `read`. Does nothing if the call does not
    /// have it.
    fn key(&mut self, name: &str, key: &str, read: fn(&Attr) -> Option<Attr>) -> Mapped {
        let Some(value) = self.take(name) else { return Ok(()) };
        let read = read(value).ok_or_else(|| format!("`{name}` = {}", shown(value)))?;
        self.config.set(key, read);
        Ok(())
    }

    /// Moves an argument like [`Self::key`], with TensorFlow's default if the call does not have it.
    fn key_or(&mut self, name: &str, key: &str, read: fn(&Attr) -> Option<Attr>, default: impl Into<Attr>) -> Mapped {
        self.config.set(key, default);
        self.key(name, key, read)
    }

    /// Moves a required argument like [`Self::key`].
    fn key_of(&mut self, name: &str, key: &str, read: fn(&Attr) -> Option<Attr>) -> Mapped {
        if self.named.iter().all(|(given, _)| *given != name) {
            return Err(format!("no `{name}` in its call"));
        }
        self.key(name, key, read)
    }

    /// Removes an argument that must be `default` if given, because Keras supports no other value.
    fn only(&mut self, name: &str, default: impl Into<Attr>) -> Mapped {
        let default = default.into();
        let is_default =
            |value: &Attr| *value == default || value.as_f64().is_some() && value.as_f64() == default.as_f64();
        match self.take(name) {
            Some(value) if !is_default(value) => Err(format!("`{name}` = {}", shown(value))),
            Some(_) | None => Ok(()),
        }
    }

    /// Removes arguments that do not change the result.
    fn ignore(&mut self, names: &[&str]) {
        self.named.retain(|(name, _)| !names.contains(name));
    }

    /// Rejects tensors of types for which TensorFlow and Keras compute different results.
    fn only_types(&self, is_same: impl Fn(ElemType) -> bool) -> Mapped {
        match self.operands.iter().find(|ty| !is_same(ty.elem)) {
            Some(ty) if ty.elem == ElemType::Any => Err("a tensor of unknown type".into()),
            Some(ty) => Err(format!("a tensor of type {ty}")),
            None => Ok(()),
        }
    }

    fn only_floats(&self) -> Mapped {
        self.only_types(ElemType::is_float)
    }
}

/// A constant tensor, as Keras 3 writes a NumPy array.
fn array(value: &Attr, dtype: &str) -> Attr {
    let config = Attrs::new().with("value", value.clone()).with("dtype", dtype);
    Attrs::new().with("class_name", "__numpy__").with("config", config).into()
}

/// Whether a list has only numbers and lists of numbers.
fn is_of_numbers(value: &Attr) -> bool {
    match value {
        Attr::List(items) => items.iter().all(is_of_numbers),
        Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) => true,
        Attr::Null | Attr::Str(_) | Attr::Map(_) | Attr::Operand(_) | Attr::NonJson(_) => false,
    }
}

/// Describes an argument for a message.
fn shown(value: &Attr) -> String {
    message::shown(old_call::constant_of(value).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use netc_ir::Dim;

    use super::*;
    use crate::config::tf::class_of;

    fn called(function: &str, first: Attr, kwargs: Attrs, elem: ElemType) -> Result<(Layer, Attrs), NoTwin> {
        let config = Attrs::new().with("name", "l").with("function", function);
        let declared = Attrs::new().with("class_name", "TFOpLambda").with("config", config);
        let class = class_of(&declared).unwrap();
        let layer = Layer { name: "l".into(), class, config: declared, weights: Vec::new(), assets: Vec::new() };
        let call = call::call_attrs(Attr::List(vec![first]), Attr::Map(kwargs));
        upgrade(&layer, &call, &[Type::new(elem, [Dim::Known(2), Dim::Known(3)])])
    }

    fn x() -> Attr {
        Attr::Operand(0)
    }

    /// Checks that a call of `function` on a float matrix with `kwargs` becomes `class` with `config`, apart from the
    /// name.
    #[track_caller]
    fn check(function: &str, kwargs: Attrs, class: &str, config: Attrs, args: Vec<Attr>) {
        let (layer, call) = called(function, x(), kwargs, ElemType::F32).unwrap();
        assert_eq!(&*layer.class, class);
        assert_eq!(layer.config.get("config"), Some(&Attr::Map(config.with("name", "l"))));
        assert_eq!(call.get("args"), Some(&Attr::List(args)));
    }

    #[track_caller]
    fn check_refused(function: &str, kwargs: Attrs, elem: ElemType, expected: &str) {
        let found = called(function, x(), kwargs, elem).map(|(layer, _)| layer.class);
        assert_eq!(found, Err(NoTwin::With(expected.into())));
    }

    #[test]
    fn no_operation_is_listed_twice() {
        let mut names: Vec<&str> = twins::ALL.iter().map(|twin| twin.of).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn arguments_move_to_their_places_in_keras() {
        let none = Attrs::new;
        check("nn.softmax", none(), "keras.ops.Softmax", none().with("axis", -1), vec![x()]);
        check("nn.gelu", none(), "keras.ops.Gelu", none().with("approximate", false), vec![x()]);
        check("math.multiply", none().with("y", 2.0), "keras.ops.Multiply", none(), vec![x(), 2.0.into()]);
        check(
            "math.reduce_sum",
            none().with("axis", Attr::ints([1])),
            "keras.ops.Sum",
            none().with("axis", 1),
            vec![x()],
        );
        let sizes = none().with("num_or_size_splits", Attr::ints([1, 2])).with("axis", 1);
        let places = none().with("indices_or_sections", Attr::ints([1])).with("axis", 1);
        check("split", sizes, "keras.ops.Split", places, vec![x()]);
    }

    #[test]
    fn constant_arrays_have_the_type_of_the_tensor() {
        let (_, call) = called("math.add", x(), Attrs::new().with("y", Attr::ints([1, 2, 3])), ElemType::F16).unwrap();
        let array = call.get("args").and_then(|args| args.as_list()?.get(1)?.get("config")?.get("dtype"));
        assert_eq!(array, Some(&"float16".into()));
    }

    #[test]
    fn slices_become_keras_3_slices() {
        let slice = |start| Attrs::new().with("start", start).with("stop", Attr::Null).with("step", Attr::Null);
        let spec = Attr::List(vec![slice(Attr::Int(1)).into(), Attr::Null]);
        let (_, call) =
            called("__operators__.getitem", x(), Attrs::new().with("slice_spec", spec), ElemType::F32).unwrap();
        let new = Attrs::new().with("class_name", "__slice__").with("config", slice(Attr::Int(1)));
        let key = Attr::List(vec![new.into(), Attr::Null]);
        assert_eq!(call.get("args"), Some(&Attr::List(vec![x(), key])));
    }

    #[test]
    fn operations_that_keras_computes_differently_are_rejected() {
        let none = Attrs::new;
        assert_eq!(called("nn.local_response_normalization", x(), none(), ElemType::F32), Err(NoTwin::Operation));
        check_refused("math.truediv", none().with("y", 2), ElemType::I32, "a tensor of type i32[2,3]");
        check_refused("math.reduce_mean", none(), ElemType::Any, "a tensor of unknown type");
        check_refused("math.cumsum", none().with("reverse", true), ElemType::F32, "`reverse` = true");
        check_refused(
            "reshape",
            none().with("shape", Attr::List(vec![x(), Attr::Int(2)])),
            ElemType::F32,
            "`shape` = [a tensor, 2]",
        );
        check_refused("__operators__.eq", none(), ElemType::F32, "no `y` in its call");
    }

    #[test]
    fn operation_names_consist_of_words() {
        let class = |function: &str| {
            class_of(
                &Attrs::new().with("class_name", "TFOpLambda").with("config", Attrs::new().with("function", function)),
            )
        };
        assert_eq!(class("nn.relu").as_deref(), Some("tf.nn.relu"));
        assert_eq!(["", "a b", "a..b", "x{", "tf/x"].map(class), [const { None }; 5]);
    }
}
