//! Convolutions over any number of spatial axes.

use netc_ir::{Attr, Attrs, Layout, Type};

use crate::build::builder::ModelBuilder;
use crate::build::declaration::{Declaration, Init, Variable, object};
use crate::build::error::Reason;
use crate::build::parts::Tensor;

/// How a window treats the borders.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Padding {
    /// The window stays inside.
    #[default]
    Valid,
    /// The output has `ceil(extent / stride)` elements per axis.
    Same,
    /// The window ends at the current element; only for convolutions over one axis.
    Causal,
}

impl Padding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Same => "same",
            Self::Causal => "causal",
        }
    }
}

/// Options of a convolution over `N` spatial axes.
#[derive(Clone, Copy, Debug)]
pub struct Conv<const N: usize> {
    /// Output channels.
    pub filters: u64,
    /// Extents of the kernel.
    pub kernel: [u64; N],
    /// Strides.
    pub strides: [u64; N],
    /// How windows treat the borders.
    pub padding: Padding,
    /// Dilation rates.
    pub dilation: [u64; N],
    /// The number of channel groups.
    pub groups: u64,
    /// The layout of the channels.
    pub layout: Layout,
    /// The activation, by its Keras name.
    pub activation: &'static str,
    /// Whether to add a bias.
    pub use_bias: bool,
}

/// Options of a convolution over height and width.
pub type Conv2d = Conv<2>;

impl<const N: usize> Default for Conv<N> {
    fn default() -> Self {
        Self {
            filters: 1,
            kernel: [3; N],
            strides: [1; N],
            padding: Padding::Valid,
            dilation: [1; N],
            groups: 1,
            layout: Layout::ChannelsLast,
            activation: "linear",
            use_bias: true,
        }
    }
}

/// Options of a depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConv<const N: usize> {
    /// Extents of the kernel.
    pub kernel: [u64; N],
    /// Strides.
    pub strides: [u64; N],
    /// How windows treat the borders.
    pub padding: Padding,
    /// Dilation rates.
    pub dilation: [u64; N],
    /// Output channels per input channel.
    pub depth_multiplier: u64,
    /// The layout of the channels.
    pub layout: Layout,
    /// The activation, by its Keras name.
    pub activation: &'static str,
    /// Whether to add a bias.
    pub use_bias: bool,
}

/// Options of a depthwise convolution over height and width.
pub type DepthwiseConv2d = DepthwiseConv<2>;

impl<const N: usize> Default for DepthwiseConv<N> {
    fn default() -> Self {
        Self {
            kernel: [3; N],
            strides: [1; N],
            padding: Padding::Valid,
            dilation: [1; N],
            depth_multiplier: 1,
            layout: Layout::ChannelsLast,
            activation: "linear",
            use_bias: true,
        }
    }
}

/// Options of a depthwise convolution followed by a pointwise one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeparableConv<const N: usize> {
    /// Output channels.
    pub filters: u64,
    /// The depthwise convolution; its activation and bias come after the pointwise one.
    pub depthwise: DepthwiseConv<N>,
}

impl ModelBuilder {
    /// Applies a convolution over height and width.
    pub fn conv2d(&mut self, x: Tensor, conv: Conv2d) -> Tensor {
        self.conv(x, conv)
    }

    /// Applies a convolution.
    pub fn conv<const N: usize>(&mut self, x: Tensor, conv: Conv<N>) -> Tensor {
        self.weighted(x, &spatial::<N>("Conv"), |ty| conv.declaration(ty))
    }

    /// Applies a depthwise convolution over height and width.
    pub fn depthwise_conv2d(&mut self, x: Tensor, conv: DepthwiseConv2d) -> Tensor {
        self.depthwise_conv(x, conv)
    }

    /// Applies a depthwise convolution.
    pub fn depthwise_conv<const N: usize>(&mut self, x: Tensor, conv: DepthwiseConv<N>) -> Tensor {
        self.weighted(x, &spatial::<N>("DepthwiseConv"), |ty| conv.declaration(ty))
    }

    /// Applies a separable convolution.
    pub fn separable_conv<const N: usize>(&mut self, x: Tensor, conv: SeparableConv<N>) -> Tensor {
        self.weighted(x, &spatial::<N>("SeparableConv"), |ty| conv.declaration(ty))
    }

    /// Applies a layer whose weights depend on the type of its input. On an error, the layer has no weights.
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

impl<const N: usize> Conv<N> {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let channels = extent(x, channel_axis(self.layout))? / self.groups.max(1);
        let mut config = Attrs::new().with("filters", int(self.filters));
        window(&mut config, self.kernel, self.strides, self.padding, self.dilation, self.layout);
        config.set("groups", int(self.groups));
        config.set("activation", self.activation);
        config.set("use_bias", self.use_bias);
        variables(&mut config, &["kernel", "bias"], true);
        let kernel = kernel(self.kernel, [channels, self.filters], channels);
        let declaration = Declaration::keras(&spatial::<N>("Conv"), config).weights([kernel]);
        Ok(declaration.weights(bias(self.use_bias, self.filters)))
    }
}

impl<const N: usize> DepthwiseConv<N> {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let channels = extent(x, channel_axis(self.layout))?;
        let mut config = Attrs::new().with("depth_multiplier", int(self.depth_multiplier));
        window(&mut config, self.kernel, self.strides, self.padding, self.dilation, self.layout);
        config.set("activation", self.activation);
        config.set("use_bias", self.use_bias);
        variables(&mut config, &["depthwise", "bias"], true);
        let declaration = Declaration::keras(&spatial::<N>("DepthwiseConv"), config);
        let declaration = declaration.weights([self.kernel_weight(channels)]);
        Ok(declaration.weights(bias(self.use_bias, channels * self.depth_multiplier)))
    }

    fn kernel_weight(&self, channels: u64) -> Variable {
        kernel(self.kernel, [channels, self.depth_multiplier], 1)
    }
}

impl<const N: usize> SeparableConv<N> {
    fn declaration(&self, x: &Type) -> Result<Declaration, Reason> {
        let depthwise = &self.depthwise;
        let channels = extent(x, channel_axis(depthwise.layout))?;
        let between = channels * depthwise.depth_multiplier;
        let mut config = Attrs::new().with("depth_multiplier", int(depthwise.depth_multiplier));
        config.set("filters", int(self.filters));
        let DepthwiseConv { strides, padding, dilation, layout, .. } = *depthwise;
        window(&mut config, depthwise.kernel, strides, padding, dilation, layout);
        config.set("activation", depthwise.activation);
        config.set("use_bias", depthwise.use_bias);
        variables(&mut config, &["depthwise", "pointwise", "bias"], true);
        let pointwise = kernel([1; N], [between, self.filters], between);
        let declaration = Declaration::keras(&spatial::<N>("SeparableConv"), config);
        let declaration = declaration.weights([depthwise.kernel_weight(channels), pointwise]);
        Ok(declaration.weights(bias(depthwise.use_bias, self.filters)))
    }
}

/// The class of a layer over `N` spatial axes, such as `Conv2D`.
pub(super) fn spatial<const N: usize>(stem: &str) -> String {
    format!("{stem}{N}D")
}

/// The channel axis.
fn channel_axis(layout: Layout) -> i64 {
    match layout {
        Layout::ChannelsLast => -1,
        Layout::ChannelsFirst => 1,
    }
}

/// The Keras name of a layout.
pub(super) fn data_format(layout: Layout) -> &'static str {
    match layout {
        Layout::ChannelsLast => "channels_last",
        Layout::ChannelsFirst => "channels_first",
    }
}

/// A kernel of shape `extents + last` that sums over `channels` input channels.
fn kernel<const N: usize>(extents: [u64; N], last: [u64; 2], channels: u64) -> Variable {
    (extents.into_iter().chain(last).collect(), Init::he(extents.iter().product::<u64>() * channels))
}

fn window<const N: usize>(
    config: &mut Attrs,
    kernel: [u64; N],
    strides: [u64; N],
    padding: Padding,
    dilation: [u64; N],
    layout: Layout,
) {
    config.set("kernel_size", Attr::ints(kernel));
    config.set("strides", Attr::ints(strides));
    config.set("padding", padding.name());
    config.set("data_format", data_format(layout));
    config.set("dilation_rate", Attr::ints(dilation));
}

/// Adds Keras's default initializers, regularizers and constraints.
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

/// An initializer without options.
pub(super) fn initializer(class: &str) -> Attr {
    object("keras.initializers", class, Attrs::new())
}

/// The bias, if it is used.
pub(super) fn bias(used: bool, extent: u64) -> Option<Variable> {
    used.then(|| (vec![extent], Init::offset()))
}

pub(super) fn int(n: u64) -> Attr {
    Attr::Int(n.into())
}

/// The extent of `ty` at `axis`. Negative axes count from the end.
pub(super) fn extent(ty: &Type, axis: i64) -> Result<u64, Reason> {
    let missing = || Reason::Extent { axis, ty: ty.clone() };
    let dims = ty.dims.as_ref().ok_or_else(missing)?;
    let from_start = if axis < 0 { axis.checked_add_unsigned(dims.len() as u64) } else { Some(axis) };
    let at = from_start.and_then(|a| usize::try_from(a).ok());
    at.and_then(|at| dims.get(at)?.known()).ok_or_else(missing)
}
