//! Random programs that a rule matches.

use netc_data::Rng;
use netc_ir::attr::F64;
use netc_ir::{CoreOp, ElemType, Layout, Module, Name, PadMode, Type, infer};
use netc_pass::Fidelity;

use crate::graph::{Bindings, Bound, Graph, eval};
use crate::replace::{Replacement, instantiate};
use crate::rule::{DimKind, ElemKind, Expr, HoleKind, OpTerm, Rule, TensorKind, Term};
use crate::value::{Entries, Value, completed, core_op, get, unnamed};

/// Tensors for the holes of a rule, and both sides of the rule on them.
pub(crate) struct Instance {
    pub(crate) tensors: Tensors,
    pub(crate) from: Replacement<usize>,
    pub(crate) to: Replacement<usize>,
}

/// The types of the tensors that holes are bound to, and whether each is constant.
#[derive(Default)]
pub(crate) struct Tensors(pub(crate) Vec<(Type, bool)>);

impl Graph for Tensors {
    type Id = usize;

    fn definitions(&self, _: usize) -> impl Iterator<Item = (&CoreOp, &[usize])> {
        std::iter::empty()
    }

    fn ty(&self, id: usize) -> &Type {
        &self.0[id].0
    }

    fn is_constant(&self, id: usize) -> bool {
        self.0[id].1
    }
}

/// Generates a random program that `rule` matches, with at least one element to compare and a replacement of the same
/// types. `turn` selects the element type. `None` if this attempt finds no such program.
pub(crate) fn sample(rule: &Rule, turn: usize, rng: &mut Rng) -> Option<Instance> {
    let mut sampler = Sampler::new(rule, turn, rng);
    sampler.tensors()?;
    for term in &rule.from {
        sampler.term(term)?;
    }
    let Sampler { tensors, bindings, .. } = sampler;
    let from = instantiate(&rule.from, &tensors, &bindings).filter(is_small)?;
    if from.types(&tensors).all(|ty| ty.num_elements() == Some(0)) {
        return None;
    }
    if !rule.conditions_hold(&tensors, &bindings) {
        return None;
    }
    let to = instantiate(&rule.to, &tensors, &bindings).filter(is_small)?;
    from.types(&tensors).eq(to.types(&tensors)).then_some(())?;
    Some(Instance { from, to, tensors })
}

/// The largest random extent, unless the type of a hole names a larger one.
const MOST_EXTENT: u64 = 4;

/// The maximum number of elements of a computed tensor.
const MOST_ELEMENTS: u64 = 1 << 16;

fn is_small(side: &Replacement<usize>) -> bool {
    side.ops.iter().all(|op| op.ty.num_elements().is_some_and(|n| n <= MOST_ELEMENTS))
}

struct Sampler<'a> {
    rule: &'a Rule,
    rng: &'a mut Rng,
    /// The element type and the rank of most tensors, and the extent of most axes.
    elem: ElemType,
    rank: u64,
    extent: u64,
    /// Whether a third of the axes have extent 0.
    empty: bool,
    /// One in `alike` ranks and extents differs from the common one.
    alike: u64,
    tensors: Tensors,
    bindings: Bindings<usize>,
    none: Module,
}

/// Float types to test exact rules with. Rules that round are tested in `f64` only: in narrower types, rounding errors
/// could hide a mistake.
const EXACT: [ElemType; 4] = [ElemType::F32, ElemType::F64, ElemType::F16, ElemType::BF16];
const ROUNDING: [ElemType; 1] = [ElemType::F64];
/// The other element types to test rules with.
const WHOLE: [ElemType; 6] = [ElemType::I32, ElemType::U8, ElemType::Bool, ElemType::I64, ElemType::U32, ElemType::I16];

/// The element type for this turn. Every second one is a float type.
fn elem_of(fidelity: Fidelity, turn: usize) -> ElemType {
    let floats = if fidelity == Fidelity::Exact { &EXACT[..] } else { &ROUNDING[..] };
    let types = if turn.is_multiple_of(2) { floats } else { &WHOLE[..] };
    types[turn / 2 % types.len()]
}

impl<'a> Sampler<'a> {
    fn new(rule: &'a Rule, turn: usize, rng: &'a mut Rng) -> Self {
        let elem = elem_of(rule.fidelity, turn);
        let rank = rng.below(5);
        let extent = 1 + rng.below(MOST_EXTENT);
        let empty = rng.below(4) == 0;
        let alike = if rng.below(2) == 0 { 2 } else { 8 };
        let (tensors, bindings) = (Tensors::default(), Bindings::of(rule));
        Self { rule, rng, elem, rank, extent, empty, alike, tensors, bindings, none: Module::new() }
    }

    /// Generates the tensors of all holes.
    fn tensors(&mut self) -> Option<()> {
        for hole in 0..self.rule.holes.len() {
            match &self.rule.holes[hole].kind {
                HoleKind::Tensor(kind) => {
                    let ty = self.ty(kind)?;
                    let constant = kind.constant || self.rng.below(2) == 0;
                    self.tensors.0.push((ty, constant));
                    let id = self.tensors.0.len() - 1;
                    self.bindings.bind(hole, Bound::Tensor(id)).then_some(())?;
                }
                HoleKind::Tensors => {
                    let count = self.rng.below(3) as usize;
                    let first = self.tensors.0.len();
                    for _ in 0..count {
                        let ty = self.ty(&TensorKind::default())?;
                        let constant = self.rng.below(2) == 0;
                        self.tensors.0.push((ty, constant));
                    }
                    self.bindings.bind(hole, Bound::Tensors((first..first + count).collect()));
                }
                HoleKind::Value | HoleKind::Others => {}
            }
        }
        Some(())
    }

    /// Generates a type that fits the hole; `None` if this attempt does not fit.
    fn ty(&mut self, kind: &TensorKind) -> Option<Type> {
        let elem = match kind.elem {
            ElemKind::Only(elem) => elem,
            ElemKind::Any | ElemKind::Float | ElemKind::Int => match self.rng.below(20) {
                0 => self.any_elem(),
                1 => ElemType::Bool,
                _ => self.elem,
            },
        };
        kind.elem.takes(elem).then_some(())?;
        let dims = match &kind.dims {
            Some(dims) => dims.iter().map(|dim| self.dim(*dim)).collect::<Option<_>>()?,
            None => {
                let rank = if self.rng.below(self.alike) == 0 { self.rng.below(5) } else { self.rank };
                (0..rank).map(|_| self.extent()).collect::<Vec<u64>>()
            }
        };
        let ty = Type::fixed(elem, &dims);
        ty.num_elements().is_some_and(|n| n <= MOST_ELEMENTS).then_some(ty)
    }

    fn dim(&mut self, kind: DimKind) -> Option<u64> {
        match kind {
            DimKind::Any => Some(self.extent()),
            DimKind::Known(n) => (n <= 64).then_some(n),
            DimKind::Hole(hole) => {
                if self.bindings.get(hole).is_none() {
                    let extent = self.extent();
                    self.bindings.bind(hole, Bound::Value(Value::int(extent)));
                }
                self.bindings.value(hole)?.as_int()
            }
        }
    }

    fn extent(&mut self) -> u64 {
        match (self.empty && self.rng.below(3) == 0, self.rng.below(self.alike)) {
            (true, _) => 0,
            (false, 0) => 1 + self.rng.below(MOST_EXTENT),
            (false, _) => self.extent,
        }
    }

    fn any_elem(&mut self) -> ElemType {
        elem_of(self.rule.fidelity, self.rng.below(1 << 16) as usize)
    }

    /// The result type of `term`. Generates attributes for holes that are not bound.
    fn term(&mut self, term: &Term) -> Option<Type> {
        match term {
            Term::Hole(hole) => Some(self.tensors.ty(self.bindings.tensor(*hole)?).clone()),
            Term::Number(_) => None,
            Term::Op(op) => self.op(op),
        }
    }

    fn op(&mut self, term: &OpTerm) -> Option<Type> {
        let types: Vec<Option<Type>> =
            term.operands.iter().map(|operand| self.operand(operand)).collect::<Option<_>>()?;
        let elem = types.iter().flatten().next()?.elem;
        let mut types: Vec<Type> = types.into_iter().map(|ty| ty.unwrap_or_else(|| Type::fixed(elem, &[]))).collect();
        if let Some(hole) = term.further {
            types.extend(self.bindings.tensors(hole)?.iter().map(|id| self.tensors.ty(*id).clone()));
        }
        let entries = self.entries(term, &types)?;
        let op = core_op(&term.name, &entries)?;
        infer(&self.none, &op, &types.iter().collect::<Vec<_>>()).ok()
    }

    /// The type of an operand. `Some(None)` for a number, which takes the element type of the other operands.
    fn operand(&mut self, term: &Term) -> Option<Option<Type>> {
        if matches!(term, Term::Number(_)) { Some(None) } else { self.term(term).map(Some) }
    }

    /// All attributes of the op, as the term gives them. Binds its unbound holes to random attributes.
    fn entries(&mut self, term: &OpTerm, types: &[Type]) -> Option<Entries> {
        let random = completed(&term.name, self.random(&term.name, types)?)?;
        let mut named = Entries::new();
        for (key, expr) in &term.attrs {
            if let Expr::Hole(hole) = expr
                && self.bindings.get(*hole).is_none()
            {
                self.bindings.bind(*hole, Bound::Value(get(&random, key)?.clone()));
            }
            named.push((key.clone(), eval(expr, &self.tensors, &self.bindings)?));
        }
        if let Some(hole) = term.others {
            if self.bindings.get(hole).is_none() {
                self.bindings.bind(hole, Bound::Others(unnamed(&random, &named)));
            }
            named.extend(self.bindings.others(hole)?.iter().cloned());
        }
        completed(&term.name, named)
    }

    /// Generates attributes for an op with operands of these types.
    fn random(&mut self, name: &str, types: &[Type]) -> Option<Entries> {
        let dims = types.first()?.fixed_dims()?;
        let rank = dims.len() as u64;
        let entry = |key: &str, value: Value| (Name::from(key), value);
        let axis = |rng: &mut Rng| entry("axis", Value::int(rng.below(rank)));
        Some(match name {
            "cast" => vec![entry("elem", Value::Word(self.any_elem().name().into()))],
            "conv" => self.window(&types.get(1)?.fixed_dims()?, true),
            "max_pool" | "avg_pool" => self.window(&dims, false),
            "concat" | "gather" | "cumsum" => vec![axis(self.rng)],
            "sort" => vec![axis(self.rng), entry("descending", Value::Bool(self.rng.below(2) == 0))],
            "transpose" => vec![entry("perm", Value::ints(self.shuffled(rank)))],
            "reverse" => vec![entry("axes", self.subset(rank))],
            "reshape" => vec![entry("shape", Value::ints(self.regrouped(&dims)))],
            "broadcast" => vec![entry("shape", Value::ints(self.repeated(&dims)))],
            "slice" => vec![entry("axes", Value::List(dims.iter().map(|n| self.slice_axis(*n)).collect()))],
            "pad" => {
                let mode = if self.rng.below(2) == 0 { PadMode::Constant } else { *pick(self.rng, PadMode::ALL) };
                let value = F64::new(self.rng.below(3) as f64 - 1.0);
                vec![
                    entry("amounts", self.pairs(dims.len())),
                    entry("mode", Value::Word(mode.name().into())),
                    entry("value", Value::Float(value)),
                ]
            }
            name if name.starts_with("reduce_") => {
                vec![entry("axes", self.subset(rank)), entry("keep", Value::Bool(self.rng.below(2) == 0))]
            }
            _ => Vec::new(),
        })
    }

    /// Generates a window over the spatial axes. `dims` is the shape of the kernel for a convolution, else of the
    /// input.
    fn window(&mut self, dims: &[u64], is_conv: bool) -> Entries {
        let spatial = dims.len().saturating_sub(2);
        let small = |rng: &mut Rng| if rng.below(2) == 0 { 1 } else { 1 + rng.below(3) };
        let list = |rng: &mut Rng| Value::ints((0..spatial).map(|_| small(rng)).collect::<Vec<_>>());
        let mut entries: Entries = vec![("strides".into(), list(self.rng)), ("dilations".into(), list(self.rng))];
        let padding = match self.rng.below(4) {
            0 => Value::Word("same".into()),
            1 => self.pairs(spatial),
            _ => Value::Word("valid".into()),
        };
        entries.push(("padding".into(), padding));
        entries.push(("layout".into(), Value::Word(pick(self.rng, Layout::ALL).name().into())));
        if is_conv {
            entries.push(("groups".into(), Value::int(if self.rng.below(3) == 0 { 2 } else { 1 })));
        } else {
            entries.push(("size".into(), list(self.rng)));
        }
        entries
    }

    fn pairs(&mut self, count: usize) -> Value {
        let mut amount = || {
            let most = self.rng.below(3);
            Value::ints([self.rng.below(most + 1), self.rng.below(most + 1)])
        };
        Value::List((0..count).map(|_| amount()).collect())
    }

    fn shuffled(&mut self, n: u64) -> Vec<u64> {
        let mut items: Vec<u64> = (0..n).collect();
        for i in (1..items.len()).rev() {
            items.swap(i, self.rng.below(i as u64 + 1) as usize);
        }
        items
    }

    fn subset(&mut self, n: u64) -> Value {
        Value::ints((0..n).filter(|_| self.rng.below(2) == 0).collect::<Vec<_>>())
    }

    /// Generates another shape with the same number of elements: splits axes, joins neighbours, adds axes of extent 1.
    fn regrouped(&mut self, dims: &[u64]) -> Vec<u64> {
        let mut out: Vec<u64> = Vec::new();
        for dim in dims.iter().flat_map(|dim| self.factors(*dim)).collect::<Vec<_>>() {
            match out.last_mut() {
                Some(last) if self.rng.below(2) == 0 => *last *= dim,
                _ => out.push(dim),
            }
            if self.rng.below(4) == 0 {
                out.push(1);
            }
        }
        out
    }

    /// One or two extents whose product is `n`.
    fn factors(&mut self, n: u64) -> Vec<u64> {
        let first = 1 + self.rng.below(MOST_EXTENT);
        if self.rng.below(2) == 0 && n.is_multiple_of(first) { vec![first, n / first] } else { vec![n] }
    }

    /// Generates a shape that `dims` broadcasts to.
    fn repeated(&mut self, dims: &[u64]) -> Vec<u64> {
        let further = self.rng.below(2);
        let leading: Vec<u64> = (0..further).map(|_| self.extent()).collect();
        let repeated = dims.iter().map(|dim| if *dim == 1 { self.extent() } else { *dim });
        leading.into_iter().chain(repeated.collect::<Vec<_>>()).collect()
    }

    fn slice_axis(&mut self, extent: u64) -> Value {
        let end = match self.rng.below(3) {
            0 => None,
            _ => Some(self.rng.below(extent + 1)),
        };
        let start = if self.rng.below(2) == 0 { 0 } else { self.rng.below(end.unwrap_or(extent) + 1) };
        let step = if self.rng.below(3) == 0 { 2 } else { 1 };
        Value::List(vec![Value::int(start), end.map_or(Value::Null, Value::int), Value::int(step)])
    }
}

fn pick<'t, T>(rng: &mut Rng, items: &'t [T]) -> &'t T {
    &items[rng.below(items.len() as u64) as usize]
}
