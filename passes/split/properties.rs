//! Property tests: splits of random programs.

use netc_dialect::Dialects;
use netc_ir::{MAIN, Module, Op, OpId, OpKind, verify};
use netc_testgen::property::config;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::analysis::{is_constant, one_tensor_cuts};
use crate::testing::{cuts, dialects, random_lowered, random_module};

fn check_split(module: &Module, at: &[String]) -> Result<(), TestCaseError> {
    let Ok(plan) = plan(module, at, &dialects()) else { return Ok(()) };
    let (mut split, main) = (module.clone(), module.main().unwrap());
    apply(&mut split, &plan);
    prop_assert_eq!(verify(&split), Ok(()));

    let mut in_stages: Vec<OpId> = plan.stages.iter().flat_map(|s| s.ops.clone()).chain(plan.dropped.clone()).collect();
    in_stages.sort();
    prop_assert_eq!(in_stages, main.op_ids().collect::<Vec<_>>());
    prop_assert!(plan.stages.iter().all(|s| s.ops.iter().any(|op| !is_constant(&main[*op].kind))));
    let crossing = plan.boundaries.iter().flat_map(|b| &b.crossing).filter_map(|c| main.producer(c.value));
    prop_assert!(crossing.into_iter().all(|op| !is_constant(&main[op].kind)));
    prop_assert!(split.main().unwrap().ops().all(|(_, op): (OpId, &Op)| matches!(op.kind, OpKind::Call(_))));

    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn stages_partition_the_ops(module in random_module(), places in prop::collection::vec(any::<(Index, bool)>(), 1..4)) {
        let at = cuts(&module, &places);
        check_split(&module, &at)?;
        check_split(&module, &[at.join("+")])?;
    }

    #[test]
    fn stages_partition_the_ops_of_a_lowered_program(
        module in random_lowered(), places in prop::collection::vec(any::<(Index, bool)>(), 1..4),
    ) {
        let at = cuts(&module, &places);
        check_split(&module, &at)?;
        check_split(&module, &[at.join("+")])?;
    }

    #[test]
    fn one_tensor_crosses_at_one_tensor_cuts(module in prop_oneof![random_module(), random_lowered()]) {
        for cut in one_tensor_cuts(&module, &Dialects::new()) {
            let plan = prepare(&module, &[cut.name], &Dialects::new()).unwrap().plan;
            let boundary = &plan.boundaries[0];
            prop_assert!(!boundary.is_wide());
            prop_assert_eq!(boundary.crossing.iter().map(|c| &c.ty).collect::<Vec<_>>(), vec![&cut.ty]);
            let shared: Vec<String> = boundary.shared_inputs.iter().map(|c| c.name.clone()).collect();
            prop_assert_eq!(shared, cut.shared_inputs.iter().map(|name| format!("%{name}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_nearest_one_tensor_cuts_enclose_a_wide_one(module in random_module(), place in any::<(Index, bool)>()) {
        let at = cuts(&module, &[place]);
        let none = Dialects::new();
        let Ok(wide) = prepare(&module, &at, &none) else { return Ok(()) };
        for (name, is_before) in wide.plan.boundaries[0].nearest.iter().flatten().zip([true, false]) {
            let Some(name) = name else { continue };
            let pair = plan(&module, &[name.clone(), at[0].clone()], &dialects()).unwrap();
            prop_assert_eq!(&pair.boundaries[usize::from(!is_before)].spec, name);
        }
    }

    /// Exactly the parallel cuts are rejected, because cuts ordered by size are ordered by inclusion.
    #[test]
    fn two_cuts_are_ordered_or_parallel(module in random_module(), a in any::<(Index, bool)>(), b in any::<(Index, bool)>()) {
        let at = cuts(&module, &[a, b]);
        let main = module.main().unwrap();
        let before = |spec: &String| {
            let points = crate::analysis::resolve(&module, module.func_named(MAIN).unwrap(), spec, &dialects()).unwrap();
            let mut ops = crate::analysis::needed_by(main, points.into_iter().flat_map(|p| p.values));
            main.ops().for_each(|(id, op)| ops[id.index()] &= !is_constant(&op.kind));
            ops
        };
        prop_assume!(at.iter().all(|a| plan(&module, std::slice::from_ref(a), &dialects()).is_ok()));
        prop_assume!(!at.is_empty());
        let (x, y) = (before(&at[0]), before(&at[1]));
        let within = |x: &[bool], y: &[bool]| x.iter().zip(y).all(|(x, y)| !x || *y);
        let error = plan(&module, &at, &dialects()).err().map_or(String::new(), |e| e.to_string());
        let parallel = !within(&x, &y) && !within(&y, &x);
        prop_assert_eq!(error.contains("parallel"), parallel, "{}", error);
        prop_assert_eq!(error.contains("same cut") || error.contains("twice"), x == y, "{}", error);
    }
}
