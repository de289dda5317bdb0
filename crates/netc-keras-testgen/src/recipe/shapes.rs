//! Layers that move elements.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Tensor};

use super::KerasClass;
use super::choice::Choice;
use super::convolution::{data_format, image};
use super::draft::{Added, Draft};
use netc_testgen::Step;

pub(super) fn reshape(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let kind = k.below(4);
    let x = if kind == 3 { d.of_rank(step.reads[0], 1)? } else { d.any(step.reads[0])? };
    let declaration = match kind {
        0 => {
            let format = k.of(&["channels_last", "channels_first"]);
            Declaration::keras("Flatten", Attrs::new().with("data_format", format))
        }
        1 => return target(d, x, k),
        2 => {
            let dims = Attr::ints(order(d.axes(x), k).into_iter().map(|axis| axis as i64));
            Declaration::keras("Permute", Attrs::new().with("dims", dims))
        }
        _ => Declaration::keras("RepeatVector", Attrs::new().with("n", k.between(1, 4) as i64)),
    };
    d.layer(&declaration, &[x], d.size(x))
}

fn target(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let shape = shape(&d.extents(x), k);
    d.add("Reshape", &[x], d.size(x), |m| vec![m.reshape(x, &shape)])
}

/// A permutation of the axes 1 to `n`.
pub(super) fn order(n: u64, k: &mut Choice) -> Vec<u64> {
    let mut rest: Vec<u64> = (1..=n).collect();
    let mut order = Vec::new();
    while !rest.is_empty() {
        order.push(rest.remove(k.index(rest.len())));
    }
    order
}

/// Another shape for the elements of `extents`; one of its extents may be -1.
pub(super) fn shape(extents: &[u64], k: &mut Choice) -> Vec<i64> {
    let all: u64 = extents.iter().product();
    let divides = |n: &u64| all.is_multiple_of(*n);
    let first = k.of(&[2, 3, 4, 1].into_iter().filter(divides).collect::<Vec<u64>>());
    let rest = all / first;
    let second = k.of(&[1, 2, 3].into_iter().filter(|n| rest.is_multiple_of(*n)).collect::<Vec<u64>>());
    let mut shape = match k.below(3) {
        0 => vec![first as i64, rest as i64],
        1 => vec![first as i64, second as i64, (rest / second) as i64],
        _ => vec![all as i64],
    };
    if k.flag() {
        let open = k.index(shape.len());
        shape[open] = -1;
    }
    shape
}

/// Layers that crop or pad the ends of spatial axes, or repeat elements.
pub(super) fn border(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let kind = k.of(&["ZeroPadding", "Cropping", "UpSampling"]);
    let image = image(d, step.reads[0], 1..=3, k)?;
    let n = image.spatial.len();
    let (key, value) = match kind {
        "UpSampling" => {
            let size: Vec<u64> = (0..n).map(|_| k.between(1, 2)).collect();
            ("size", if n == 1 { Attr::from(size[0] as i64) } else { Attr::ints(size) })
        }
        _ => {
            // At least one element is kept.
            let most = |extent: u64| if kind == "Cropping" { (extent - 1) / 2 } else { 2 };
            let pairs = image.spatial.iter().map(|e| [k.between(0, most(*e).min(2)), k.between(0, most(*e).min(2))]);
            let pairs: Vec<Attr> = pairs.map(Attr::ints).collect();
            (
                if kind == "Cropping" { "cropping" } else { "padding" },
                if n == 1 { pairs[0].clone() } else { Attr::List(pairs) },
            )
        }
    };
    let mut config = Attrs::new().with(key, value);
    // `Cropping1D` and `UpSampling1D` have one layout only.
    if n > 1 || kind == "ZeroPadding" {
        config.set("data_format", data_format(image.layout));
    } else if image.layout != netc_ir::Layout::ChannelsLast {
        return None;
    }
    d.layer(&Declaration::keras(&format!("{kind}{n}D"), config), &[image.x], d.size(image.x))
}
