//! Axis orders and conversions between them.

use netc_ir::{Dim, Layout, Type};

/// The assumed value of unknown extents.
const OPEN: u64 = 32;

/// The factor for bytes in weights. It is large, so that bytes count for more than the number of conversions.
const BYTE: u64 = 1 << 12;

/// The upper bound for the bytes of a tensor in weights.
const MOST_BYTES: u64 = 1 << 40;

/// The axis order of the wanted layout, relative to the other layout.
#[derive(Clone, Copy)]
pub(super) struct Order {
    wanted: Layout,
}

impl Order {
    pub(super) fn of(wanted: Layout) -> Self {
        Self { wanted }
    }

    /// The wanted layout.
    pub(super) fn wanted(self) -> Layout {
        self.wanted
    }

    /// The permutation to moved order: axis `i` of the moved tensor is axis `moving[i]` of the original.
    pub(super) fn moving(self, rank: usize) -> Vec<usize> {
        match self.wanted {
            Layout::ChannelsLast => to_last(rank),
            Layout::ChannelsFirst => to_first(rank),
        }
    }

    /// The inverse permutation: axis `i` of the original is axis `back[i]` of the moved tensor.
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

/// Permutes the entries of `of` by `perm`.
pub(super) fn permuted<T: Clone>(of: &[T], perm: &[usize]) -> Vec<T> {
    perm.iter().map(|i| of[*i].clone()).collect()
}

/// Permutes the axes of `ty` by `perm`.
pub(super) fn permuted_type(ty: &Type, perm: &[usize]) -> Type {
    Type { elem: ty.elem, dims: ty.dims.as_ref().map(|dims| permuted(dims, perm)) }
}

/// The op that converts a tensor to another axis order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conversion {
    /// None: the tensor is the same in both orders.
    None,
    /// A reshape: only axes of extent 1 move.
    Reshape,
    /// A transpose.
    Transpose,
}

impl Conversion {
    /// The conversion of a tensor of shape `dims` to the order `perm`.
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

    /// Its weight for a tensor of type `ty`: mainly the bytes, plus 1 for the conversion itself.
    pub(super) fn weight(self, ty: &Type) -> u64 {
        match self {
            Self::None => 0,
            Self::Reshape => 1,
            Self::Transpose => bytes(ty).min(MOST_BYTES) * BYTE + 1,
        }
    }
}

/// Whether a reshape to `dims` is possible: at most one extent may be open, because a reshape can infer only one.
pub(super) fn can_reshape(dims: &[Dim]) -> bool {
    dims.iter().filter(|d| d.known().is_none()).count() <= 1
}

fn bytes(ty: &Type) -> u64 {
    let extent = |d: &Dim| d.substitute(&|_| Some(Dim::Known(OPEN))).known().unwrap_or(OPEN);
    let elements = ty.dims.iter().flatten().map(extent).fold(1, u64::saturating_mul);
    elements.saturating_mul(ty.elem.bits().max(1)).div_ceil(8)
}
