//! Nested models and Sequential models.

use netc_ir::{Attr, Attrs, Func, Layer, Module, Name, OpKind};

use crate::build::builder::ModelBuilder;
use crate::build::declaration::{float32, shape};
use crate::build::error::{BuildError, Reason};
use crate::build::parts::{Declared, LayerHandle, Tensor, call_attrs};
use crate::config::classes::is_layer_class;

impl ModelBuilder {
    /// Declares a finished model as a layer of this one, under its own name. It takes one tensor per input of the
    /// model.
    pub fn model(&mut self, model: Module) -> LayerHandle {
        let Some(main) = model.main() else {
            self.fail(self.name.clone(), Reason::NoMain);
            return LayerHandle(u32::MAX);
        };
        let (title, sequential) = (text(main, "name").to_owned(), text(main, "class") == "Sequential");
        let name = self.named(title).name("Functional");
        let class = if sequential { "keras.Sequential" } else { "keras.Functional" };
        let config = entry(main, &name, sequential);
        let layer = Layer { name, class: class.into(), config, weights: Vec::new(), assets: Vec::new() };
        let call_attrs = attrs_of_call(main.params.len());
        self.push(layer, Declared { arity: main.params.len(), call_attrs, model: Some(model) })
    }

    /// Finishes a Sequential model.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish), and layers that are not a chain from one input to `output`.
    pub fn finish_sequential(self, output: Tensor) -> Result<Module, BuildError> {
        let title = self.name.clone();
        let last = self.module.layers.get(self.layer_of(output).index()).map_or(title.clone(), |l| l.name.clone());
        let mut module = self.finish(&[(&last, output)])?;
        let chain = module.main().is_some_and(|main| is_chain(&module, main));
        match module.funcs.last_mut() {
            Some(main) if chain => make_sequential(main),
            Some(_) | None => return Err(BuildError { layer: title, reason: Reason::NoChain }),
        }
        Ok(module)
    }
}

/// The layer's entry in `config.json`, without its graph and its calls.
fn entry(main: &Func, name: &Name, sequential: bool) -> Attrs {
    let config = Attrs::new().with("name", &**name).with("trainable", true);
    let input = main.params.first().map_or(Attr::Null, |param| shape(&main[param.value].ty));
    let (module, class, registered, config, built) = if sequential {
        let config = config.with("dtype", float32()).with("build_input_shape", input.clone());
        ("keras", "Sequential", Attr::Null, config, input)
    } else {
        ("keras.src.models.functional", "Functional", Attr::str("Functional"), config, Attr::Null)
    };
    Attrs::new()
        .with("module", module)
        .with("class_name", class)
        .with("config", config)
        .with("registered_name", registered)
        .with("build_config", Attrs::new().with("input_shape", built))
        .with("name", &**name)
}

/// The call attributes for `n` tensors. Keras records a mask for each of them, which is null here.
fn attrs_of_call(n: usize) -> Attrs {
    let operands: Vec<Attr> = (0u32..).take(n).map(Attr::Operand).collect();
    let (args, mask) =
        if n == 1 { (operands, Attr::Null) } else { (vec![Attr::List(operands)], Attr::List(vec![Attr::Null; n])) };
    call_attrs(args, Attrs::new().with("mask", mask))
}

fn text<'a>(main: &'a Func, key: &str) -> &'a str {
    main.attrs.get(key).and_then(Attr::as_str).unwrap_or_default()
}

/// Whether each layer has one call, which reads the result of the one before.
fn is_chain(module: &Module, main: &Func) -> bool {
    let ([param], [output]) = (&main.params[..], &main.outputs[..]) else { return false };
    let mut last = param.value;
    let linked = main.ops().all(|(_, op)| {
        let reads_last = op.operands == [last] && op.results.len() == 1;
        last = op.results.first().copied().unwrap_or(last);
        reads_last && op.kind.layer().is_some_and(|layer| is_layer_class(&module[layer].class))
    });
    // The input layer is one more.
    linked && output.value == last && main.num_ops() > 0 && main.layers().len() == main.num_ops() + 1
}

/// Turns the function into a Sequential model, whose configuration has no calls.
fn make_sequential(main: &mut Func) {
    main.attrs.set("class", "Sequential");
    let attrs = call_attrs(vec![Attr::Operand(0)], Attrs::new());
    let ops: Vec<_> = main.op_ids().collect();
    for op in ops {
        match &mut main[op].kind {
            OpKind::Source(source) => source.attrs = attrs.clone(),
            OpKind::Call(call) => call.attrs = attrs.clone(),
            OpKind::Core(_) => {}
        }
    }
}
