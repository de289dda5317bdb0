//! Recipes: plain data from which modules are built.

use std::fmt::{self, Debug};

use netc_data::Rng;
use netc_ir::Module;
#[cfg(feature = "proptest")]
use proptest::prelude::*;

use crate::features::Features;

/// The kind of a step: a small enum.
pub trait Class: Copy + Debug + 'static {
    /// Every class, the simplest first, as shrinking needs it.
    const ALL: &'static [Self];
}

/// A class whose recipes build modules.
pub trait Build: Class {
    /// Builds the module of `recipe`. It is valid, and executable unless the recipe has features that are not.
    fn build(recipe: &Recipe<Self>) -> Module;
}

/// One step of a recipe. Every combination of numbers is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Step<C> {
    /// What the step adds.
    pub class: C,
    /// Which of the existing values it reads, counted from the last.
    pub reads: [u8; 3],
    /// The choices left by the class.
    pub knobs: [u8; 4],
}

/// A module as plain data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe<C> {
    /// The features that the module may use.
    pub features: Features,
    /// The inputs, as indices into the table of input types.
    pub inputs: Vec<u8>,
    /// The steps. A step without fitting operands adds nothing.
    pub steps: Vec<Step<C>>,
    /// The outputs; each selects a value, usually one of the last.
    pub outputs: Vec<u8>,
}

/// Maximum number of steps in [`Recipe::from_bytes`].
const MAX_STEPS: usize = 64;

impl<C: Class> Recipe<C> {
    /// Derives a recipe with `steps` steps from a seed, with all executable features.
    pub fn from_seed(seed: u64, steps: usize) -> Self {
        let mut rng = Rng::new(seed);
        Self::draw(steps, || rng.next_u64().to_le_bytes()[7])
    }

    /// Derives a recipe from a fuzzer's bytes. Missing bytes count as 0. The first four bytes select the executable
    /// features to leave out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes_left = bytes.iter().copied();
        let mut byte = || bytes_left.next().unwrap_or(0);
        let left_out = u32::from_le_bytes(std::array::from_fn(|_| byte()));
        let features = Features::default().masked(!left_out);
        Self::draw((bytes.len() / 8).min(MAX_STEPS), byte).with_features(features)
    }

    /// Builds the module of the recipe; see [`Build`].
    pub fn build(&self) -> Module
    where
        C: Build,
    {
        C::build(self)
    }

    /// The same recipe with other features.
    #[must_use]
    pub fn with_features(self, features: Features) -> Self {
        Self { features, ..self }
    }

    /// A strategy for recipes with up to `steps` steps. Half of them have all executable features. The others have a
    /// random subset, so that no feature hides bugs that show only without it.
    #[cfg(feature = "proptest")]
    pub fn strategy(steps: usize) -> impl Strategy<Value = Self> {
        let few = || prop::collection::vec(any::<u8>(), 1..4);
        let step = any::<[u8; 8]>().prop_map(Step::from);
        let some = (any::<bool>(), any::<u32>()).prop_map(|(all, bits)| if all { u32::MAX } else { bits });
        (some, few(), prop::collection::vec(step, 0..=steps), few()).prop_map(|(some, inputs, steps, outputs)| Self {
            features: Features::default().masked(some),
            inputs,
            steps,
            outputs,
        })
    }

    fn draw(steps: usize, mut byte: impl FnMut() -> u8) -> Self {
        let (inputs, outputs) = (byte() % 3, byte() % 3);
        Self {
            features: Features::default(),
            inputs: (0..=inputs).map(|_| byte()).collect(),
            outputs: (0..=outputs).map(|_| byte()).collect(),
            steps: (0..steps).map(|_| Step::from(std::array::from_fn(|_| byte()))).collect(),
        }
    }
}

impl<C: Class> From<[u8; 8]> for Step<C> {
    fn from([class, a, b, c, k, l, m, n]: [u8; 8]) -> Self {
        Self { class: of(C::ALL, class), reads: [a, b, c], knobs: [k, l, m, n] }
    }
}

/// Always prints on one line, even with `{:#?}`, so that a recipe reads as a list of steps.
impl<C: Debug> Debug for Step<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, reads: [a, b, c], knobs: [k, l, m, n] } = self;
        f.write_fmt(format_args!("{class:?} [{a}, {b}, {c}] [{k}, {l}, {m}, {n}]"))
    }
}

/// Entry `i` of a non-empty table, modulo its length.
pub fn of<T: Copy>(table: &[T], i: u8) -> T {
    table[usize::from(i) % table.len()]
}

/// The candidate selected by `read`: usually one of the last three, so that graphs become deep.
pub fn pick<T: Copy>(candidates: &[T], read: u8) -> Option<T> {
    let n = candidates.len();
    let near = if read < 192 { n.min(3) } else { n };
    (n > 0).then(|| candidates[n - 1 - usize::from(read) % near])
}

/// The candidate selected by `place`, counted from the last.
pub(crate) fn from_last<T: Copy>(candidates: &[T], place: u8) -> Option<T> {
    let n = candidates.len();
    (n > 0).then(|| candidates[n - 1 - usize::from(place) % n])
}

/// Declares an enum that implements [`Class`].
#[macro_export]
macro_rules! classes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $crate::Class for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}
