//! Four-byte typed references. An id is an index into the table that owns the entity.

use std::fmt;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The id of entry `index` of the owning table, which has fewer than 2^32 entries.
            pub fn new(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// The index in the owning table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

id! {
    /// A tensor: a parameter of a function or a result of an op. Text: `%7`, or `%name` if it has a name.
    ValueId, "%";
    /// An op of a function.
    OpId, "op";
    /// A function of the module. Text: `@name`.
    FuncId, "f";
    /// A layer declaration of the module. Text: `l3`.
    LayerId, "l";
    /// A weight of the module. Text: `w12`.
    WeightId, "w";
    /// A file that weights or locations refer to. Text: `file0`.
    FileId, "file";
}
