//! Recipes: plain data that says which module to build.

use std::fmt::{self, Debug};

use netc_data::Rng;
use netc_ir::Module;
#[cfg(feature = "proptest")]
use proptest::prelude::*;

use crate::features::Features;

/// What a step adds: a small enum.
pub trait Class: Copy + Debug + 'static {
    /// Every class, the simplest first: shrinking goes there.
    const ALL: &'static [Self];
}

/// A class whose recipes make modules.
pub trait Build: Class {
    /// The module of `recipe`: valid, and executable unless the recipe has features that are not.
    fn build(recipe: &Recipe<Self>) -> Module;
}

/// One step of a recipe. Every combination of numbers has a meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Step<C> {
    /// What is added.
    pub class: C,
    /// Which of the values that are there it reads, counted from the last.
    pub reads: [u8; 3],
    /// The choices that the class leaves.
    pub knobs: [u8; 4],
}

/// A module as plain data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe<C> {
    /// What it may make.
    pub features: Features,
    /// The inputs; each is an entry of the table of input types.
    pub inputs: Vec<u8>,
    /// The ops. A step that no value fits adds nothing.
    pub steps: Vec<Step<C>>,
    /// The outputs; each is a value, mostly one of the last.
    pub outputs: Vec<u8>,
}

/// The most steps that [`Recipe::from_bytes`] takes.
const MAX_STEPS: usize = 64;

impl<C: Class> Recipe<C> {
    /// The recipe with `steps` steps that a seed gives, with all features that run.
    pub fn from_seed(seed: u64, steps: usize) -> Self {
        let mut rng = Rng::new(seed);
        Self::draw(steps, || rng.next_u64().to_le_bytes()[7])
    }

    /// The recipe that a fuzzer's bytes give; bytes that are missing count as 0. The first say which of the features
    /// that run are left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes_left = bytes.iter().copied();
        let mut byte = || bytes_left.next().unwrap_or(0);
        let left_out = u32::from_le_bytes(std::array::from_fn(|_| byte()));
        let features = Features::default().masked(!left_out);
        Self::draw((bytes.len() / 8).min(MAX_STEPS), byte).with_features(features)
    }

    /// The module of the recipe: see [`Build`].
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

    /// Recipes with up to `steps` steps: half of them with all features that run, the others with some, so that no
    /// feature hides what happens without it.
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

/// On one line, however it is asked for: recipes are read as lists of steps.
impl<C: Debug> Debug for Step<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, reads: [a, b, c], knobs: [k, l, m, n] } = self;
        f.write_fmt(format_args!("{class:?} [{a}, {b}, {c}] [{k}, {l}, {m}, {n}]"))
    }
}

/// Entry `i` of a table that is not empty, counted around.
pub fn of<T: Copy>(table: &[T], i: u8) -> T {
    table[usize::from(i) % table.len()]
}

/// The candidate that `read` stands for: mostly one of the last three, so that graphs become deep.
pub fn pick<T: Copy>(candidates: &[T], read: u8) -> Option<T> {
    let n = candidates.len();
    let near = if read < 192 { n.min(3) } else { n };
    (n > 0).then(|| candidates[n - 1 - usize::from(read) % near])
}

/// The candidate that `place` stands for, counted from the last.
pub(crate) fn from_last<T: Copy>(candidates: &[T], place: u8) -> Option<T> {
    let n = candidates.len();
    (n > 0).then(|| candidates[n - 1 - usize::from(place) % n])
}

/// Declares a class of steps, a [`Class`] that lists its variants.
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
