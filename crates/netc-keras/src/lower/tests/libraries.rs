//! Layers whose meaning is in a layer library.

use netc_dialect::{Dialects, LayerLibrary};

use super::{check_error, dialects, layer};

fn with_library(text: &str) -> Dialects {
    let mut dialects = dialects();
    dialects.push_library(LayerLibrary::parse(text).unwrap());
    dialects
}

#[test]
fn the_scale_library_works_along_any_axis() {
    let dialects = with_library(include_str!("../../../../../layers/scale.nir"));
    let weights = [("vars/0", "f32[3]"), ("vars/1", "f32[3]")];
    for (config, x, shape) in [
        ("axis = -1", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("axis = [3]", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("name = \"without\"", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("axis = 1", "f32[N,3,9,9]", "f32[1,3,1,1]"),
    ] {
        let (types, text) = layer("custom.Scale", config, &weights, &[x]).lower_with(&dialects).unwrap();
        assert_eq!(types[0].to_string(), x, "{config}");
        assert_eq!(text.matches(shape).count(), 2, "{config}\n{text}");
    }
}

/// Twice its input times a weight.
const TWICE: &str = "netc 1
    func @Twice(%x: any[*], %w: any[*]) -> (%y) {
      %sum = add(%x, %x) : any[*]
      %y = mul(%sum, %w) : any[*]
    }";

#[test]
fn a_layer_of_a_library_may_be_inside_another() {
    let twice = "class_name = \"Twice\", module = \"own\", config = {name = \"twice\"}";
    let input = "{class_name = \"InputLayer\", module = \"keras.layers\", config = {name = \"in\"}}";
    let model = format!(
        "class_name = \"Sequential\", module = \"keras\", config = {{name = \"m\", layers = [{input}, {{{twice}}}]}}"
    );
    let dialects = with_library(TWICE);
    for (inner, weight) in [(twice, "layer/vars/0"), (&model, "layer/layers/twice/vars/0")] {
        let (config, weights) = (format!("layer = {{{inner}}}"), [(weight, "f32[3]")]);
        let case = layer("keras.TimeDistributed", &config, &weights, &["f32[N,5,3]"]);
        let (types, text) = case.lower_with(&dialects).unwrap_or_else(|error| panic!("{inner}: {error}"));
        assert_eq!(types[0].to_string(), "f32[N,5,3]", "{inner}");
        assert!(text.contains("= add(") && text.contains("= mul("), "{inner}: {text}");
        check_error(case, "`TimeDistributed` with the inner layer `Twice` is not supported");
    }
}
