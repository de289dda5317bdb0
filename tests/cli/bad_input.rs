//! Input that cannot be done: exit code 1, a message that names the file and the place, nothing left behind.

use netc_ir::{ElemType, Literal, Type, WeightData};

use crate::support::{Folder, keras_file, tiny, tiny_module, zip};

/// Splitting `name` is refused with a message that names the file and has each of `parts`.
#[track_caller]
fn check(folder: &Folder, name: &str, parts: &[&str]) {
    folder.refuses(&[name, "--pass", "split=sum", "-o", "out"], &[parts, &[name]].concat());
}

#[test]
fn not_a_model_at_all() {
    let folder = Folder::new()
        .with("empty.keras", b"")
        .with("text.keras", b"hello")
        .with("old.h5", b"\x89HDF\r\n\x1a\n and more");
    std::fs::create_dir(folder.path("folder.keras")).unwrap();
    check(&folder, "missing.keras", &["No such file"]);
    check(&folder, "folder.keras", &["directory"]);
    check(&folder, "empty.keras", &["empty"]);
    check(&folder, "text.keras", &["it is neither HDF5, nor JSON, nor a zip"]);
    check(&folder, "old.h5", &["HDF5", "superblock"]);
}

#[test]
fn what_was_meant_is_said() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    folder.refuses(&["inspect", "out"], &["give `out/manifest.json`"]);
    std::fs::create_dir(folder.path("web")).unwrap();
    std::fs::write(folder.path("web/model.json"), "{}").unwrap();
    folder.refuses(&["inspect", "web"], &["give `web/model.json`"]);
    folder.refuses(&["resnet50"], &["did you mean `zoo:resnet50`?"]);
    folder.refuses(&["cutz"], &["there is no such file; did you mean `cuts`?"]);
    let ran = folder.netc(&["split", "tiny.keras"]);
    assert!(ran.code == 2 && ran.err.contains("write `netc tiny.keras --pass split`"), "{}", ran.err);
    let ran = folder.netc(&["cutz", "tiny.keras"]);
    let meant = "error: there is no subcommand `cutz`; did you mean `cuts`?\n";
    assert!(ran.code == 2 && ran.err.starts_with(meant), "{}", ran.err);
    folder.refuses(&["layers", "tiny.keras", "--above", "image"], &["`image` is an input of the model: name a layer"]);
    for (args, stray) in [
        (["a.keras", "b.keras"].as_slice(), "b.keras"),
        (&["a.keras", "--verify", "3"], "3"),
        (&["--pass", "dce", "a.keras", "b.keras"], "b.keras"),
    ] {
        let ran = folder.netc(args);
        assert!(ran.code == 2 && ran.err.contains(&format!("unexpected argument `{stray}`")), "{}", ran.err);
    }
}

#[test]
fn an_archive_without_its_parts() {
    let h5 = member(&tiny(), "model.weights.h5");
    let config = member(&tiny(), "config.json");
    let folder = Folder::new()
        .with("no_config.keras", zip(&[("metadata.json", b"{}"), ("model.weights.h5", &h5)]))
        .with("no_weights.keras", zip(&[("metadata.json", b"{}"), ("config.json", &config)]))
        .with("bad_weights.keras", zip(&[("config.json", &config), ("model.weights.h5", b"not HDF5")]))
        .with("nothing.keras", zip(&[]))
        .with("fine.keras", zip(&[("config.json", &config), ("model.weights.h5", &h5)]));
    check(&folder, "no_config.keras", &["config.json"]);
    check(&folder, "no_weights.keras", &["model.weights.h5"]);
    check(&folder, "bad_weights.keras", &["model.weights.h5"]);
    check(&folder, "nothing.keras", &["config.json"]);
    folder.netc(&["diff", "fine.keras", "zoo:tiny"]).done();
}

#[test]
fn json_that_is_not_a_model() {
    let h5 = member(&tiny(), "model.weights.h5");
    let model = |config: &str| zip(&[("config.json", config.as_bytes()), ("model.weights.h5", &h5)]);
    let subclassed =
        r#"{"module": null, "class_name": "MyModel", "config": {"name": "m"}, "registered_name": "Custom>MyModel"}"#;
    let folder = Folder::new()
        .with("truncated.keras", model("{\"class_name\": "))
        .with("list.keras", model("[1, 2]"))
        .with("object.keras", model("{\"a\": 1}"))
        .with("deep.keras", model(&"[".repeat(100_000)))
        .with("subclassed.keras", model(subclassed));
    check(&folder, "truncated.keras", &["config.json", "not JSON"]);
    check(&folder, "list.keras", &["config.json", "expected a model"]);
    check(&folder, "object.keras", &["config.json", "expected a model"]);
    check(&folder, "deep.keras", &["config.json", "not JSON"]);
    check(&folder, "subclassed.keras", &["`MyModel` is a subclassed model", "call", "functional"]);
}

/// `tiny` with one part of its configuration replaced by another.
fn tiny_with(from: &str, to: &str) -> Vec<u8> {
    let config = String::from_utf8(member(&tiny(), "config.json")).unwrap();
    assert!(config.contains(from), "{config}");
    zip(&[
        ("config.json", config.replacen(from, to, 1).as_bytes()),
        ("model.weights.h5", &member(&tiny(), "model.weights.h5")),
    ])
}

#[test]
fn a_configuration_that_does_not_fit() {
    let folder = Folder::new()
        .with("padding.keras", tiny_with(r#""padding": "same""#, r#""padding": "sideways""#))
        .with("filters.keras", tiny_with(r#""filters": 4"#, r#""filters": 5"#))
        .with("layer.keras", tiny_with(r#""keras_history": ["conv", 0, 0]"#, r#""keras_history": ["nowhere", 0, 0]"#))
        .with("call.keras", tiny_with(r#""keras_history": ["conv", 0, 0]"#, r#""keras_history": ["conv", 7, 0]"#))
        .with("cycle.keras", tiny_with(r#""keras_history": ["image", 0, 0]"#, r#""keras_history": ["norm", 0, 0]"#))
        .with("twice.keras", tiny_with(r#""name": "norm", "inbound"#, r#""name": "conv", "inbound"#));
    check(&folder, "padding.keras", &["layer `conv`", "padding", "sideways"]);
    check(&folder, "layer.keras", &["`nowhere`"]);
    check(&folder, "call.keras", &["`conv`"]);
    check(&folder, "cycle.keras", &["cycle"]);
    check(&folder, "twice.keras", &["two layers are named `conv`"]);
}

#[test]
fn weights_that_are_missing_or_of_the_wrong_shape() {
    let mut missing = tiny_module();
    let logits = missing.layers.iter().position(|l| &*l.name == "logits").unwrap();
    missing.layers[logits].weights.pop();
    let mut wrong = tiny_module();
    let kernel = wrong.layers[logits].weights[0].1;
    let literal = Literal::splat(ElemType::F32, &[3, 10], 0.5);
    wrong[kernel].ty = Type::fixed(ElemType::F32, &[3, 10]);
    wrong[kernel].data = WeightData::Inline(literal);
    let folder = Folder::new().with("missing.keras", keras_file(&missing)).with("wrong.keras", keras_file(&wrong));
    check(&folder, "missing.keras", &["layer `logits`", "vars/1", "missing"]);
    check(&folder, "wrong.keras", &["layer `logits`", "3"]);
}

#[test]
fn places_that_are_no_cuts() {
    let folder = Folder::with_tiny();
    let refuses = |cut: &str, parts: &[&str]| {
        folder.refuses(&["tiny.keras", "--pass", &format!("split={cut}"), "-o", "out"], parts)
    };
    refuses("brnch", &["there is no layer `brnch`", "did you mean `branch`"]);
    refuses("image", &["`image` is an input of the model"]);
    refuses("before:conv", &["nothing is computed before `conv`"]);
    refuses("logits", &["nothing is computed after `logits`"]);
    refuses("#99", &["`#99` is out of range"]);
    refuses("sum,sum", &["given twice"]);
}

#[test]
fn programs_that_are_none() {
    let deep = format!("netc 1\nattrs {{a = {}", "[".repeat(200_000));
    let maps = format!("netc 1\nattrs {}", "{a = ".repeat(200_000));
    let dims = format!("netc 1\nfunc @main(%x: f32[{}N]) -> () {{}}", "floor(".repeat(200_000));
    let folder = Folder::new()
        .with("empty.nir", "")
        .with("binary.nir", b"\xff\xfe\0")
        .with("deep.nir", deep)
        .with("maps.nir", maps)
        .with("dims.nir", dims)
        .with("type.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = relu(%x) : f32[3]\n}")
        .with("name.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = relu(%z) : f32[2]\n}")
        .with("nomain.nir", "netc 1\nfunc @other(%x: f32[2]) -> (%x) {}")
        .with("loop.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = call @main(%x) : f32[2]\n}")
        .with("far.nir", "netc 1\nfile file0 = \"gone.bin\"\nweight w0 \"w\" : f32[2] = bytes(file0, 18446744073709551610, 8)\nfunc @main() -> (%y) {\n  %y = weight w0() : f32[2]\n}");
    let refuses = |name: &str, parts: &[&str]| folder.refuses(&[name], &[parts, &[name]].concat());
    refuses("empty.nir", &["line 1"]);
    refuses("binary.nir", &["UTF-8"]);
    refuses("deep.nir", &["line 2"]);
    refuses("maps.nir", &["line 2"]);
    refuses("dims.nir", &["line 2"]);
    refuses("type.nir", &["V2", "f32[2]"]);
    refuses("name.nir", &["line 3, column 13", "not defined"]);
    refuses("nomain.nir", &["no function `@main`"]);
    refuses("loop.nir", &["V6"]);
    folder.refuses(&["run", "far.nir"], &["gone.bin"]);
    folder.refuses(&["diff", "far.nir", "far.nir"], &["gone.bin"]);
    let padded = folder.with("gone.bin", [0; 16]);
    padded.refuses(&["run", "far.nir"], &["gone.bin", "18446744073709551610"]);
}

/// The bytes of a stored member of a zip archive.
pub(crate) fn member(zip: &[u8], name: &str) -> Vec<u8> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let mut entry = u32_at(end + 16);
    for _ in 0..u16_at(end + 10) {
        let (size, name_len, extra, comment) =
            (u32_at(entry + 20), u16_at(entry + 28), u16_at(entry + 30), u16_at(entry + 32));
        let local = u32_at(entry + 42);
        if &zip[entry + 46..entry + 46 + name_len] == name.as_bytes() {
            let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
            return zip[start..start + size].to_vec();
        }
        entry += 46 + name_len + extra + comment;
    }
    panic!("the archive has no `{name}`");
}
