//! What recipes may make: named features, each on or off.

use std::fmt;
use std::str::FromStr;

use netc_pass::nearest;

macro_rules! features {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        /// A property of programs and models that makes them harder to rewrite.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Feature { $(#[doc = $doc] $name,)* }

        impl Feature {
            /// Every feature.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Those that models of layers have: the others are of programs of core ops. What no output needs is in no
            /// model of layers.
            pub const OF_LAYERS: &'static [Self] = &[
                Self::Branches,
                Self::Skips,
                Self::Nested,
                Self::Shared,
                Self::ManyInputs,
                Self::ManyOutputs,
                Self::Integers,
                Self::Abstract,
                Self::Custom,
            ];

            /// What it adds, in a sentence.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$name => $doc),* }
            }
        }
    };
}

features! {
    Branches = "branches", "Values are read by several ops; without it, ops form a chain.";
    Skips = "skips", "Ops read values from far back.";
    Nested = "nested", "Functions are called, and call others.";
    Shared = "shared", "A function or layer is applied several times.";
    ManyInputs = "many-inputs", "There is more than one input.";
    ManyOutputs = "many-outputs", "Outputs are several, from the middle too: inputs, and values returned twice.";
    Dead = "dead", "Ops and inputs that no output needs.";
    ZeroDims = "zero-dims", "Extents of 0.";
    Scalars = "scalars", "Tensors without axes.";
    Symbols = "symbols", "Symbolic extents beside the batch, and extents such as `2*N` and `N+3`.";
    Booleans = "booleans", "Truth values.";
    Integers = "integers", "Integer elements.";
    Halves = "halves", "Elements of 16 bits: `f16` and `bf16`.";
    Doubles = "doubles", "Elements of 64-bit floats.";
    NonFinite = "non-finite", "A few values that are infinite or no numbers.";
    Names = "names", "Names, attributes and locations that are hard to print.";
    Abstract = "abstract", "What does not run: element types without kernels, weights in files that do not exist, layers \
        without a meaning, source ops that run functions.";
    Custom = "custom", "Layers of classes of the user, `Scale` and `Adapter`, which a framework loads with the code of the class.";
}

/// Which features a recipe uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u32);

impl Features {
    /// The simplest: a chain of `f32` ops.
    pub const NONE: Self = Self(0);

    /// All, what does not run included: for what looks at programs and runs none.
    pub const ALL: Self = Self((1 << Feature::ALL.len()) - 1);

    /// All that runs.
    pub const EXECUTABLE: Self = Self::ALL.without(Feature::Abstract);

    /// All that runs, without classes of the user.
    pub const STANDARD: Self = Self::EXECUTABLE.without(Feature::Custom);

    /// Whether `feature` is on.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 == 1
    }

    /// These and `feature`.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u32)
    }

    /// These but `feature`.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u32))
    }

    /// Those of these whose bits are set, by the order of [`Feature::ALL`].
    #[must_use]
    pub const fn masked(self, bits: u32) -> Self {
        Self(self.0 & bits)
    }
}

impl Default for Features {
    fn default() -> Self {
        Self::EXECUTABLE
    }
}

/// The names, joined by commas, as they parse.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Feature::ALL.iter().filter(|x| self.has(**x)).map(|x| x.name()).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(format_args!("\"{self}\""))
    }
}

/// Reads names joined by commas; no text is no feature.
impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(feature).try_fold(Self::NONE, |all, one| Ok(all.with(one?)))
    }
}

fn feature(name: &str) -> Result<Feature, String> {
    let names: Vec<&str> = Feature::ALL.iter().map(|f| f.name()).collect();
    let known = Feature::ALL.iter().find(|f| f.name() == name).copied();
    known.ok_or_else(|| {
        format!("there is no feature `{name}`{}; there are: {}", nearest(name, &names), names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_print_as_they_parse() {
        for features in [Features::NONE, Features::ALL, Features::EXECUTABLE, Features::ALL.masked(0b101)] {
            assert_eq!(features.to_string().parse(), Ok(features));
        }
        assert_eq!("dead, branches".parse(), Ok(Features::NONE.with(Feature::Branches).with(Feature::Dead)));
        assert!(!Features::EXECUTABLE.has(Feature::Abstract) && Features::EXECUTABLE.has(Feature::Names));
    }

    #[test]
    fn an_unknown_feature_has_a_near_name() {
        let error = "branches,shred".parse::<Features>().unwrap_err();
        assert!(
            error.starts_with("there is no feature `shred`; did you mean `shared`?; there are: branches,"),
            "{error}"
        );
    }
}
