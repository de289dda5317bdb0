//! Converts Keras 1 weights to Keras 2.

use std::collections::BTreeMap;

use netc_data::ReadAt;
use netc_ir::{Attr, Budget, Literal, Resource, Type};

use crate::container::variable::{Bytes, MAX_WEIGHT_NAME, Variable, WeightLists};
use crate::error::{Problem, Result};

/// The cells with gates, in the Keras 2 order of gates. Keras 1 names their weights `W_i`, `U_i`, `b_i` and so on.
const CELLS: &[(&str, &[&str])] =
    &[("LSTM", &["i", "f", "c", "o"]), ("ConvLSTM2D", &["i", "f", "c", "o"]), ("GRU", &["z", "r", "h"])];

/// Converts the weight lists of a Keras 1 file, for the layers of the model `object` as converted to Keras 2. Names
/// weights after their layers and joins the gates of each cell.
pub(crate) fn weights(object: &Attr, lists: WeightLists, file: &dyn ReadAt) -> Result<WeightLists> {
    let mut layers = Layers::default();
    layers.add_all(object, None, None);
    let mut reader = Reader { file, budget: Budget::for_file(file.num_bytes()?) };
    let mut new = WeightLists::new();
    for (group, list) in lists {
        let named = list.into_iter().map(|(name, variable)| layers.own(&group, &name, variable));
        let list = joined_gates(named.collect(), &mut reader)?;
        let list = list.into_iter().map(|weight| weight.shaped(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        new.insert(group, list.into_iter().map(|w| (format!("{}/{}", w.layer, w.part), w.variable)).collect());
    }
    // Keras 1 writes a Sequential model inside another one as its layers.
    for (model, inner) in &layers.models {
        if !new.contains_key(model) {
            let found: Vec<_> = inner.iter().filter_map(|layer| new.remove(layer)).flatten().collect();
            new.insert(model.clone(), found);
        }
    }
    Ok(new)
}

/// The layers of a model.
#[derive(Default)]
struct Layers {
    /// By the prefix of weight names: the layer that owns the weights in Keras 2, and the class that created them.
    by_prefix: BTreeMap<String, (String, String)>,
    /// The outermost layers that are models, with their inner layers.
    models: Vec<(String, Vec<String>)>,
}

impl Layers {
    /// Adds the layers in the object of a model. `model` is the outermost model that contains them, if any; `owner` is
    /// the wrapper that owns their weights, if any.
    fn add_all(&mut self, object: &Attr, model: Option<usize>, owner: Option<&str>) {
        let layers = object.get("config").and_then(|c| c.get("layers")).and_then(Attr::as_list).unwrap_or_default();
        layers.iter().for_each(|layer| self.add(layer, model, owner));
    }

    fn add(&mut self, layer: &Attr, model: Option<usize>, owner: Option<&str>) {
        let text = |attr: Option<&Attr>| attr.and_then(Attr::as_str).unwrap_or_default().to_string();
        let config = layer.get("config");
        let name = text(layer.get("name").or_else(|| config?.get("name")));
        if let (Some(model), None) = (model, owner) {
            self.models[model].1.push(name.clone());
        }
        if config.is_some_and(|c| c.get("layers").is_some()) {
            if model.is_none() && owner.is_none() {
                self.models.push((name, Vec::new()));
                self.add_all(layer, Some(self.models.len() - 1), None);
            } else {
                self.add_all(layer, model, owner);
            }
            return;
        }
        let owner = owner.unwrap_or(&name);
        match config.and_then(|c| c.get("layer")) {
            Some(inner) => self.add(inner, model, Some(owner)),
            None => {
                // A Bidirectional applies its layer in two directions.
                for prefix in ["", "forward_", "backward_"] {
                    let entry = (owner.to_string(), text(layer.get("class_name")));
                    self.by_prefix.insert(format!("{prefix}{name}"), entry);
                }
            }
        }
    }

    /// The weight `name` of the list `group`. Its layer is the one that its name begins with, or else the list's.
    fn own(&self, group: &str, name: &str, variable: Variable) -> Weight {
        let name = name.strip_suffix(":0").unwrap_or(name);
        let of = |prefix: &str| Some((prefix.len(), self.by_prefix.get(prefix)?));
        let begins = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
        let ends = || name.match_indices('_').map(|(at, _)| &name[..at]).filter(|_| name.len() <= MAX_WEIGHT_NAME);
        let found = Some(group).filter(|group| begins(group)).and_then(of).or_else(|| ends().rev().find_map(of));
        let (prefix, part, (layer, class)) = match found {
            Some((at, layer)) => (&name[..at], &name[at + 1..], layer.clone()),
            None => ("", name, (group.into(), String::new())),
        };
        Weight { prefix: prefix.into(), layer, class, part: part.into(), variable }
    }
}

/// A weight with its layer.
struct Weight {
    /// The prefix of its name.
    prefix: String,
    layer: String,
    class: String,
    /// Its name in the layer, such as `W_i`.
    part: String,
    variable: Variable,
}

impl Weight {
    /// The weight with its axes in Keras 2 order.
    fn shaped(self, reader: &mut Reader<'_>) -> Result<Self> {
        let dims = self.variable.ty.fixed_dims().unwrap_or_default();
        let variable = match (&*self.class, &*self.part, &dims[..]) {
            ("Conv1D", "W", [length, 1, channels, filters]) => {
                let dims = [*length, *channels, *filters];
                let bytes = match self.variable.bytes {
                    at @ Bytes::At { .. } => at,
                    Bytes::Read(literal) => Bytes::Read(Literal { dims: dims.to_vec(), ..literal }),
                };
                Variable { ty: Type::fixed(self.variable.ty.elem, &dims), bytes }
            }
            ("Conv1D", "W", [_, _, _, _]) => {
                let note = "its kernel has the axis order used before Keras 1.2; load it in Keras 2 and save it again";
                return Err(Problem::whole(self.layer, note));
            }
            ("Conv2DTranspose", "W", [rows, columns, given, made]) => {
                let read = reader.read(&self.variable)?;
                let bytes = swapped(&read, *given as usize, *made as usize);
                literal(&read, vec![*rows, *columns, *made, *given], bytes)
            }
            _ => self.variable,
        };
        Ok(Self { variable, ..self })
    }
}

/// Transposes each of several consecutive matrices of `rows` by `columns` elements. Returns their bytes.
fn swapped(matrices: &Literal, rows: usize, columns: usize) -> Vec<u8> {
    let size = matrices.elem.size() as usize;
    let mut swapped = Vec::with_capacity(matrices.bytes.len());
    // Empty matrices have no bytes to split.
    let Some(matrix) = rows.checked_mul(columns).and_then(|n| n.checked_mul(size)).filter(|n| *n > 0) else {
        return swapped;
    };
    for matrix in matrices.bytes.chunks_exact(matrix) {
        for column in 0..columns {
            for row in 0..rows {
                let at = (row * columns + column) * size;
                swapped.extend_from_slice(&matrix[at..at + size]);
            }
        }
    }
    swapped
}

/// The names of all gates of the weight's cell, if the weight belongs to a gate.
fn gates(weight: &Weight) -> Option<&'static [&'static str]> {
    let (kind, gate) = weight.part.split_once('_')?;
    let (_, gates) = CELLS.iter().find(|(class, _)| *class == weight.class)?;
    (["W", "U", "b"].contains(&kind) && gates.contains(&gate)).then_some(*gates)
}

/// Joins the gate weights of each cell, at the position of the first one.
fn joined_gates(list: Vec<Weight>, reader: &mut Reader<'_>) -> Result<Vec<Weight>> {
    let mut cells: BTreeMap<String, Vec<Weight>> = BTreeMap::new();
    let mut order: Vec<Result<Weight, (String, &[&str])>> = Vec::new();
    for weight in list {
        let Some(gates) = gates(&weight) else {
            order.push(Ok(weight));
            continue;
        };
        let cell = cells.entry(weight.prefix.clone()).or_default();
        if cell.is_empty() {
            order.push(Err((weight.prefix.clone(), gates)));
        }
        cell.push(weight);
    }
    let mut joined = Vec::new();
    for weight in order {
        match weight {
            Ok(weight) => joined.push(weight),
            Err((prefix, gates)) => {
                let cell = cells.remove(&prefix).unwrap_or_default();
                if cell.len() != 3 * gates.len() {
                    let note = format!("the cell `{prefix}` has {} weights, expected {}", cell.len(), 3 * gates.len());
                    return Err(Problem::whole("model_weights", note));
                }
                for kind in ["W", "U", "b"] {
                    joined.push(of_gates(kind, gates, &cell, reader)?);
                }
            }
        }
    }
    Ok(joined)
}

/// Concatenates the weights of one kind (`W`, `U` or `b`) of a cell's gates along the last axis.
fn of_gates(kind: &str, gates: &[&str], cell: &[Weight], reader: &mut Reader<'_>) -> Result<Weight> {
    let part = |gate: &&str| cell.iter().find(|weight| weight.part == format!("{kind}_{gate}"));
    let parts: Option<Vec<&Weight>> = gates.iter().map(part).collect();
    let problem = |note: String| Problem::whole("model_weights", note);
    let parts = parts.filter(|parts| !parts.is_empty());
    let parts = parts.ok_or_else(|| problem(format!("a cell lacks the weight `{kind}` of a gate")))?;
    let weight = parts[0];
    let read = parts.iter().map(|part| reader.read(&part.variable)).collect::<Result<Vec<Literal>, _>>()?;
    let first = &read[0];
    if read.iter().any(|part| part.dims != first.dims || part.elem != first.elem) {
        return Err(problem(format!(
            "the weights `{kind}` of the gates of `{}` differ in shape or type",
            weight.prefix
        )));
    }
    let mut dims = first.dims.clone();
    let joined = dims.last_mut().and_then(|last| {
        *last = last.checked_mul(read.len() as u64)?;
        Some(*last)
    });
    let wide = joined
        .ok_or_else(|| problem(format!("the weights `{kind}` of the gates of `{}` cannot be joined", weight.prefix)))?;
    // Empty weights have no rows.
    let width = (wide / read.len() as u64).saturating_mul(first.elem.size()) as usize;
    let rows = first.bytes.len().checked_div(width).unwrap_or(0);
    let row = |row: usize| read.iter().flat_map(move |part| &part.bytes[row * width..(row + 1) * width]);
    let bytes: Vec<u8> = (0..rows).flat_map(row).copied().collect();
    Ok(Weight {
        prefix: weight.prefix.clone(),
        layer: weight.layer.clone(),
        class: weight.class.clone(),
        part: kind.into(),
        variable: literal(first, dims, bytes),
    })
}

fn literal(of: &Literal, dims: Vec<u64>, bytes: Vec<u8>) -> Variable {
    let ty = Type::fixed(of.elem, &dims);
    Variable { ty, bytes: Bytes::Read(Literal { elem: of.elem, dims, bytes: bytes.into() }) }
}

/// Reads weights into memory.
struct Reader<'f> {
    file: &'f dyn ReadAt,
    /// Needed because several weights may refer to the same bytes of the file.
    budget: Budget,
}

impl Reader<'_> {
    fn read(&mut self, variable: &Variable) -> Result<Literal> {
        let (offset, len) = match &variable.bytes {
            Bytes::Read(literal) => return Ok(literal.clone()),
            Bytes::At { offset, len, .. } => (*offset, *len),
        };
        self.budget.charge(Resource::Memory, len).map_err(|exceeded| {
            Problem::whole("model_weights", format!("its weights are too large for the size of the file: {exceeded}"))
        })?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        let dims = variable.ty.fixed_dims().unwrap_or_default();
        Ok(Literal { elem: variable.ty.elem, dims, bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use netc_ir::ElemType;

    use super::*;
    use crate::config::json;

    fn model(layers: &str) -> Attr {
        json::parsed(&format!(r#"{{"class_name": "Model", "config": {{"layers": [{layers}]}}}}"#))
    }

    fn variable(dims: &[u64], bytes: &[u8]) -> Variable {
        let literal = Literal { elem: ElemType::U8, dims: dims.to_vec(), bytes: bytes.into() };
        Variable { ty: Type::fixed(ElemType::U8, dims), bytes: Bytes::Read(literal) }
    }

    /// A name, the extents and the bytes.
    type Converted = (String, Vec<u64>, Vec<u8>);

    /// The converted weights of one list.
    fn converted(layers: &str, group: &str, list: Vec<(&str, Variable)>) -> Result<Vec<Converted>, String> {
        let list = list.into_iter().map(|(name, variable)| (name.to_string(), variable)).collect();
        let file = tempfile::tempfile().unwrap();
        let lists = weights(&model(layers), WeightLists::from([(group.to_string(), list)]), &file);
        let mut lists = lists.map_err(|e| e.to_string())?;
        let shown = |(name, v): (String, Variable)| {
            let Bytes::Read(literal) = v.bytes else { panic!("{name} is not read") };
            (name, literal.dims, literal.bytes.to_vec())
        };
        Ok(lists.remove(group).unwrap().into_iter().map(shown).collect())
    }

    const GRU: &str = r#"{"class_name": "GRU", "config": {"name": "g"}}"#;

    /// The names of the weights of a GRU, numbered.
    fn cell() -> Vec<(String, u8)> {
        let parts =
            ["z", "r", "h"].into_iter().flat_map(|gate| ["W", "U", "b"].map(|kind| format!("g_{kind}_{gate}:0")));
        parts.zip(0..).collect()
    }

    #[test]
    fn gates_are_joined_along_the_last_axis() {
        let list = cell();
        let found =
            converted(GRU, "g", list.iter().map(|(name, i)| (name.as_str(), variable(&[2, 1], &[*i; 2]))).collect());
        let expected = [("g/W", [0, 3, 6]), ("g/U", [1, 4, 7]), ("g/b", [2, 5, 8])];
        let expected = expected.map(|(name, row)| (name.to_string(), vec![2, 3], [row, row].concat()));
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn huge_empty_shapes_are_fast_and_do_not_overflow() {
        for dims in [[1 << 63, 0], [0, 1 << 63], [0, 0]] {
            let cell = cell();
            let list = cell.iter().map(|(name, _)| (name.as_str(), variable(&dims, &[]))).collect();
            assert_eq!(converted(GRU, "g", list).is_err(), dims[1] == 1 << 63, "{dims:?}");
        }
        let transposed = r#"{"class_name": "Conv2DTranspose", "config": {"name": "d"}}"#;
        let dims = [0, 0, 1 << 40, 1 << 40];
        assert!(converted(transposed, "d", vec![("d_W", variable(&dims, &[]))]).is_ok());
    }

    #[test]
    fn weights_in_wrappers_are_converted_by_the_inner_class() {
        let chain = r#"{"class_name": "Sequential", "config": {"name": "s", "layers": [
            {"class_name": "Conv2DTranspose", "config": {"name": "d"}}]}}"#;
        let each = format!(r#"{{"class_name": "TimeDistributed", "config": {{"name": "d", "layer": {chain}}}}}"#);
        let found = converted(&each, "d", vec![("d_W:0", variable(&[1, 1, 2, 2], &[1, 2, 3, 4]))]).unwrap();
        assert_eq!(found, [("d/W".to_string(), vec![1, 1, 2, 2], vec![1, 3, 2, 4])]);
    }

    #[test]
    fn only_cells_have_gates() {
        let own = r#"{"class_name": "Attention", "config": {"name": "a"}}"#;
        let found = converted(own, "a", vec![("a_W_h", variable(&[1], &[7]))]).unwrap();
        assert_eq!(found, [("a/W_h".to_string(), vec![1], vec![7])]);
        let error = converted(GRU, "g", vec![("g_W_h", variable(&[1], &[7]))]).unwrap_err();
        assert!(error.contains("the cell `g` has 1 weights, expected 9"), "{error}");
    }
}
