//! Tests of files in other formats: recognised by their bytes, whatever their names, with advice what to do.

use crate::support::{Folder, zip};

/// Checks that every command rejects a file with `bytes`, under any name and also as weights, with an error that
/// contains each of `parts`.
#[track_caller]
fn check(bytes: &[u8], parts: &[&str]) {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    let mut folder = folder;
    for name in ["x.keras", "x.h5", "x.json", "x", "x.nir"] {
        folder = folder.with(name, bytes);
        folder.refuses(&["inspect", name], &[parts, &["cannot read", name]].concat());
    }
    for args in [
        &["x.keras", "--pass", "split=sum", "-o", "out"][..],
        &["x.keras", "-o", "y.keras"],
        &["cuts", "x.keras"],
        &["layers", "x.keras", "--below", "sum"],
        &["run", "x.keras"],
        &["diff", "tiny.keras", "x.keras"],
        &["merge", "x.keras", "-o", "y.keras"],
        &["tiny.json", "--weights", "x.keras", "-o", "y.keras"],
    ] {
        folder.refuses(args, &[parts, &["x.keras"]].concat());
    }
}

/// A length-delimited field of a protocol buffers message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

/// A node of a TensorFlow graph, with a name and an operation.
fn node() -> Vec<u8> {
    [field(1, b"x"), field(2, b"Placeholder")].concat()
}

#[test]
fn onnx() {
    // Fields: ir_version, producer_name, graph with one node, opset_import.
    let model = [vec![8, 9], field(2, b"pytorch"), field(7, &field(1, b"\x0a\x01x\x12\x01y")), field(8, b"\x10\x11")];
    check(&model.concat(), &["it is an ONNX model, which netc does not read"]);
}

#[test]
fn pytorch() {
    let say = "which netc does not read";
    check(&zip(&[("m/data.pkl", b"\x80\x02}."), ("m/version", b"3\n")]), &["a PyTorch file made by `torch.save`", say]);
    let script: [(&str, &[u8]); 3] = [("m/data.pkl", b"."), ("m/constants.pkl", b"."), ("m/code/m.py", b"")];
    check(&zip(&script), &["a PyTorch TorchScript archive", say]);
    check(&zip(&[("m/archive_format", b"pt2"), ("m/models/model.json", b"{}")]), &["a .pt2 archive", say]);
    check(
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
        &["a PyTorch file made by `torch.save`", say],
    );
    check(&tar("sys_info"), &["a tar archive made by PyTorch before 0.1.10", say]);
}

/// The header of a member of a tar archive.
fn tar(member: &str) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..member.len()].copy_from_slice(member.as_bytes());
    header[257..263].copy_from_slice(b"ustar\0");
    header
}

#[test]
fn tensorflow() {
    let saved = "which netc does not read";
    // The version of the schema, and a meta graph.
    check(&[vec![8, 1], field(2, &field(1, b"\x0a\0"))].concat(), &["a TensorFlow SavedModel", saved]);
    check(&zip(&[("m/saved_model.pb", b"x")]), &["a TensorFlow SavedModel", saved]);
    check(&[field(1, &node()), field(4, b"\x08\x15")].concat(), &["a frozen TensorFlow graph"]);
    check(b"\x1c\0\0\0TFL3\x14\0\x20\0", &["a TFLite model", "the model that it was converted from"]);
    let checkpoint = &["a TensorFlow checkpoint", "weights without a model"];
    check(&[&[0; 40][..], b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"].concat(), checkpoint);
    check(b"model_checkpoint_path: \"ckpt-1\"\n", checkpoint);
}

#[test]
fn weights_without_a_model() {
    check(b"GGUF\x03\0\0\0", &["a GGUF file"]);
    check(b"\x08\0\0\0\0\0\0\0{\"a\":{}}", &["a safetensors file: weights without a model"]);
    check(&zip(&[("a.npy", b"\x93NUMPY"), ("b.npy", b"\x93NUMPY")]), &["a NumPy .npz file: arrays without a model"]);
    check(b"\x93NUMPY\x01\0", &["a NumPy array"]);
}

#[test]
fn wrappings() {
    check(b"\x1f\x8b\x08\0\0\0\0\0", &["compressed with gzip", "`gunzip`"]);
    check(b"\xfd7zXZ\0", &["compressed with xz"]);
    check(&tar("model.keras"), &["a tar archive", "`tar -xf`"]);
    check(b"\x80\x04K\x01.", &["a Python pickle"]);
    check(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", &["a Git LFS pointer", "`git lfs pull`"]);
    check(b"\n<!DOCTYPE html>\n<html>", &["a web page"]);
}

/// Which formats are read is what the table has.
#[test]
fn the_formats_that_are_read_are_listed() {
    let folder = Folder::new().with("x.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.");
    let say = "save the model in a format that netc reads: keras, h5, tfjs, json, nir";
    folder.refuses(&["inspect", "x.pt"], &["a PyTorch file made by `torch.save`", say]);
}

#[test]
fn other_zip_archives_lack_a_configuration() {
    let folder = Folder::new().with("x.zip", zip(&[("a.txt", b"a")]));
    folder.refuses(&["inspect", "x.zip"], &["x.zip", "the archive has no `config.json`", "a .keras file holds"]);
}

#[test]
fn folders_and_checkpoints() {
    for (file, part) in [
        ("saved_model.pb", "a TensorFlow SavedModel"),
        ("checkpoint", "a TensorFlow checkpoint"),
        ("variables.index", "a TensorFlow checkpoint"),
        ("model.safetensors", "a Hugging Face Transformers folder"),
        ("a.txt", "it is a directory"),
    ] {
        let folder = Folder::with_tiny();
        std::fs::create_dir(folder.path("m")).unwrap();
        let folder = folder.with(&format!("m/{file}"), b"x");
        folder.refuses(&["inspect", "m"], &["`m`", part]);
        folder.refuses(&["tiny.keras", "--weights", "m", "-o", "x.keras"], &["`m`", part]);
    }
    let folder = Folder::new().with("c.index", b"x").with("c.data-00000-of-00001", b"\0\0\x80?");
    for name in ["c", "c.data-00000-of-00001"] {
        folder.refuses(&["inspect", name], &[name, "a TensorFlow checkpoint"]);
    }
}

#[test]
fn text_is_not_mistaken_for_protocol_buffers() {
    for text in ["\n hello, this is a text, and it goes on", "\x08\x08", "hello", "\n\x0ahello\x12\x02"] {
        let folder = Folder::new().with("x.keras", text);
        folder.refuses(&["inspect", "x.keras"], &["x.keras", "the format is unknown; netc reads"]);
    }
    let folder = Folder::new().with("x.txt", "netc 1\nfunc @main(%x: f32[2]) -> (%x) {}\n");
    folder.refuses(&["inspect", "x.txt"], &["x.txt", "a netc program", ".nir"]);
}

#[test]
fn other_kinds_of_json_are_named() {
    for (text, part) in [
        (r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE"}}"#, "it is a tokenizer"),
        (r#"{"name": "app", "version": "1.0.0", "dependencies": {}}"#, "it is a package.json"),
        (r#"{"keras_version": "3.0.0", "date_saved": "x"}"#, "it is the metadata of a .keras file"),
        (r#"{"architectures": ["BertModel"], "model_type": "bert"}"#, "a configuration of Hugging Face Transformers"),
        (r#"[{"paths": ["group1-shard1of1.bin"], "weights": []}]"#, "it is a list of weights of TensorFlow.js"),
        (r#"{"format": "graph-model", "modelTopology": {"node": []}, "weightsManifest": []}"#, "it is a graph model"),
        (r#"{"metadata": {}, "weight_map": {"a.weight": "m-1.safetensors"}}"#, "weight shards of PyTorch or safet"),
        (
            r#"{"weight_map": {"/layers/dense/vars": "m.weights.h5"}}"#,
            "give the model too: `netc model.json --weights x.",
        ),
        (r#"{"a": 1, "b": 2}"#, "it is JSON, but not a model: its keys are `a`, `b`; a Keras model has `class_name`"),
        ("[1, 2]", "it is JSON, but not an object"),
        ("7", "the format is unknown"),
        (r#"{"module": "keras.layers", "class_name": "Dense", "config": {}}"#, "the configuration of a layer `Dense`"),
    ] {
        for name in ["x.json", "x.txt"] {
            let folder = Folder::new().with(name, text);
            folder.refuses(&["inspect", name], &[name, part]);
        }
    }
}

#[test]
fn a_manifest_is_recognised_by_its_content() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    std::fs::copy(folder.path("out/manifest.json"), folder.path("out/stages")).unwrap();
    assert!(folder.netc(&["diff", "tiny.keras", "out/stages"]).done().contains("outputs are equal bit for bit"));
}
