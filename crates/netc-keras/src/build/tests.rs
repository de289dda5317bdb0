//! Tests of the builder that the zoo does not cover.

use netc_ir::{Attr, Attrs, ElemType, LayerId, Module, OpKind, Type, print, verify};

use crate::build::builder::ModelBuilder;
use crate::build::conv::{self, Conv2d};
use crate::build::declaration::{Declaration, Init, Origin};
use crate::build::error::{BuildError, Reason};
use crate::build::layers::{Dense, Pool2d};
use crate::build::parts;

fn names(module: &Module) -> Vec<&str> {
    module.layers.iter().map(|l| &*l.name).collect()
}

#[test]
fn layers_without_a_name_are_numbered_by_class() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let a = m.dense(x, Dense::default());
    let b = m.named("dense_5").dense(a, Dense::default());
    let c = m.dense(b, Dense::default());
    let module = m.finish(&[("dense_1", c)])?;
    assert_eq!(names(&module), ["input_layer", "dense", "dense_5", "dense_1"]);
    Ok(())
}

#[test]
fn shared_layer_is_declared_once() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[8, 8, 3]);
    let once = m.conv2d(x, Conv2d { filters: 3, padding: conv::Padding::Same, ..Conv2d::default() });
    let twice = m.apply(m.layer_of(once), &[once]);
    let sum = m.add(&[once, twice]);
    let module = m.finish(&[("add", sum)])?;
    verify(&module).expect("the module is valid");
    assert_eq!(names(&module), ["input_layer", "conv2d", "add"]);
    let main = module.main().expect("an entry");
    let locs: Vec<String> = main.ops().map(|(_, op)| op.loc.to_string()).collect();
    assert_eq!(locs, ["conv2d", "conv2d@1", "add"]);
    Ok(())
}

#[test]
fn unused_layers_are_dropped() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.named("used").input(&[4]);
    m.named("unused").input(&[4]);
    let y = m.named("kept").dense(x, Dense::default());
    m.named("dead").dense(y, Dense::default());
    let module = m.finish(&[("y", y)])?;
    assert_eq!(names(&module), ["used", "unused", "kept"]);
    assert_eq!(module.weights.len(), 2);
    assert_eq!(module.main().map(|f| f.params.len()), Some(2));
    Ok(())
}

#[test]
fn operations_carry_their_constants() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let y = m.op("numpy", "Multiply", Attrs::new(), vec![Attr::from(2.0), Attr::Operand(0)], &[x]);
    let module = m.finish(&[("multiply", y)])?;
    let text = print(&module);
    assert!(text.contains("keras.ops.Multiply"), "{text}");
    assert!(text.contains("args = [2.0, $0]"), "{text}");
    assert_eq!(module.layers[1].config.get("registered_name").and_then(Attr::as_str), Some("Multiply"));
    Ok(())
}

#[test]
fn results_of_an_unsupported_layer_have_unknown_types() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let y = m.custom(x, "Odd", "Custom>Odd", Attrs::new(), [(vec![4], Init::factor())]);
    assert_eq!(m.ty(y), Type::unranked(ElemType::Any));
    let module = m.finish(&[("odd", y)])?;
    let main = module.main().expect("an entry");
    let layer = main.ops().next().and_then(|(_, op)| match &op.kind {
        OpKind::Source(op) => op.layer,
        OpKind::Call(_) | OpKind::Core(_) => None,
    });
    assert_eq!(layer, Some(LayerId::new(1)));
    assert_eq!(&*module.layers[1].class, "custom.Odd");
    Ok(())
}

/// Checks the error of `build`: its layer and the reason.
#[track_caller]
fn check_error(build: impl FnOnce(&mut ModelBuilder) -> parts::Tensor, layer: &str, reason: &str) {
    let mut m = ModelBuilder::new("m", 0);
    let y = build(&mut m);
    let error = m.finish(&[("y", y)]).expect_err("a mistake");
    assert_eq!((&*error.layer, error.reason.to_string().as_str()), (layer, reason));
}

#[test]
fn first_error_is_reported_with_its_layer() {
    check_error(
        |m| {
            let x = m.named("x").input(&[4]);
            let y = m.named("x").dense(x, Dense::default());
            m.named("pool").max_pooling2d(y, Pool2d::default())
        },
        "x",
        "another layer has the same name",
    );
    check_error(
        |m| {
            let x = m.input(&[4]);
            let y = m.named("odd").custom(x, "Odd", "Custom>Odd", Attrs::new(), []);
            m.named("fc").dense(y, Dense::default())
        },
        "fc",
        "its input is any[*], but its weights need a known extent at axis -1",
    );
    check_error(
        |m| {
            let x = m.input(&[4]);
            let y = m.named("sum").add(&[x, x]);
            m.apply(m.layer_of(y), &[x])
        },
        "sum",
        "it is applied to 1 tensors, expected 2",
    );
}

#[test]
fn tensors_of_another_model_are_rejected() {
    let mut other = ModelBuilder::new("other", 0);
    let x = other.input(&[4]);
    let far = other.dense(x, Dense::default());
    check_error(|m| m.named("fc").dense(far, Dense::default()), "fc", "it uses a tensor of another model");
    check_error(
        |m| {
            let x = m.input(&[5]);
            let encoder = m.model(encoder().expect("a model"));
            m.apply(encoder, &[x])
        },
        "encoder",
        "it is applied to f32[N,5], expected f32[N,4]",
    );
    let error = ModelBuilder::new("m", 0).finish(&[]).expect_err("no outputs");
    assert!(matches!(error.reason, Reason::NoOutputs));
}

fn encoder() -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("encoder", 1);
    let x = m.named("x").input(&[4]);
    let y = m.named("inside").dense(x, Dense { units: 3, ..Dense::default() });
    m.finish(&[("inside", y)])
}

#[test]
fn nested_model_is_a_layer_and_a_function() -> Result<(), BuildError> {
    let mut outer = ModelBuilder::new("outer", 0);
    let [a, b] = [outer.input(&[4]), outer.input(&[4])];
    let encoder = outer.model(encoder()?);
    let made = [a, b].map(|x| outer.apply(encoder, &[x]));
    let sum = outer.add(&made);
    let outer = outer.finish(&[("add", sum)])?;
    let mut m = ModelBuilder::new("m", 0);
    let x = m.named("input").input(&[4]);
    let nested = m.model(outer);
    let y = m.apply(nested, &[x, x]);
    let module = m.finish(&[("outer", y)])?;
    verify(&module).expect("the module is valid");
    assert_eq!(names(&module), ["input", "outer", "input_layer", "input_layer_1", "encoder", "x", "inside", "add"]);
    let funcs: Vec<&str> = module.funcs.iter().map(|f| &*f.name).collect();
    assert_eq!(funcs, ["outer/encoder", "outer", "main"]);
    let weights: Vec<&str> = module.weights.iter().map(|w| &*w.name).collect();
    assert_eq!(weights, ["outer/encoder/inside/vars/0", "outer/encoder/inside/vars/1"]);
    let locs: Vec<String> = module.funcs.iter().flat_map(|f| f.ops()).map(|(_, op)| op.loc.to_string()).collect();
    assert_eq!(locs, ["outer/encoder/inside", "outer/encoder", "outer/encoder@1", "outer/add", "outer"]);
    Ok(())
}

#[test]
fn sequential_model_is_a_chain() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.named("x").input(&[4]);
    let y = m.named("a").softmax(x);
    let z = m.named("b").dense(y, Dense::default());
    let module = m.finish_sequential(z)?;
    assert_eq!(module.main().and_then(|f| f.attrs.get("class")).and_then(Attr::as_str), Some("Sequential"));
    // The configuration of a Sequential model has no calls and no call arguments.
    assert_eq!(print(&module).matches("args = [$0], kwargs = {}").count(), 2);

    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let y = m.softmax(x);
    let sum = m.add(&[x, y]);
    let error = m.finish_sequential(sum).expect_err("a branch");
    assert!(matches!(error.reason, Reason::NoChain));
    Ok(())
}

#[test]
fn layers_may_have_several_results() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.named("x").input(&[4]);
    let config = Attrs::new().with("indices_or_sections", 2).with("axis", 1);
    let split = Declaration::op("numpy", "Split", config, vec![Attr::Operand(0)]);
    let halves = m.named("halves").layer_all(&split, &[x]);
    let module = m.finish(&[("halves", halves[1])])?;
    assert!(print(&module).contains("%halves, %halves.out1 = keras.ops.Split"), "{}", print(&module));
    Ok(())
}

#[test]
fn weights_of_inner_layers_are_in_file_order() -> Result<(), BuildError> {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let weight = || (vec![4], Init::factor());
    let declaration = Declaration::keras("Odd", Attrs::new()).weights([weight()]);
    let declaration = declaration.sublayer("up", [weight()]).sublayer("down", [weight(), weight()]);
    let y = m.layer(&Declaration { origin: Origin::Custom("Custom>Odd".into()), ..declaration }, &[x]);
    let module = m.finish(&[("odd", y)])?;
    let places: Vec<&str> = module.layers[1].weights.iter().map(|(place, _)| &**place).collect();
    assert_eq!(places, ["down/vars/0", "down/vars/1", "up/vars/0", "vars/0"]);
    Ok(())
}
