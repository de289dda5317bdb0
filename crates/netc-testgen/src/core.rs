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
        /// A unary op.
        Unary,
        /// A binary op.
        Binary,
        /// A matrix product, with a new matrix or of two values.
        MatMul,
        /// A convolution with a new kernel.
        Conv,
        /// Products and ops with constants along one axis, as from batch normalization.
        Affine,
        /// A pooling.
        Pool,
        /// A reduction.
        Reduce,
        /// A reshape.
        Reshape,
        /// A transpose.
        Transpose,
        /// A concatenation.
        Concat,
        /// A strided slice.
        Slice,
        /// A padding.
        Pad,
        /// A broadcast.
        Broadcast,
        /// A gather.
        Gather,
        /// A comparison.
        Compare,
        /// A select.
        Select,
        /// A cast.
        Cast,
        /// A sort.
        Sort,
        /// A cumulative sum.
        CumSum,
        /// A reversal.
        Reverse,
        /// The extent of an axis.
        Dim,
        /// An `iota` of a computed extent.
        Iota,
        /// A weight, new or existing.
        Weight,
        /// A constant.
        Constant,
        /// A new function and a call of it. The next steps form its body.
        Function,
        /// A call of an existing function.
        Call,
    }
}

/// A program of core ops as plain data.
pub type CoreRecipe = Recipe<CoreClass>;

impl Build for CoreClass {
    /// Builds the module. It is valid, and executable for every batch of 1 or more unless it has the feature
    /// `abstract`.
    fn build(recipe: &CoreRecipe) -> Module {
        let mut draft = Draft::new(recipe);
        for step in &recipe.steps {
            draft.step(step);
        }
        draft.finish()
    }
}

/// The value that a step adds; `None` if nothing fits.
type Added = Option<usize>;

impl Draft<'_> {
    /// Executes a step. If nothing fits, adds a simple op, so that programs are as long as their recipes.
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
