//! Matrix products of floats, in cache-sized blocks of register-sized tiles.
//!
//! The scheme follows K. Goto and R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34(3),
//! 2008: both operands are packed in the order in which tiles read them. Each element is a chain of fused multiply-adds
//! in a fixed order, over [`DEPTH`] terms at a time. Its bits depend on its row and its column, but not on the vector
//! width or the number of threads. The extents decide which products use this scheme, so another batch size may round
//! differently.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::kernel::Result;
use crate::value::{Value, allocate};

/// Rows of a block. Its part of the left operand fits into the L2 cache.
const ROWS: usize = 192;

/// Columns of a block.
const COLUMNS: usize = 512;

/// Terms that are accumulated in registers before they are added to the result.
const DEPTH: usize = 256;

/// An upper bound of the width of a tile, in lanes.
const MAX_WIDTH: usize = 64;

/// A float type with SIMD vectors.
pub(super) trait Lanes: Copy + Default + Send + Sync {
    /// The vector that fills a register.
    type Vector<S: Simd>: Copy;
    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a * b + c`, rounded once.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
    /// `a + b`.
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// Views the numbers as vectors, without the incomplete one at the end.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];
    /// The mutable version of [`Self::vectors`].
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];
}

macro_rules! lanes {
    ($t:ty, $vector:ident, $splat:ident, $mul_add:ident, $add:ident, $vectors:ident, $vectors_mut:ident) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
                S::$vectors(numbers).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
                S::$vectors_mut(numbers).0
            }
        }
    };
}

lanes!(f32, f32s, splat_f32s, mul_add_f32s, add_f32s, as_simd_f32s, as_mut_simd_f32s);
lanes!(f64, f64s, splat_f64s, mul_add_f64s, add_f64s, as_simd_f64s, as_mut_simd_f64s);

/// Adds the product of `a`, of shape `[m, k]`, and `b`, of shape `[k, n]`, to `out`, of shape `[m, n]`. No extent is 0.
/// A memory error names the type of `like`.
pub(super) fn add_product<T: Lanes>(a: &[T], b: &[T], [k, n]: [usize; 2], out: &mut [T], like: &Value) -> Result<()> {
    let mut blocks = Vec::new();
    for (rows, a) in out.chunks_mut(ROWS * n).zip(a.chunks(ROWS * k)) {
        let mut parts: Vec<Vec<&mut [T]>> = (0..n.div_ceil(COLUMNS)).map(|_| Vec::new()).collect();
        for row in rows.chunks_exact_mut(n) {
            row.chunks_mut(COLUMNS).zip(&mut parts).for_each(|(part, rows)| rows.push(part));
        }
        let block = |(i, out)| Block { a, b, k, n, first: i * COLUMNS, out, like };
        blocks.extend(parts.into_iter().enumerate().map(block));
    }
    blocks.into_par_iter().try_for_each(|block| Arch::new().dispatch(block))
}

/// The rows and columns of the result that one task computes.
struct Block<'a, T> {
    /// The rows of the left operand.
    a: &'a [T],
    /// The right operand.
    b: &'a [T],
    k: usize,
    n: usize,
    /// The first column.
    first: usize,
    /// The columns of the block in each of its rows.
    out: Vec<&'a mut [T]>,
    like: &'a Value,
}

// Everything below is inlined into this function, which is compiled once per instruction set.
impl<T: Lanes> WithSimd for Block<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        // The sums of a tile, one row of the right operand and one number of the left must fit into registers.
        if S::REGISTER_COUNT >= 32 { self.run::<S, 12, 2>(simd) } else { self.run::<S, 6, 2>(simd) }
    }
}

impl<T: Lanes> Block<'_, T> {
    /// Computes the block in tiles of `M` rows and `V` vectors.
    #[inline(always)]
    fn run<S: Simd, const M: usize, const V: usize>(mut self, simd: S) -> Result<()> {
        let width = V * size_of::<T::Vector<S>>() / size_of::<T>();
        let columns = self.out.first().map_or(0, |row| row.len());
        let (high, wide) = (self.out.len().next_multiple_of(M), columns.next_multiple_of(width));
        let mut left = self.room(high)?;
        let mut right = self.room(wide)?;
        for start in (0..self.k).step_by(DEPTH) {
            let depth = DEPTH.min(self.k - start);
            self.pack_left::<M>(start, depth, &mut left);
            self.pack_right(start, columns, width, &mut right[..wide * depth]);
            for (j, b) in right[..wide * depth].chunks_exact(width * depth).enumerate() {
                let columns = j * width..columns.min((j + 1) * width);
                for (rows, a) in self.out.chunks_mut(M).zip(left.chunks_exact(M * depth)) {
                    let sums = tile::<T, S, M, V>(simd, a, b);
                    for (row, sums) in rows.iter_mut().zip(&sums) {
                        add(simd, sums, &mut row[columns.clone()]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Allocates a packed operand of `count` rows or columns, filled with zeros.
    #[inline(always)]
    fn room(&self, count: usize) -> Result<Vec<T>> {
        let count = count * DEPTH.min(self.k);
        let mut room = allocate(count, &self.like.ty())?;
        room.resize(count, T::default());
        Ok(room)
    }

    /// Packs `depth` columns of the left operand from `start`, column by column in panels of `M` rows.
    #[inline(always)]
    fn pack_left<const M: usize>(&self, start: usize, depth: usize, left: &mut [T]) {
        let rows = self.a.chunks_exact(self.k).map(|row| &row[start..start + depth]);
        for (i, row) in rows.enumerate() {
            let (columns, _) = left[i / M * M * depth..][..M * depth].as_chunks_mut::<M>();
            columns.iter_mut().zip(row).for_each(|(column, x)| column[i % M] = *x);
        }
    }

    /// Packs rows of the right operand from `start`, row by row in panels of `width` columns. The last panel is padded
    /// with zeros.
    #[inline(always)]
    fn pack_right(&self, start: usize, columns: usize, width: usize, right: &mut [T]) {
        let depth = right.len() / columns.next_multiple_of(width);
        for (j, panel) in right.chunks_exact_mut(width * depth).enumerate() {
            let used = width.min(columns - j * width);
            for (i, row) in panel.chunks_exact_mut(width).enumerate() {
                row[..used].copy_from_slice(&self.b[(start + i) * self.n + self.first + j * width..][..used]);
                row[used..].fill(T::default());
            }
        }
    }
}

/// Multiplies `M` packed rows by `V` vectors of packed columns.
#[inline(always)]
fn tile<T: Lanes, S: Simd, const M: usize, const V: usize>(simd: S, a: &[T], b: &[T]) -> [[T::Vector<S>; V]; M] {
    let mut sums = [[T::splat(simd, T::default()); V]; M];
    let ((a, _), (b, _)) = (a.as_chunks::<M>(), T::vectors::<S>(b).as_chunks::<V>());
    for (a, b) in a.iter().zip(b) {
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = T::splat(simd, *a);
            sums.iter_mut().zip(b).for_each(|(sum, b)| *sum = T::mul_add(simd, a, *b, *sum));
        }
    }
    sums
}

/// Adds a row of a tile to the result. `row` is shorter than the tile at the last column.
#[inline(always)]
fn add<T: Lanes, S: Simd, const V: usize>(simd: S, sums: &[T::Vector<S>; V], row: &mut [T]) {
    let width = V * size_of::<T::Vector<S>>() / size_of::<T>();
    if row.len() == width {
        let vectors = T::vectors_mut::<S>(row);
        vectors.iter_mut().zip(sums).for_each(|(x, sum)| *x = T::add(simd, *x, *sum));
    } else {
        let mut whole = [T::default(); MAX_WIDTH];
        whole[..row.len()].copy_from_slice(row);
        let vectors = T::vectors_mut::<S>(&mut whole[..width]);
        vectors.iter_mut().zip(sums).for_each(|(x, sum)| *x = T::add(simd, *x, *sum));
        row.copy_from_slice(&whole[..row.len()]);
    }
}
