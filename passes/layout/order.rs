//! Orders of axes.

use netc_ir::{Dim, Layout, Type};

/// How many elements an extent counts for that is not known.
const OPEN: u64 = 32;

/// What bytes are multiplied by in weights, so that one conversion more never outweighs a byte.
const BYTE: u64 = 1 << 12;

/// No tensor weighs as much as this many bytes.
const MOST_BYTES: u64 = 1 << 40;

/// The order of axes of the layout that is wanted, against the other.
#[derive(Clone, Copy)]
pub(super) struct Order {
    wanted: Layout,
}

impl Order {
    pub(super) fn of(wanted: Layout) -> Self {
        Self { wanted }
    }

    /// The layout that is wanted.
    pub(super) fn wanted(self) -> Layout {
        self.wanted
    }

    /// Axis `i` of what is moved is axis `moving[i]` of what is not.
    pub(super) fn moving(self, rank: usize) -> Vec<usize> {
        match self.wanted {
            Layout::ChannelsLast => to_last(rank),
            Layout::ChannelsFirst => to_first(rank),
        }
    }

    /// Axis `i` of what is not moved is axis `back[i]` of what is: axis `a` becomes axis `back[a]` by moving.
    pub(super) fn back(self, rank: usize) -> Vec<usize> {
        match self.wanted {
            Layout::ChannelsLast => to_first(rank),
            Layout::ChannelsFirst => to_last(rank),
        }
    }
}

fn to_last(rank: usize) -> Vec<usize> {
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

fn to_first(rank: usize) -> Vec<usize> {
    [0, rank - 1].into_iter().chain(1..rank - 1).collect()
}

/// `of` with its entries in the order `perm`.
pub(super) fn permuted<T: Clone>(of: &[T], perm: &[usize]) -> Vec<T> {
    perm.iter().map(|i| of[*i].clone()).collect()
}

/// `ty` with its axes in the order `perm`.
pub(super) fn permuted_type(ty: &Type, perm: &[usize]) -> Type {
    Type { elem: ty.elem, dims: ty.dims.as_ref().map(|dims| permuted(dims, perm)) }
}

/// What brings the axes of a tensor into an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conversion {
    /// Nothing: the tensor is the same in both.
    None,
    /// Another shape: only axes of extent 1 change places.
    Reshape,
    /// A transpose.
    Transpose,
}

impl Conversion {
    /// What brings a tensor of the shape `dims` into the order `perm`.
    pub(super) fn of(dims: &[Dim], perm: &[usize]) -> Self {
        let order_stays = perm.iter().filter(|i| !dims[**i].is(1)).is_sorted();
        if order_stays && permuted(dims, perm) == dims {
            Self::None
        } else if order_stays && can_reshape(dims) {
            Self::Reshape
        } else {
            Self::Transpose
        }
    }

    /// What it weighs for a tensor of the type `ty`: its bytes above all, and that there is one.
    pub(super) fn weight(self, ty: &Type) -> u64 {
        match self {
            Self::None => 0,
            Self::Reshape => 1,
            Self::Transpose => bytes(ty).min(MOST_BYTES) * BYTE + 1,
        }
    }
}

/// Whether a tensor may get the shape `dims` by a reshape: more than one symbol may have no value where it runs.
pub(super) fn can_reshape(dims: &[Dim]) -> bool {
    dims.iter().filter(|d| d.known().is_none()).count() <= 1
}

fn bytes(ty: &Type) -> u64 {
    let extent = |d: &Dim| d.substitute(&|_| Some(Dim::Known(OPEN))).known().unwrap_or(OPEN);
    let elements = ty.dims.iter().flatten().map(extent).fold(1, u64::saturating_mul);
    elements.saturating_mul(ty.elem.bits().max(1)).div_ceil(8)
}
