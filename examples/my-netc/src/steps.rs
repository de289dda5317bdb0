//! A custom format: a text file with one line per step of a calculation on one tensor.
//!
//! ```text
//! steps
//! x f32[2,3]
//! a tanh x
//! y relu a
//! ```

use std::io;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_format::{
    Format, FormatError, Framework, Imported, ModelRef, ReadOptions, Reader, Sink, Source, Writer, Written,
};
use netc_ir::{Builder, CoreOp, ElemType, MAIN, Module, OpKind, Type, Unary, ValueId};

pub const FRAMEWORK: Framework = Framework { formats: &[&STEPS], dialect: None };

const STEPS: Format = Format {
    extensions: &["steps"],
    reader: Some(&Steps),
    writer: Some(&Steps),
    ..Format::new("steps", "text with one line per step")
};

struct Steps;

impl Reader for Steps {
    fn sniff(&self, source: &Source) -> bool {
        source.head().starts_with(b"steps\n")
    }

    fn read(&self, source: &Source, _: &ReadOptions<'_>, _: &Dialects) -> Result<Imported, FormatError> {
        let failed = |error: io::Error| FormatError::read(source.path(), error);
        let text = source.text().map_err(failed)?;
        let module = parse(&text).map_err(|note| failed(io::Error::other(note)))?;
        Ok(Imported { module, notes: Vec::new(), is_own: false })
    }
}

fn parse(text: &str) -> Result<Module, String> {
    let mut module = Module::new();
    let mut b = Builder::new(&module, MAIN);
    let mut last: Option<(&str, ValueId)> = None;
    for (number, line) in text.lines().enumerate().skip(1) {
        let expected = |what: &str| format!("line {}: expected {what}, found `{line}`", number + 1);
        let words: Vec<&str> = line.split(' ').collect();
        last = Some(match (&words[..], last) {
            (&[name, dims], None) => {
                let dims = dims.strip_prefix("f32[").and_then(|dims| dims.strip_suffix(']'));
                let dims: Option<Vec<u64>> = dims.and_then(|d| d.split(',').map(|n| n.parse().ok()).collect());
                let ty = Type::fixed(ElemType::F32, &dims.ok_or_else(|| expected("`NAME f32[2,3]`"))?);
                (name, b.param(name, ty, None))
            }
            (&[name, function, operand], Some((before, value))) if operand == before => {
                let function = Unary::parse(function).ok_or_else(|| expected("a function"))?;
                let result = b.unary(function, value).map_err(|error| expected(&error.to_string()))?;
                b.name(result, name);
                (name, result)
            }
            _ => return Err(expected("`NAME FUNCTION NAME` with the name of the previous line")),
        });
    }
    let (name, value) = last.ok_or("it has no input")?;
    let main = b.finish([(name.into(), value)]);
    module.add_func(main);
    Ok(module)
}

impl Writer for Steps {
    fn write(&self, model: ModelRef<'_>, _: &Store, sink: &mut dyn Sink) -> Result<Written, FormatError> {
        let func = &model.module[model.func];
        let unsupported = |note: String| FormatError::Unsupported { model: func.name.clone(), source: note.into() };
        let ([param], [output]) = (&func.params[..], &func.outputs[..]) else {
            return Err(unsupported("it must have one input and one output".into()));
        };
        let mut text = format!("steps\n{} {}\n", param.name, func[param.value].ty);
        let mut names = std::collections::BTreeMap::from([(param.value, param.name.to_string())]);
        for (id, op) in func.ops() {
            let OpKind::Core(CoreOp::Unary(function)) = &op.kind else {
                return Err(unsupported(format!("`{}` is not a unary op", op.kind.name())));
            };
            let name = func[op.results[0]].name.as_ref().map_or_else(|| id.to_string(), ToString::to_string);
            text.push_str(&format!("{name} {} {}\n", function.name(), names[&op.operands[0]]));
            names.insert(op.results[0], name);
        }
        let failed = |error: io::Error| FormatError::Write { model: func.name.clone(), source: error.into() };
        let checksums = vec![sink.write_main(text.as_bytes()).map_err(failed)?];
        Ok(Written { inputs: vec![param.name.to_string()], outputs: vec![output.name.to_string()], checksums })
    }
}
