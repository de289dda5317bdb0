//! Measures which ops, attribute values, types and graph shapes a set of modules has, and which are missing.

mod diamonds;
mod graph;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use netc_dialect::Dialects;
use netc_ir::{CORE_OPS, CoreOp, ElemType, Func, Module, Op, OpKind, Type, infer};

/// A countable property of modules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fact {
    /// The core op, or `program`, `model` or `value`.
    pub subject: &'static str,
    /// The attribute, or another property.
    pub attribute: &'static str,
    /// The value of the attribute, or its class.
    pub value: &'static str,
}

/// Counts facts in modules: facts of ops once per op, facts of programs once per module.
///
/// ```
/// use netc_testgen::{CoreRecipe, Coverage};
///
/// let modules: Vec<_> = (0..400).map(|seed| CoreRecipe::from_seed(seed, 20).build()).collect();
/// let coverage = Coverage::of(&modules);
/// println!("{coverage}");
/// assert!(coverage.missing().len() < 100);
/// ```
#[derive(Clone, Default, Debug)]
pub struct Coverage {
    counts: BTreeMap<Fact, u64>,
    /// The element types for which the ops seen so far are defined.
    possible: BTreeSet<Fact>,
    /// Whether any module is a model of layers.
    layers: bool,
}

impl Coverage {
    /// Measures the coverage of `modules`.
    pub fn of<'m>(modules: impl IntoIterator<Item = &'m Module>) -> Self {
        let mut coverage = Self::default();
        modules.into_iter().for_each(|module| coverage.add(module));
        coverage
    }

    /// Counts the facts of a model of layers, including those of its layers.
    pub fn add_model(&mut self, module: &Module, dialects: &Dialects) {
        self.layers = true;
        self.graph("model", &graph::of_layers(module, dialects));
        self.add(module);
    }

    /// Counts the facts of `module`.
    pub fn add(&mut self, module: &Module) {
        self.graph("program", &graph::properties(module));
        for func in &module.funcs {
            for value in func.values_in_order() {
                for (attribute, value) in values::of_type(&func[value].ty) {
                    self.count(Fact { subject: "value", attribute, value });
                }
            }
            func.ops().for_each(|(_, op)| self.op(module, func, op));
        }
    }

    fn graph(&mut self, subject: &'static str, properties: &[(&'static str, bool)]) {
        let held = properties.iter().filter(|(_, holds)| *holds);
        held.for_each(|(value, _)| self.count(Fact { subject, attribute: "graph", value }));
    }

    fn op(&mut self, module: &Module, func: &Func, op: &Op) {
        let OpKind::Core(core) = &op.kind else { return };
        let operands: Vec<&Type> = op.operands.iter().map(|x| &func[*x].ty).collect();
        let Some(result) = op.results.first().map(|r| &func[*r].ty) else { return };
        let subject = core.name();
        let elem = elem(core, &operands, result);
        self.count(Fact { subject, attribute: "elements", value: elem.name() });
        for (attribute, value) in values::of_op(module, core, &operands, result) {
            self.count(Fact { subject, attribute, value });
        }
        for elem in EXECUTABLE {
            let fact = Fact { subject, attribute: "elements", value: elem.name() };
            if !self.possible.contains(&fact) && is_defined(module, core, &operands, *elem) {
                self.possible.insert(fact);
            }
        }
    }

    fn count(&mut self, fact: Fact) {
        *self.counts.entry(fact).or_default() += 1;
    }

    /// The count of `fact`.
    pub fn times(&self, fact: &Fact) -> u64 {
        self.counts.get(fact).copied().unwrap_or(0)
    }

    /// All facts possible in executable modules. For element types, only those of ops seen so far.
    pub fn possible(&self) -> BTreeSet<Fact> {
        let op = |(subject, _): &(&'static str, _)| Fact { subject, attribute: "elements", value: "any" };
        let seen = |fact: &Fact| self.counts.keys().any(|f| f.subject == fact.subject);
        let unseen = CORE_OPS.iter().map(op).filter(|fact| !seen(fact));
        let fact = |subject| move |(value, _)| Fact { subject, attribute: "graph", value };
        let of_layers =
            graph::of_layers(&Module::new(), &Dialects::new()).map(fact("model")).into_iter().filter(|_| self.layers);
        let graphs = graph::properties(&Module::new()).map(fact("program")).into_iter().chain(of_layers);
        unseen.chain(graphs).chain(values::possible()).chain(self.possible.iter().copied()).collect()
    }

    /// The possible facts that never occur.
    pub fn missing(&self) -> Vec<Fact> {
        self.possible().into_iter().filter(|fact| self.times(fact) == 0).collect()
    }
}

/// Prints one line per attribute with the counts of its values, including 0 for missing ones.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for fact in self.possible().iter().chain(self.counts.keys()).collect::<BTreeSet<_>>() {
            let text = format!("{} {}", fact.value, self.times(fact));
            lines.entry((fact.subject, fact.attribute)).or_default().push(text);
        }
        for ((subject, attribute), values) in lines {
            writeln!(f, "{subject:<12} {attribute:<14} {}", values.join(", "))?;
        }
        Ok(())
    }
}

/// Element types with kernels.
const EXECUTABLE: &[ElemType] = &[
    ElemType::Bool,
    ElemType::U8,
    ElemType::U32,
    ElemType::I16,
    ElemType::I32,
    ElemType::I64,
    ElemType::F16,
    ElemType::BF16,
    ElemType::F32,
    ElemType::F64,
];

/// The operands whose elements the op computes with or moves.
fn data<'t, T>(op: &CoreOp, operands: &'t mut [T]) -> &'t mut [T] {
    if matches!(op, CoreOp::Select) {
        operands.get_mut(1..).unwrap_or_default()
    } else if matches!(op, CoreOp::Gather(_)) {
        operands.get_mut(..1).unwrap_or_default()
    } else {
        operands
    }
}

/// The element type that the op computes with.
fn elem(op: &CoreOp, operands: &[&Type], result: &Type) -> ElemType {
    data(op, &mut operands.to_vec()).first().map_or(result.elem, |ty| ty.elem)
}

/// Whether the op is defined for elements of type `elem`. Ops without operands are defined for every type.
fn is_defined(module: &Module, op: &CoreOp, operands: &[&Type], elem: ElemType) -> bool {
    let mut types: Vec<Type> = operands.iter().map(|ty| (*ty).clone()).collect();
    data(op, &mut types).iter_mut().for_each(|ty| ty.elem = elem);
    infer(module, op, &types.iter().collect::<Vec<_>>()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CoreRecipe;

    /// Enough to build each op with each element type.
    const SEEDS: u64 = 1_000;

    #[test]
    fn core_recipes_cover_everything_executable() {
        let modules: Vec<Module> = (0..SEEDS).map(|seed| CoreRecipe::from_seed(seed, 30).build()).collect();
        let coverage = Coverage::of(&modules);
        assert_eq!(coverage.missing(), [], "\n{coverage}");
        let possible = coverage.possible();
        let unknown: Vec<&Fact> = coverage.counts.keys().filter(|fact| !possible.contains(fact)).collect();
        assert_eq!(unknown, Vec::<&Fact>::new(), "values missing from the list of possible ones");
    }

    #[test]
    fn missing_facts_are_listed() {
        let text = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) {\n  %y = reduce_sum(%x) {axes = [1]} : f32[N]\n}";
        let coverage = Coverage::of([&netc_ir::parse(text).unwrap()]);
        let fact = |subject, attribute, value| Fact { subject, attribute, value };
        assert_eq!(coverage.times(&fact("reduce_sum", "axes", "some")), 1);
        let missing = coverage.missing();
        for absent in [
            fact("reduce_sum", "axes", "all"),
            fact("reduce_sum", "elements", "f16"),
            fact("conv", "elements", "any"),
            fact("pad", "mode", "edge"),
            fact("program", "graph", "a dead op"),
        ] {
            assert!(missing.contains(&absent), "{absent:?}");
        }
        assert!(!missing.contains(&fact("reduce_sum", "elements", "bool")), "`reduce_sum` is not defined for bool");
        assert!(coverage.to_string().contains("all 0, none 0, some 1"), "{coverage}");
    }
}
