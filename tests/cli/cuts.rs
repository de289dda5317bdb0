//! Tests of layer names and paths into nested models in all commands that take them.

use serde_json::Value;

use crate::support::{Folder, keras_file};

/// A model with a nested backbone and a head, a mask that both read, and names that need quoting.
const NESTED: &str = r#"netc 1
weight w0 "b0/k" : f32[4,4] = rand(1, -0.5, 0.5)
weight w1 "b1/k" : f32[4,4] = rand(2, -0.5, 0.5)
weight w2 "head/k" : f32[4,2] = rand(3, -0.5, 0.5)
layer l0 "image" : keras.InputLayer {config = {batch_shape = [null, 4], dtype = "float32", name = "image"}}
layer l1 "mask" : keras.InputLayer {config = {batch_shape = [null, 4], dtype = "float32", name = "mask"}}
layer l2 "masked" : keras.Multiply {config = {name = "masked", trainable = true}}
layer l3 "backbone" : keras.Functional {config = {name = "backbone", trainable = true}}
layer l4 "in" : keras.InputLayer {config = {batch_shape = [null, 4], dtype = "float32", name = "in"}}
layer l5 "b0" : keras.Dense {config = {name = "b0", trainable = true, units = 4, activation = "linear", use_bias = false}} weights {vars/0 = w0}
layer l6 "b1" : keras.Dense {config = {name = "b1", trainable = true, units = 4, activation = "linear", use_bias = false}} weights {vars/0 = w1}
layer l7 "a,b" : keras.ReLU {config = {name = "a,b", trainable = true, max_value = null, negative_slope = 0.0, threshold = 0.0}}
layer l8 "again" : keras.Multiply {config = {name = "again", trainable = true}}
layer l9 "head" : keras.Dense {config = {name = "head", trainable = true, units = 2, activation = "linear", use_bias = false}} weights {vars/0 = w2}

func @backbone(%in: f32[N,4] l4) -> (%b1) attrs {class = "Functional", name = "backbone"} {
  %b0 = keras.Dense l5(%in) {args = [$0], kwargs = {}} : f32[N,4] loc("backbone/b0")
  %b1 = keras.Dense l6(%b0) {args = [$0], kwargs = {}} : f32[N,4] loc("backbone/b1")
}

func @main(%image: f32[N,4] l0, %mask: f32[N,4] l1) -> (%head) attrs {class = "Functional", name = "net"} {
  %masked = keras.Multiply l2(%image, %mask) {args = [[$0, $1]], kwargs = {}} : f32[N,4] loc("masked")
  %backbone = call @backbone l3(%masked) {args = [$0], kwargs = {}} : f32[N,4] loc("backbone")
  %relu = keras.ReLU l7(%backbone) {args = [$0], kwargs = {}} : f32[N,4] loc("a,b")
  %again = keras.Multiply l8(%relu, %mask) {args = [[$0, $1]], kwargs = {}} : f32[N,4] loc("again")
  %head = keras.Dense l9(%again) {args = [$0], kwargs = {}} : f32[N,2] loc("head")
}
"#;

fn with_nested() -> Folder {
    Folder::new().with("m.nir", NESTED)
}

/// The same model as a Keras file.
fn with_file() -> Folder {
    Folder::new().with("m.keras", keras_file(&netc_ir::parse(&declared(NESTED)).unwrap()))
}

/// Completes the layer declarations of the program as Keras writes them.
fn declared(program: &str) -> String {
    let declared = |line: &str| {
        let Some((head, config)) = line.split_once(" {config = ").filter(|_| line.starts_with("layer")) else {
            return format!("{line}\n");
        };
        let (name, class) = (head.split('"').nth(1).unwrap(), head.rsplit('.').next().unwrap());
        let module = if class == "Functional" { "keras.src.models.functional" } else { "keras.layers" };
        let object = format!("module = {module:?}, class_name = {class:?}, registered_name = null, name = {name:?}");
        format!("{head} {{{object}, config = {config}\n")
    };
    program.lines().map(declared).collect()
}

#[test]
fn cuts_lists_nested_models_and_inputs_read_on_both_sides() {
    let folder = with_nested();
    let out = folder.netc(&["cuts", "m.nir"]).done();
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..9], ["cut", "tensor", "per", "example", "read", "on", "both", "sides", "params"], "{out}");
    let cuts: Vec<(&str, &str)> = rows[1..].iter().map(|row| (row[0], row[4])).collect();
    let of_mask = ["masked", "backbone/b0", "backbone/b1", "backbone", "\"a,b\""].map(|name| (name, "mask"));
    assert_eq!(cuts[..5], of_mask, "{out}");
    assert_eq!((cuts[5].0, cuts.len()), ("again", 6), "{out}");
    let json: Value = serde_json::from_str(&folder.netc(&["cuts", "m.nir", "--json"]).done()).unwrap();
    for cut in json.as_array().unwrap() {
        let pass = cut["pass"].as_str().unwrap();
        let report = folder.netc(&["m.nir", "--pass", pass]).done();
        assert!(report.contains("1 tensor crosses"), "{report}");
        assert!(report.contains(&format!("pass      {pass}\n")), "{report}");
    }
    assert_eq!(json[4]["name"], "a,b");
    assert_eq!(json[4]["pass"], "split=\"a,b\"");
    assert_eq!(json[0]["read_on_both_sides"], serde_json::json!(["mask"]));
}

#[test]
fn cuts_through_a_tensor_of_unknown_type_are_left_out() {
    let unknown = "%backbone = custom.Own l3(%masked) {args = [$0], kwargs = {}} : any[*] loc(\"backbone\")";
    let known = "%backbone = call @backbone l3(%masked) {args = [$0], kwargs = {}} : f32[N,4] loc(\"backbone\")";
    let text = NESTED.replace(known, unknown).replace("keras.Functional {config", "custom.Own {config");
    let text = text.replace(
        "%relu = keras.ReLU l7(%backbone) {args = [$0], kwargs = {}} : f32[N,4]",
        "%relu = keras.ReLU l7(%backbone) {args = [$0], kwargs = {}} : any[*]",
    );
    let folder = Folder::new().with("m.nir", text);
    let ran = folder.netc(&["cuts", "m.nir", "--json"]);
    assert!(
        ran.err.starts_with("note: not listed: backbone, \"a,b\"; a stage needs the type of the tensor"),
        "{}",
        ran.err
    );
    let cuts: Value = serde_json::from_str(&ran.out).unwrap();
    let names: Vec<&str> = cuts.as_array().unwrap().iter().map(|cut| cut["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["masked", "again"]);
}

#[test]
fn cuts_are_sorted_and_limited() {
    let folder = Folder::new();
    let first = |args: &[&str]| {
        let out = folder.netc(&[&["cuts", "zoo:squeezenet"], args].concat()).done();
        out.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_string()).collect::<Vec<_>>()
    };
    let all = first(&[]);
    assert_eq!(first(&["--top", "3"]), all[..3]);
    let (smallest, even) = (first(&["--sort", "bytes"]), first(&["--sort", "balance", "--top", "1"]));
    assert_eq!(smallest.len(), all.len());
    let json: Value = serde_json::from_str(&folder.netc(&["cuts", "zoo:squeezenet", "--json"]).done()).unwrap();
    let (mut bytes, mut apart) = (Vec::new(), Vec::new());
    for cut in json.as_array().unwrap() {
        let name = cut["name"].as_str().unwrap().to_string();
        let macs = |key: &str| cut[key].as_u64().unwrap();
        bytes.push((cut["bytes_per_example"].as_u64().unwrap(), name.clone()));
        apart.push((macs("multiply_accumulates_before").abs_diff(macs("multiply_accumulates_after")), name));
    }
    assert_eq!(bytes.iter().map(|(bytes, _)| bytes).min(), bytes.iter().find(|(_, n)| *n == smallest[0]).map(|x| &x.0));
    assert_eq!(apart.iter().map(|(n, _)| n).min(), apart.iter().find(|(_, n)| *n == even[0]).map(|x| &x.0));
    folder.netc(&["cuts", "zoo:squeezenet", "--top", "0"]).failed_with_usage();
}

#[test]
fn piped_tables_do_not_depend_on_the_terminal_width() {
    let folder = with_nested();
    let narrow = folder.shell("COLUMNS=20 \"$NETC\" cuts m.nir").done();
    assert_eq!(narrow, folder.netc(&["cuts", "m.nir"]).done());
}

#[test]
fn layers_and_freeze_take_paths() {
    let folder = with_file();
    let layers = |side: &str, name: &str| {
        folder.netc(&["layers", "m.keras", side, name]).done().lines().map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(layers("--above", "backbone/b1"), ["backbone/b1", "a,b", "again", "head"]);
    assert_eq!(layers("--below", "backbone/b1"), ["image", "mask", "masked", "backbone/b0", "backbone/b1"]);
    assert_eq!(layers("--below", "before:backbone/b1"), ["image", "mask", "masked", "backbone/b0"]);
    assert_eq!(layers("--above", "a,b"), ["a,b", "again", "head"]);
    assert_eq!(layers("--below", "backbone"), ["image", "mask", "masked", "backbone"]);
    let report = folder.netc(&["m.keras", "--pass", "freeze=backbone/b0", "-o", "frozen.keras"]).done();
    assert!(report.contains("freeze: 2 layers with 16 parameters are frozen"), "{report}");
    let program = folder.netc(&["frozen.keras", "--emit", "ir"]).done();
    let frozen: Vec<&str> = program.lines().filter(|l| l.contains("trainable = false")).collect();
    assert!(frozen.len() == 2 && frozen[0].contains("\"masked\"") && frozen[1].contains("\"b0\""), "{program}");
}

#[test]
fn inspect_opens_nested_models() {
    let folder = with_file();
    let names = |args: &[&str]| {
        let out = folder.netc(&[&["inspect", "m.keras"], args].concat()).done();
        let rows = out.lines().skip(1).take_while(|line| !line.is_empty());
        rows.map(|line| line.split_whitespace().next().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["image", "mask", "masked", "backbone", "a,b", "again", "head"]);
    let inside = ["backbone", "backbone/in", "backbone/b0", "backbone/b1"];
    assert_eq!(names(&["--nested"])[3..7], inside);
    assert_eq!(names(&["backbone"]), inside);
    assert_eq!(names(&["backbone/b1"]), ["backbone/b1"]);
    let json: Value = serde_json::from_str(&folder.netc(&["inspect", "m.keras", "backbone", "--json"]).done()).unwrap();
    assert_eq!((json["parameters"].as_u64(), json["layers"].as_array().unwrap().len()), (Some(32), 4));
    folder.refuses(&["inspect", "m.keras", "b1"], &["no such layer: `b1`", "did you mean `backbone/b1`?"]);
    folder.refuses(&["inspect", "m.keras", "backbon/b1"], &["did you mean `backbone/b1`"]);
}

#[test]
fn every_command_suggests_the_path_of_a_nested_layer() {
    let folder = with_file();
    let meant = ["no such layer: `b1`", "did you mean `backbone/b1`?"];
    for pass in ["split=b1", "extract=b1..head", "freeze=b1"] {
        folder.refuses(&["m.keras", "--pass", pass, "-o", "out"], &meant);
    }
    folder.refuses(&["layers", "m.keras", "--above", "b1"], &meant);
    folder.refuses(&["m.keras", "--pass", "split=backbone/b11", "-o", "out"], &["did you mean `backbone/b1`"]);
}

#[test]
fn cuts_inside_wrappers_are_explained() {
    let text = NESTED.replace(
        "keras.ReLU {config = {name = \"a,b\"",
        "keras.TimeDistributed {config = {layer = {class_name = \"Dense\", config = {name = \"inner\"}}, name = \"a,b\"",
    );
    let folder =
        Folder::new().with("m.nir", text.replace("keras.ReLU l7", "keras.TimeDistributed l7").replace("a,b", "td"));
    let told = ["`inner` is inside `td` (TimeDistributed), which is applied as one op: cut before or after `td`"];
    folder.refuses(&["m.nir", "--pass", "split=inner"], &told);
    folder.refuses(&["m.nir", "--pass", "split=td/inner"], &["is inside `td` (TimeDistributed)"]);
}

#[test]
fn names_with_commas_are_quoted_and_round_trip() {
    let folder = with_file();
    folder.netc(&["m.keras", "--pass", "split=\"a,b\",backbone/b0", "-o", "out"]).done();
    let passes = folder.json("out/manifest.json")["passes"].clone();
    assert_eq!(passes, serde_json::json!(["split=[\"a,b\",backbone/b0]"]));
    let printed = passes[0].as_str().unwrap();
    folder.netc(&["m.keras", "--pass", printed, "-o", "again"]).done();
    folder.netc(&["m.keras", "--pipeline", printed, "-o", "piped"]).done();
    for again in ["again", "piped"] {
        assert_eq!(folder.read(&format!("{again}/m.stage1.keras")), folder.read("out/m.stage1.keras"));
    }
    folder.netc(&["m.keras", "--pass", "extract=backbone..\"a,b\"", "-o", "part.keras"]).done();
    folder.refuses(&["m.keras", "--pass", "split=a,b", "-o", "no"], &["no such layer: `a`"]);
}

#[test]
fn extract_reports_the_part() {
    let folder = with_file();
    let report = folder.netc(&["m.keras", "--pass", "extract=backbone/b0..backbone/b1"]).done();
    assert!(report.starts_with("model     net_part (Functional), 2 layers, 16 params, 16 MAC\n"), "{report}");
    assert!(report.contains("\noutput    b1 "), "{report}");
    let json: Value =
        serde_json::from_str(&folder.netc(&["m.keras", "--pass", "extract=..masked", "--emit", "json"]).done())
            .unwrap();
    assert_eq!(
        (json["model"].as_str(), json["layers"].as_u64(), json["parameters"].as_u64()),
        (Some("net_part"), Some(3), Some(0))
    );
    assert_eq!(json["outputs"][0]["name"], "masked");
    let split = folder.netc(&["m.keras", "--pass", "split=masked"]).done();
    assert!(split.starts_with("model     net (Functional), 7 layers"), "{split}");
}

/// A custom head whose configuration contains the embedding.
const TIED: &str = r#"netc 1
weight w0 "emb/k" : f32[9,4] = rand(1, -0.5, 0.5)
weight w1 "head/b" : f32[9] = rand(2, -0.5, 0.5)
layer l0 "words" : keras.InputLayer {config = {batch_shape = [null, 5], dtype = "int32", name = "words"}}
layer l1 "emb" : keras.Embedding {config = {name = "emb", trainable = true, input_dim = 9, output_dim = 4}, shared_object_id = 7} weights {vars/0 = w0}
layer l2 "relu" : keras.ReLU {config = {name = "relu", trainable = true, max_value = null, negative_slope = 0.0, threshold = 0.0}}
layer l3 "head" : custom.TiedHead {config = {name = "head", trainable = true, emb = {class_name = "Embedding", config = {name = "emb", trainable = true}, shared_object_id = 7}}} weights {vars/0 = w1}
layer l4 "end" : keras.ReLU {config = {name = "end", trainable = true, max_value = null, negative_slope = 0.0, threshold = 0.0}}

func @main(%words: i32[N,5] l0) -> (%end) attrs {class = "Functional", name = "net"} {
  %emb = keras.Embedding l1(%words) {args = [$0], kwargs = {}} : f32[N,5,4] loc("emb")
  %relu = keras.ReLU l2(%emb) {args = [$0], kwargs = {}} : f32[N,5,4] loc("relu")
  %head = custom.TiedHead l3(%relu) {args = [$0], kwargs = {}} : f32[N,5,9] loc("head")
  %end = keras.ReLU l4(%head) {args = [$0], kwargs = {}} : f32[N,5,9] loc("end")
}
"#;

#[test]
fn no_cut_separates_layers_that_share_weights() {
    let folder = Folder::new().with("m.nir", TIED);
    let table = folder.netc(&["cuts", "m.nir"]).out;
    let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["head"]);
    let reason = "`head` and `emb` share weights";
    folder.refuses(&["m.nir", "--pass", "split=relu", "-o", "s"], &[reason, "after `head`"]);
    folder.refuses(&["m.nir", "--pass", "extract=relu..end", "-o", "s"], &[reason]);
    folder.netc(&["m.nir", "--pass", "split=head"]).done();
}
