//! Convolutions.

use netc_ir::{Attr, Attrs, Type};

use super::declaration::object;
use super::{Declaration, Init, ModelBuilder, Reason, Tensor};

/// What a window does at the borders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Padding {
    /// It stays inside.
    #[default]
    Valid,
    /// There is an output for each input that the strides reach.
    Same,
}

impl Padding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Same => "same",
        }
    }
}

/// A convolution over height and width.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Channels of the output.
    pub filters: u64,
    /// Height and width of the kernel.
    pub kernel: [u64; 2],
    /// Steps along height and width.
    pub strides: [u64; 2],
    /// What happens at the borders.
    pub padding: Padding,
    /// Distances between the elements of the kernel.
    pub dilation: [u64; 2],
    /// In how many parts the channels are convolved on their own.
    pub groups: u64,
    /// The activation, by its Keras name.
    pub activation: &'static str,
    /// Whether a bias is added.
    pub use_bias: bool,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            filters: 1,
            kernel: [3, 3],
            strides: [1, 1],
            padding: Padding::Valid,
            dilation: [1, 1],
            groups: 1,
            activation: "linear",
            use_bias: true,
        }
    }
}

/// A convolution of each channel on its own.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv2d {
    /// Height and width of the kernel.
    pub kernel: [u64; 2],
    /// Steps along height and width.
    pub strides: [u64; 2],
    /// What happens at the borders.
    pub padding: Padding,
    /// Distances between the elements of the kernel.
    pub dilation: [u64; 2],
    /// Channels of the output for each channel of the input.
    pub depth_multiplier: u64,
    /// The activation, by its Keras name.
    pub activation: &'static str,
    /// Whether a bias is added.
    pub use_bias: bool,
}

impl Default for DepthwiseConv2d {
    fn default() -> Self {
        Self {
            kernel: [3, 3],
            strides: [1, 1],
            padding: Padding::Valid,
            dilation: [1, 1],
            depth_multiplier: 1,
            activation: "linear",
            use_bias: true,
        }
    }
}

/// A convolution of each channel on its own, then a 1x1 convolution.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeparableConv2d {
    /// Channels of the output.
    pub filters: u64,
    /// The first convolution; its activation and bias come after the second.
    pub depthwise: DepthwiseConv2d,
}

impl ModelBuilder {
    /// Applies a convolution.
    pub fn conv2d(&mut self, x: Tensor, conv: Conv2d) -> Tensor {
        self.weighted(x, "Conv2D", |ty| conv.declaration(ty))
    }

    /// Applies a depthwise convolution.
    pub fn depthwise_conv2d(&mut self, x: Tensor, conv: DepthwiseConv2d) -> Tensor {
        self.weighted(x, "DepthwiseConv2D", |ty| conv.declaration(ty))
    }

    /// Applies a separable convolution.
    pub fn separable_conv2d(&mut self, x: Tensor, conv: SeparableConv2d) -> Tensor {
        self.weighted(x, "SeparableConv2D", |ty| conv.declaration(ty))
    }

    /// Applies a layer whose weights depend on the type of its input; without that, a layer without weights.
    pub(super) fn weighted(
        &mut self,
        x: Tensor,
        class: &str,
        declaration: impl FnOnce(&Type) -> Result<Declaration, Reason>,
    ) -> Tensor {
        let name = self.name(class);
        let types = self.types(&name, &[x]);
        let declared = types.first().map_or(Err(Reason::ForeignTensor), declaration);
        let declared = declared.unwrap_or_else(|reason| {
            self.fail(name.clone(), reason);
            Declaration::keras(class, Attrs::new())
        });
        let layer = self.declare(name, &declared, &types);
        self.apply(layer, &[x])
    }
}

impl Conv2d {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let [height, width] = self.kernel;
        let channels = extent(x, -1)? / self.groups.max(1);
        let mut config = Attrs::new().with("filters", int(self.filters));
        window(&mut config, self.kernel, self.strides, self.padding, self.dilation);
        config.set("groups", int(self.groups));
        config.set("activation", self.activation);
        config.set("use_bias", self.use_bias);
        variables(&mut config, &["kernel", "bias"], true);
        let kernel = (vec![height, width, channels, self.filters], Init::he(height * width * channels));
        Ok(Declaration::keras("Conv2D", config).weights([kernel]).weights(bias(self.use_bias, self.filters)))
    }
}

impl DepthwiseConv2d {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let channels = extent(x, -1)?;
        let mut config = Attrs::new().with("depth_multiplier", int(self.depth_multiplier));
        window(&mut config, self.kernel, self.strides, self.padding, self.dilation);
        config.set("activation", self.activation);
        config.set("use_bias", self.use_bias);
        variables(&mut config, &["depthwise", "bias"], true);
        let declaration = Declaration::keras("DepthwiseConv2D", config).weights([self.kernel_weight(channels)]);
        Ok(declaration.weights(bias(self.use_bias, channels * self.depth_multiplier)))
    }

    fn kernel_weight(&self, channels: u64) -> (Vec<u64>, Init) {
        let [height, width] = self.kernel;
        (vec![height, width, channels, self.depth_multiplier], Init::he(height * width))
    }
}

impl SeparableConv2d {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let depthwise = &self.depthwise;
        let channels = extent(x, -1)?;
        let between = channels * depthwise.depth_multiplier;
        let mut config = Attrs::new().with("depth_multiplier", int(depthwise.depth_multiplier));
        config.set("filters", int(self.filters));
        window(&mut config, depthwise.kernel, depthwise.strides, depthwise.padding, depthwise.dilation);
        config.set("activation", depthwise.activation);
        config.set("use_bias", depthwise.use_bias);
        variables(&mut config, &["depthwise", "pointwise", "bias"], true);
        let pointwise = (vec![1, 1, between, self.filters], Init::he(between));
        let declaration = Declaration::keras("SeparableConv2D", config);
        let declaration = declaration.weights([depthwise.kernel_weight(channels), pointwise]);
        Ok(declaration.weights(bias(depthwise.use_bias, self.filters)))
    }
}

fn window(config: &mut Attrs, kernel: [u64; 2], strides: [u64; 2], padding: Padding, dilation: [u64; 2]) {
    config.set("kernel_size", Attr::ints(kernel));
    config.set("strides", Attr::ints(strides));
    config.set("padding", padding.name());
    config.set("data_format", "channels_last");
    config.set("dilation_rate", Attr::ints(dilation));
}

/// Initializers, regularizers and constraints: those that Keras takes when none are given.
pub(super) fn variables(config: &mut Attrs, roles: &[&str], activity: bool) {
    for role in roles {
        let zeros = *role == "bias";
        config.set(format!("{role}_initializer"), if zeros { initializer("Zeros") } else { glorot_uniform() });
    }
    for role in roles {
        config.set(format!("{role}_regularizer"), Attr::Null);
    }
    if activity {
        config.set("activity_regularizer", Attr::Null);
    }
    for role in roles {
        config.set(format!("{role}_constraint"), Attr::Null);
    }
}

fn glorot_uniform() -> Attr {
    let config = Attrs::new().with("seed", Attr::Null).with("input_axes", Attr::Null).with("output_axes", Attr::Null);
    object("keras.initializers", "GlorotUniform", config)
}

/// An initializer without configuration.
pub(super) fn initializer(class: &str) -> Attr {
    object("keras.initializers", class, Attrs::new())
}

/// The weight of a bias, if there is one.
pub(super) fn bias(used: bool, extent: u64) -> Option<(Vec<u64>, Init)> {
    used.then(|| (vec![extent], Init::offset()))
}

pub(super) fn int(n: u64) -> Attr {
    Attr::Int(n.into())
}

/// The extent of `ty` at `axis`; negative axes count from the end.
pub(super) fn extent(ty: &Type, axis: i64) -> Result<u64, Reason> {
    let missing = || Reason::Extent { axis, ty: ty.clone() };
    let dims = ty.dims.as_ref().ok_or_else(missing)?;
    let from_start = if axis < 0 { axis.checked_add_unsigned(dims.len() as u64) } else { Some(axis) };
    let at = from_start.and_then(|a| usize::try_from(a).ok());
    at.and_then(|at| dims.get(at)?.known()).ok_or_else(missing)
}
