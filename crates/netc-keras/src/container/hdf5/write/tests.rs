//! Reads written files back with `hdf5-pure`.

use std::sync::Arc;

use hdf5_pure::{AttrValue, File};
use netc_ir::{Budget, ElemType, Literal, Number, Type, WeightData};

use super::*;
use crate::container::hdf5::read;
use crate::container::variable;

/// Writes the tree as a file.
fn written(tree: &Tree, module: &Module) -> Vec<u8> {
    let (mut bytes, store) = (Vec::new(), Store::open(module).unwrap());
    lay_out(tree, module).unwrap().write(module, &store, &mut Hashed::new(&mut bytes)).unwrap();
    bytes
}

fn add(module: &mut Module, elem: ElemType, dims: &[u64]) -> WeightId {
    let number = |i: u64| if elem.is_float() { Number::Float(i as f64) } else { Number::Int(i128::from(i % 2)) };
    let literal = Literal::dense(elem, dims, (0..dims.iter().product()).map(number));
    module.add_weight(Weight { name: "w".into(), ty: Type::fixed(elem, dims), data: WeightData::Inline(literal) })
}

#[test]
fn groups_weights_and_attributes_round_trip() {
    let mut module = Module::new();
    let mut tree = Tree::default();
    // Enough names for several symbol nodes and three levels of B-tree nodes.
    let names: Vec<String> = (0..1_000).map(|i| format!("layer_{i}")).collect();
    for name in &names {
        let weight = add(&mut module, ElemType::F32, &[2, 3]);
        tree.add_weight(&format!("layers/{name}/vars/0"), weight);
        tree.at(&format!("layers/{name}/vars")).set_name(name);
    }
    tree.at("empty");
    tree.set_ascii("long", &"x".repeat(100_000));
    tree.attrs.insert("names".into(), Value::Texts(vec!["a".into(), "longer".into()]));
    tree.at("empty").set_name("");
    let file = File::from_bytes(written(&tree, &module)).unwrap();
    let attrs = file.root().attrs().unwrap();
    assert_eq!(attrs["long"], AttrValue::VarLenAsciiString("x".repeat(100_000)));
    assert_eq!(attrs["names"].as_strings().unwrap(), ["a", "longer"]);
    assert_eq!(file.group("empty").unwrap().attrs().unwrap()["name"].as_str(), Some(""));
    let groups = file.group("layers").unwrap();
    assert_eq!(groups.iter_groups().unwrap().count(), names.len());
    for name in names {
        let vars = file.group(&format!("layers/{name}/vars")).unwrap();
        assert_eq!(vars.attrs().unwrap()["name"].as_str(), Some(&*name));
        assert_eq!(vars.dataset("0").unwrap().read_f32().unwrap(), [0., 1., 2., 3., 4., 5.]);
    }
}

#[test]
fn weights_of_every_type_and_size_round_trip() {
    let mut module = Module::new();
    let mut tree = Tree::default();
    let types = [
        ElemType::Bool,
        ElemType::U8,
        ElemType::U16,
        ElemType::U32,
        ElemType::U64,
        ElemType::I8,
        ElemType::I16,
        ElemType::I32,
        ElemType::I64,
        ElemType::F16,
        ElemType::BF16,
        ElemType::F32,
        ElemType::F64,
    ];
    for (i, elem) in types.into_iter().enumerate() {
        for (kind, dims) in [("scalar", &[][..]), ("none", &[0, 3]), ("odd", &[3]), ("large", &[70_000])] {
            let weight = add(&mut module, elem, dims);
            tree.add_weight(&format!("{i}/{kind}"), weight);
        }
    }
    let bytes = written(&tree, &module);
    let budget = Arc::new(Budget::for_file(bytes.len() as u64));
    let read = read::read_bytes(bytes, true, &budget).unwrap();
    assert_eq!(read.datasets.len(), 4 * types.len());
    for (path, variable) in &read.datasets {
        let (i, _) = path.split_once('/').unwrap();
        let expected = &module.weights.iter().find(|w| w.ty == variable.ty).unwrap().data;
        assert_eq!(variable.ty.elem, types[i.parse::<usize>().unwrap()]);
        let variable::Bytes::Read(found) = &variable.bytes else { panic!("{path} is in a file") };
        assert_eq!(&WeightData::Inline(found.clone()), expected, "{path}");
    }
}

#[test]
fn names_that_hdf5_does_not_allow_are_rejected() {
    let mut module = Module::new();
    let weight = add(&mut module, ElemType::F32, &[1]);
    let mut tree = Tree::default();
    tree.add_weight("a", weight);
    tree.add_weight("a/b", weight);
    assert!(lay_out(&tree, &module).is_err());
    for name in [".", "nul\0"] {
        let mut tree = Tree::default();
        tree.add_weight(name, weight);
        assert!(lay_out(&tree, &module).is_err());
    }
}
