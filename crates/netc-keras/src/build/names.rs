//! The names that Keras gives to layers that have none.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::Name;

use crate::config::names::snake_case;

/// The names of a model, as a Keras process that has just started makes them.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// How many layers of each class were named automatically: explicit names do not count.
    automatic: BTreeMap<String, u32>,
    taken: BTreeSet<Name>,
}

impl Names {
    /// The automatic name of the next layer of `class`: `conv2d`, `conv2d_1`, ...
    pub(super) fn automatic(&mut self, class: &str) -> Name {
        let base = snake_case(class);
        let count = self.automatic.entry(base.clone()).or_default();
        *count += 1;
        if *count == 1 { base.into() } else { format!("{base}_{}", *count - 1).into() }
    }

    /// Whether `name` is new; it is taken afterwards.
    pub(super) fn take(&mut self, name: &Name) -> bool {
        self.taken.insert(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_class_has_no_number() {
        let mut names = Names::default();
        let got: Vec<Name> = ["Add", "Add", "Dense", "Add"].map(|class| names.automatic(class)).into();
        assert_eq!(got, ["add", "add_1", "dense", "add_2"].map(Name::from));
    }
}
