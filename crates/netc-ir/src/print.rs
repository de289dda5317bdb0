//! Prints programs as `.nir` text. Every well-formed module parses back equal.

use std::fmt::{self, Display, Formatter, Write};

use crate::attr::{Attr, Attrs, NonJson};
use crate::id::{FuncId, ValueId};
use crate::literal_text::literal_attr;
use crate::loc::Loc;
use crate::module::{Canonical, Func, Layer, Module, Weight, WeightData};
use crate::op::{CoreOp, Op, OpKind};

/// Prints `module` as `.nir` text.
///
/// ```
/// # let text = "netc 1
/// # func @main(%x: f32[N,4]) -> (%y) {
/// #   %a = relu(%x) : f32[N,4]
/// #   %y = add(%a, %a) : f32[N,4]
/// # }";
/// let module = netc_ir::parse(text)?;
/// let printed = netc_ir::print(&module);
/// assert!(printed.contains("  %y = add(%a, %a) : f32[N,4]"));
/// assert_eq!(netc_ir::parse(&printed)?, module);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn print(module: &Module) -> String {
    ModuleText(module).to_string()
}

struct ModuleText<'a>(&'a Module);

impl Display for ModuleText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let m = self.0;
        f.write_str("netc 1\n")?;
        if !m.attrs.is_empty() {
            writeln!(f, "attrs {}", AttrsText::plain(&m.attrs))?;
        }
        for (i, path) in m.files.iter().enumerate() {
            writeln!(f, "file file{i} = {}", Quoted(path))?;
        }
        for (i, weight) in m.weights.iter().enumerate() {
            writeln!(f, "weight w{i} {}", WeightText(weight))?;
        }
        for (i, layer) in m.layers.iter().enumerate() {
            writeln!(f, "layer l{i} {}", LayerText(layer))?;
        }
        for func in &m.funcs {
            write!(f, "\n{}", FuncText { module: m, func })?;
        }
        Ok(())
    }
}

struct WeightText<'a>(&'a Weight);

impl Display for WeightText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let w = self.0;
        write!(f, "{} : {} = ", Quoted(&w.name), w.ty)?;
        match &w.data {
            WeightData::File { file, offset, len } => write!(f, "bytes({file}, {offset}, {len})"),
            WeightData::Inline(literal) => write!(f, "{}", AttrText::plain(&literal_attr(literal))),
            WeightData::Random { seed, low, high } => write!(f, "rand({seed}, {low:?}, {high:?})"),
        }
    }
}

struct LayerText<'a>(&'a Layer);

impl Display for LayerText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let l = self.0;
        write!(f, "{} : {} {}", Quoted(&l.name), Word(&l.class), AttrsText::plain(&l.config))?;
        for (title, entries) in [("weights", &l.weights), ("assets", &l.assets)] {
            if entries.is_empty() {
                continue;
            }
            write!(f, " {title} {{")?;
            for (i, (place, weight)) in entries.iter().enumerate() {
                write!(f, "{}{} = {weight}", if i == 0 { "" } else { ", " }, Word(place))?;
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// Displays one function as text, for snapshots and reports.
pub struct FuncText<'a> {
    /// The module it belongs to.
    pub module: &'a Module,
    /// The function.
    pub func: &'a Func,
}

impl Display for FuncText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let func = self.func;
        let names = ValueNames { func, numbers: Canonical::of(func) };
        write!(f, "func @{}(", Word(&func.name))?;
        for (i, param) in func.params.iter().enumerate() {
            let value = &func[param.value];
            write!(f, "{}{}: {}", if i == 0 { "" } else { ", " }, names.text(param.value), value.ty)?;
            if value.name.as_ref() != Some(&param.name) {
                write!(f, " {}", Quoted(&param.name))?;
            }
            if let Some(layer) = param.layer {
                write!(f, " {layer}")?;
            }
        }
        f.write_str(") -> (")?;
        for (i, output) in func.outputs.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, names.text(output.value))?;
            if self.func[output.value].name.as_ref() != Some(&output.name) {
                write!(f, " {}", Quoted(&output.name))?;
            }
        }
        f.write_str(")")?;
        if !func.attrs.is_empty() {
            write!(f, " attrs {}", AttrsText::plain(&func.attrs))?;
        }
        f.write_str(" {\n")?;
        for (_, op) in func.ops() {
            write!(f, "  ")?;
            self.op(f, &names, op)?;
            f.write_str("\n")?;
        }
        f.write_str("}\n")
    }
}

impl FuncText<'_> {
    fn op(&self, f: &mut Formatter<'_>, names: &ValueNames<'_>, op: &Op) -> fmt::Result {
        write!(f, "{} = {}", names.list(&op.results), Word(op.kind.name()))?;
        match &op.kind {
            OpKind::Call(call) => write!(f, " {}", FuncName { module: Some(self.module), id: call.callee })?,
            OpKind::Core(CoreOp::Weight(w)) => write!(f, " {w}")?,
            OpKind::Source(_) | OpKind::Core(_) => {}
        }
        if let Some(layer) = op.kind.layer() {
            write!(f, " {layer}")?;
        }
        let arguments = match &op.kind {
            OpKind::Source(source) => source.arguments(&op.operands),
            OpKind::Call(_) | OpKind::Core(_) => op.operands.iter().copied().map(Some).collect(),
        };
        write!(f, "({})", names.arguments(&arguments))?;
        let core_attrs;
        let attrs = match &op.kind {
            OpKind::Core(core) => {
                core_attrs = core.to_attrs();
                &core_attrs
            }
            OpKind::Source(source) => &source.attrs,
            OpKind::Call(call) => &call.attrs,
        };
        if !attrs.is_empty() {
            write!(f, " {}", AttrsText { attrs, module: Some(self.module) })?;
        }
        for (i, value) in op.results.iter().enumerate() {
            write!(f, "{} {}", if i == 0 { " :" } else { "," }, self.func[*value].ty)?;
        }
        LocText(&op.loc).fmt(f)
    }
}

struct ValueNames<'a> {
    func: &'a Func,
    numbers: Canonical,
}

impl ValueNames<'_> {
    fn text(&self, value: ValueId) -> String {
        match (self.func.values.get(value.index()).and_then(|v| v.name.as_ref()), self.numbers[value]) {
            (Some(name), _) if is_word(name) && !name.starts_with(|c: char| c.is_ascii_digit()) => format!("%{name}"),
            (Some(name), _) => format!("%{}", Quoted(name)),
            (None, Some(number)) => format!("%{number}"),
            (None, None) => format!("%undefined{}", value.index()),
        }
    }

    fn list(&self, values: &[ValueId]) -> String {
        values.iter().map(|v| self.text(*v)).collect::<Vec<_>>().join(", ")
    }

    fn arguments(&self, arguments: &[Option<ValueId>]) -> String {
        arguments.iter().map(|v| v.map_or_else(|| "_".into(), |v| self.text(v))).collect::<Vec<_>>().join(", ")
    }
}

struct LocText<'a>(&'a Loc);

impl Display for LocText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let call = |f: &mut Formatter<'_>, loc: &Loc| {
            if let Loc::Call { file, path, call } = loc {
                if let Some(file) = file {
                    write!(f, "{file}, ")?;
                }
                write!(f, "{}", Quoted(path))?;
                if *call > 0 {
                    write!(f, "@{call}")?;
                }
            }
            Ok(())
        };
        match self.0 {
            Loc::Unknown => Ok(()),
            Loc::Call { .. } => {
                f.write_str(" loc(")?;
                call(f, self.0)?;
                f.write_str(")")
            }
            Loc::Fused(locs) => {
                f.write_str(" loc(")?;
                for (i, loc) in locs.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { " + " })?;
                    call(f, loc)?;
                }
                f.write_str(")")
            }
        }
    }
}

/// Displays attributes as `{key = value, ...}`.
struct AttrsText<'a> {
    attrs: &'a Attrs,
    /// The module, to look up the names of functions.
    module: Option<&'a Module>,
}

impl<'a> AttrsText<'a> {
    /// Displays attributes that name no function.
    fn plain(attrs: &'a Attrs) -> Self {
        Self { attrs, module: None }
    }
}

impl Display for AttrsText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let module = self.module;
        f.write_str("{")?;
        for (i, (key, attr)) in self.attrs.iter().enumerate() {
            write!(f, "{}{} = {}", if i == 0 { "" } else { ", " }, Word(key), AttrText { attr, module })?;
        }
        f.write_str("}")
    }
}

/// Displays one attribute.
pub(crate) struct AttrText<'a> {
    attr: &'a Attr,
    /// The module, to look up the names of functions.
    module: Option<&'a Module>,
}

impl<'a> AttrText<'a> {
    /// Displays an attribute that names no function.
    pub(crate) fn plain(attr: &'a Attr) -> Self {
        Self { attr, module: None }
    }
}

impl Display for AttrText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let module = self.module;
        match self.attr {
            Attr::Null => f.write_str("null"),
            Attr::Bool(b) => write!(f, "{b}"),
            Attr::Int(i) => write!(f, "{i}"),
            Attr::Float(x) => write!(f, "{x:?}"),
            Attr::Str(s) => write!(f, "{}", Quoted(s)),
            Attr::Operand(i) => write!(f, "${i}"),
            Attr::Map(attrs) => write!(f, "{}", AttrsText { attrs, module }),
            Attr::List(items) => {
                f.write_str("[")?;
                for (i, attr) in items.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { ", " }, AttrText { attr, module })?;
                }
                f.write_str("]")
            }
            Attr::NonJson(NonJson::Bytes(bytes)) => {
                f.write_str("bytes(\"")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("\")")
            }
            Attr::NonJson(NonJson::Weight(id)) => write!(f, "{id}"),
            Attr::NonJson(NonJson::Func(id)) => write!(f, "{}", FuncName { module, id: *id }),
        }
    }
}

/// Displays a function as `@name`, or by its id if it does not exist.
struct FuncName<'a> {
    module: Option<&'a Module>,
    id: FuncId,
}

impl Display for FuncName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.module.and_then(|module| module.funcs.get(self.id.index())) {
            Some(func) => write!(f, "@{}", Word(&func.name)),
            None => write!(f, "@{}", self.id),
        }
    }
}

/// Displays a word as it is, and any other text in quotes.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_word(self.0) { f.write_str(self.0) } else { write!(f, "{}", Quoted(self.0)) }
    }
}

/// Whether `text` is one word of the grammar.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

pub(crate) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')
}

/// Whether a character is invisible but can control a terminal or the direction of the text around it.
pub fn is_unprintable(c: char) -> bool {
    // Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm.
    let is_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_direction
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if is_unprintable(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
