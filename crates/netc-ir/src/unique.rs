//! Generates unique names.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Name;

/// Generates unique names: the wanted name if it is free, otherwise with a number appended.
///
/// ```
/// use netc_ir::UniqueNames;
///
/// let mut names = UniqueNames::without(["conv".into()]);
/// assert_eq!(&*names.take("conv"), "conv_1");
/// assert_eq!(&*names.take("relu"), "relu");
/// ```
#[derive(Default)]
pub struct UniqueNames {
    taken: BTreeSet<Name>,
    /// The last number given to each wanted name, so that repeated names take constant time.
    last: BTreeMap<Name, u32>,
}

impl UniqueNames {
    /// A generator that never returns a name in `taken`.
    pub fn without(taken: impl IntoIterator<Item = Name>) -> Self {
        Self { taken: taken.into_iter().collect(), last: BTreeMap::new() }
    }

    /// Marks `name` as taken.
    pub fn reserve(&mut self, name: Name) {
        self.taken.insert(name);
    }

    /// Takes `wanted` if it is free, otherwise the first free name of `wanted_1`, `wanted_2` and so on.
    pub fn take(&mut self, wanted: &str) -> Name {
        let mut name: Name = wanted.into();
        while !self.taken.insert(name.clone()) {
            let last = self.last.entry(wanted.into()).or_insert(0);
            *last += 1;
            name = format!("{wanted}_{last}").into();
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_next_free_number() {
        let mut names = UniqueNames::without(["a".into(), "a_2".into()]);
        let given = ["a", "b", "a", "a_1", "b"].map(|wanted| names.take(wanted).to_string());
        assert_eq!(given, ["a_1", "b", "a_3", "a_1_1", "b_1"]);
    }
}
