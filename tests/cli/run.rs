//! Tests of `netc run` and `netc diff`: inputs, outputs, exit codes.

use netc_exec::{Tensor, npy, npz};

use crate::support::Folder;

const TWO: &str = "netc 1
func @main(%a: f32[N,2], %b: f32[N,2]) -> (%sum, %most) {
  %sum = add(%a, %b) : f32[N,2]
  %most = max(%a, %b) : f32[N,2]
}
";

fn tensor(dims: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(dims, values).unwrap()
}

fn with_inputs() -> Folder {
    let folder = Folder::new().with("two.nir", TWO);
    npy::write(&folder.path("a.npy"), &tensor(&[1, 2], &[1.0, 2.0])).unwrap();
    npy::write(&folder.path("b.npy"), &tensor(&[1, 2], &[10.0, -1.0])).unwrap();
    npy::write(&folder.path("wrong.npy"), &tensor(&[1, 3], &[1.0, 2.0, 3.0])).unwrap();
    folder
}

#[test]
fn inputs_are_given_by_name_and_outputs_are_keys() {
    let folder = with_inputs();
    folder.netc(&["run", "two.nir", "--input", "b=b.npy", "--input", "a=a.npy", "-o", "y.npz"]).done();
    let outputs = npz::read(&folder.path("y.npz")).unwrap();
    let expected = [("sum".into(), tensor(&[1, 2], &[11.0, 1.0])), ("most".into(), tensor(&[1, 2], &[10.0, 2.0]))];
    assert_eq!(outputs, expected);
    let table = folder.netc(&["run", "two.nir", "--input", "b=b.npy", "--input", "a=a.npy"]).done();
    assert!(table.contains("sum") && table.contains("f32[1,2]"), "{table}");
}

#[test]
fn a_single_output_can_be_written_as_npy() {
    let folder = with_inputs().with("one.nir", "netc 1\nfunc @main(%x: f32[N,2]) -> (%y) { %y = neg(%x) : f32[N,2] }");
    folder.netc(&["run", "one.nir", "--input", "a.npy", "-o", "y.npy"]).done();
    assert_eq!(npy::read(&folder.path("y.npy")).unwrap(), tensor(&[1, 2], &[-1.0, -2.0]));
    folder
        .netc(&["run", "two.nir", "--input", "a=a.npy", "--input", "b=b.npy", "-o", "y2.npy"])
        .failed(2, &["y2.npy", "npz"][1..]);
    folder.netc(&["run", "one.nir", "--input", "a.npy", "-o", "y.txt"]).failed(2, &["y.txt"]);
}

#[test]
fn errors_name_the_wrong_input() {
    let folder = with_inputs();
    let missing = ["input `b` is missing", "--input b=FILE", "`a`, `b`"];
    folder.netc(&["run", "two.nir", "--input", "a=a.npy"]).failed(2, &missing);
    folder.refuses(
        &["run", "two.nir", "--input", "a=a.npy", "--input", "b=wrong.npy", "-o", "y.npz"],
        &["`b`", "f32[1,3]", "f32[N,2]"],
    );
    folder.refuses(
        &["run", "two.nir", "--input", "a=a.npy", "--input", "b=none.npy"],
        &["error: cannot access `none.npy`: No such file"],
    );
    folder.refuses(&["run", "two.nir", "--input", "a=a.npy", "--input", "b=two.nir"], &["two.nir"]);
    folder.netc(&["run", "two.nir", "--input", "a.npy"]).failed(2, &["NAME=", "`a`, `b`"]);
    folder
        .netc(&["run", "two.nir", "--input", "a=a.npz", "--input", "b=b.npy"])
        .failed(2, &["a.npz", "pass a .npy file"]);
}

#[test]
fn unknown_and_repeated_inputs_are_rejected() {
    let folder = with_inputs().with("one.nir", "netc 1\nfunc @main(%image: f32[N,2]) -> (%image) {}");
    let fails = |model: &str, inputs: &[&str], parts: &[&str]| {
        let inputs = inputs.iter().flat_map(|input| ["--input", input]);
        folder.netc(&["run", model].into_iter().chain(inputs).collect::<Vec<_>>()).failed(2, parts);
    };
    fails("one.nir", &["image=a.npy", "foo=a.npy"], &["no input `foo`", "its only input is `image`"]);
    fails("one.nir", &["imge=a.npy"], &["no input `imge`; did you mean `image`?"]);
    fails("one.nir", &["a.npy", "a.npy"], &["`image` is given twice"]);
    fails("two.nir", &["a=a.npy", "a=b.npy"], &["`a` is given twice"]);
    let ran = folder.netc(&["run", "one.nir", "--input", "a.npy", "--batch", "2"]);
    assert!(ran.code == 2 && ran.err.contains("cannot be used with"), "{ran:?}");
}

#[test]
fn numbers_are_printed_in_scientific_notation() {
    let folder = with_inputs().with("one.nir", "netc 1\nfunc @main(%x: f32[N,2]) -> (%x) {}");
    npy::write(&folder.path("x.npy"), &tensor(&[1, 2], &[f32::NAN, 5e-10])).unwrap();
    let table = folder.netc(&["run", "one.nir", "--input", "x.npy"]).done();
    assert!(table.ends_with("5.000000e-10  5.000000e-10  5.000000e-10    1\n"), "{table}");
    assert_eq!(folder.netc(&["run", "one.nir", "--input", "x.npy", "-o", "y.npy"]).done(), "wrote     y.npy\n");
}

#[test]
fn errors_for_unsupported_layers_explain_layer_libraries() {
    let scale = "netc 1
weight w0 \"scale/0\" : f32[2] = 2.0
weight w1 \"scale/1\" : f32[2] = 1.0
layer l0 \"scale_conv1\" : custom.Scale {config = {axis = -1}} weights {vars/0 = w0, vars/1 = w1}
func @main(%x: f32[N,2]) -> (%y) {
  %y = custom.Scale l0(%x) {args = [$0], kwargs = {}} : any[*]
}
";
    let folder = with_inputs().with("scale.nir", scale);
    folder.refuses(
        &["run", "scale.nir", "--input", "a.npy"],
        &["`scale_conv1` (custom.Scale)", "--layers", "layers/scale.nir"],
    );
    let other = folder.with("other.nir", scale.replace("Scale", "Other"));
    other.refuses(&["run", "other.nir", "--input", "a.npy"], &["the class `Other`", "see docs/guide/custom-layers.md"]);
    let folder = other;
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../layers/scale.nir");
    folder.netc(&["run", "scale.nir", "--input", "a.npy", "--layers", library, "-o", "y.npy"]).done();
    assert_eq!(npy::read(&folder.path("y.npy")).unwrap(), tensor(&[1, 2], &[3.0, 5.0]));
    // Inside another layer, too.
    let declared = "layer l0 \"steps\" : keras.TimeDistributed {config = {layer = {class_name = \"Scale\", module = \"own\", \
                    config = {axis = -1, name = \"scale\"}}}} weights {layer/vars/0 = w0, layer/vars/1 = w1}";
    let (head, tail) = scale.split_once("layer l0").unwrap();
    let body = tail.split_once('\n').unwrap().1;
    let body = body.replace("f32[N,2]", "f32[N,3,2]").replace("custom.Scale", "keras.TimeDistributed");
    let folder = folder.with("steps.nir", format!("{head}{declared}\n{body}"));
    let ran = folder.netc(&["run", "steps.nir", "--layers", library, "-o", "steps.npy"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(folder.path("steps.npy").exists());
    // The library is not written over.
    let folder = folder.with("own.nir", std::fs::read(library).unwrap());
    folder.refuses(
        &["scale.nir", "--layers", "own.nir", "-o", "own.nir"],
        &["`own.nir` is an input, and netc never overwrites an input"],
    );
    for library in ["none.nir", "a.npy"] {
        let shown = format!("layer library `{library}`");
        folder.netc(&["run", "scale.nir", "--input", "a.npy", "--layers", library]).failed(2, &[&shown]);
    }
}

#[test]
fn diff_exits_with_3_if_models_differ() {
    let program = |op: &str| format!("netc 1\nfunc @main(%x: f32[N,2]) -> (%y) {{ %y = {op}(%x) : f32[N,2] }}");
    let folder = Folder::new().with("relu.nir", program("relu")).with("neg.nir", program("neg")).with("two.nir", TWO);
    folder.netc(&["diff", "relu.nir", "relu.nir"]).done();
    let ran = folder.netc(&["diff", "relu.nir", "neg.nir"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("OUTPUTS DIFFER"), "{}", ran.out);
    assert!(ran.err.starts_with("error: outputs differ by up to "), "{}", ran.err);
    let within = folder.netc(&["diff", "relu.nir", "neg.nir", "--tolerance", "10"]).done();
    assert!(within.contains("outputs are within the tolerance of 1.000e1 on "), "{within}");
    let json = folder.netc(&["diff", "relu.nir", "neg.nir", "--tolerance", "10", "--json"]).done();
    assert!(json.contains("\"tolerance\": 10.0") && json.contains("\"passed\": true"), "{json}");
    for wrong in ["nan", "-1", "inf"] {
        assert_eq!(folder.netc(&["diff", "relu.nir", "neg.nir", "--tolerance", wrong]).code, 2, "{wrong}");
    }
    folder.refuses(&["diff", "relu.nir", "two.nir"], &["cannot compare the models"]);
}

#[test]
fn zoo_explains_its_weights() {
    let out = Folder::new().netc(&["zoo"]).done();
    assert!(out.starts_with("model ") && out.ends_with("\nWeights are random, with a fixed seed.\n"), "{out}");
}

#[test]
fn help_begins_with_a_summary() {
    let out = Folder::new().netc(&["-h"]).done();
    assert!(out.starts_with("Split, convert and rewrite neural-network models"), "{out}");
}
