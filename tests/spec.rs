//! Runs the examples of `ir-spec/`, the specification of the IR.
//!
//! The info string of a fenced block selects the check:
//!
//! | block | the module in it |
//! |---|---|
//! | `nir` | parses, verifies, and prints as text that parses back equal |
//! | `nir prints` | as `nir`, and prints as exactly this text |
//! | `nir fails C2` | breaks the op's constraint C2 (rule V2) and nothing else |
//! | `nir fails V5` | breaks rule V5 and nothing else |
//! | `nir rejects TEXT` | does not parse, and the error contains TEXT |
//! | `eval` | is the preceding `nir` block: `%x = ...` gives an input, `-> %y = ...` the exact bits of an output |
//!
//! In `eval`, `~> %y = ...` allows a relative difference of 1e-6, and `-> error` expects the run to fail.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use netc_data::Store;
use netc_exec::{Plan, Tensor};
use netc_ir::{CORE_OPS, ElemType, MAIN, Module, Number, Violations, WeightData, parse, print, verify};

/// Relative difference allowed by `~>`.
const TOLERANCE: f64 = 1e-6;

#[test]
fn every_example_passes_its_check() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages("") {
        let mut module = None;
        for example in examples(&page.text) {
            count += 1;
            if let Err(note) = check(&example, &mut module) {
                wrong.push(format!("{}:{}: `{}`: {note}", page.name, example.line, example.info));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} examples fail:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_core_op_has_a_page() {
    let found: BTreeSet<String> = pages("ops").iter().map(Page::stem).filter(|stem| stem != "README").collect();
    let expected: BTreeSet<String> = CORE_OPS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(found, expected, "the pages in ir-spec/ops/ and the ops in netc_ir::CORE_OPS differ");
    for (page, (name, summary)) in op_pages() {
        let head = format!("# {name}\n\n{summary}\n");
        assert!(page.text.starts_with(&head), "{}: expected it to begin with:\n{head}", page.name);
        for section in ["Semantics", "Operands", "Attributes", "Result", "Constraints", "Fidelity", "Examples"] {
            assert!(page.text.contains(&format!("\n## {section}\n")), "{}: no section `{section}`", page.name);
        }
        let infos: Vec<_> = examples(&page.text).into_iter().map(|e| e.info).collect();
        assert!(infos.iter().any(|i| i == "nir") && infos.iter().any(|i| i == "eval"), "{}: no example", page.name);
    }
}

#[test]
fn every_constraint_has_a_failing_example() {
    for (page, _) in op_pages() {
        let numbered = page.text.lines().filter_map(|l| Some(l.strip_prefix("- (")?.split_once(')')?.0.to_string()));
        let numbered: BTreeSet<String> = numbered.collect();
        let broken = examples(&page.text).into_iter().filter_map(|e| broken_constraint(&e.info).map(str::to_string));
        assert_eq!(numbered, broken.collect(), "{}: constraints, and constraints with a failing example", page.name);
    }
}

#[test]
fn the_index_of_ops_is_up_to_date() {
    let list: String = CORE_OPS.iter().map(|(name, summary)| format!("- [{name}]({name}.md): {summary}\n")).collect();
    let fresh = format!(
        "# Core ops\n\nOne page per op. `UPDATE_SPEC=1 cargo test -p netc-tests --test spec` generates this list from \
         `netc_ir::CORE_OPS`.\nThe rules common to all ops are in [types.md](../types.md#arithmetic).\n\n{list}"
    );
    let path = spec_dir().join("ops/README.md");
    if std::env::var_os("UPDATE_SPEC").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, fresh, "ir-spec/ops/README.md is stale: run with UPDATE_SPEC=1 to write it");
}

/// Runs the check that the info string of an example selects. `module` is the module for `eval`.
fn check(example: &Example, module: &mut Option<Module>) -> Result<(), String> {
    let (kind, rest) = example.info.split_once(' ').unwrap_or((&example.info, ""));
    let (verb, what) = rest.split_once(' ').unwrap_or((rest, ""));
    match (kind, verb) {
        ("nir", "" | "prints") => {
            let parsed = check_module(&example.text)?;
            if verb == "prints" {
                same("printed text", &print(&parsed), &example.text)?;
            }
            *module = Some(parsed);
            Ok(())
        }
        ("nir", "fails") => check_fails(&example.text, what),
        ("nir", "rejects") => {
            let constraint = broken_constraint(&example.info).map_or_else(String::new, |c| format!("{c}: "));
            check_rejects(&example.text, what.strip_prefix(&*constraint).unwrap_or(what))
        }
        ("eval", "") => check_eval(module.as_ref().ok_or("there is no `nir` block before it")?, &example.text),
        ("text" | "ebnf" | "json", "") => Ok(()),
        _ => Err("unknown kind of block".into()),
    }
}

fn check_module(text: &str) -> Result<Module, String> {
    let module = parse(text).map_err(|e| e.to_string())?;
    verify(&module).map_err(|e| e.to_string())?;
    let printed = print(&module);
    let again = parse(&printed).map_err(|e| format!("the printed text does not parse: {e}\n{printed}"))?;
    if again == module { Ok(module) } else { Err(format!("the printed text parses to another module:\n{printed}")) }
}

fn check_fails(text: &str, what: &str) -> Result<(), String> {
    let module = parse(text).map_err(|e| format!("does not parse: {e}"))?;
    let Err(Violations(found)) = verify(&module) else { return Err("verifies, expected a violation".into()) };
    let (rule, note) = match what.split_at(1) {
        ("C", number) => ("2", format!("breaks constraint C{number}:")),
        (_, number) => (number, String::new()),
    };
    let fits = found.iter().all(|v| v.rule.to_string() == rule && v.note.contains(&note));
    if fits { Ok(()) } else { Err(format!("found: {}", Violations(found))) }
}

fn check_rejects(text: &str, what: &str) -> Result<(), String> {
    match parse(text) {
        Ok(_) => Err("parses, expected an error".into()),
        Err(e) if e.to_string().contains(what) => Ok(()),
        Err(e) => Err(format!("found: {e}")),
    }
}

/// Runs `@main` on the inputs and compares the outputs.
fn check_eval(module: &Module, text: &str) -> Result<(), String> {
    let statements = statements(text);
    let main = module.func_named(MAIN).ok_or("no @main")?;
    let find = |lead: &str, name: &str| statements.iter().find(|s| s.lead == lead && s.name == name);
    let inputs = module[main].params.iter().map(|p| {
        let given = find("", &p.name).ok_or_else(|| format!("no input %{}", p.name))?;
        tensor(module[main][p.value].ty.elem, &given.value)
    });
    let inputs = inputs.collect::<Result<Vec<_>, String>>()?;
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let run = Plan::new(module, main, &store).and_then(|plan| plan.run(&inputs));
    if find("->", "error").is_some() {
        return run.map_or(Ok(()), |outputs| Err(format!("expected an error, found {outputs:?}")));
    }
    let outputs = run.map_err(|e| e.to_string())?;
    for (output, found) in module[main].outputs.iter().zip(outputs) {
        let exact = find("->", &output.name);
        let expected =
            exact.or_else(|| find("~>", &output.name)).ok_or_else(|| format!("no output %{}", output.name))?;
        let wanted = tensor(module[main][output.value].ty.elem, &expected.value)?;
        let alike = if exact.is_some() { same_number } else { near };
        let fits = wanted.ty() == found.ty() && wanted.numbers().zip(found.numbers()).all(|(a, b)| alike(a, b));
        if !fits {
            let numbers: Vec<_> = found.numbers().collect();
            return Err(format!("expected %{} = {}, found {} {numbers:?}", output.name, expected.value, found.ty()));
        }
    }
    Ok(())
}

/// Whether two numbers have the same bits; all NaNs are equal.
fn same_number(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Float(a), Number::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}

fn near(expected: Number, found: Number) -> bool {
    let (a, b) = (expected.as_f64(), found.as_f64());
    same_number(expected, found) || (a - b).abs() <= TOLERANCE * a.abs()
}

/// One line of an `eval` block: `%x = ...`, `-> %y = ...`, `~> %y = ...` or `-> error`.
struct Statement {
    lead: &'static str,
    name: String,
    value: String,
}

fn statements(text: &str) -> Vec<Statement> {
    let lines = text.lines().map(|line| {
        let lead = ["->", "~>"].into_iter().find(|l| line.starts_with(l)).unwrap_or("");
        let (name, value) = line[lead.len()..].split_once('=').unwrap_or((&line[lead.len()..], ""));
        Statement { lead, name: name.trim().trim_start_matches('%').into(), value: value.trim().into() }
    });
    lines.collect()
}

/// Parses nested lists of numbers as a tensor, using the IR's parser for the numbers.
fn tensor(elem: ElemType, text: &str) -> Result<Tensor, String> {
    let mut chars = text.chars().filter(|c| !c.is_whitespace()).peekable();
    let dims =
        shape(&mut chars).ok_or_else(|| format!("`{text}` is not a tensor: expected nested lists of equal lengths"))?;
    let ty = dims.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let module = parse(&format!("netc 1 weight w0 \"\" : {elem}[{ty}] = {text}")).map_err(|e| e.to_string())?;
    let WeightData::Inline(literal) = &module.weights[0].data else { return Err(format!("`{text}` is not a tensor")) };
    Tensor::new(elem, &dims, literal.bytes.to_vec()).map_err(|e| e.to_string())
}

/// The extents of nested lists; `None` if lists of the same level differ in length.
fn shape(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<Vec<u64>> {
    if chars.next_if_eq(&'[').is_none() {
        while chars.next_if(|c| !matches!(c, ',' | ']')).is_some() {}
        return Some(Vec::new());
    }
    let (mut count, mut inner) = (0, None);
    while chars.next_if_eq(&']').is_none() {
        let item = shape(chars)?;
        if inner.get_or_insert_with(|| item.clone()) != &item {
            return None;
        }
        count += 1;
        if chars.next_if_eq(&',').is_none() && chars.peek() != Some(&']') {
            return None;
        }
    }
    Some(std::iter::once(count).chain(inner.unwrap_or_default()).collect())
}

fn same(what: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} differs, found:\n{found}")) }
}

/// The constraint that an example deliberately breaks.
fn broken_constraint(info: &str) -> Option<&str> {
    let what = info.strip_prefix("nir fails ").or_else(|| info.strip_prefix("nir rejects "))?;
    Some(what.split(':').next().unwrap_or(what)).filter(|c| c.starts_with('C'))
}

struct Page {
    name: String,
    text: String,
}

impl Page {
    fn stem(&self) -> String {
        Path::new(&self.name).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }
}

/// A fenced block: its info string, its text and its first line.
struct Example {
    info: String,
    line: usize,
    text: String,
}

fn examples(page: &str) -> Vec<Example> {
    let mut out = Vec::new();
    let mut open: Option<Example> = None;
    for (i, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some(Example { info: info.trim().into(), line: i + 1, text: String::new() }),
            (Some(_), Some(_)) => out.extend(open.take()),
            (None, Some(example)) => example.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    out
}

fn spec_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ir-spec")
}

/// The pages in a folder of the specification, in order. The empty folder stands for all pages.
fn pages(folder: &str) -> Vec<Page> {
    let mut found = BTreeMap::new();
    let folders = if folder.is_empty() { vec!["", "ops"] } else { vec![folder] };
    for folder in folders {
        for entry in fs::read_dir(spec_dir().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                let name = format!("ir-spec/{}", path.strip_prefix(spec_dir()).unwrap().display());
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found.into_iter().map(|(name, text)| Page { name, text }).collect()
}

/// The page of each core op, with its name and summary.
fn op_pages() -> impl Iterator<Item = (Page, (&'static str, &'static str))> {
    pages("ops").into_iter().filter_map(|page| {
        let stem = page.stem();
        CORE_OPS.iter().find(|(name, _)| *name == stem).map(|op| (page, *op))
    })
}
