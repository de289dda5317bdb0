//! Property tests: merging undoes random splits.

use netc_dialect::Dialects;
use netc_ir::{Module, print, verify};
use netc_pass::{Context, Manager, PassCall, Pipeline};
use netc_testgen::property::config;
use proptest::prelude::*;

use super::*;
use crate::split;
use crate::testing::{cuts, dialects, random_lowered, random_module, structure, without_dead_ops};

/// Removes the names of all values in `@main`.
fn nameless(mut module: Module) -> Module {
    let main = module.func_named(MAIN).unwrap();
    for value in module[main].values_in_order().collect::<Vec<_>>() {
        module[main][value].name = None;
    }
    module
}

fn check_merge(module: &Module, at: &[String]) -> Result<(), TestCaseError> {
    let Ok(plan) = split::plan(module, at, &dialects()) else { return Ok(()) };
    let mut merged = module.clone();
    split::apply(&mut merged, &plan);
    let dialects = Dialects::new();
    let pipeline = Pipeline::from(PassCall::new("merge"));
    let ran = Manager::new(&crate::registry()).run(&mut merged, &pipeline, &mut Context::new(&dialects));
    prop_assert!(ran.is_ok(), "{:?}", ran.err());
    let mut expected = module.clone();
    let main = module.func_named(MAIN).unwrap();
    expected[main] = canonical(module, &module[main]);
    prop_assert_eq!(verify(&expected), Ok(()));
    prop_assert!(merged == expected, "{}\n---\n{}", print(&merged), print(&expected));
    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn merging_undoes_a_split(
        module in prop_oneof![random_module(), random_lowered()],
        places in prop::collection::vec(any::<(prop::sample::Index, bool)>(), 1..4),
    ) {
        let at = cuts(&module, &places);
        check_merge(&module, &at)?;
        check_merge(&module, &[at.join("+")])?;
    }

    #[test]
    fn merging_does_not_need_value_names(
        module in prop_oneof![random_module(), random_lowered()].prop_map(nameless),
        places in prop::collection::vec(any::<(prop::sample::Index, bool)>(), 1..4),
    ) {
        let at = cuts(&module, &places);
        check_merge(&module, &at)?;
        check_merge(&module, &[at.join("+")])?;
    }

    #[test]
    fn canonical_removes_only_dead_ops(module in prop_oneof![random_module(), random_lowered()]) {
        let main = module.main().unwrap();
        let once = canonical(&module, main);
        prop_assert_eq!(structure(&once), structure(&without_dead_ops(&module, main)));
        prop_assert_eq!(&canonical(&module, &once), &once);
    }
}
