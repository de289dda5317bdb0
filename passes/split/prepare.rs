//! Prepares a split: dissolves nested models, plans the stages, and checks that no mask is severed.

use std::borrow::Cow;

use netc_dialect::Dialects;
use netc_ir::{Loc, Module};
use netc_pass::{Remark, Result};

use super::INFO;
use super::masks::severed_mask;
use super::nearest::Nearest;
use super::plan::{Boundary, SplitError, SplitPlan, plan_at, splittable};
use crate::flatten_submodels::flatten_submodels;

/// A split that can be applied.
pub struct Prepared<'m> {
    /// The module to split: the given one, or a copy in which the nested models around a cut are dissolved.
    pub module: Cow<'m, Module>,
    /// The plan.
    pub plan: SplitPlan,
    /// Remarks for the user.
    pub remarks: Vec<Remark>,
}

/// Decides how to split `@main` of a verified module at the cuts `at`, given in any order.
///
/// # Errors
/// Fails if a cut is invalid, if two cuts are on parallel branches, or if a cut severs a mask.
pub fn prepare<'m>(module: &'m Module, at: &[String], dialects: &'m Dialects) -> Result<Prepared<'m>> {
    splittable(module, at)?;
    let mut flattened = flatten_submodels(module, at, INFO.name, dialects)?;
    let cuts = at.iter().cloned().zip(std::mem::take(&mut flattened.cuts));
    let mut plan = plan_at(&flattened.module, cuts.collect())?;
    let severed = severed_mask(&flattened, &plan, dialects);
    let certain = severed.as_ref().is_some_and(|severed| severed.certain);
    if certain || plan.boundaries.iter().any(Boundary::is_wide) {
        let stage_of = plan.stage_of(&flattened.module);
        let nearest = Nearest::of(module, &flattened, dialects);
        if let (Some(severed), true) = (&severed, certain) {
            let names = nearest.to(&plan.boundaries[severed.boundary], |op| stage_of[op.index()] <= severed.boundary);
            return Err(SplitError::Mask(severed.message(&names)).into());
        }
        for (i, boundary) in plan.boundaries.iter_mut().enumerate().filter(|(_, boundary)| boundary.is_wide()) {
            boundary.nearest = Some(nearest.to(boundary, |op| stage_of[op.index()] <= i));
        }
    }
    let mut remarks = std::mem::take(&mut flattened.remarks);
    let texts = plan.remarks().into_iter().chain(severed.map(|severed| severed.warning()));
    remarks.extend(texts.map(|text| Remark { pass: INFO.name, loc: Loc::Unknown, text }));
    Ok(Prepared { module: flattened.module, plan, remarks })
}
