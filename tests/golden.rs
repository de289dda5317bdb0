//! Tests layers and operations against recorded results of Keras 3 (`golden/`, made by `interop/goldens.py`). The cases
//! are those of the tests against the real Keras, which these tests do not need.

use std::fs;
use std::path::Path;

use netc_exec::{Tensor, npz};
use netc_passes::bind;

use super::{TOLERANCE, read, run};

/// A model with inputs and the outputs that Keras computed.
#[derive(Default)]
struct Case {
    expression: String,
    model: Vec<u8>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// Reads the cases of a file, which are in order.
fn cases(kind: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(kind).with_extension("npz");
    let mut cases: Vec<Case> = Vec::new();
    for (key, tensor) in npz::read(&path).unwrap() {
        let (number, part) = key.split_once('/').unwrap();
        if number.parse::<usize>().unwrap() == cases.len() {
            cases.push(Case::default());
        }
        let case = cases.last_mut().unwrap();
        match part.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "case" => case.expression = String::from_utf8(tensor.bytes().to_vec()).unwrap(),
            "model" => case.model = tensor.bytes().to_vec(),
            "in" => case.inputs.push(tensor),
            _ => case.outputs.push(tensor),
        }
    }
    cases
}

/// Whether the elements are equal up to a tolerance relative to the largest.
fn is_near(found: &Tensor, expected: &Tensor) -> bool {
    let [numbers, expected_numbers] = [found, expected].map(Tensor::to_f64s);
    let largest = expected_numbers.iter().filter(|x| x.is_finite()).fold(0.0, |most: f64, x| most.max(x.abs()));
    let near = |(a, b): (&f64, &f64)| {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * largest
    };
    found.ty() == expected.ty() && numbers.iter().zip(&expected_numbers).all(near)
}

/// Checks that the `count` models of a file compute the recorded outputs.
#[track_caller]
fn check(kind: &str, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.keras");
    let cases = cases(kind);
    assert_eq!(cases.len(), count);
    for case in cases {
        fs::write(&path, &case.model).unwrap();
        let extents: Vec<Vec<u64>> = case.inputs.iter().map(|x| x.dims().to_vec()).collect();
        let outputs = run(&bind(&read(&path), &extents), &case.inputs);
        let near = outputs.len() == case.outputs.len() && outputs.iter().zip(&case.outputs).all(|(a, b)| is_near(a, b));
        assert!(near, "{}: found {outputs:?}, expected {:?} as in Keras", case.expression, case.outputs);
    }
}

#[test]
fn layers_of_rows() {
    check("row", 249);
}

#[test]
fn layers_of_images() {
    check("image", 121);
    check("image_first", 32);
    check("open_image", 37);
}

#[test]
fn layers_of_steps() {
    check("steps", 141);
    check("open_steps", 21);
}

#[test]
fn layers_of_volumes() {
    check("volume", 28);
}

#[test]
fn activations() {
    check("activations", 31);
}

#[test]
fn quantised_layers() {
    check("quantised", 27);
}
