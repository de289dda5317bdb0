//! Tests of the choice of a dialect.

use netc_ir::{ElemType, Op, parse};

use super::*;
use crate::library::LayerLibrary;

/// A dialect with nothing but the required methods.
struct Silent;

impl Dialect for Silent {
    fn owns(&self, class: &str) -> bool {
        class.starts_with("silent.")
    }

    fn lower(&self, _: &mut Builder<'_>, op: OpContext<'_>) -> Result<LoweredOp> {
        Err(LowerError::Unknown { class: op.op.name.clone() })
    }
}

/// A dialect that overrides every default: its layers are operations, its inputs are not layers, and so on.
struct Loud(&'static str);

impl Dialect for Loud {
    fn owns(&self, class: &str) -> bool {
        class.split('.').next() == Some(self.0)
    }

    fn lower(&self, _: &mut Builder<'_>, op: OpContext<'_>) -> Result<LoweredOp> {
        Err(LowerError::Operands(format!("{} had to lower {}", self.0, op.op.name)))
    }

    fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
        Some(name)
    }

    fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        Some(&layer.config)
    }

    fn declares_inside(&self, _: &Layer, _: &str) -> bool {
        true
    }

    fn write_name(&self, layer: &mut Layer) {
        layer.config.set(self.0, &*layer.name);
    }

    fn is_operation(&self, _: &Layer) -> bool {
        true
    }

    fn counts_inputs(&self, _: &Func) -> bool {
        false
    }

    fn is_trainable(&self, _: &Layer) -> Option<bool> {
        Some(self.0 == "a")
    }

    fn set_trainable(&self, layer: &mut Layer, to: bool) {
        layer.config.set(self.0, to);
    }

    fn unfreeze(&self, model: &mut Attrs) {
        model.set(self.0, true);
    }

    fn plain_arguments(&self, _: &CallOp) -> Vec<Name> {
        vec![self.0.into()]
    }

    fn mask_operands(&self, _: &SourceOp) -> Vec<usize> {
        vec![0]
    }

    fn run_order(&self, _: &Func) -> Option<Vec<OpId>> {
        Some(Vec::new())
    }
}

fn layer(class: &str) -> Layer {
    Layer { name: "l".into(), class: class.into(), config: Attrs::new(), weights: Vec::new(), assets: Vec::new() }
}

fn with(frameworks: impl IntoIterator<Item = Box<dyn Dialect>>) -> Dialects {
    let mut dialects = Dialects::new();
    frameworks.into_iter().for_each(|dialect| dialects.push_boxed(dialect));
    dialects
}

#[test]
fn defaults_suit_a_dialect_that_only_owns_and_lowers() {
    let dialects = with([Box::new(Silent) as Box<dyn Dialect>]);
    let mut renamed = layer("silent.X");
    dialects.rename(&mut renamed, "b".into());
    dialects.set_trainable(&mut renamed, false);
    assert_eq!(renamed, Layer { name: "b".into(), ..layer("silent.X") });
    assert_eq!((dialects.class("silent.y.Z"), dialects.settings(&renamed)), ("Z", None));
    assert_eq!((dialects.is_operation(&renamed), dialects.is_trainable(&renamed)), (false, None));
    assert!(dialects.counts_inputs(&Module::new(), &Func::new("f")));
}

#[test]
fn only_its_owner_handles_a_layer() {
    let dialects = with([Box::new(Loud("a")) as Box<dyn Dialect>, Box::new(Silent), Box::new(Loud("b"))]);
    for (class, own) in [("a.X", "a"), ("b.X", "b")] {
        let mut of_own = layer(class);
        dialects.rename(&mut of_own, "new".into());
        assert_eq!(of_own.config, Attrs::new().with(own, "new"), "{class}");
        dialects.set_trainable(&mut of_own, false);
        assert_eq!(of_own.config, Attrs::new().with(own, false), "{class}");
        assert_eq!(dialects.is_trainable(&of_own), Some(own == "a"));
        assert_eq!((dialects.class(class), dialects.settings(&of_own)), (class, Some(&of_own.config)));
        assert!(dialects.is_operation(&of_own) && dialects.declares_inside(&of_own, "x"));
        assert_eq!(dialects.mask_operands(&SourceOp::new(class, None, Attrs::new())), [0]);
    }
    for class in ["silent.X", "c.X", "ab.X", "X"] {
        let mut other = layer(class);
        dialects.rename(&mut other, "new".into());
        dialects.set_trainable(&mut other, false);
        assert_eq!(other, Layer { name: "new".into(), ..layer(class) });
        assert_eq!(
            (dialects.class(class), dialects.settings(&other), dialects.is_trainable(&other)),
            ("X", None, None)
        );
        assert!(!dialects.is_operation(&other) && !dialects.declares_inside(&other, "x"));
        assert!(dialects.mask_operands(&SourceOp::new(class, None, Attrs::new())).is_empty());
    }
}

#[test]
fn a_function_belongs_to_the_owner_of_its_layers() {
    let dialects = with([Box::new(Loud("a")) as Box<dyn Dialect>, Box::new(Silent), Box::new(Loud("b"))]);
    let text = "netc 1
        layer l0 \"in\" : b.Input {}
        layer l1 \"inner\" : a.Model {}
        func @a(%x: f32[2]) -> (%y) { %y = a.X(%x) : f32[2] }
        func @b(%x: f32[2] l0) -> (%x) {}
        func @silent(%x: f32[2]) -> (%y) { %y = silent.X(%x) : f32[2] }
        func @caller(%x: f32[2]) -> (%y) { %y = call @silent l1(%x) : f32[2] }
        func @core(%x: f32[2]) -> (%y) { %y = relu(%x) : f32[2] }";
    let module = parse(text).unwrap();
    for (name, owner) in
        [("a", Some("a")), ("b", Some("b")), ("silent", None), ("caller", Some("a")), ("core", Some("b"))]
    {
        let func = &module[module.func_named(name).unwrap()];
        let expected = owner.map_or_else(Attrs::new, |own| Attrs::new().with(own, true));
        assert_eq!(dialects.unfrozen(&module, func), expected, "{name}");
        assert_eq!(dialects.counts_inputs(&module, func), owner.is_none(), "{name}");
        let count = if owner.is_some() { 0 } else { func.op_ids().count() };
        assert_eq!(dialects.run_order(&module, func).len(), count, "{name}");
        let id = module.func_named(name).unwrap();
        let call = CallOp { callee: id, layer: None, attrs: Attrs::new() };
        let lost: Vec<Name> = owner.into_iter().map(Name::from).collect();
        assert_eq!(dialects.plain_arguments(&module, &call), lost, "{name}");
    }
    let of_layer = |(_, op): (OpId, &Op)| match &op.kind {
        OpKind::Call(call) => dialects.plain_arguments(&module, call),
        OpKind::Source(_) | OpKind::Core(_) => Vec::new(),
    };
    let calls = module[module.func_named("caller").unwrap()].ops().flat_map(of_layer);
    assert_eq!(calls.collect::<Vec<_>>(), [Name::from("a")]);
}

#[test]
fn libraries_override_the_owner_and_define_classes_without_an_owner() {
    let library = LayerLibrary::parse("netc 1\nfunc @Known(%x: any[*]) -> (%y) { %y = relu(%x) : any[*] }").unwrap();
    let mut dialects = with([Box::new(Silent) as Box<dyn Dialect>, Box::new(Loud("b"))]);
    dialects.push_library(library);
    let module = Module::new();
    let types = |name: &str| {
        let op = SourceOp::new(name, None, Attrs::new());
        let types = dialects.result_types(&module, &op, None, &[Type::fixed(ElemType::F32, &[2])]);
        types.map(|types| types[0].to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(types("silent.Known").as_deref(), Ok("f32[2]"));
    assert_eq!(types("unowned.Known").as_deref(), Ok("f32[2]"));
    assert_eq!(types("b.Other"), Err("b had to lower b.Other".into()));
    assert!(types("unowned.Other").unwrap_err().contains("`Other`"));
}
