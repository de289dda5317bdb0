//! Einstein sums of two tensors, as one matrix product.

use netc_ir::{Dim, ValueId};

use crate::lower::call::Call;
use crate::lower::result::Result;

/// An index of an equation. The axes of `...` are numbered from the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Letter(char),
    Hidden(usize),
}

/// `equation` over `a` and `b`: `"ab,bc->ac"` is the matrix product.
///
/// Each index is a batch index (in all three), summed (in both factors only) or free (in one factor and the result).
pub(crate) fn einsum(c: &mut Call<'_, '_>, equation: &str, a: ValueId, b: ValueId) -> Result<ValueId> {
    let unsupported = c.unsupported(format!("the equation \"{}\"", equation.chars().take(60).collect::<String>()));
    let Some([ia, ib, out]) = parse(equation, c.rank(a)?, c.rank(b)?) else { return Err(unsupported) };
    let pick = |of: &[Index], also: &[Index], not: &[Index]| -> Vec<Index> {
        of.iter().copied().filter(|i| also.contains(i) && !not.contains(i)).collect()
    };
    let summed = pick(&ia, &ib, &out);
    let batch = pick(&pick(&ia, &ib, &[]), &out, &[]);
    let (rows, columns) = (pick(&ia, &out, &ib), pick(&ib, &out, &ia));
    let all_counted = ia.len() == batch.len() + rows.len() + summed.len()
        && ib.len() == batch.len() + summed.len() + columns.len()
        && out.len() == batch.len() + rows.len() + columns.len();
    if !all_counted {
        return Err(unsupported);
    }
    let (x, [batch_a, row_dims, _]) = matrix(c, a, &ia, [&batch, &rows, &summed])?;
    let (y, [batch_b, _, column_dims]) = matrix(c, b, &ib, [&batch, &summed, &columns])?;
    let product = c.b.matmul(x, y)?;
    // A batch extent of 1 is broadcast.
    let batch_dims = batch_a.iter().zip(&batch_b).map(|(p, q)| if p.is(1) { q } else { p });
    let dims = batch_dims.chain(&row_dims).chain(&column_dims).cloned().collect();
    let product = c.reshape(product, dims)?;
    let made = [batch, rows, columns].concat();
    let perm: Vec<usize> = out.iter().filter_map(|i| made.iter().position(|m| m == i)).collect();
    c.transpose(product, &perm)
}

/// The summed axes of the first factor, and for each axis of the result its axis in the first factor, if any.
pub(crate) fn axes_of_first(equation: &str, rank_a: usize, rank_b: usize) -> Option<(Vec<usize>, Vec<Option<usize>>)> {
    let [a, _, out] = parse(equation, rank_a, rank_b)?;
    let summed = (0..a.len()).filter(|axis| !out.contains(&a[*axis])).collect();
    Some((summed, out.iter().map(|index| a.iter().position(|of_a| of_a == index)).collect()))
}

/// `x` with its axes in the order of `groups`, each of the last two groups merged into one axis; and the extents of
/// each group.
fn matrix(
    c: &mut Call<'_, '_>,
    x: ValueId,
    indices: &[Index],
    groups: [&Vec<Index>; 3],
) -> Result<(ValueId, [Vec<Dim>; 3])> {
    let dims = c.dims(x)?;
    let axes = groups.map(|group| {
        let axes = group.iter().filter_map(|i| indices.iter().position(|k| k == i));
        axes.collect::<Vec<usize>>()
    });
    let y = c.transpose(x, &axes.concat())?;
    let extents = axes.map(|axes| axes.iter().filter_map(|i| dims.get(*i).cloned()).collect::<Vec<_>>());
    let mut shape = extents[0].clone();
    shape.extend([Dim::product(&extents[1]), Dim::product(&extents[2])]);
    Ok((c.reshape(y, shape)?, extents))
}

/// The indices of both factors, whose ranks are given, and of the result.
fn parse(equation: &str, rank_a: usize, rank_b: usize) -> Option<[Vec<Index>; 3]> {
    let (factors, out) = equation.split_once("->")?;
    let (a, b) = factors.split_once(',')?;
    let hidden = |text: &str, rank: usize| rank.checked_sub(text.trim().replace("...", "").chars().count());
    let (hidden_a, hidden_b) = (hidden(a, rank_a)?, hidden(b, rank_b)?);
    Some([indices(a, hidden_a)?, indices(b, hidden_b)?, indices(out, hidden_a.max(hidden_b))?])
}

/// The indices of one tensor, in which `...` stands for `hidden` axes; `None` if an index is repeated.
fn indices(text: &str, hidden: usize) -> Option<Vec<Index>> {
    let letters = |part: &str| {
        let each = part.chars().map(|l| l.is_alphabetic().then_some(Index::Letter(l)));
        each.collect::<Option<Vec<_>>>()
    };
    let text = text.trim();
    let all = match text.split_once("...") {
        None if hidden > 0 => return None,
        None => letters(text)?,
        Some((before, after)) => {
            let middle = (0..hidden).rev().map(Index::Hidden).collect();
            [letters(before)?, middle, letters(after)?].concat()
        }
    };
    let repeated = all.iter().enumerate().any(|(n, i)| all.iter().take(n).any(|other| other == i));
    (!repeated).then_some(all)
}
