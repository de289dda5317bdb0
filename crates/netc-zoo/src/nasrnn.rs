//! A recurrent network whose cell was found by search (Zoph, Le, "Neural architecture search with reinforcement
//! learning", 2017), unrolled. This is the variant that optimizers of tensor graphs are benchmarked on (Jia et al.,
//! "TASO: optimizing deep learning computation with automatic generation of graph substitutions", 2019): the leaves of
//! a tree of activations are eight sums of two products, and the cell has no memory except its state. The steps share
//! their weights.

use std::array;

use netc_ir::Module;
use netc_keras::build::{BuildError, Dense, ModelBuilder, Tensor};

/// The units of the inputs and of the state.
const UNITS: u64 = 512;

/// The number of unrolled steps.
const STEPS: usize = 5;

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("nasrnn", seed);
    let h0 = m.named("h0").input(&[UNITS]);
    let x1 = m.named("x1").input(&[UNITS]);
    let products = array::from_fn(|i| [dense(&mut m, x1, format!("w{i}")), dense(&mut m, h0, format!("u{i}"))]);
    let layers = products.map(|pair| pair.map(|product| m.layer_of(product)));
    let mut h = tree(&mut m, products, "h1");
    for t in 2..=STEPS {
        let x = m.named(format!("x{t}")).input(&[UNITS]);
        let products = layers.map(|[w, u]| [m.apply(w, &[x]), m.apply(u, &[h])]);
        h = tree(&mut m, products, &format!("h{t}"));
    }
    m.finish(&[(&format!("h{STEPS}"), h)])
}

fn dense(m: &mut ModelBuilder, x: Tensor, name: String) -> Tensor {
    m.named(name).dense(x, Dense { units: UNITS, use_bias: false, ..Dense::default() })
}

/// The next state, named `name`, from the products of the input and of the state.
fn tree(m: &mut ModelBuilder, products: [[Tensor; 2]; 8], name: &str) -> Tensor {
    let leaves = products.map(|pair| m.add(&pair));
    let a = sum(m, ("relu", leaves[0]), ("sigmoid", leaves[3]));
    let b = sum(m, ("sigmoid", leaves[1]), ("tanh", leaves[2]));
    let c = product(m, ("sigmoid", leaves[4]), ("tanh", leaves[5]));
    let d = product(m, ("sigmoid", leaves[6]), ("relu", leaves[7]));
    let inner = sum(m, ("sigmoid", b), ("tanh", c));
    let outer = product(m, ("tanh", a), ("tanh", d));
    let y = product(m, ("tanh", inner), ("tanh", outer));
    m.named(name).activation(y, "tanh")
}

/// A tensor, and the activation that is applied to it first.
type Activated = (&'static str, Tensor);

fn sum(m: &mut ModelBuilder, a: Activated, b: Activated) -> Tensor {
    let parts = [a, b].map(|(function, x)| m.activation(x, function));
    m.add(&parts)
}

fn product(m: &mut ModelBuilder, a: Activated, b: Activated) -> Tensor {
    let factors = [a, b].map(|(function, x)| m.activation(x, function));
    m.multiply(&factors)
}
