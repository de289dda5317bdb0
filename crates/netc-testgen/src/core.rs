//! Programs of core ops.

mod ops;

use netc_ir::{
    Attr, Attrs, Binary, Bindings, Builder, Compare, CoreOp, Dim, ElemType, F64, Layout, Literal, Loc, MAIN, Module,
    Number, PadMode, Pool, Reduce, Type, Unary, ValueId, Weight, WeightData, WeightId, infer,
};

use ops::broadcasts;

use crate::recipe::{Recipe, Step, classes, of, pick};

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
        /// Slices at constant indices.
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
        /// A weight, new or known.
        Weight,
        /// A constant.
        Constant,
    }
}

/// A program of core ops as plain data.
pub type CoreRecipe = Recipe<CoreClass>;

/// Elements of a value for the batch below: what keeps programs fast.
const MAX_ELEMENTS: u64 = 2000;

/// Larger than any batch that the oracles run.
const LARGEST_BATCH: u64 = 3;

const MAX_RANK: usize = 5;

/// Extents of the inputs; 0 is the batch, `N`.
const INPUTS: &[(ElemType, &[u64])] = &[
    (ElemType::F32, &[0, 4]),
    (ElemType::F32, &[0, 6, 5, 2]),
    (ElemType::F32, &[0, 2, 5, 6]),
    (ElemType::F32, &[3, 4]),
    (ElemType::F32, &[]),
    (ElemType::F32, &[0, 7, 2]),
    (ElemType::F64, &[0, 4]),
    (ElemType::I64, &[0, 4]),
    (ElemType::I32, &[0, 3]),
    (ElemType::Bool, &[0, 4]),
    (ElemType::F16, &[0, 4]),
    (ElemType::BF16, &[2]),
    (ElemType::U8, &[0, 4]),
];

/// Names of values that the printer must quote, and some that it need not.
const NAMES: &[&str] = &["v", "a.b", "x/y-", "two words", "\u{fc}n\u{ef}", "q\"uo\\te", "tab\t", "%"];

impl CoreRecipe {
    /// The module: valid, and executable for every batch of 1 or more.
    pub fn build(&self) -> Module {
        let mut draft = Draft::new(&self.inputs);
        for step in &self.steps {
            draft.step(step);
        }
        draft.finish(self)
    }
}

/// A program whose types are known: weights are added while ops are, so the function is built at the end.
struct Draft {
    module: Module,
    params: usize,
    values: Vec<Type>,
    /// The ops of the values after the parameters.
    ops: Vec<(CoreOp, Vec<usize>)>,
}

/// The value that a step adds, if it fits.
type Added = Option<usize>;

impl Draft {
    fn new(inputs: &[u8]) -> Self {
        let values: Vec<Type> = inputs.iter().map(|i| input_type(*i)).collect();
        Self { module: Module::new(), params: values.len(), values, ops: Vec::new() }
    }

    fn step(&mut self, step: &Step<CoreClass>) -> Added {
        let [a, b, c] = step.reads;
        let [k, l, m, n] = step.knobs;
        match step.class {
            CoreClass::Unary => self.of_one(CoreOp::Unary(of(Unary::ALL, k)), a),
            CoreClass::Binary => self.binary(of(Binary::ALL, k), a, b),
            CoreClass::Compare => self.of_two(CoreOp::Compare(of(Compare::ALL, k)), a, b, |_| true),
            CoreClass::MatMul => self.matmul(a, b, k, l),
            CoreClass::Conv => self.conv(a, of(Layout::ALL, k), [l, m, n]),
            CoreClass::Pool => self.pool(a, of(Layout::ALL, k), of(Pool::ALL, l), [l / 2, m, n]),
            CoreClass::Reduce => {
                let x = self.value(a, |t| is_number(t.elem))?;
                self.add(CoreOp::Reduce { kind: of(Reduce::ALL, l), axes: self.axes(x, k), keep: m % 2 == 1 }, &[x])
            }
            CoreClass::Reshape => self.reshape(a, k, l),
            CoreClass::Transpose => {
                let x = self.value(a, |_| true)?;
                let mut perm = self.axes(x, u8::MAX);
                let n = perm.len().max(1);
                perm.rotate_left(usize::from(k) % n);
                perm[..usize::from(l) % n].reverse();
                self.add(CoreOp::Transpose(perm), &[x])
            }
            CoreClass::Concat => self.concat(a, [b, c], k),
            CoreClass::Slice => self.slice(a, [k, l, m]),
            CoreClass::Pad => self.pad(a, of(PadMode::ALL, k), l, m, n),
            CoreClass::Broadcast => {
                let x = self.value(a, |_| true)?;
                let repeat = |d: &Dim| if d.is(1) { Dim::Known(1 + u64::from(l % 3)) } else { d.clone() };
                let new = (k % 2 == 1).then(|| Dim::Known(1 + u64::from(m % 2)));
                let dims = new.into_iter().chain(self.dims(x).iter().map(repeat)).collect();
                self.add(CoreOp::Broadcast(dims), &[x])
            }
            CoreClass::Gather => self.gather(a, k, [l, m, n]),
            CoreClass::Select => {
                let x = self.value(a, |t| t.elem == ElemType::Bool)?;
                let y = self.value(b, |t| broadcasts(&self.values[x], t))?;
                let fits = |t: &Type| [x, y].iter().all(|v| broadcasts(&self.values[*v], t));
                let z = self.value(c, |t| t.elem == self.values[y].elem && fits(t))?;
                self.add(CoreOp::Select, &[x, y, z])
            }
            CoreClass::Cast => {
                let elems: Vec<ElemType> = INPUTS.iter().map(|(elem, _)| *elem).collect();
                self.of_one(CoreOp::Cast(of(&elems, k)), a)
            }
            CoreClass::Sort => {
                let (x, axis) = self.axis(a, k, |_| true)?;
                self.add(CoreOp::Sort { axis, descending: l % 2 == 1 }, &[x])
            }
            CoreClass::CumSum => {
                let (x, axis) = self.axis(a, k, |t| is_number(t.elem))?;
                self.add(CoreOp::CumSum(axis), &[x])
            }
            CoreClass::Reverse => {
                let x = self.value(a, |_| true)?;
                self.add(CoreOp::Reverse(self.axes(x, k)), &[x])
            }
            CoreClass::Weight => match self.module.weights.len() {
                known if known > 0 && k % 2 == 1 => {
                    self.add(CoreOp::Weight(WeightId::new(usize::from(l) % known)), &[])
                }
                _ => self.weight(of(INPUTS, m).0, &for_one(of(INPUTS, m).1), n),
            },
            CoreClass::Constant => {
                let (elem, extents) = of(INPUTS, k);
                self.add(CoreOp::Constant(literal(elem, &for_one(extents), l)), &[])
            }
        }
    }

    /// Adds an op whose operands were chosen so that it fits; nothing if the result is too large.
    fn add(&mut self, op: CoreOp, operands: &[usize]) -> Added {
        let types: Vec<&Type> = operands.iter().map(|x| &self.values[*x]).collect();
        let ty = infer(&self.module, &op, &types);
        debug_assert!(ty.is_ok(), "the recipe chose operands that do not fit: {ty:?}");
        let ty = ty.ok().filter(is_small)?;
        self.values.push(ty);
        self.ops.push((op, operands.to_vec()));
        Some(self.values.len() - 1)
    }

    /// The value that `read` stands for among those that fit.
    fn value(&self, read: u8, fits: impl Fn(&Type) -> bool) -> Added {
        let fitting: Vec<usize> = self.oldest_first().into_iter().filter(|i| fits(&self.values[*i])).collect();
        pick(&fitting, read)
    }

    /// The values; weights and constants count as old as inputs, so that chains of ops become long.
    fn oldest_first(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.values.len()).collect();
        all.sort_by_key(|i| i.checked_sub(self.params).is_some_and(|op| !self.ops[op].1.is_empty()));
        all
    }

    /// A value and one of its axes.
    fn axis(&self, read: u8, axis: u8, fits: impl Fn(&Type) -> bool) -> Option<(usize, u64)> {
        let x = self.value(read, |t| t.rank() > Some(0) && fits(t))?;
        Some((x, u64::from(axis) % self.rank(x) as u64))
    }

    fn dims(&self, x: usize) -> &[Dim] {
        self.values[x].dims.as_deref().unwrap_or_default()
    }

    fn rank(&self, x: usize) -> usize {
        self.dims(x).len()
    }

    /// The axes of `x` whose bits are set.
    fn axes(&self, x: usize, bits: u8) -> Vec<u64> {
        (0..self.rank(x) as u64).filter(|i| bits >> i & 1 == 1).collect()
    }

    /// A new weight: random, a splat or listed.
    fn weight(&mut self, elem: ElemType, dims: &[u64], form: u8) -> Added {
        let random = WeightData::Random { seed: form.into(), low: F64::new(-1.0), high: F64::new(1.0) };
        let data = if elem.is_float() && form < 128 { random } else { WeightData::Inline(literal(elem, dims, form)) };
        let name = format!("{}{}", of(NAMES, form), self.module.weights.len()).into();
        let id = self.module.add_weight(Weight { name, ty: Type::fixed(elem, dims), data });
        self.add(CoreOp::Weight(id), &[])
    }

    fn finish(self, recipe: &CoreRecipe) -> Module {
        let all = self.oldest_first();
        let mut module = self.module;
        module.attrs = attrs(recipe.steps.len());
        let file = module.intern_file("no such folder/model \u{1f4c8}.keras");
        let mut b = Builder::new(&module, MAIN);
        let params = self.values.iter().take(self.params).enumerate();
        let mut values: Vec<ValueId> =
            params.map(|(i, ty)| b.param(format!("{}.in{i}", of(NAMES, i as u8)), ty.clone(), None)).collect();
        for (i, ((op, operands), ty)) in self.ops.into_iter().zip(&self.values[self.params..]).enumerate() {
            let call =
                |call| Loc::Call { file: (i % 2 == 0).then_some(file), path: format!("block/{}", i / 3).into(), call };
            b.at(match i % 4 {
                0 => Loc::Unknown,
                1 | 2 => call(i as u32 / 4),
                _ => Loc::fuse([call(0), call(1)]),
            });
            let operands: Vec<ValueId> = operands.iter().map(|x| values[*x]).collect();
            let name = (i % 3 != 0).then(|| format!("{}{i}", of(NAMES, i as u8)).into());
            let op = b.op(op, &operands, [(ty.clone(), name)]);
            values.extend_from_slice(b.results(op));
        }
        let outputs = recipe.outputs.iter().enumerate();
        let outputs = outputs.filter_map(|(i, o)| Some((format!("out{i}").into(), values[pick(&all, *o)?])));
        let mut func = b.finish(outputs.collect::<Vec<_>>());
        func.attrs = if recipe.outputs.len() > 2 { attrs(0) } else { Attrs::new() };
        module.add_func(func);
        module
    }
}

fn input_type(i: u8) -> Type {
    let (elem, extents) = of(INPUTS, i);
    Type::new(elem, extents.iter().map(|d| if *d == 0 { Dim::symbol("N") } else { Dim::Known(*d) }))
}

/// Extents of a table with the batch 1.
fn for_one(extents: &[u64]) -> Vec<u64> {
    extents.iter().map(|d| (*d).max(1)).collect()
}

fn is_number(elem: ElemType) -> bool {
    elem.is_int() || elem.is_float()
}

fn is_small(ty: &Type) -> bool {
    let batch = Bindings::from([("N".into(), LARGEST_BATCH)]);
    let dims = ty.dims.as_deref().unwrap_or_default();
    let elements = dims.iter().try_fold(1u64, |n, d| n.checked_mul(d.eval(&batch)?));
    dims.len() <= MAX_RANK && elements.is_some_and(|n| n <= MAX_ELEMENTS)
}

/// A constant: a splat, or elements that differ.
fn literal(elem: ElemType, dims: &[u64], form: u8) -> Literal {
    let number = |i: u64| match elem.is_float() {
        true => Number::Float(of(&[0.5, -1.25, 3.0, 0.1, -0.0, 1e-3, 7.0], form.wrapping_add(i as u8))),
        false => Number::Int(((u64::from(form) + i) % 5).into()),
    };
    match form % 3 {
        0 => Literal::splat_number(elem, dims, number(0)),
        _ => Literal::dense(elem, dims, (0..dims.iter().product()).map(number)),
    }
}

/// Attributes that say everything that attributes can say.
fn attrs(n: usize) -> Attrs {
    let floats = [0.1, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
    Attrs::new()
        .with("floats", Attr::List(floats.map(Attr::from).to_vec()))
        .with("integers", Attr::ints([i128::MIN, -1, n as i128, i128::MAX]))
        .with("null", Attr::Null)
        .with("a key", Attrs::new().with("true", true).with("empty", Attrs::new()).with("", Attr::List(Vec::new())))
        .with("text", "\"\\ \u{1f4c8}\n\u{7f}\r\0;{}")
}
