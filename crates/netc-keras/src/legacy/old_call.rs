//! Reads and writes calls in the Keras 2 form of `inbound_nodes`: the first argument, in which each tensor is
//! `[layer, call, output, kwargs]`. See `Node.serialize` and `process_node` of Keras 2.

use netc_ir::{Attr, Attrs, Name};

use crate::config::call::{Call, TensorRef, call_attrs, history, number_leaves};
use crate::config::tf;
use crate::config::version::KerasVersion;
use crate::error::{Problem, Result};

/// Replaces the layer name for a constant in the first argument: `["_CONSTANT_VALUE", -1, value, kwargs]`.
const CONSTANT: &str = "_CONSTANT_VALUE";

/// The attribute of a call whose single tensor is not in a list. TensorFlow operations do not need it.
pub(crate) const BARE: &str = "bare";

/// Whether the entry is a Keras 2 call, which may also be a dict of tensors.
fn is_old(node: &Attr, version: KerasVersion) -> bool {
    let is_new =
        || node.get("args").is_some_and(|a| !is_leaf(a)) && node.get("kwargs").is_some_and(|k| k.as_map().is_some());
    match node {
        Attr::List(_) => true,
        Attr::Map(_) => version == KerasVersion::Legacy && !is_new(),
        Attr::Null
        | Attr::Bool(_)
        | Attr::Int(_)
        | Attr::Float(_)
        | Attr::Str(_)
        | Attr::Operand(_)
        | Attr::NonJson(_) => false,
    }
}

/// Reads an entry of `inbound_nodes` in the form of any Keras version, for a layer of class `class`.
pub(crate) fn read_call(node: Attr, class: &str, version: KerasVersion, place: &str) -> Result<Call> {
    if is_old(&node, version) { read(&node, class, place) } else { Call::read(node, place) }
}

/// Reads a Keras 2 call of a layer of class `class`.
fn read(node: &Attr, class: &str, place: &str) -> Result<Call> {
    let mut reader = Reader { tensors: Vec::new(), named: Attrs::new(), place };
    let mut first = reader.first(node)?;
    let keeps_lists = tf::is_operation(class);
    if let (false, Some([one])) = (keeps_lists, node.as_list())
        && is_leaf(one)
        && let Attr::List(items) = &mut first
        && let Some(tensor) = items.pop()
    {
        first = tensor;
    }
    let Reader { mut tensors, named, .. } = reader;
    let is_tensor = |leaf: &Attr| Ok(leaf.as_list().filter(|items| items.len() == 3).and_then(history));
    let kwargs = number_leaves(Attr::Map(named), &mut tensors, &mut { is_tensor })?;
    let mut attrs = call_attrs(Attr::List(vec![first]), kwargs);
    if is_leaf(node) && !keeps_lists {
        attrs.set(BARE, true);
    }
    Ok(Call { attrs, tensors })
}

struct Reader<'p> {
    tensors: Vec<TensorRef>,
    /// The keyword arguments. Every tensor repeats them; Keras uses those of the last tensor.
    named: Attrs,
    place: &'p str,
}

impl Reader<'_> {
    /// Reads the first argument. Numbers the tensors in the order in which Keras flattens it.
    fn first(&mut self, tree: &Attr) -> Result<Attr> {
        let wrong = || Problem::config(self.place, "a tensor of the call is not [layer, node, tensor]");
        if is_leaf(tree) {
            let items = tree.as_list().unwrap_or_default();
            if let Some(Attr::Map(map)) = items.get(3) {
                self.named = map.clone();
            }
            return match constant_in(items) {
                Some(value) => Ok(constant(value)),
                None => {
                    self.tensors.push(history(items).ok_or_else(wrong)?);
                    Ok(Attr::Operand((self.tensors.len() - 1) as u32))
                }
            };
        }
        match tree {
            Attr::List(items) => Ok(Attr::List(items.iter().map(|item| self.first(item)).collect::<Result<_, _>>()?)),
            Attr::Map(map) => {
                let entries: Vec<&(Name, Attr)> = map.iter().collect();
                let mut order: Vec<usize> = (0..entries.len()).collect();
                order.sort_by_key(|at| &entries[*at].0);
                let mut read = vec![Attr::Null; entries.len()];
                for at in order {
                    read[at] = self.first(&entries[at].1)?;
                }
                Ok(Attr::Map(entries.into_iter().map(|(key, _)| key.clone()).zip(read).collect()))
            }
            Attr::Null
            | Attr::Bool(_)
            | Attr::Int(_)
            | Attr::Float(_)
            | Attr::Str(_)
            | Attr::Operand(_)
            | Attr::NonJson(_) => Err(wrong()),
        }
    }
}

/// Whether a part of the first argument is a tensor or a constant (`convert_inner_node_data` of Keras 2).
fn is_leaf(tree: &Attr) -> bool {
    matches!(tree.as_list(), Some([Attr::Str(_), _, _] | [Attr::Str(_), _, _, _]))
}

fn constant_in(leaf: &[Attr]) -> Option<&Attr> {
    match leaf {
        [Attr::Str(mark), _, value, ..] if &**mark == CONSTANT => Some(value),
        _ => None,
    }
}

/// A constant in the arguments of a call. A list or dict keeps its mark, so that its parts are not taken for arguments.
fn constant(value: &Attr) -> Attr {
    if value.as_list().is_some() || value.as_map().is_some() { array(value) } else { value.clone() }
}

/// Marks a constant that is a list or a dict.
pub(super) fn array(value: &Attr) -> Attr {
    Attr::List(vec![CONSTANT.into(), Attr::Int(-1), value.clone()])
}

/// The list or dict if this part of the arguments is a marked constant.
pub(crate) fn constant_of(arg: &Attr) -> Option<&Attr> {
    constant_in(arg.as_list().filter(|_| is_leaf(arg))?)
}

/// The Keras 2 entry of `inbound_nodes` for `call` of a layer of class `class`. `tensor` returns the entry for `$i`.
/// `None` if Keras 2 cannot express the call.
pub(crate) fn write(call: &Attrs, class: &str, tensor: &impl Fn(u32) -> Attr, named: &Attr) -> Option<Attr> {
    let Some([first]) = call.get("args").and_then(Attr::as_list) else { return None };
    let is_bare = tf::is_operation(class) || call.get(BARE).and_then(Attr::as_bool) == Some(true);
    let written = entry(first, tensor, named);
    Some(if is_leaf(&written) && !is_bare { Attr::List(vec![written]) } else { written })
}

fn entry(tree: &Attr, tensor: &impl Fn(u32) -> Attr, named: &Attr) -> Attr {
    let leaf = |items: &[Attr]| Attr::List(items.iter().chain([named]).cloned().collect());
    match tree {
        Attr::Operand(i) => leaf(tensor(*i).as_list().unwrap_or_default()),
        Attr::List(items) if is_leaf(tree) => leaf(items),
        Attr::List(items) => Attr::List(items.iter().map(|item| entry(item, tensor, named)).collect()),
        Attr::Map(map) => {
            Attr::Map(map.iter().map(|(key, value)| (key.clone(), entry(value, tensor, named))).collect())
        }
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::NonJson(_) => {
            leaf(&[CONSTANT.into(), Attr::Int(-1), tree.clone()])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::call::fill;
    use crate::config::json;

    /// Checks the arguments read from an entry, and that writing them restores the entry.
    #[track_caller]
    fn check(class: &str, node: &str, args: &str) -> Call {
        let node = json::parsed(node);
        let call = read_call(node.clone(), class, KerasVersion::Legacy, "layer").unwrap();
        let shown = fill(call.attrs.get("args").unwrap(), &|i| format!("${i}").as_str().into());
        assert_eq!(shown, json::parsed(args));
        let tensor = |i: u32| {
            let TensorRef { layer, node, tensor, .. } = &call.tensors[i as usize];
            Attr::List(vec![Attr::str(&**layer), Attr::Int(*node as i128), Attr::Int(*tensor as i128)])
        };
        let named = fill(call.attrs.get("kwargs").unwrap(), &tensor);
        assert_eq!(write(&call.attrs, class, &tensor, &named), Some(node));
        call
    }

    #[test]
    fn single_tensor_in_a_list_is_not_bare() {
        let call = check("keras.Dense", r#"[["x", 0, 0, {}]]"#, r#"["$0"]"#);
        assert_eq!(call.attrs.get(BARE), None);
    }

    #[test]
    fn single_tensor_without_a_list_is_bare() {
        let call = check("custom.Own", r#"["x", 0, 0, {}]"#, r#"["$0"]"#);
        assert_eq!(call.attrs.get(BARE), Some(&Attr::Bool(true)));
    }

    #[test]
    fn tensorflow_operations_keep_lists_of_one() {
        check("tf.nn.relu", r#"["x", 0, 0, {"name": null}]"#, r#"["$0"]"#);
        check("tf.concat", r#"[["x", 0, 0, {"axis": 1}]]"#, r#"[["$0"]]"#);
    }

    #[test]
    fn lists_and_dicts_keep_their_structure() {
        check("keras.Add", r#"[["x", 0, 0, {}], ["y", 1, 2, {}]]"#, r#"[["$0", "$1"]]"#);
        check("keras.RNN", r#"[["x", 0, 0, {}], [["y", 0, 1, {}], ["y", 0, 2, {}]]]"#, r#"[["$0", ["$1", "$2"]]]"#);
        check("custom.Own", r#"[[["x", 0, 0, {}]]]"#, r#"[[["$0"]]]"#);
        let call =
            check("custom.Own", r#"{"b": ["x", 0, 0, {}], "a": [["y", 0, 0, {}]]}"#, r#"[{"b": "$1", "a": ["$0"]}]"#);
        assert_eq!(call.tensors.iter().map(|t| &*t.layer).collect::<Vec<_>>(), ["y", "x"]);
    }

    #[test]
    fn constants_round_trip() {
        check("tf.math.subtract", r#"["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0], "name": null}]"#, "[1.0]");
        check(
            "tf.math.multiply",
            r#"["_CONSTANT_VALUE", -1, [1.0, 2.0], {"y": ["x", 0, 0]}]"#,
            r#"[["_CONSTANT_VALUE", -1, [1.0, 2.0]]]"#,
        );
        check(
            "tf.stack",
            r#"[["x", 0, 0, {}], [["_CONSTANT_VALUE", -1, 1, {}], ["_CONSTANT_VALUE", -1, 2, {}]]]"#,
            r#"[["$0", [1, 2]]]"#,
        );
    }

    #[test]
    fn tensors_in_keyword_arguments_are_found_at_any_depth() {
        let slices = r#"["x", 0, 0, {"slice_spec": [{"start": null, "stop": ["n", 0, 0], "step": null}, 0]}]"#;
        let call = check("tf.__operators__.getitem", slices, r#"["$0"]"#);
        assert_eq!(call.tensors.iter().map(|t| &*t.layer).collect::<Vec<_>>(), ["x", "n"]);
        check("tf.reshape", r#"["x", 0, 0, {"shape": [["n", 0, 0], 2, 2]}]"#, r#"["$0"]"#);
    }

    #[test]
    fn malformed_tensors_are_rejected() {
        for node in [r#"[["x", 0]]"#, r#"[["x", "y", 0, {}]]"#, r#"["x"]"#, "[1]"] {
            let node = json::parsed(node);
            assert!(read_call(node, "keras.Dense", KerasVersion::Legacy, "layer").is_err());
        }
    }
}
