//! Programs of core ops.

mod affine;
mod elementwise;
mod extent;
mod finish;
mod literal;
mod movement;
mod range;
mod scope;
mod types;
mod window;

use netc_ir::{Binary, Compare, CoreOp, Layout, Module, PadMode, Pool, Reduce, Unary};

use scope::{Draft, Value};

use crate::classes;
use crate::recipe::{Build, Recipe, Step, of};

classes! {
    /// What a step of a [`CoreRecipe`] adds.
    CoreClass {
        /// A function of one tensor.
        Unary,
        /// A function of two tensors.
        Binary,
        /// A product with a new matrix, or of two values.
        MatMul,
        /// A convolution with a new kernel.
        Conv,
        /// Products and ops with constants along one axis, as batch normalization leaves them.
        Affine,
        /// A pooling.
        Pool,
        /// A reduction.
        Reduce,
        /// Another shape.
        Reshape,
        /// Another order of the axes.
        Transpose,
        /// Values one after the other.
        Concat,
        /// A strided part.
        Slice,
        /// A border.
        Pad,
        /// Repetition.
        Broadcast,
        /// Slices at indices.
        Gather,
        /// A comparison.
        Compare,
        /// A choice.
        Select,
        /// Another element type.
        Cast,
        /// Elements in order.
        Sort,
        /// Running sums.
        CumSum,
        /// Elements in the opposite order.
        Reverse,
        /// The extent of an axis.
        Dim,
        /// Numbers from 0 on, as many as the program computes.
        Iota,
        /// A weight, new or known.
        Weight,
        /// A constant.
        Constant,
        /// A function: the steps that follow are its body. Without this step, they are the caller's.
        Function,
        /// A call of a function that is there.
        Call,
    }
}

/// A program of core ops as plain data.
pub type CoreRecipe = Recipe<CoreClass>;

impl Build for CoreClass {
    /// The module: valid, and executable for every batch of 1 or more, unless a feature says otherwise.
    fn build(recipe: &CoreRecipe) -> Module {
        let mut draft = Draft::new(recipe);
        for step in &recipe.steps {
            draft.step(step);
        }
        draft.finish()
    }
}

/// The value that a step adds, if it fits.
type Added = Option<usize>;

impl Draft<'_> {
    /// Adds what the step says; where nothing fits, a simple op, so that programs are as long as their recipes.
    fn step(&mut self, step: &Step<CoreClass>) {
        self.be_wild(step.knobs[3]);
        let added = self.add_class(step);
        if added.is_none() {
            self.simple(step.reads[0], step.knobs[0]);
        }
        self.end_step();
    }

    fn add_class(&mut self, step: &Step<CoreClass>) -> Added {
        let [a, b, c] = step.reads;
        let [k, l, m, n] = step.knobs;
        match step.class {
            CoreClass::Unary => self.of_one(CoreOp::Unary(of(Unary::ALL, k)), a),
            CoreClass::Binary => self.of_two(CoreOp::Binary(of(Binary::ALL, k)), [a, b], l),
            CoreClass::Compare => self.of_two(CoreOp::Compare(of(Compare::ALL, k)), [a, b], l),
            CoreClass::MatMul => self.matmul(a, b, [k, l, m]),
            CoreClass::Conv => self.conv(a, of(Layout::ALL, k), [l, m, n, k]),
            CoreClass::Affine => self.affine(step.reads, step.knobs),
            CoreClass::Pool => self.pool(a, of(Layout::ALL, k), of(Pool::ALL, k / 2), [l, m, n]),
            CoreClass::Reduce => self.reduce(of(Reduce::ALL, l), a, k, m % 2 == 1),
            CoreClass::Reshape => self.reshape(a, k, l),
            CoreClass::Transpose => self.transpose(a, [k, l]),
            CoreClass::Concat => self.concat(a, [b, c], k, l),
            CoreClass::Slice => self.slice(a, [k, l, m]),
            CoreClass::Pad => self.pad(a, of(PadMode::ALL, k), [l, m], n),
            CoreClass::Broadcast => self.broadcast(a, k, l),
            CoreClass::Gather => self.gather([a, b], k, [l, m, n]),
            CoreClass::Select => self.select([a, b, c]),
            CoreClass::Cast => self.cast(a, k),
            CoreClass::Sort => {
                let (x, axis) = self.axis(a, k, Value::is_ordered)?;
                self.op(CoreOp::Sort { axis, descending: l % 2 == 1 }, &[x])
            }
            CoreClass::CumSum => {
                let (x, axis) = self.axis(a, k, Value::is_number)?;
                self.op(CoreOp::CumSum(axis), &[x])
            }
            CoreClass::Reverse => {
                let x = self.value(a, |_| true)?;
                self.op(CoreOp::Reverse(self.axes(x, k)), &[x])
            }
            CoreClass::Dim => self.dim(a, [k, l]),
            CoreClass::Iota => self.iota(a, [k, l, m, n]),
            CoreClass::Weight => self.new_weight(a, [k, l, m, n]),
            CoreClass::Constant => self.new_constant(a, [k, l, m]),
            CoreClass::Function => self.begin(step.reads, [k, l, m, n]),
            CoreClass::Call => self.call_again(step.reads, k),
        }
    }
}
