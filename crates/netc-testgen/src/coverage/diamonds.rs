//! Diamonds: values whose readers' results meet again at a later op.

use netc_ir::{Func, OpId, Uses, ValueId};

/// The diamonds of a function: a value at the top and an op at the bottom that reads two values derived from it.
pub(super) struct Diamonds<'f> {
    func: &'f Func,
    /// For each value, the set of values derived from it, including itself.
    below: Vec<Vec<bool>>,
    all: Vec<(ValueId, OpId)>,
}

impl<'f> Diamonds<'f> {
    pub(super) fn of(func: &'f Func) -> Self {
        let uses = Uses::of(func);
        let below = (0..func.num_values()).map(|top| reached(func, ValueId::new(top), None)).collect();
        let mut diamonds = Self { func, below, all: Vec::new() };
        let forks = func.values_in_order().filter(|v| uses.readers(*v).len() > 1);
        diamonds.all =
            forks.flat_map(|top| diamonds.bottoms(top).map(move |op| (top, op)).collect::<Vec<_>>()).collect();
        diamonds
    }

    /// The ops with two different operands that are `top` or derived from it.
    fn bottoms(&self, top: ValueId) -> impl Iterator<Item = OpId> + '_ {
        let below = &self.below[top.index()];
        self.func.ops().filter_map(move |(id, op)| {
            let mut read = op.operands.iter().filter(|x| below[x.index()]);
            let first = read.next()?;
            read.any(|x| x != first).then_some(id)
        })
    }

    pub(super) fn is_one(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether a diamond is on one branch of another, with another branch around it.
    pub(super) fn is_nested(&self) -> bool {
        self.all.iter().any(|outer| self.all.iter().any(|inner| self.is_inside(*inner, *outer)))
    }

    fn is_inside(&self, inner: (ValueId, OpId), outer: (ValueId, OpId)) -> bool {
        let operands = |op: OpId| self.func[op].operands.iter();
        let closed =
            self.func[inner.1].results.iter().any(|y| operands(outer.1).any(|x| self.below[y.index()][x.index()]));
        if inner.0 == outer.0 || !self.below[outer.0.index()][inner.0.index()] || !closed {
            return false;
        }
        let around = reached(self.func, outer.0, Some(inner.1));
        operands(outer.1).any(|x| around[x.index()] && *x != inner.0)
    }

    /// Whether some op reads a value derived only from `a` and one derived only from `b`.
    pub(super) fn meet(&self, a: ValueId, b: ValueId) -> bool {
        let [a, b] = [a, b].map(|v| &self.below[v.index()]);
        let reads = |of: &[bool], not: &[bool], x: &ValueId| of[x.index()] && !not[x.index()];
        self.func
            .ops()
            .any(|(_, op)| op.operands.iter().any(|x| reads(a, b, x)) && op.operands.iter().any(|x| reads(b, a, x)))
    }
}

/// The values derived from `top`, including itself, if the op `without` is removed.
fn reached(func: &Func, top: ValueId, without: Option<OpId>) -> Vec<bool> {
    let mut reached = vec![false; func.num_values()];
    reached[top.index()] = true;
    for (_, op) in func.ops().filter(|(id, _)| Some(*id) != without) {
        if op.operands.iter().any(|x| reached[x.index()]) {
            op.results.iter().for_each(|y| reached[y.index()] = true);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use netc_ir::parse;

    use super::*;

    fn diamonds(body: &str, output: &str) -> (bool, bool) {
        let text = format!("netc 1\nfunc @main(%x: f32[3]) -> (%{output}) {{\n{body}\n}}");
        let module = parse(&text).unwrap();
        let diamonds = Diamonds::of(module.main().unwrap());
        (diamonds.is_one(), diamonds.is_nested())
    }

    #[test]
    fn consecutive_diamonds_are_not_nested() {
        let first = "%a = relu(%x) : f32[3] %b = abs(%x) : f32[3] %c = add(%a, %b) : f32[3]";
        assert_eq!(diamonds("%a = relu(%x) : f32[3] %c = add(%a, %a) : f32[3]", "c"), (false, false));
        assert_eq!(diamonds(first, "c"), (true, false));
        let second = "%d = relu(%c) : f32[3] %e = abs(%c) : f32[3] %f = mul(%d, %e) : f32[3]";
        let third = "%g = relu(%f) : f32[3] %h = abs(%f) : f32[3] %i = mul(%g, %h) : f32[3]";
        assert_eq!(diamonds(&format!("{first} {second} {third}"), "i"), (true, false));
        assert_eq!(
            diamonds(&format!("{first} {second} %g = neg(%f) : f32[3] %h = mul(%g, %x) : f32[3]"), "h"),
            (true, true)
        );
    }
}
