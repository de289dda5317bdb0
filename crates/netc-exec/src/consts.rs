//! Constant evaluation for passes: computes values that depend only on weights and constants, with the executor's
//! kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use netc_data::Store;
use netc_ir::{Builder, Func, Literal, Module, OpId, ValueId};
use netc_pass::{ConstError, ConstEval};

use crate::host::Host;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Bytes of tensors computed per batch. Bounds the memory used in addition to the results.
const BATCH: u64 = 64 << 20;

/// Evaluates constants by running them, without a memory limit.
pub struct Consts;

/// Evaluates constants by running them within the limits of a host.
pub struct ConstsOn<'a>(pub &'a Arc<Host>);

impl ConstEval for Consts {
    fn evaluate(&self, module: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
        ConstsOn(&Arc::default()).evaluate(module, func, values)
    }
}

impl ConstEval for ConstsOn<'_> {
    fn evaluate(&self, module: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError> {
        let store = Store::open(module).map_err(ConstError::from_error)?;
        let mut literals = Vec::with_capacity(values.len());
        while let Some(left) = values.get(literals.len()..).filter(|left| !left.is_empty()) {
            let mut cone = Cone::default();
            let count = left.iter().take_while(|value| cone.add(func, **value)).count();
            let func = cone.func(module, func, &left[..count])?;
            let plan = Plan::of(self.0, module, &func, &store).map_err(ConstError::from_error)?;
            let results = plan.run(&[]).map_err(ConstError::from_error)?;
            literals.extend(results.into_iter().map(Tensor::into_literal));
        }
        Ok(literals)
    }
}

/// The ops that compute a set of values, each after the ops whose results it reads.
#[derive(Default)]
struct Cone {
    ops: Vec<OpId>,
    seen: BTreeSet<OpId>,
    bytes: u64,
}

impl Cone {
    /// Adds the ops that compute `value`; returns false if the batch is full. The stack is explicit because chains can
    /// be long.
    fn add(&mut self, func: &Func, value: ValueId) -> bool {
        if self.bytes >= BATCH {
            return false;
        }
        let mut open: Vec<(OpId, bool)> = func.producer(value).map(|op| (op, false)).into_iter().collect();
        while let Some((id, operands_done)) = open.pop() {
            let op = &func[id];
            if operands_done {
                self.ops.push(id);
            } else if self.seen.insert(id) {
                let bytes = op.results.iter().map(|v| func[*v].ty.num_bytes().unwrap_or(0));
                self.bytes = bytes.fold(self.bytes, u64::saturating_add);
                open.push((id, true));
                open.extend(op.operands.iter().filter_map(|v| func.producer(*v)).map(|op| (op, false)));
            }
        }
        true
    }

    /// Builds a function without parameters that returns `values` of `func`.
    fn func(&self, module: &Module, func: &Func, values: &[ValueId]) -> Result<Func, ConstError> {
        let mut builder = Builder::new(module, "constants");
        let mut new_of: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let get = |new_of: &BTreeMap<ValueId, ValueId>, value: &ValueId| {
            new_of.get(value).copied().ok_or_else(|| ConstError::new(format!("{value} depends on a parameter")))
        };
        for id in &self.ops {
            let op = &func[*id];
            let operands = op.operands.iter().map(|v| get(&new_of, v)).collect::<Result<Vec<_>, _>>()?;
            let types = op.results.iter().map(|v| (func[*v].ty.clone(), None));
            let new = builder.at(op.loc.clone()).op(op.kind.clone(), &operands, types);
            new_of.extend(op.results.iter().copied().zip(builder.results(new).iter().copied()));
        }
        let outputs = values.iter().map(|value| Ok(("".into(), get(&new_of, value)?)));
        Ok(builder.finish(outputs.collect::<Result<Vec<_>, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "netc 1
weight w0 \"a\" : f32[2] = [1.5, \"0xffc00001\"]
weight w1 \"b\" : f32[2] = 3.0
func @main(%x: f32[2]) -> (%y) {
  %a = weight w0() : f32[2]
  %b = weight w1() : f32[2]
  %ab = add(%a, %b) : f32[2]
  %i = constant() {value = [1, 0]} : i32[2]
  %zero = constant() {value = 0} : i32[2]
  %bad = div(%i, %zero) : i32[2]
  %back = gather(%ab, %i) {axis = 0} : f32[2]
  %s = add(%x, %ab) : f32[2]
  %y = mul(%s, %s) : f32[2]
}";

    /// Evaluates the values with these names and returns them as text.
    fn evaluate(names: &[&str]) -> Result<Vec<String>, String> {
        let module = netc_ir::parse(TEXT).unwrap();
        let func = module.main().unwrap();
        let named = |name: &&str| func.values_in_order().find(|v| func[*v].name.as_deref() == Some(name)).unwrap();
        let values: Vec<ValueId> = names.iter().map(named).collect();
        let literals = Consts.evaluate(&module, func, &values).map_err(|e| netc_pass::chain(&e))?;
        Ok(literals.iter().map(|l| format!("{} {:x?}", l.ty(), &*l.bytes)).collect())
    }

    #[test]
    fn constants_are_bit_exact() {
        let ab = "f32[2] [0, 0, 90, 40, 1, 0, c0, ff]".to_string();
        let back = "f32[2] [1, 0, c0, ff, 0, 0, 90, 40]".to_string();
        assert_eq!(evaluate(&["ab", "back", "ab"]), Ok(vec![ab.clone(), back, ab]));
    }

    #[test]
    fn failed_evaluations_name_the_reason() {
        let error = evaluate(&["ab", "bad"]).unwrap_err();
        assert!(error.contains("division of an integer by zero"), "{error}");
        assert_eq!(evaluate(&["y"]), Err("%0 depends on a parameter".into()));
    }
}
