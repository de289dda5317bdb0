//! Refuses cuts that sever masks, or layers from those that hold them.

use netc_dialect::Dialects;

use super::plan::SplitPlan;
use crate::analysis::{MaskReads, What};
use crate::dissolve::Dissolved;

/// A mask that a stage would not find.
pub(super) struct SeveredMask {
    /// The cut, by number.
    pub(super) boundary: usize,
    /// Whether the mask is known to be read.
    pub(super) certain: bool,
    what: What,
    cut: String,
    text: String,
}

/// The first mask that is made in one stage and read in another: the certain ones first.
pub(super) fn severed_mask(dissolved: &Dissolved<'_>, plan: &SplitPlan, dialects: &Dialects) -> Option<SeveredMask> {
    let reads = MaskReads::of(&dissolved.module, dialects);
    let mut stage_of = vec![None; dissolved.module.main()?.num_op_slots()];
    for (i, stage) in plan.stages.iter().enumerate() {
        stage.ops.iter().for_each(|op| stage_of[op.index()] = Some(i));
    }
    let severed = reads.severed(|op| stage_of[op.index()])?;
    let boundary = stage_of[severed.maker.index()].min(stage_of[severed.reader.index()])?;
    let (cut, text) = (plan.boundaries.get(boundary)?.spec.clone(), severed.text(|op| dissolved.name(op)));
    Some(SeveredMask { boundary, certain: severed.certain, what: severed.what, cut, text })
}

impl SeveredMask {
    /// Why the cut is refused, with the nearest that are not.
    pub(super) fn message(&self, nearest: &[Option<String>; 2]) -> String {
        let nearest = match nearest {
            [None, None] => "every one-tensor cut severs one".into(),
            [Some(one), None] | [None, Some(one)] => {
                format!("the nearest one-tensor cut that severs none is after `{one}`")
            }
            [Some(a), Some(b)] => {
                format!("the nearest one-tensor cuts that sever none are after `{a}` and after `{b}`")
            }
        };
        format!("the cut `{}` severs {}: {}; {nearest}", self.cut, self.what.words(), self.text)
    }

    /// What is said of a mask that may be read.
    pub(super) fn warning(&self) -> String {
        format!("the cut `{}` may sever a mask: {}", self.cut, self.text)
    }
}
