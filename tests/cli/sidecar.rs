//! Tests of programs with their large weights in a `.safetensors` file next to them.

use std::fs;
use std::path::Path;

use netc_data::Store;
use netc_ir::{Module, WeightData};
use serde_json::Value;

use crate::support::Folder;

const SIMPLIFY: [&str; 3] = ["tiny.keras", "--pipeline", "@simplify"];

/// Parses a program, with the paths of its files relative to the folder.
fn program(folder: &Folder, name: &str) -> Module {
    let mut module = netc_ir::parse(&fs::read_to_string(folder.path(name)).unwrap()).unwrap();
    for file in &mut module.files {
        *file = folder.path(file).to_string_lossy().into();
    }
    module
}

fn bytes(module: &Module) -> Vec<(String, Vec<u8>)> {
    let store = Store::open(module).unwrap();
    module.weights.iter().map(|w| (w.name.to_string(), store.read(w).unwrap())).collect()
}

#[test]
fn computed_weights_are_written_as_valid_safetensors() {
    let folder = Folder::with_tiny();
    let printed = folder.netc(&[&SIMPLIFY[..], &["--emit", "ir"]].concat()).done();
    let report = folder.netc(&[&SIMPLIFY[..], &["-o", "x.nir"]].concat()).done();
    assert!(report.contains("wrote     x.nir\n") && report.contains("wrote     x.safetensors\n"), "{report}");
    let folder = folder.with("printed.nir", &printed);
    let module = program(&folder, "x.nir");
    assert_eq!(bytes(&module), bytes(&program(&folder, "printed.nir")));
    assert!(module.weights.iter().all(|w| !matches!(&w.data, WeightData::Inline(l) if l.bytes.len() > 256)));
    let file = folder.read("x.safetensors");
    let len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + len]).unwrap();
    assert_eq!(len % 8, 0);
    let mut end = 0;
    for weight in module.weights.iter().filter(|w| header.get(&*w.name).is_some()) {
        let entry = &header[&*weight.name];
        let [from, to] = [0, 1].map(|i| entry["data_offsets"][i].as_u64().unwrap() as usize);
        assert_eq!(from, end);
        end = to;
        let place = WeightData::File {
            file: netc_ir::FileId::new(1),
            offset: (8 + len + from) as u64,
            len: (to - from) as u64,
        };
        assert_eq!((&weight.data, entry["dtype"].as_str()), (&place, Some("F32")));
    }
    assert_eq!(8 + len + end, file.len());
    folder.netc(&["x.nir", "--pass", "dce", "--verify"]).done();
    assert!(folder.netc(&["diff", "x.nir", "printed.nir"]).done().contains("equal bit for bit"));
}

#[test]
fn an_unrelated_file_is_replaced_only_with_force() {
    let folder = Folder::with_tiny().with("x.safetensors", "precious");
    let write = [&SIMPLIFY[..], &["-o", "x.nir"]].concat();
    let refused = ["`x.safetensors`, which would be replaced too, is not part of a model at `x.nir`", "`--force`"];
    folder.refuses(&write, &refused);
    assert!(folder.read("x.safetensors") == b"precious" && !folder.path("x.nir").exists());
    // A program at `x.nir` that does not use the file makes no difference.
    let folder = folder.with("x.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%x) {\n}\n");
    folder.refuses(&write, &refused);
    let ran = folder.netc(&[&write[..], &["--force"]].concat());
    assert!(ran.code == 0 && ran.out.contains("replaced `x.safetensors`"), "{}{}", ran.out, ran.err);
    // The file now belongs to the program, and is replaced with it.
    folder.netc(&write).done();
}

#[test]
fn weights_that_are_in_files_are_not_copied() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "x.nir"]).done();
    assert!(!folder.path("x.safetensors").exists());
}

#[test]
fn weight_files_of_the_input_are_not_overwritten() {
    let folder = Folder::with_tiny();
    folder.netc(&[&SIMPLIFY[..], &["-o", "x.nir"]].concat()).done();
    fs::create_dir(folder.path("other")).unwrap();
    folder.netc(&["x.nir", "--pass", "dce", "-o", "other/x.nir"]).done();
    assert!(!Path::new(&folder.path("other/x.safetensors")).exists(), "all large weights are in a file already");
    folder.netc(&["diff", "x.nir", "other/x.nir", "--allow-path", "."]).done();
    // An additional constant would overwrite the weight file of the input.
    let text = String::from_utf8(folder.read("x.nir")).unwrap();
    let last = text.lines().filter(|line| line.starts_with("weight ")).count();
    let numbers = vec!["0.5"; 99].join(", ") + ", 1.0";
    let weight = format!("weight w{last} \"more\" : f32[100] = [{numbers}]\n");
    let (head, tail) = text.split_once("\nfunc ").unwrap();
    let at = head.find("\nlayer ").map_or(head.len(), |at| at);
    let text = format!("{}\n{weight}{}\nfunc {tail}", &head[..at], &head[at..]);
    let folder = folder.with("y.nir", text);
    folder.refuses(&["y.nir", "-o", "x.nir"], &["`x.safetensors` is an input, and netc never overwrites an input"]);
    folder.netc(&["y.nir", "-o", "z.nir"]).done();
    assert!(folder.path("z.safetensors").exists());
}
