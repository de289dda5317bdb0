//! Keras models of layers.

use netc_ir::{Attr, Attrs, Dim, Module, Type};
use netc_keras::build::{
    BatchNormalization, Conv2d, Dense, DepthwiseConv2d, Init, ModelBuilder, Padding, Pool2d, Relu, SeparableConv2d,
    Tensor,
};
use netc_keras::lower::KerasDialect;
use netc_pass::{Dialects, LayerLibrary};

use crate::recipe::{Recipe, Step, classes, of, pick};

classes! {
    /// What a step of a [`KerasRecipe`] adds.
    KerasClass {
        /// An activation.
        Activation,
        /// A bounded rectifier.
        Relu,
        /// A matrix product.
        Dense,
        /// A convolution.
        Conv,
        /// A convolution of each channel on its own.
        Depthwise,
        /// The two of them.
        Separable,
        /// Normalization.
        Norm,
        /// The largest of windows, or their mean.
        Pool,
        /// The mean or largest of images.
        GlobalPool,
        /// A sum, product, ... of tensors of one shape.
        Merge,
        /// Tensors one after the other.
        Concatenate,
        /// A layer that is there, applied again.
        Again,
        /// A layer of the user.
        Custom,
        /// An operation of `keras.ops`.
        Operation,
        /// Dropout.
        Dropout,
        /// All axes as one.
        Flatten,
        /// A border of zeros.
        ZeroPadding,
        /// Another shape.
        Reshape,
    }
}

/// A Keras model as plain data.
pub type KerasRecipe = Recipe<KerasClass>;

/// The meaning of the layers of the user, as a layer library.
pub const LIBRARY: &str = "netc 1
func @Scale(%x: any[*], %gamma: any[*], %beta: any[*]) -> (%y) {
  %g = lib.along(%gamma, %x) {axis = {config = \"axis\", default = -1}} : any[*]
  %b = lib.along(%beta, %x) {axis = {config = \"axis\", default = -1}} : any[*]
  %s = mul(%x, %g) : any[*]
  %y = add(%s, %b) : any[*]
}
";

/// The meaning of every layer of a recipe: Keras's own, and those of [`LIBRARY`].
pub fn dialects() -> Dialects {
    let mut dialects = Dialects::new();
    let library = LayerLibrary::parse(LIBRARY);
    debug_assert!(library.is_ok(), "{library:?}");
    library.into_iter().for_each(|library| dialects.push(library));
    dialects.push(KerasDialect);
    dialects
}

/// Extents of the inputs after the batch.
const INPUTS: &[&[u64]] = &[&[4], &[6, 5, 2], &[8, 8, 3], &[3, 4], &[1]];

/// Steps read only values with fewer elements per example: what keeps models fast.
const MAX_ELEMENTS: u64 = 500;

const ACTIVATIONS: &[&str] = &["relu", "linear", "sigmoid", "tanh", "softmax", "gelu", "swish", "elu", "leaky_relu"];

const MERGES: &[&str] = &["Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract"];

impl KerasRecipe {
    /// The model: valid, and executable with [`dialects`].
    pub fn build(&self) -> Module {
        let mut draft = Draft {
            model: ModelBuilder::new("random", self.steps.len() as u64).with_library(LIBRARY),
            made: Vec::new(),
        };
        for input in &self.inputs {
            draft.input(of(INPUTS, *input));
        }
        for step in &self.steps {
            draft.step(step);
        }
        draft.finish(&self.outputs)
    }
}

struct Draft {
    model: ModelBuilder,
    made: Vec<Made>,
}

/// A tensor with the layer that makes it and what that reads.
struct Made {
    tensor: Tensor,
    layer: String,
    operands: Vec<Tensor>,
}

/// The tensor that a step adds, if it fits.
type Added = Option<Tensor>;

impl Draft {
    fn input(&mut self, dims: &[u64]) {
        let layer = format!("input {}", self.made.len());
        let tensor = self.model.named(layer.as_str()).input(dims);
        self.made.push(Made { tensor, layer, operands: Vec::new() });
    }

    fn step(&mut self, step: &Step<KerasClass>) -> Added {
        let [a, b, c] = step.reads;
        let [k, l, m, _] = step.knobs;
        match step.class {
            KerasClass::Activation => self.of_one(step, self.any(a)?, |m, x| m.activation(x, of(ACTIVATIONS, k))),
            KerasClass::Relu => {
                let relu = Relu {
                    max_value: (k % 2 == 1).then_some(6.0),
                    negative_slope: f64::from(l % 3) / 8.0,
                    threshold: 0.0,
                };
                self.of_one(step, self.any(a)?, |m, x| m.relu(x, relu))
            }
            KerasClass::Dense => {
                let dense = Dense { units: 1 + u64::from(k % 6), activation: of(ACTIVATIONS, l), use_bias: m % 2 == 0 };
                self.of_one(step, self.any(a)?, |m, x| m.dense(x, dense))
            }
            KerasClass::Conv => {
                let x = self.image(a)?;
                let groups = if self.extents(x).last()?.is_multiple_of(2) && k >= 128 { 2 } else { 1 };
                let filters = groups * (1 + u64::from(k % 3));
                let (kernel, strides, padding) = self.window(x, l, m);
                let conv = Conv2d {
                    filters,
                    kernel,
                    strides,
                    padding,
                    groups,
                    activation: of(ACTIVATIONS, m),
                    use_bias: l % 2 == 0,
                    ..Conv2d::default()
                };
                self.of_one(step, x, |m, x| m.conv2d(x, conv))
            }
            KerasClass::Depthwise => {
                let x = self.image(a)?;
                let depthwise = self.depthwise(x, k, l, m);
                self.of_one(step, x, |m, x| m.depthwise_conv2d(x, depthwise))
            }
            KerasClass::Separable => {
                let x = self.image(a)?;
                let separable =
                    SeparableConv2d { filters: 1 + u64::from(k % 4), depthwise: self.depthwise(x, k, l, m) };
                self.of_one(step, x, |m, x| m.separable_conv2d(x, separable))
            }
            KerasClass::Norm => {
                let norm =
                    BatchNormalization { center: k % 2 == 0, scale: k % 3 != 0, ..BatchNormalization::default() };
                self.of_one(step, self.any(a)?, |m, x| m.batch_normalization(x, norm))
            }
            KerasClass::Pool => {
                let x = self.image(a)?;
                let (size, strides, padding) = self.window(x, l, m);
                let pool = Pool2d { size, strides: (m % 5 > 0).then_some(strides), padding };
                self.of_one(
                    step,
                    x,
                    |m, x| if k % 2 == 0 { m.max_pooling2d(x, pool) } else { m.average_pooling2d(x, pool) },
                )
            }
            KerasClass::GlobalPool => {
                let x = self.image(a)?;
                self.of_one(
                    step,
                    x,
                    |m, x| if k % 2 == 0 { m.global_average_pooling2d(x) } else { m.global_max_pooling2d(x) },
                )
            }
            KerasClass::Merge => {
                let x = self.any(a)?;
                let ty = self.model.ty(x);
                let class = of(MERGES, k);
                let more = [b, c].into_iter().take(if class == "Subtract" { 1 } else { 1 + usize::from(l % 2) });
                let parts: Vec<Tensor> = more.filter_map(|read| self.tensor(read, |t| *t == ty)).chain([x]).collect();
                self.of_many(step, &parts, |m, parts| m.merge(class, Attrs::new(), parts))
            }
            KerasClass::Concatenate => {
                let x = self.any(a)?;
                let dims = self.model.ty(x).dims?;
                let fits = |t: &Type| {
                    t.dims.as_ref().is_some_and(|d| d.len() == dims.len() && d[..d.len() - 1] == dims[..dims.len() - 1])
                };
                let parts: Vec<Tensor> =
                    [b, c].into_iter().filter_map(|read| self.tensor(read, fits)).chain([x]).collect();
                self.of_many(step, &parts, |m, parts| m.concatenate(parts, -1))
            }
            KerasClass::Again => self.again(a, [b, c, k]),
            KerasClass::Custom => {
                let x = self.any(a)?;
                let channels = *self.extents(x).last()?;
                let config = Attrs::new()
                    .with("axis", Attr::ints([-1]))
                    .with("\u{fc}n\u{ef}code", Attrs::new().with("k", Attr::Int(k.into())));
                let weights = [(vec![channels], Init::factor()), (vec![channels], Init::offset())];
                self.of_one(step, x, |m, x| m.custom(x, "Scale", "Custom>Scale", config, weights))
            }
            KerasClass::Operation => {
                let x = self.any(a)?;
                let constant = Attr::from(f64::from(l) / 16.0);
                let (class, args, operands) = match k % 4 {
                    0 => ("Absolute", vec![Attr::Operand(0)], vec![x]),
                    1 => ("Add", vec![constant, Attr::Operand(0)], vec![x]),
                    2 => ("Multiply", vec![Attr::Operand(0), Attr::Operand(1)], vec![x, x]),
                    _ => ("Subtract", vec![Attr::Operand(0), constant], vec![x]),
                };
                self.of_many(step, &operands, |m, parts| m.op("numpy", class, Attrs::new(), args, parts))
            }
            KerasClass::Dropout => self.of_one(step, self.any(a)?, |m, x| m.dropout(x, 0.5)),
            KerasClass::Flatten => self.of_one(step, self.any(a)?, |m, x| m.flatten(x)),
            KerasClass::ZeroPadding => {
                let amounts = [[k, l], [l, m]].map(|pair| pair.map(|n| u64::from(n % 3)));
                self.of_one(step, self.image(a)?, |m, x| m.zero_padding2d(x, amounts))
            }
            KerasClass::Reshape => {
                let x = self.any(a)?;
                let even = self.extents(x).iter().product::<u64>().is_multiple_of(2) && k % 2 == 1;
                self.of_one(step, x, |m, x| m.reshape(x, if even { &[2, -1] } else { &[-1, 1] }))
            }
        }
    }

    fn of_one(
        &mut self,
        step: &Step<KerasClass>,
        x: Tensor,
        apply: impl FnOnce(&mut ModelBuilder, Tensor) -> Tensor,
    ) -> Added {
        self.of_many(step, &[x], |m, parts| apply(m, parts[0]))
    }

    fn of_many(
        &mut self,
        step: &Step<KerasClass>,
        parts: &[Tensor],
        apply: impl FnOnce(&mut ModelBuilder, &[Tensor]) -> Tensor,
    ) -> Added {
        let layer = format!("{:?}_{}", step.class, self.made.len());
        let tensor = apply(self.model.named(layer.as_str()), parts);
        self.made.push(Made { tensor, layer, operands: parts.to_vec() });
        Some(tensor)
    }

    fn again(&mut self, read: u8, reads: [u8; 3]) -> Added {
        let calls: Vec<usize> = (0..self.made.len()).filter(|i| !self.made[*i].operands.is_empty()).collect();
        let first = pick(&calls, read)?;
        let operand = |(old, read): (&Tensor, u8)| self.tensor(read, |t| *t == self.model.ty(*old));
        let operands = self.made[first].operands.iter().zip(reads).map(operand).collect::<Option<Vec<_>>>()?;
        let (layer, name) = (self.model.layer_of(self.made[first].tensor), self.made[first].layer.clone());
        let tensor = self.model.apply(layer, &operands);
        self.made.push(Made { tensor, layer: name, operands });
        Some(tensor)
    }

    fn tensor(&self, read: u8, fits: impl Fn(&Type) -> bool) -> Added {
        let fitting = |t: &Tensor| is_small(&self.model.ty(*t)) && fits(&self.model.ty(*t));
        let fitting: Vec<Tensor> = self.made.iter().map(|made| made.tensor).filter(fitting).collect();
        pick(&fitting, read)
    }

    fn any(&self, read: u8) -> Added {
        self.tensor(read, |_| true)
    }

    fn image(&self, read: u8) -> Added {
        self.tensor(read, |t| t.rank() == Some(4))
    }

    /// The extents after the batch.
    fn extents(&self, x: Tensor) -> Vec<u64> {
        self.model.ty(x).dims.iter().flatten().skip(1).filter_map(Dim::known).collect()
    }

    /// Size, strides and padding of a window that fits into the image `x`.
    fn window(&self, x: Tensor, l: u8, m: u8) -> ([u64; 2], [u64; 2], Padding) {
        let extents = self.extents(x);
        let size = [0, 1].map(|i| 1 + u64::from(l >> i) % extents.get(i).map_or(1, |e| (*e).min(3)));
        let padding = if m.is_multiple_of(2) { Padding::Valid } else { Padding::Same };
        (size, [1 + u64::from(m >> 1) % 2; 2], padding)
    }

    fn depthwise(&self, x: Tensor, k: u8, l: u8, m: u8) -> DepthwiseConv2d {
        let (kernel, strides, padding) = self.window(x, l, m);
        let depth_multiplier = 1 + u64::from(k % 2);
        DepthwiseConv2d {
            kernel,
            strides,
            padding,
            depth_multiplier,
            use_bias: k.is_multiple_of(3),
            ..DepthwiseConv2d::default()
        }
    }

    /// The outputs are named as importing the file that is written names them: after their layers.
    fn finish(self, outputs: &[u8]) -> Module {
        let mut named: Vec<(String, &str, Tensor)> = Vec::new();
        let all: Vec<usize> = (0..self.made.len()).collect();
        for made in outputs.iter().filter_map(|o| pick(&all, *o)).map(|i| &self.made[i]) {
            let again = named.iter().filter(|(_, layer, _)| *layer == made.layer).count();
            let name = if again == 0 { made.layer.clone() } else { format!("{}_{again}", made.layer) };
            named.push((name, &made.layer, made.tensor));
        }
        let outputs: Vec<(&str, Tensor)> = named.iter().map(|(name, _, tensor)| (name.as_str(), *tensor)).collect();
        let module = self.model.finish(&outputs);
        debug_assert!(module.is_ok(), "the recipe made a layer that does not fit: {module:?}");
        module.unwrap_or_default()
    }
}

fn is_small(ty: &Type) -> bool {
    ty.bytes_per_example().is_some_and(|bytes| bytes > 0 && bytes / 4 <= MAX_ELEMENTS)
}
