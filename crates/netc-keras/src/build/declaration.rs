//! Layers before they are applied: the configuration as Keras writes it, and the weights.

use netc_ir::{Attr, Attrs, Dim, F64, Type};

use crate::build::parts::call_attrs;

/// A weight: its shape and its values.
pub type Variable = (Vec<u64>, Init);

/// A layer that is not yet part of a model.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The origin of the class.
    pub origin: Origin,
    /// The class, for example `Conv2D`.
    pub class: String,
    /// The entries of `get_config` after `name`, `trainable` and `dtype`.
    pub config: Attrs,
    /// The weights, in creation order.
    pub weights: Vec<Variable>,
    /// The weights of inner layers, by the attribute that holds the layer.
    pub sublayers: Vec<(String, Vec<Variable>)>,
    /// The assets of the layer, by path in its folder.
    pub assets: Vec<(String, Vec<u8>)>,
    /// Whether Keras records the input shape. It does not for layers that are built on creation.
    pub records_shape: bool,
    /// The positional arguments of a call, in which `$i` is operand `i`.
    pub args: Vec<Attr>,
    /// The keyword arguments of a call.
    pub kwargs: Attrs,
}

/// The origin of a class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// `keras.layers`.
    Layers,
    /// This module of `keras.src.ops`, for example `numpy`.
    Ops(String),
    /// This module of `keras.applications`, for example `convnext`.
    Applications(String),
    /// `keras.activations`: operations outside `keras.ops`.
    Activations,
    /// A user-defined class, registered under this name.
    Custom(String),
}

impl Declaration {
    /// A layer of `keras.layers` with one input and no weights.
    pub fn keras(class: &str, config: Attrs) -> Self {
        Self {
            origin: Origin::Layers,
            class: class.into(),
            config,
            weights: Vec::new(),
            sublayers: Vec::new(),
            assets: Vec::new(),
            records_shape: true,
            args: vec![Attr::Operand(0)],
            kwargs: Attrs::new(),
        }
    }

    /// An operation of `keras.ops.<module>`, for example `Absolute` of `numpy`. In `args`, `$i` is operand `i`;
    /// everything else is constant.
    pub fn op(module: &str, class: &str, config: Attrs, args: Vec<Attr>) -> Self {
        Self { origin: Origin::Ops(module.into()), args, ..Self::keras(class, config).shapeless() }
    }

    /// Sets the weights.
    #[must_use]
    pub fn weights(mut self, weights: impl IntoIterator<Item = Variable>) -> Self {
        self.weights.extend(weights);
        self
    }

    /// Adds the weights of the inner layer held by `attribute`.
    #[must_use]
    pub fn sublayer(mut self, attribute: &str, weights: impl IntoIterator<Item = Variable>) -> Self {
        self.sublayers.push((attribute.into(), weights.into_iter().collect()));
        self
    }

    /// Adds an asset at `path` in the layer's folder.
    #[must_use]
    pub fn asset(mut self, path: &str, bytes: &[u8]) -> Self {
        self.assets.push((path.into(), bytes.to_vec()));
        self
    }

    /// Omits the input shape.
    #[must_use]
    pub fn shapeless(mut self) -> Self {
        self.records_shape = false;
        self
    }

    /// Adds a keyword argument to its calls.
    #[must_use]
    pub fn kwarg(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.kwargs.set(name, value);
        self
    }

    /// Makes the layer take a list of `n` tensors.
    #[must_use]
    pub fn merging(mut self, n: usize) -> Self {
        self.args = vec![Attr::List((0u32..).take(n).map(Attr::Operand).collect())];
        self
    }

    /// The weights with their places in the layer's group.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, &Variable)> {
        let inner = self.sublayers.iter().flat_map(|(attribute, weights)| {
            weights.iter().enumerate().map(move |(i, weight)| (format!("{attribute}/vars/{i}"), weight))
        });
        self.weights.iter().enumerate().map(|(i, weight)| (format!("vars/{i}"), weight)).chain(inner)
    }

    /// The class with its dialect, as ops name it.
    pub(super) fn qualified(&self) -> String {
        let dialect = match self.origin {
            Origin::Layers | Origin::Applications(_) => "keras",
            Origin::Ops(_) | Origin::Activations => "keras.ops",
            Origin::Custom(_) => "custom",
        };
        format!("{dialect}.{}", self.class)
    }

    /// The number of operands of a call.
    pub(super) fn arity(&self) -> usize {
        let mut arity = 0;
        let mut see = |i: u32| arity = arity.max(i as usize + 1);
        self.args.iter().for_each(|a| a.for_each_operand(&mut see));
        self.kwargs.iter().for_each(|(_, a)| a.for_each_operand(&mut see));
        arity
    }

    /// The attributes of a call.
    pub(super) fn call_attrs(&self) -> Attrs {
        call_attrs(self.args.clone(), self.kwargs.clone())
    }

    /// The layer's entry in `config.json`, without `inbound_nodes`.
    pub(super) fn entry(&self, name: &str, inputs: &[Type]) -> Attrs {
        let (module, registered) = match &self.origin {
            Origin::Layers => (Attr::str("keras.layers"), Attr::Null),
            Origin::Applications(module) => {
                (Attr::str(format!("keras.src.applications.{module}")), Attr::str(&*self.class))
            }
            Origin::Ops(module) => (Attr::str(format!("keras.src.ops.{module}")), Attr::str(&*self.class)),
            Origin::Activations => (Attr::str("keras.src.activations.activations"), Attr::str(&*self.class)),
            Origin::Custom(registered) => (Attr::Null, Attr::str(&**registered)),
        };
        let mut config = match &self.origin {
            // Inputs have their own key order, operations have no dtype.
            Origin::Layers if self.class == "InputLayer" => Attrs::new(),
            Origin::Ops(_) | Origin::Activations => Attrs::new().with("name", name),
            // These layers do not record `trainable`.
            Origin::Layers if self.class.starts_with("SpatialDropout") || self.class == "Discretization" => {
                Attrs::new().with("name", name).with("dtype", float32())
            }
            Origin::Layers | Origin::Applications(_) | Origin::Custom(_) => {
                Attrs::new().with("name", name).with("trainable", true).with("dtype", float32())
            }
        };
        for (key, value) in self.config.iter() {
            config.set(key.clone(), value.clone());
        }
        let mut entry = Attrs::new()
            .with("module", module)
            .with("class_name", &*self.class)
            .with("config", config)
            .with("registered_name", registered);
        if self.records_shape {
            entry.set("build_config", Attrs::new().with("input_shape", self.input_shape(inputs)));
        }
        entry.with("name", name)
    }

    fn input_shape(&self, inputs: &[Type]) -> Attr {
        match (self.args.first(), inputs) {
            (Some(Attr::Operand(0)), [x, ..]) => shape(x),
            _ => Attr::List(inputs.iter().map(shape).collect()),
        }
    }
}

/// A shape as Keras writes it, with `null` for unknown extents.
pub(super) fn shape(ty: &Type) -> Attr {
    let extent = |d: &Dim| d.known().map_or(Attr::Null, |n| Attr::Int(n.into()));
    ty.dims.as_ref().map_or(Attr::Null, |dims| Attr::List(dims.iter().map(extent).collect()))
}

/// A Keras object of class `class` from `module`.
pub(super) fn object(module: &str, class: &str, config: Attrs) -> Attr {
    let object = Attrs::new().with("module", module).with("class_name", class).with("config", config);
    object.with("registered_name", Attr::Null).into()
}

pub(super) fn float32() -> Attr {
    object("keras", "DTypePolicy", Attrs::new().with("name", "float32"))
}

/// The bounds of the uniform distribution of a weight's values.
///
/// The models are not trained; the bounds keep the values that flow through them near 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Init {
    /// Lower bound.
    pub low: F64,
    /// Upper bound, exclusive.
    pub high: F64,
}

impl Init {
    /// Uniform between `low` and `high`.
    pub fn uniform(low: f64, high: f64) -> Self {
        Self { low: F64::new(low), high: F64::new(high) }
    }

    /// For a kernel before a ReLU (He et al., "Delving deep into rectifiers", 2015).
    pub fn he(fan_in: u64) -> Self {
        Self::fan(fan_in as f64)
    }

    /// For any other kernel (Glorot, Bengio, 2010).
    pub fn glorot(fan_in: u64, fan_out: u64) -> Self {
        Self::fan(fan_in as f64 + fan_out as f64)
    }

    /// For a bias, an offset or a mean.
    pub fn offset() -> Self {
        Self::uniform(-0.1, 0.1)
    }

    /// For a scale.
    pub fn factor() -> Self {
        Self::uniform(0.8, 1.2)
    }

    /// For a variance.
    pub fn variance() -> Self {
        Self::uniform(0.5, 1.5)
    }

    fn fan(fan: f64) -> Self {
        let bound = (6.0 / fan.max(1.0)).sqrt();
        Self::uniform(-bound, bound)
    }
}
