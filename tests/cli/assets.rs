//! Tests of assets: files of layers in the archive of a model.

use netc_keras::build::{Declaration, Dense, ModelBuilder, Origin, Tensor};

use crate::bad_input::member;
use crate::support::{Folder, keras_file, zip};

/// A layer library for the custom layer `Table`.
const TABLE: &str = "netc 1\nfunc @Table(%x: any[*]) -> (%y) {\n  %y = neg(%x) : any[*]\n}\n";

/// A layer `name` of the class `Table` with two asset files.
fn table(m: &mut ModelBuilder, name: &str, x: Tensor) -> Tensor {
    let declaration = Declaration::keras("Table", Default::default()).asset("words.txt", name.as_bytes());
    let declaration = declaration.asset("inner/more words", b"\xff\0\n");
    m.named(name).layer(&Declaration { origin: Origin::Custom("Custom>Table".into()), ..declaration }, &[x])
}

/// A model with two tables, the second in a nested model.
fn whole() -> Vec<u8> {
    let mut inner = ModelBuilder::new("inner", 1).with_library(TABLE);
    let x = inner.named("inner_x").input(&[4]);
    let x = inner.named("inside").dense(x, Dense { units: 4, ..Dense::default() });
    let y = table(&mut inner, "second", x);
    let inner = inner.finish(&[("y", y)]).unwrap();
    let mut m = ModelBuilder::new("m", 0).with_library(TABLE);
    let x = m.named("x").input(&[4]);
    let x = table(&mut m, "first", x);
    let x = m.named("between").dense(x, Dense { units: 4, ..Dense::default() });
    let inner = m.named("inner").model(inner);
    let y = m.apply(inner, &[x]);
    let y = m.named("last").dense(y, Dense { units: 2, ..Dense::default() });
    keras_file(&m.finish(&[("y", y)]).unwrap())
}

const FIRST: &str = "assets/layers/table/words.txt";
const SECOND: &str = "assets/layers/functional/layers/table/words.txt";

#[test]
fn stages_have_the_assets_of_their_layers() {
    let folder = Folder::new().with("whole.keras", whole());
    assert_eq!((member(&whole(), FIRST), member(&whole(), SECOND)), (b"first".to_vec(), b"second".to_vec()));
    folder.netc(&["whole.keras", "-o", "again.keras"]).done();
    assert_eq!(folder.read("again.keras"), whole());
    folder.netc(&["whole.keras", "--pass", "split=between", "-o", "out"]).done();
    let [first, second] = ["out/whole.stage0.keras", "out/whole.stage1.keras"].map(|stage| folder.read(stage));
    assert_eq!(member(&first, FIRST), b"first");
    assert_eq!(member(&first, "assets/layers/table/inner/more words"), b"\xff\0\n");
    assert_eq!(member(&second, SECOND), b"second");
    assert!(!second.windows(FIRST.len()).any(|name| name == FIRST.as_bytes()));
    folder.netc(&["merge", "out/manifest.json", "-o", "merged.keras"]).done();
    assert_eq!(folder.read("merged.keras"), whole());
}

#[test]
fn assets_may_be_empty() {
    let mut m = ModelBuilder::new("m", 0).with_library(TABLE);
    let x = m.named("x").input(&[4]);
    let empty = Declaration::keras("Table", Default::default()).asset("empty.txt", b"").asset("z/also.txt", b"");
    let x = m.named("t").layer(&Declaration { origin: Origin::Custom("Custom>Table".into()), ..empty }, &[x]);
    let x = m.named("between").dense(x, Dense { units: 4, ..Dense::default() });
    let x = table(&mut m, "full", x);
    let whole = keras_file(&m.finish(&[("y", x)]).unwrap());
    let folder = Folder::new().with("whole.keras", &whole).with("table.nir", TABLE);
    folder.netc(&["whole.keras", "-o", "again.keras"]).done();
    assert_eq!(folder.read("again.keras"), whole);
    folder.netc(&["whole.keras", "--pass", "split=between", "-o", "out"]).done();
    for name in ["assets/layers/table/empty.txt", "assets/layers/table/z/also.txt"] {
        assert_eq!(member(&folder.read("out/whole.stage0.keras"), name), b"");
    }
    folder.netc(&["merge", "out/manifest.json", "-o", "merged.keras"]).done();
    assert_eq!(folder.read("merged.keras"), whole);
    folder.netc(&["whole.keras", "-o", "whole.nir"]).done();
    folder.netc(&["whole.nir", "-o", "of_program.keras"]).done();
    assert_eq!(folder.read("of_program.keras"), whole);
    folder.netc(&["run", "whole.keras", "--layers", "table.nir"]);
}

#[test]
fn a_cut_inside_a_nested_model_keeps_its_assets() {
    let folder = Folder::new().with("whole.keras", whole());
    folder.netc(&["whole.keras", "--pass", "split=inner/inside", "-o", "out"]).done();
    let second = folder.read("out/whole.stage1.keras");
    assert_eq!(member(&second, "assets/layers/table/words.txt"), b"second");
}

#[test]
fn programs_contain_assets() {
    let folder = Folder::new().with("whole.keras", whole());
    folder.netc(&["whole.keras", "-o", "whole.nir"]).done();
    folder.netc(&["whole.nir", "-o", "again.keras"]).done();
    assert_eq!(folder.read("again.keras"), whole());
    let text = String::from_utf8(folder.read("whole.nir")).unwrap().replacen("words.txt = ", "../words.txt = ", 1);
    let folder = folder.with("out.nir", text);
    folder.refuses(&["out.nir", "-o", "x.keras"], &["V15", "`../words.txt` is not a path in a folder"]);
}

#[test]
fn hdf5_files_cannot_hold_assets() {
    let folder = Folder::new().with("whole.keras", whole());
    folder.refuses(&["whole.keras", "-o", "x.h5"], &["layer `first`", "it has assets", "write the model as .keras"]);
}

/// An archive with the given members next to the configuration and the weights.
fn with_members(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (config, weights) = (member(&whole(), "config.json"), member(&whole(), "model.weights.h5"));
    zip(&[&[("config.json", &*config), ("model.weights.h5", &*weights)], members].concat())
}

#[test]
fn asset_names_outside_of_their_folder_are_rejected() {
    for name in [
        "assets/../x",
        "assets//etc/passwd",
        "assets/layers/table/../../../x",
        "assets/a\\..\\b",
        "assets/./x",
        "assets/..",
    ] {
        let folder = Folder::new().with("x.keras", with_members(&[(name, b"x")]));
        folder.refuses(&["x.keras", "-o", "y.keras"], &["x.keras", &format!("`{name}` is not a path in a folder")]);
    }
}

#[test]
fn folders_are_not_assets_and_unused_assets_are_reported() {
    let members: &[(&str, &[u8])] =
        &[("assets/", b""), ("assets/layers/table/", b""), (FIRST, b"other"), ("assets/layers/dense_7/a.txt", b"x")];
    let folder = Folder::new().with("x.keras", with_members(members));
    let ran = folder.netc(&["x.keras", "-o", "y.keras"]);
    assert!(ran.out.contains("1 assets belong to no layer and are dropped: layers/dense_7/a.txt"), "{ran:?}");
    assert_eq!(member(&folder.read("y.keras"), FIRST), b"other");
}

#[test]
fn damaged_assets_are_not_copied() {
    let mut bytes = whole();
    let at = bytes.windows(6).rposition(|w| w == b"second").unwrap();
    bytes[at] ^= 1;
    let folder = Folder::new().with("x.keras", &bytes);
    folder.refuses(&["x.keras", "-o", "y.keras"], &["x.keras", &format!("`{SECOND}` is damaged")]);
}
