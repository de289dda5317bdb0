//! Cuts that sever masks.

use netc_ir::{Func, Module, OpId};
use netc_pass::{Dialects, PassError};

use super::plan::SplitPlan;
use crate::analysis::{MaskReads, OneTensorCuts, OpNames, needed_by};

/// Refuses the plan where a stage would not find a mask that it reads. What stages may miss is returned in words.
///
/// # Errors
/// What reads the mask, what makes it, and the nearest cuts that sever none.
pub fn check_masks(module: &Module, plan: &SplitPlan, dialects: &Dialects) -> Result<Vec<String>, PassError> {
    let reads = MaskReads::of(module, dialects);
    let Some(main) = module.main() else { return Ok(Vec::new()) };
    let mut stage_of = vec![None; main.num_op_slots()];
    for (i, stage) in plan.stages.iter().enumerate() {
        stage.ops.iter().for_each(|op| stage_of[op.index()] = Some(i));
    }
    let Some(severed) = reads.severed(|op| stage_of[op.index()]) else { return Ok(Vec::new()) };
    let names = OpNames::of(module, main);
    let Some((i, boundary)) = stage_of[severed.maker.index()].and_then(|i| Some((i, plan.boundaries.get(i)?))) else {
        return Ok(Vec::new());
    };
    let text = severed.text(&names);
    if !severed.certain {
        return Ok(vec![format!("the cut `{}` may sever a mask: {text}", boundary.spec)]);
    }
    let before = |op: OpId| stage_of[op.index()].is_some_and(|stage| stage <= i);
    let nearest = nearest(main, &reads, before).map(|op| op.map(|op| names.op(op)));
    let nearest = match nearest {
        [None, None] => "no one-tensor cut severs none".into(),
        [Some(one), None] | [None, Some(one)] => {
            format!("the nearest one-tensor cut that severs none is after `{one}`")
        }
        [Some(a), Some(b)] => format!("the nearest one-tensor cuts that sever none are after `{a}` and after `{b}`"),
    };
    Err(PassError(format!("the cut `{}` severs a mask: {text}; {nearest}", boundary.spec)))
}

/// The last one-tensor cut within `before` and the first outside of it that sever no mask.
fn nearest(main: &Func, reads: &MaskReads, before: impl Fn(OpId) -> bool) -> [Option<OpId>; 2] {
    let cuts = OneTensorCuts::of(main);
    let whole = |(op, value)| {
        let first = needed_by(main, [value]);
        reads.severed(|op| Some(first[op.index()])).is_none().then_some(op)
    };
    let within = cuts.iter().rev().filter(|(op, _)| before(*op)).find_map(whole);
    [within, cuts.iter().filter(|(op, _)| !before(*op)).find_map(whole)]
}
