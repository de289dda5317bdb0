//! Layers other than convolutions.

use netc_ir::{Attr, Attrs, Layout, Type};

use crate::build::builder::ModelBuilder;
use crate::build::conv::{Padding, bias, data_format, extent, initializer, int, spatial, variables};
use crate::build::declaration::{Declaration, Init, Origin, Variable};
use crate::build::error::Reason;
use crate::build::parts::Tensor;

/// Options of a dense layer, a matrix product along the last axis.
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    /// Extent of the last axis of the output.
    pub units: u64,
    /// The activation, by its Keras name.
    pub activation: &'static str,
    /// Whether to add a bias.
    pub use_bias: bool,
}

impl Default for Dense {
    fn default() -> Self {
        Self { units: 1, activation: "linear", use_bias: true }
    }
}

/// Options of a batch normalization.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalization {
    /// The channel axis.
    pub axis: i64,
    /// The momentum of the statistics in training.
    pub momentum: f64,
    /// The constant added to the variance.
    pub epsilon: f64,
    /// Whether to add an offset, beta.
    pub center: bool,
    /// Whether to multiply by a scale, gamma.
    pub scale: bool,
    /// The values of gamma.
    pub gamma: Init,
}

impl Default for BatchNormalization {
    fn default() -> Self {
        Self { axis: -1, momentum: 0.99, epsilon: 0.001, center: true, scale: true, gamma: Init::factor() }
    }
}

/// Options of a pooling over `N` spatial axes.
#[derive(Clone, Copy, Debug)]
pub struct Pool<const N: usize> {
    /// Extents of the window.
    pub size: [u64; N],
    /// Strides; `None` for the window's extents.
    pub strides: Option<[u64; N]>,
    /// How windows treat the borders.
    pub padding: Padding,
    /// The layout of the channels.
    pub layout: Layout,
}

/// Options of a pooling over height and width.
pub type Pool2d = Pool<2>;

impl<const N: usize> Default for Pool<N> {
    fn default() -> Self {
        Self { size: [2; N], strides: None, padding: Padding::Valid, layout: Layout::ChannelsLast }
    }
}

/// Options of a ReLU: `max(x, 0)`, optionally bounded and leaky.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relu {
    /// Upper bound.
    pub max_value: Option<f64>,
    /// Slope below the threshold.
    pub negative_slope: f64,
    /// The threshold.
    pub threshold: f64,
}

impl ModelBuilder {
    /// Applies a dense layer.
    pub fn dense(&mut self, x: Tensor, dense: Dense) -> Tensor {
        self.weighted(x, "Dense", |ty| dense.declaration(ty))
    }

    /// Applies a batch normalization.
    pub fn batch_normalization(&mut self, x: Tensor, norm: BatchNormalization) -> Tensor {
        self.weighted(x, "BatchNormalization", |ty| norm.declaration(ty))
    }

    /// Applies an activation, by its Keras name.
    pub fn activation(&mut self, x: Tensor, function: &str) -> Tensor {
        let config = Attrs::new().with("activation", function);
        self.layer(&Declaration::keras("Activation", config).shapeless(), &[x])
    }

    /// Applies a ReLU.
    pub fn relu(&mut self, x: Tensor, relu: Relu) -> Tensor {
        let config = Attrs::new()
            .with("max_value", relu.max_value.map_or(Attr::Null, Attr::from))
            .with("negative_slope", relu.negative_slope)
            .with("threshold", relu.threshold);
        self.layer(&Declaration::keras("ReLU", config).shapeless(), &[x])
    }

    /// Applies a softmax along the last axis.
    pub fn softmax(&mut self, x: Tensor) -> Tensor {
        let config = Attrs::new().with("axis", -1);
        self.layer(&Declaration::keras("Softmax", config).shapeless().kwarg("mask", Attr::Null), &[x])
    }

    /// Applies max pooling over height and width.
    pub fn max_pooling2d(&mut self, x: Tensor, pool: Pool2d) -> Tensor {
        self.max_pooling(x, pool)
    }

    /// Applies max pooling.
    pub fn max_pooling<const N: usize>(&mut self, x: Tensor, pool: Pool<N>) -> Tensor {
        self.layer(&pool.declaration("MaxPooling"), &[x])
    }

    /// Applies average pooling over height and width.
    pub fn average_pooling2d(&mut self, x: Tensor, pool: Pool2d) -> Tensor {
        self.average_pooling(x, pool)
    }

    /// Applies average pooling.
    pub fn average_pooling<const N: usize>(&mut self, x: Tensor, pool: Pool<N>) -> Tensor {
        self.layer(&pool.declaration("AveragePooling"), &[x])
    }

    /// Averages over height and width.
    pub fn global_average_pooling2d(&mut self, x: Tensor) -> Tensor {
        self.layer(&global_pool("GlobalAveragePooling2D"), &[x])
    }

    /// Takes the maximum over height and width.
    pub fn global_max_pooling2d(&mut self, x: Tensor) -> Tensor {
        self.layer(&global_pool("GlobalMaxPooling2D"), &[x])
    }

    /// Adds tensors elementwise.
    pub fn add(&mut self, parts: &[Tensor]) -> Tensor {
        self.merge("Add", Attrs::new(), parts)
    }

    /// Subtracts `b` from `a` elementwise.
    pub fn subtract(&mut self, a: Tensor, b: Tensor) -> Tensor {
        self.merge("Subtract", Attrs::new(), &[a, b])
    }

    /// Multiplies tensors elementwise.
    pub fn multiply(&mut self, parts: &[Tensor]) -> Tensor {
        self.merge("Multiply", Attrs::new(), parts)
    }

    /// Averages tensors elementwise.
    pub fn average(&mut self, parts: &[Tensor]) -> Tensor {
        self.merge("Average", Attrs::new(), parts)
    }

    /// Takes the elementwise maximum of tensors.
    pub fn maximum(&mut self, parts: &[Tensor]) -> Tensor {
        self.merge("Maximum", Attrs::new(), parts)
    }

    /// Takes the elementwise minimum of tensors.
    pub fn minimum(&mut self, parts: &[Tensor]) -> Tensor {
        self.merge("Minimum", Attrs::new(), parts)
    }

    /// Concatenates tensors along `axis`.
    pub fn concatenate(&mut self, parts: &[Tensor], axis: i64) -> Tensor {
        self.merge("Concatenate", Attrs::new().with("axis", axis), parts)
    }

    /// Applies a layer of `keras.layers` that merges a list of tensors.
    pub fn merge(&mut self, class: &str, config: Attrs, parts: &[Tensor]) -> Tensor {
        self.layer(&Declaration::keras(class, config).merging(parts.len()), parts)
    }

    /// Pads with zeros. `amounts` are before and after, for height and width.
    pub fn zero_padding2d(&mut self, x: Tensor, amounts: [[u64; 2]; 2]) -> Tensor {
        let padding = Attr::List(amounts.map(Attr::ints).into());
        let config = Attrs::new().with("padding", padding).with("data_format", "channels_last");
        self.layer(&Declaration::keras("ZeroPadding2D", config), &[x])
    }

    /// Flattens all axes except the batch.
    pub fn flatten(&mut self, x: Tensor) -> Tensor {
        self.layer(&Declaration::keras("Flatten", Attrs::new().with("data_format", "channels_last")), &[x])
    }

    /// Applies dropout, which does nothing in inference.
    pub fn dropout(&mut self, x: Tensor, rate: f64) -> Tensor {
        let config = Attrs::new().with("rate", rate).with("seed", Attr::Null).with("noise_shape", Attr::Null);
        self.layer(&Declaration::keras("Dropout", config).shapeless().kwarg("training", false), &[x])
    }

    /// Reshapes to the extents `target` after the batch; one of them may be -1.
    pub fn reshape(&mut self, x: Tensor, target: &[i64]) -> Tensor {
        let config = Attrs::new().with("target_shape", Attr::ints(target.iter().copied()));
        self.layer(&Declaration::keras("Reshape", config).shapeless(), &[x])
    }

    /// Applies a user-defined layer, registered in Keras as `registered`, to one tensor.
    pub fn custom(
        &mut self,
        x: Tensor,
        class: &str,
        registered: &str,
        config: Attrs,
        weights: impl IntoIterator<Item = Variable>,
    ) -> Tensor {
        let declaration = Declaration::keras(class, config).weights(weights);
        self.layer(&Declaration { origin: Origin::Custom(registered.into()), ..declaration }, &[x])
    }

    /// Calls the operation `class` of `keras.ops.<module>`, for example `Absolute` of `numpy`. In `args`, `$i` is
    /// `operands[i]`; everything else is constant.
    pub fn op(&mut self, module: &str, class: &str, config: Attrs, args: Vec<Attr>, operands: &[Tensor]) -> Tensor {
        self.layer(&Declaration::op(module, class, config, args), operands)
    }
}

impl Dense {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let features = extent(x, -1)?;
        let mut config = Attrs::new().with("units", int(self.units)).with("activation", self.activation);
        config.set("use_bias", self.use_bias);
        variables(&mut config, &["kernel", "bias"], false);
        config.set("quantization_config", Attr::Null);
        let kernel = (vec![features, self.units], Init::glorot(features, self.units));
        Ok(Declaration::keras("Dense", config).weights([kernel]).weights(bias(self.use_bias, self.units)))
    }
}

impl BatchNormalization {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let channels = extent(x, self.axis)?;
        let weight = |init| (vec![channels], init);
        let mut config = Attrs::new()
            .with("axis", self.axis)
            .with("momentum", self.momentum)
            .with("epsilon", self.epsilon)
            .with("center", self.center)
            .with("scale", self.scale);
        for (role, class) in
            [("beta", "Zeros"), ("gamma", "Ones"), ("moving_mean", "Zeros"), ("moving_variance", "Ones")]
        {
            config.set(format!("{role}_initializer"), initializer(class));
        }
        for key in ["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"] {
            config.set(key, Attr::Null);
        }
        config.set("synchronized", false);
        config.set("renorm", false);
        config.set("renorm_clipping", Attr::Null);
        config.set("renorm_momentum", 0.99);
        Ok(Declaration::keras("BatchNormalization", config)
            .weights(self.scale.then(|| weight(self.gamma)))
            .weights(self.center.then(|| weight(Init::offset())))
            .weights([weight(Init::offset()), weight(Init::variance())])
            .kwarg("mask", Attr::Null))
    }
}

impl<const N: usize> Pool<N> {
    fn declaration(&self, stem: &str) -> Declaration {
        let config = Attrs::new()
            .with("pool_size", Attr::ints(self.size))
            .with("padding", self.padding.name())
            .with("strides", Attr::ints(self.strides.unwrap_or(self.size)))
            .with("data_format", data_format(self.layout));
        Declaration::keras(&spatial::<N>(stem), config).shapeless()
    }
}

fn global_pool(class: &str) -> Declaration {
    let config = Attrs::new().with("data_format", "channels_last").with("keepdims", false);
    Declaration::keras(class, config).shapeless()
}
