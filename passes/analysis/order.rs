//! The canonical order of a function's ops, which depends only on its graph.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use netc_ir::{Func, LayerId, Loc, OpId};

/// The ops that the outputs of `func` need, in an order that depends only on the graph and the locations, not on the
/// current order.
///
/// Ops that apply layers are sorted by layer, then by call. Each comes as soon as its operands and the earlier calls of
/// its layer are there. That is the order in which models of layers are imported. Other ops come right before their
/// first reader, in the order of its operands.
pub fn canonical_order(func: &Func) -> Vec<OpId> {
    let mut graph = Walk::of(func);
    func.outputs.iter().filter_map(|o| func.producer(o.value)).for_each(|op| graph.visit(op));
    let mut ordered = Walk::of(func);
    by_layer(func, &graph.order).into_iter().for_each(|op| ordered.visit(op));
    graph.order.into_iter().for_each(|op| ordered.visit(op));
    ordered.order
}

/// Visits ops in topological order.
struct Walk<'f> {
    func: &'f Func,
    seen: Vec<bool>,
    order: Vec<OpId>,
}

impl<'f> Walk<'f> {
    fn of(func: &'f Func) -> Self {
        Self { func, seen: vec![false; func.num_op_slots()], order: Vec::new() }
    }

    /// Visits `root` and the ops that it needs, unless already visited. The stack is explicit, because networks may be
    /// deeper than the call stack allows.
    fn visit(&mut self, root: OpId) {
        let mut stack = vec![(root, false)];
        while let Some((op, leaving)) = stack.pop() {
            if leaving {
                self.order.push(op);
            } else if !std::mem::replace(&mut self.seen[op.index()], true) {
                stack.push((op, true));
                let sources = self.func[op].operands.iter().rev().filter_map(|v| self.func.producer(*v));
                stack.extend(sources.filter(|op| !self.seen[op.index()]).map(|op| (op, false)));
            }
        }
    }
}

/// The sort key of a ready op: layer and call, then the index in `order`. Ops without a layer come first.
type Key = (Option<(LayerId, u32)>, usize);

/// The ops of `order` that apply layers, sorted by layer and call. Leaves out ops whose call numbers contradict the
/// graph.
fn by_layer(func: &Func, order: &[OpId]) -> Vec<OpId> {
    let key = |(i, op): (usize, &OpId)| (func[*op].kind.layer().map(|l| (l, call_number(&func[*op].loc))), i);
    let keys: Vec<Key> = order.iter().enumerate().map(key).collect();
    let (readers, mut waiting) = dependencies(func, order, &keys);
    let mut ready: BinaryHeap<Reverse<Key>> =
        keys.iter().filter(|(_, i)| waiting[*i] == 0).copied().map(Reverse).collect();
    let mut sorted = Vec::new();
    while let Some(Reverse((layer, i))) = ready.pop() {
        sorted.extend(layer.map(|_| order[i]));
        for reader in &readers[i] {
            waiting[*reader] -= 1;
            if waiting[*reader] == 0 {
                ready.push(Reverse(keys[*reader]));
            }
        }
    }
    sorted
}

/// For each op, by its index in `order`, the ops that wait for it and the number of ops that it waits for. An op waits
/// for its operands and for the previous call of its layer.
fn dependencies(func: &Func, order: &[OpId], keys: &[Key]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut place = vec![0; func.num_op_slots()];
    order.iter().enumerate().for_each(|(i, op)| place[op.index()] = i);
    let mut sources: Vec<Vec<usize>> = order
        .iter()
        .map(|op| func[*op].operands.iter().filter_map(|v| Some(place[func.producer(*v)?.index()])).collect())
        .collect();
    let mut calls: Vec<Key> = keys.iter().copied().filter(|(layer, _)| layer.is_some()).collect();
    calls.sort_unstable();
    let mut last: BTreeMap<LayerId, usize> = BTreeMap::new();
    for (layer, i) in calls {
        sources[i].extend(layer.and_then(|(layer, _)| last.insert(layer, i)));
    }
    let mut readers = vec![Vec::new(); order.len()];
    for (i, sources) in sources.iter_mut().enumerate() {
        sources.sort_unstable();
        sources.dedup();
        sources.iter().for_each(|source| readers[*source].push(i));
    }
    (readers, sources.iter().map(Vec::len).collect())
}

fn call_number(loc: &Loc) -> u32 {
    match loc {
        Loc::Call { call, .. } => *call,
        Loc::Unknown | Loc::Fused(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expect: &str) {
        let layers = "netc 1 layer l0 \"a\" : t.A {} layer l1 \"b\" : t.B {} layer l2 \"c\" : t.C {}";
        let module = netc_ir::parse(&format!("{layers}\nfunc @main(%x: f32[2]) -> {body}")).unwrap();
        let main = module.main().unwrap();
        let name = |op: OpId| main[main[op].results[0]].name.as_deref().unwrap_or("?");
        assert_eq!(canonical_order(main).into_iter().map(name).collect::<Vec<_>>().join(" "), expect);
    }

    #[test]
    fn layers_are_sorted_and_come_as_early_as_possible() {
        let body = "(%s) { %c = t.C l2(%x) : f32[2] %b = t.B l1(%c) : f32[2] %a = t.A l0(%x) : f32[2]
                    %s = t.S(%b, %a) : f32[2] %dead = t.B l1(%x) : f32[2] loc(\"b\"@1) }";
        check(body, "a c b s");
    }

    #[test]
    fn calls_of_a_layer_are_sorted_by_number() {
        let body = "(%y) { %b1 = t.B l1(%x) : f32[2] loc(\"b\"@1) %a = t.A l0(%b1) : f32[2] %c = t.C l2(%x) : f32[2]
                    %b0 = t.B l1(%c) : f32[2] loc(\"b\") %y = t.S(%a, %b0) : f32[2] }";
        check(body, "c b0 b1 a y");
        // Numbers that contradict the graph give way to it.
        let body = "(%y) { %b1 = t.B l1(%x) : f32[2] loc(\"b\"@1) %y = t.B l1(%b1) : f32[2] loc(\"b\") }";
        check(body, "b1 y");
    }

    #[test]
    fn other_ops_come_right_before_their_first_reader() {
        let body = "(%y, %n) { %k = constant() {value = 0.5} : f32[2] %r = relu(%x) : f32[2] %n = neg(%x) : f32[2]
                    %a = t.A l0(%x) : f32[2] %m = mul(%r, %k) : f32[2] %b = t.B l1(%m) : f32[2]
                    %y = add(%b, %a) : f32[2] }";
        check(body, "a r k m b y n");
    }

    #[test]
    fn deep_functions_do_not_overflow_the_stack() {
        let mut body = String::from("(%v99999) { %v0 = relu(%x) : f32[2]\n");
        (1..100_000).for_each(|i| body += &format!("%v{i} = relu(%v{}) : f32[2]\n", i - 1));
        let module = netc_ir::parse(&format!("netc 1 func @main(%x: f32[2]) -> {body}}}")).unwrap();
        assert_eq!(canonical_order(module.main().unwrap()).len(), 100_000);
    }
}
