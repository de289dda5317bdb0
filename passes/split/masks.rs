//! Rejects cuts that sever a mask from its reader, or two layers that share weights.

use netc_dialect::Dialects;

use super::plan::SplitPlan;
use crate::analysis::{MaskReads, What};
use crate::flatten_submodels::Flattened;

/// A mask, or a layer, that a stage would lose.
pub(super) struct SeveredMask {
    /// The index of the cut.
    pub(super) boundary: usize,
    /// Whether the mask is surely read.
    pub(super) certain: bool,
    what: What,
    cut: String,
    text: String,
}

/// The first mask that is made in one stage and read in another, surely read masks first.
pub(super) fn severed_mask(flattened: &Flattened<'_>, plan: &SplitPlan, dialects: &Dialects) -> Option<SeveredMask> {
    let reads = MaskReads::of(&flattened.module, dialects);
    let mut stage_of = vec![None; flattened.module.main()?.num_op_slots()];
    for (i, stage) in plan.stages.iter().enumerate() {
        stage.ops.iter().for_each(|op| stage_of[op.index()] = Some(i));
    }
    let severed = reads.severed(|op| stage_of[op.index()])?;
    let boundary = stage_of[severed.maker.index()].min(stage_of[severed.reader.index()])?;
    let (cut, text) = (plan.boundaries.get(boundary)?.spec.clone(), severed.text(|op| flattened.name(op)));
    Some(SeveredMask { boundary, certain: severed.certain, what: severed.what, cut, text })
}

impl SeveredMask {
    /// The error message, with the nearest valid cuts.
    pub(super) fn message(&self, nearest: &[Option<String>; 2]) -> String {
        let nearest = match nearest {
            [None, None] => "there is no valid one-tensor cut".into(),
            [Some(one), None] | [None, Some(one)] => {
                format!("the nearest valid one-tensor cut is after `{one}`")
            }
            [Some(a), Some(b)] => {
                format!("the nearest valid one-tensor cuts are after `{a}` and after `{b}`")
            }
        };
        format!("the cut `{}` severs {}: {}; {nearest}", self.cut, self.what.words(), self.text)
    }

    /// The remark for a mask that may be read.
    pub(super) fn warning(&self) -> String {
        format!("the cut `{}` may sever a mask: {}", self.cut, self.text)
    }
}
