//! `netc zoo`: the built-in models.

use crate::error::Result;
use crate::text::{self, table};

pub(crate) fn run() -> Result<()> {
    let rows: Vec<Vec<String>> =
        netc_zoo::ZOO.iter().map(|m| vec![format!("zoo:{}", m.name), m.summary.into()]).collect();
    text::print(&format!("{}\nWeights are random, with a fixed seed.\n", table(&["model", "description"], &rows)))
}
