//! Reports a split to the user.

use std::fmt;

use super::plan::{Boundary, SplitPlan};
use crate::part::Crossing;

impl SplitPlan {
    /// The remarks about the split, one text each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.reordered {
            let order: Vec<String> = self.boundaries.iter().map(|b| format!("`{}`", b.spec)).collect();
            remarks.push(format!("reordered the cuts as in the model: {}", order.join(", ")));
        }
        remarks.extend(self.boundaries.iter().map(Boundary::to_string));
        match self.dropped.len() {
            0 => {}
            1 => remarks.push("dropped 1 op that no output needs".into()),
            n => remarks.push(format!("dropped {n} ops that no output needs")),
        }
        remarks
    }
}

impl fmt::Display for SplitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in &self.stages {
            let (ops, inputs, outputs) = (stage.all_ops().count(), stage.inputs.len(), stage.outputs.len());
            writeln!(f, "{}: ops {ops}, inputs {inputs}, outputs {outputs}", stage.name)?;
        }
        self.remarks().iter().try_for_each(|remark| writeln!(f, "{remark}"))
    }
}

/// The maximum number of crossing tensors that a remark lists.
const CROSSING_SHOWN: usize = 8;

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.crossing.len() {
            0 => write!(f, "boundary `{}`: no tensor crosses", self.spec)?,
            1 => write!(f, "boundary `{}`: 1 tensor crosses: ", self.spec)?,
            n => write!(f, "boundary `{}`: {n} tensors cross: ", self.spec)?,
        }
        list(f, &self.crossing)?;
        if !self.shared_inputs.is_empty() {
            f.write_str("; inputs of the model read on both sides: ")?;
            list(f, &self.shared_inputs)?;
        }
        match &self.nearest {
            None => Ok(()),
            Some([None, None]) => f.write_str("; there is no one-tensor cut before or after"),
            Some([Some(one), None] | [None, Some(one)]) => write!(f, "; nearest one-tensor cut: after `{one}`"),
            Some([Some(before), Some(after)]) => {
                write!(f, "; nearest one-tensor cuts: after `{before}`, after `{after}`")
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, crossing: &[Crossing]) -> fmt::Result {
    for (i, crossing) in crossing.iter().take(CROSSING_SHOWN).enumerate() {
        write!(f, "{}{}", if i == 0 { "" } else { ", " }, crossing.name)?;
    }
    match crossing.len().checked_sub(CROSSING_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => write!(f, ", and {more} more"),
    }
}
