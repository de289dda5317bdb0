//! What the dialect answers about declarations, calls and models.

use netc_ir::{CallOp, Func, Layer, Module, Name, OpKind, print};

use crate::lower::tests::dialects;

/// The start of a program whose layer `l0` is a Keras input.
const INPUT: &str = "netc 1\nlayer l0 \"x\" : keras.InputLayer {}\n";

/// A layer of the class `class` with this configuration.
fn declared(class: &str, config: &str) -> Layer {
    let text = format!("netc 1\nlayer l0 \"own\" : {class} {{{config}}}");
    netc_ir::parse(&text).unwrap().layers.remove(0)
}

/// `layer` as text, from its class on.
fn text(layer: Layer) -> String {
    let mut module = Module::new();
    module.add_layer(layer);
    print(&module).split_once(" : ").unwrap().1.trim().into()
}

#[test]
fn operations_are_not_layers() {
    let dialects = dialects();
    for (class, expected) in
        [("keras.ops.Add", true), ("keras.Add", false), ("custom.ops.Add", false), ("tf.nn.relu", false)]
    {
        assert_eq!(dialects.is_operation(&declared(class, "")), expected, "{class}");
    }
}

#[test]
fn only_sequential_models_omit_their_inputs() {
    for (class, expected) in [("Functional", true), ("Sequential", false)] {
        let text = format!("{INPUT}func @main(%x: f32[2] l0) -> (%x) attrs {{class = \"{class}\"}} {{}}");
        let module = netc_ir::parse(&text).unwrap();
        assert_eq!(dialects().counts_inputs(&module, module.main().unwrap()), expected, "{class}");
    }
    assert!(dialects().counts_inputs(&Module::new(), &Func::default()));
}

#[test]
fn tensorflow_operations_keep_their_full_names() {
    let dialects = dialects();
    assert_eq!(
        ["tf.math.digamma", "keras.ops.Add", "custom.Scale"].map(|name| dialects.class(name)),
        ["tf.math.digamma", "Add", "Scale"]
    );
}

#[test]
fn settings_are_the_configuration() {
    let layer = declared("custom.Scale", "config = {axis = 1}, axis = 2");
    let settings = |layer| dialects().settings(layer).map(|settings| format!("{:?}", settings.get("axis")));
    assert_eq!(settings(&layer).as_deref(), Some("Some(Int(1))"));
    assert_eq!(settings(&declared("custom.Scale", "axis = 2")), None);
}

#[test]
fn renaming_updates_every_occurrence_of_the_name() {
    for (before, after) in [
        (
            "config = {name = \"own\", units = 2}, name = \"own\"",
            "config = {name = \"new\", units = 2}, name = \"new\"",
        ),
        ("config = {name = \"own\"}", "config = {name = \"new\"}"),
        ("config = {units = 2}, name = \"own\"", "config = {units = 2}, name = \"new\""),
        ("config = {layer = {name = \"own\"}}", "config = {layer = {name = \"own\"}}"),
    ] {
        let mut layer = declared("keras.Dense", before);
        dialects().rename(&mut layer, "new".into());
        assert_eq!((&*layer.name, text(layer.clone())), ("new", format!("keras.Dense {{{after}}}")));
    }
}

#[test]
fn inner_layers_are_found_by_name() {
    let config =
        r#"config = {name = "own", layer = {config = {name = "in"}}, cells = [{name = "first"}]}, name = "own""#;
    let layer = declared("keras.RNN", config);
    for (name, expected) in [("in", true), ("first", true), ("own", false), ("other", false)] {
        assert_eq!(dialects().declares_inside(&layer, name), expected, "{name}");
    }
}

#[test]
fn freezing_includes_inner_layers_and_adds_no_key() {
    for (to, before, after) in [
        (false, "config = {trainable = true, units = 2}", "config = {trainable = false, units = 2}"),
        (true, "config = {trainable = false}", "config = {trainable = true}"),
        (
            false,
            "config = {trainable = true, layer = {config = {trainable = true}}, cells = [{trainable = true}]}",
            "config = {trainable = false, layer = {config = {trainable = false}}, cells = [{trainable = false}]}",
        ),
        (false, "config = {units = 2}, trainable = true", "config = {units = 2}, trainable = true"),
        (false, "config = {trainable = \"yes\"}", "config = {trainable = \"yes\"}"),
    ] {
        let mut layer = declared("keras.Dense", before);
        dialects().set_trainable(&mut layer, to);
        assert_eq!(text(layer), format!("keras.Dense {{{after}}}"));
    }
}

#[test]
fn trainability_is_read_from_the_configuration() {
    for (config, expected) in [
        ("config = {trainable = true}", Some(true)),
        ("config = {trainable = false}", Some(false)),
        ("config = {units = 2}, trainable = true", None),
        ("config = {trainable = \"yes\"}", None),
    ] {
        assert_eq!(dialects().is_trainable(&declared("keras.Dense", config)), expected, "{config}");
    }
}

#[test]
fn unfreeze_changes_only_frozen_models() {
    for (before, after) in [
        (
            "object = {config = {trainable = false, name = \"m\"}}",
            "object = {config = {trainable = true, name = \"m\"}}",
        ),
        ("object = {config = {name = \"m\"}}", "object = {config = {name = \"m\"}}"),
        ("config = {trainable = false}", "config = {trainable = false}"),
    ] {
        let text = format!("{INPUT}\nfunc @main(%x: f32[2] l0) -> (%x) attrs {{{before}}} {{\n}}\n");
        let mut module = netc_ir::parse(&text).unwrap();
        module.funcs[0].attrs = dialects().unfrozen(&module, &module.funcs[0]);
        assert_eq!(print(&module), text.replace(before, after));
    }
}

#[test]
fn calls_tell_masks_from_plain_arguments() {
    for (attrs, masks, plain) in [
        ("{args = [$0], kwargs = {mask = $1, training = false}}", &[1][..], &["training"][..]),
        ("{args = [[$0, $1]], kwargs = {mask = [$2, null, $1]}}", &[2, 1], &[]),
        ("{args = [$0, 3], kwargs = {mask = null, states = [$1], k = {a = 1}}}", &[], &["k"]),
        ("{mask = $1, training = true}", &[], &[]),
    ] {
        let program = format!(
            "netc 1\nfunc @main(%x: f32[2], %y: f32[2], %z: f32[2]) -> (%r) {{ %r = keras.LSTM(%x, %y, %z) {attrs} : f32[2] }}"
        );
        let module = netc_ir::parse(&program).unwrap();
        let main = module.main().unwrap();
        let OpKind::Source(source) = &main.ops().next().unwrap().1.kind else { panic!("not a source op") };
        assert_eq!(dialects().mask_operands(source), masks, "{attrs}");
        let call = CallOp { callee: module.func_named("main").unwrap(), layer: None, attrs: source.attrs.clone() };
        assert_eq!(
            dialects().plain_arguments(&module, &call),
            plain.iter().map(|p| Name::from(*p)).collect::<Vec<_>>(),
            "{attrs}"
        );
    }
}
