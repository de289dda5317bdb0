//! Automatic layer names, as Keras makes them.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::Name;

use crate::config::names::snake_case;

/// The layer names of a model, as a fresh Keras process makes them.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The number of automatically named layers of each class.
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

    /// Takes `name`. Returns whether it was free.
    pub(super) fn take(&mut self, name: &Name) -> bool {
        self.taken.insert(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_layer_of_a_class_has_no_number() {
        let mut names = Names::default();
        let got: Vec<Name> = ["Add", "Add", "Dense", "Add"].map(|class| names.automatic(class)).into();
        assert_eq!(got, ["add", "add_1", "dense", "add_2"].map(Name::from));
    }
}
