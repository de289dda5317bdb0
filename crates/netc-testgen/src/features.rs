//! Features that recipes may use, each on or off.

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

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The features of models of layers; the others apply only to programs of core ops. A model of layers has
            /// no dead ops.
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

            /// What the feature adds, in a sentence.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$name => $doc),* }
            }
        }
    };
}

features! {
    Branches = "branches", "Several ops read a value; without this feature, ops form a chain.";
    Skips = "skips", "Ops read values from far back.";
    Nested = "nested", "Functions call other functions.";
    Shared = "shared", "A function or layer is applied several times.";
    ManyInputs = "many-inputs", "There is more than one input.";
    ManyOutputs = "many-outputs", "There are several outputs, including intermediate values, inputs and duplicates.";
    Dead = "dead", "Ops and inputs that no output needs.";
    ZeroDims = "zero-dims", "Extents of 0.";
    Scalars = "scalars", "Tensors without axes.";
    Symbols = "symbols", "Symbolic extents other than the batch, and extents such as `2*N` and `N+3`.";
    Booleans = "booleans", "Boolean elements.";
    Integers = "integers", "Integer elements.";
    Halves = "halves", "Elements of 16 bits: `f16` and `bf16`.";
    Doubles = "doubles", "Elements of 64-bit floats.";
    NonFinite = "non-finite", "A few values that are infinite or NaN.";
    Names = "names", "Names, attributes and locations that are hard to print.";
    Abstract = "abstract", "Things that do not run: element types without kernels, weights in missing files, \
        unsupported layers, source ops that run functions.";
    Custom = "custom", "Layers of the custom classes `Scale` and `Adapter`; a framework needs their code to load them.";
}

/// Which features a recipe uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(u32);

impl Features {
    /// No features: a chain of `f32` ops.
    pub const NONE: Self = Self(0);

    /// All features, including those that do not run. For tests that never run the program.
    pub const ALL: Self = Self((1 << Feature::ALL.len()) - 1);

    /// All executable features.
    pub const EXECUTABLE: Self = Self::ALL.without(Feature::Abstract);

    /// All executable features without custom classes.
    pub const STANDARD: Self = Self::EXECUTABLE.without(Feature::Custom);

    /// Whether `feature` is on.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 == 1
    }

    /// Adds `feature`.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u32)
    }

    /// Removes `feature`.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u32))
    }

    /// Keeps only the features whose bits are set, in the order of [`Feature::ALL`].
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

/// Prints the names, joined by commas, as they parse.
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

/// Parses names joined by commas; the empty text has no features.
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
        format!("unknown feature `{name}`{}; the features are: {}", nearest(name, &names), names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_round_trip_through_text() {
        for features in [Features::NONE, Features::ALL, Features::EXECUTABLE, Features::ALL.masked(0b101)] {
            assert_eq!(features.to_string().parse(), Ok(features));
        }
        assert_eq!("dead, branches".parse(), Ok(Features::NONE.with(Feature::Branches).with(Feature::Dead)));
        assert!(!Features::EXECUTABLE.has(Feature::Abstract) && Features::EXECUTABLE.has(Feature::Names));
    }

    #[test]
    fn an_unknown_feature_suggests_the_nearest_name() {
        let error = "branches,shred".parse::<Features>().unwrap_err();
        assert!(
            error.starts_with("unknown feature `shred`; did you mean `shared`?; the features are: branches,"),
            "{error}"
        );
    }
}
