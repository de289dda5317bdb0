//! The functions that rule expressions may call.

use std::fmt;

use netc_ir::Dim;

use crate::value::Value;

/// A function of values.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The number of its arguments.
    pub arity: usize,
    /// What it returns, in one line.
    pub summary: &'static str,
    /// Computes it; `None` if the arguments do not fit.
    pub apply: fn(&[Value]) -> Option<Value>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The function called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// All functions. The last four are `+`, `-`, `*` and `/`.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "len",
        arity: 1,
        summary: "the length of list `a`",
        apply: |a| Some(Value::int(a[0].as_list()?.len() as u64)),
    },
    Function {
        name: "at",
        arity: 2,
        summary: "the item of list `a` at index `b`, from 0",
        apply: |a| a[0].as_list()?.get(index(&a[1])?).cloned(),
    },
    Function {
        name: "set",
        arity: 3,
        summary: "list `a` with the item at index `b` replaced by `c`",
        apply: |a| {
            let mut items = a[0].as_list()?.to_vec();
            *items.get_mut(index(&a[1])?)? = a[2].clone();
            Some(Value::List(items))
        },
    },
    Function {
        name: "take",
        arity: 2,
        summary: "the first `b` items of list `a`",
        apply: |a| Some(Value::List(a[0].as_list()?.get(..index(&a[1])?)?.to_vec())),
    },
    Function {
        name: "drop",
        arity: 2,
        summary: "list `a` without its first `b` items",
        apply: |a| Some(Value::List(a[0].as_list()?.get(index(&a[1])?..)?.to_vec())),
    },
    Function {
        name: "join",
        arity: 2,
        summary: "the concatenation of lists `a` and `b`",
        apply: |a| Some(Value::List([a[0].as_list()?, a[1].as_list()?].concat())),
    },
    Function {
        name: "repeat",
        arity: 2,
        summary: "a list of `b` copies of `a`",
        apply: |a| Some(Value::List(vec![a[0].clone(); index(&a[1]).filter(|n| *n <= MOST)?])),
    },
    Function {
        name: "iota",
        arity: 1,
        summary: "the list 0, 1, ..., `a` - 1",
        apply: |a| Some(Value::ints(0..a[0].as_int().filter(|n| *n <= MOST as u64)?)),
    },
    Function {
        name: "pick",
        arity: 2,
        summary: "the items of list `a` at the indices in list `b`",
        apply: |a| {
            let items = a[0].as_list()?;
            let places = a[1].as_list()?.iter();
            Some(Value::List(places.map(|i| items.get(index(i)?).cloned()).collect::<Option<_>>()?))
        },
    },
    Function {
        name: "without",
        arity: 2,
        summary: "list `a` without the items at the indices in list `b`",
        apply: |a| {
            let places = a[1].as_list()?.iter().map(index).collect::<Option<Vec<_>>>()?;
            let kept = a[0].as_list()?.iter().enumerate().filter(|(i, _)| !places.contains(i));
            Some(Value::List(kept.map(|(_, item)| item.clone()).collect()))
        },
    },
    Function {
        name: "inverse",
        arity: 1,
        summary: "the inverse of the permutation `a`",
        apply: |a| {
            let perm = a[0].as_list()?;
            let place = |i: usize| perm.iter().position(|p| index(p) == Some(i));
            Some(Value::ints((0..perm.len()).map(|i| Some(place(i)? as u64)).collect::<Option<Vec<_>>>()?))
        },
    },
    Function {
        name: "sorted",
        arity: 1,
        summary: "the numbers of list `a` in ascending order",
        apply: |a| {
            let mut items = a[0].as_list()?.iter().map(Value::as_int).collect::<Option<Vec<_>>>()?;
            items.sort_unstable();
            Some(Value::ints(items))
        },
    },
    Function {
        name: "within",
        arity: 2,
        summary: "for each axis, the slice `[start, end, step]` equal to slice `a` followed by slice `b`",
        apply: |a| {
            let (outer, inner) = (a[0].as_list()?, a[1].as_list()?);
            let parts = (outer.len() == inner.len()).then(|| outer.iter().zip(inner))?;
            Some(Value::List(parts.map(|(outer, inner)| part_within(outer, inner)).collect::<Option<_>>()?))
        },
    },
    Function {
        name: "product",
        arity: 1,
        summary: "the product of the extents in list `a`; 1 if it is empty",
        apply: |a| Some(Value::Extent(Dim::product(&a[0].as_shape()?))),
    },
    Function {
        name: "all",
        arity: 2,
        summary: "whether every item of list `a` equals `b`",
        apply: |a| Some(Value::Bool(!any_item(&a[0], &a[1], false)?)),
    },
    Function {
        name: "contains",
        arity: 2,
        summary: "whether some item of list `a` equals `b`",
        apply: |a| Some(Value::Bool(any_item(&a[0], &a[1], true)?)),
    },
    Function { name: "+", arity: 2, summary: "the sum", apply: |a| extents(a, |x, y| Some(x.plus(y))) },
    Function {
        name: "-",
        arity: 2,
        summary: "the difference, unless it is negative",
        apply: |a| extents(a, |x, y| (x.known()? >= y.known()?).then(|| x.minus(y))),
    },
    Function { name: "*", arity: 2, summary: "the product", apply: |a| extents(a, |x, y| Some(x.times(y))) },
    Function {
        name: "/",
        arity: 2,
        summary: "the quotient, if the division is exact",
        apply: |a| extents(a, |x, y| if y.is(0) { None } else { x.exact_div(y) }),
    },
];

/// The maximum length of a list that `repeat` or `iota` makes. Tensors have fewer axes.
const MOST: usize = 64;

fn index(value: &Value) -> Option<usize> {
    usize::try_from(value.as_int()?).ok()
}

/// Whether any item of the list equals `value` (if `wanted`) or differs from it (if not). `None` if that depends on
/// unknown extents.
fn any_item(list: &Value, value: &Value, wanted: bool) -> Option<bool> {
    let answers: Vec<Option<bool>> = list.as_list()?.iter().map(|item| item.is_surely(value)).collect();
    if answers.contains(&Some(wanted)) { Some(true) } else { (!answers.contains(&None)).then_some(false) }
}

/// Composes two slices of one axis: `inner` applied to the result of `outer`.
fn part_within(outer: &Value, inner: &Value) -> Option<Value> {
    let ([start, end, step], [first, last, stride]) = (outer.as_list()?, inner.as_list()?) else { return None };
    let (start, step) = (start.as_int()?, step.as_int()?);
    let end = match (last == &Value::Null, last.as_int()) {
        (true, _) => end.clone(),
        (false, Some(0)) => Value::int(start),
        (false, last) => Value::int(start.checked_add((last? - 1).checked_mul(step)?)?.checked_add(1)?),
    };
    let start = start.checked_add(first.as_int()?.checked_mul(step)?)?;
    // If no element is left, the start may be past the end.
    let start = end.as_int().map_or(start, |end| start.min(end));
    Some(Value::List(vec![Value::int(start), end, Value::int(step.checked_mul(stride.as_int()?)?)]))
}

fn extents(args: &[Value], f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Option<Value> {
    let [x, y] = args else { return None };
    f(x.as_extent()?, y.as_extent()?).map(Value::Extent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, list: &[&str], value: &str, expected: Option<bool>) {
        let extent = |text: &str| Value::Extent(Dim::parse(text).unwrap());
        let list = Value::List(list.iter().map(|item| extent(item)).collect());
        let found = (find(name).unwrap().apply)(&[list.clone(), extent(value)]);
        assert_eq!(found, expected.map(Value::Bool), "{name}({list}, {value})");
    }

    #[test]
    fn answers_that_depend_on_unknown_extents_have_no_value() {
        check("contains", &["N", "4"], "4", Some(true));
        check("contains", &["N", "4"], "N", Some(true));
        check("contains", &["3", "4"], "5", Some(false));
        check("contains", &["N", "4"], "5", None);
        check("contains", &["?", "4"], "?", None);
        check("contains", &[], "N", Some(false));
        check("all", &["N", "N"], "N", Some(true));
        check("all", &["N", "4"], "5", Some(false));
        check("all", &["N", "4"], "4", None);
        check("all", &["?"], "?", None);
        check("all", &[], "N", Some(true));
    }

    #[test]
    fn values_of_different_kinds_are_surely_different() {
        let part = |end: Value| Value::List(vec![Value::int(0), end]);
        let extent = Value::Extent(Dim::parse("N").unwrap());
        assert_eq!(extent.is_surely(&Value::Null), Some(false));
        assert_eq!(part(extent.clone()).is_surely(&part(Value::Null)), Some(false));
        assert_eq!(part(extent.clone()).is_surely(&part(Value::int(2))), None);
        assert_eq!(part(extent).is_surely(&Value::List(Vec::new())), Some(false));
    }
}
