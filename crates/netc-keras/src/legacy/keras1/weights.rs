//! The weights of Keras 1, as those of Keras 2.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use netc_ir::{Attr, Literal, Type};

use crate::error::Problem;
use crate::h5read::{Bytes, MAX_INLINE, Variable};
use crate::h5whole::WeightLists;

/// The parts of the weights of cells with gates, in the order of Keras 2: the suffixes of `W_`, `U_` and `b_`.
const GATES: &[&[&str]] = &[&["i", "f", "c", "o"], &["z", "r", "h"]];

/// The weights in the lists of a file of Keras 1, for the layers of the model `object` as Keras 2 declares it: named after
/// their layers, and the gates of a cell in one.
pub(crate) fn weights(object: &Attr, lists: WeightLists, file: &File) -> Result<WeightLists, Problem> {
    let mut layers = Layers::default();
    layers.add(object, None);
    let mut reader = Reader { file, inline: MAX_INLINE };
    let mut new = WeightLists::new();
    for (group, list) in lists {
        let named = list.into_iter().map(|(name, variable)| layers.own(&group, &name, variable));
        let list = joined_gates(named.collect(), &mut reader)?;
        let list = list.into_iter().map(|weight| weight.shaped(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        new.insert(group, list.into_iter().map(|w| (format!("{}/{}", w.layer, w.part), w.variable)).collect());
    }
    // A Sequential model in a Sequential one was written as the layers in it.
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
    /// By the name that their weights begin with: their own, and their classes.
    by_prefix: BTreeMap<String, (String, String)>,
    /// The outermost layers that are models, with the layers in them.
    models: Vec<(String, Vec<String>)>,
}

impl Layers {
    /// Adds the layers in the object of a model, which are in the outermost layer `model` if they are in one.
    fn add(&mut self, object: &Attr, model: Option<usize>) {
        let config = object.get("config");
        let layers = config.and_then(|c| c.get("layers").or(Some(c))).and_then(Attr::as_list).unwrap_or_default();
        for layer in layers {
            let text = |attr: Option<&Attr>| attr.and_then(Attr::as_str).unwrap_or_default().to_string();
            let config = layer.get("config");
            let name = text(layer.get("name").or_else(|| config?.get("name")));
            let is_model = config.is_some_and(|c| c.as_list().is_some() || c.get("layers").is_some());
            if let Some(model) = model {
                self.models[model].1.push(name.clone());
            }
            if is_model {
                if model.is_none() {
                    self.models.push((name, Vec::new()));
                }
                self.add(layer, Some(model.unwrap_or(self.models.len() - 1)));
                continue;
            }
            let class = text(layer.get("class_name"));
            let inner = config.and_then(|c| c.get("layer"));
            if let Some(inner) = inner {
                let inside = text(inner.get("config").and_then(|c| c.get("name")));
                let class = text(inner.get("class_name"));
                for prefix in ["", "forward_", "backward_"] {
                    self.by_prefix.insert(format!("{prefix}{inside}"), (name.clone(), class.clone()));
                }
            }
            self.by_prefix.insert(name.clone(), (name, class));
        }
    }

    /// The weight `name` of the list `group`: of the layer that its name begins with, or else of that of the list.
    fn own(&self, group: &str, name: &str, variable: Variable) -> Weight {
        let name = name.strip_suffix(":0").unwrap_or(name);
        let split = name.match_indices('_').rev().find_map(|(at, _)| Some((at, self.by_prefix.get(&name[..at])?)));
        let of_group = || self.by_prefix.get(group).cloned().unwrap_or_else(|| (group.into(), String::new()));
        let (prefix, part, (layer, class)) = match split {
            Some((at, layer)) => (&name[..at], &name[at + 1..], layer.clone()),
            None => ("", name, of_group()),
        };
        Weight { prefix: prefix.into(), layer, class, part: part.into(), variable }
    }
}

/// A weight with the layer that it is of.
struct Weight {
    /// What its name begins with.
    prefix: String,
    layer: String,
    class: String,
    /// Its name in the layer, as `W_i`.
    part: String,
    variable: Variable,
}

impl Weight {
    /// The weight with its axes as in Keras 2.
    fn shaped(self, reader: &mut Reader<'_>) -> Result<Self, Problem> {
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
                let note = "its kernel has the axes of before Keras 1.2; load it in Keras 2 and save it anew";
                return Err(Problem::whole(self.layer, note));
            }
            ("Conv2DTranspose", "W", [rows, columns, given, made]) => {
                let read = reader.read(&self.variable)?;
                let size = read.bytes.len() as u64 / dims.iter().product::<u64>().max(1);
                let bytes = swapped(&read.bytes, (*given as usize, *made as usize), size as usize);
                literal(&read, vec![*rows, *columns, *made, *given], bytes)
            }
            _ => self.variable,
        };
        Ok(Self { variable, ..self })
    }
}

/// Matrices of `rows` by `columns` elements of `size` bytes, one after the other, each transposed.
fn swapped(bytes: &[u8], (rows, columns): (usize, usize), size: usize) -> Vec<u8> {
    let mut swapped = Vec::with_capacity(bytes.len());
    for matrix in bytes.chunks_exact((rows * columns * size).max(1)) {
        for column in 0..columns {
            for row in 0..rows {
                let at = (row * columns + column) * size;
                swapped.extend_from_slice(&matrix[at..at + size]);
            }
        }
    }
    swapped
}

/// The gate that the part of a weight is of, if it is of one.
fn gate(part: &str) -> Option<&'static [&'static str]> {
    let (kind, gate) = part.split_once('_')?;
    GATES.iter().find(|gates| ["W", "U", "b"].contains(&kind) && gates.contains(&gate)).copied()
}

/// The weights with those of the gates of a cell one behind the other along their last axis.
fn joined_gates(list: Vec<Weight>, reader: &mut Reader<'_>) -> Result<Vec<Weight>, Problem> {
    let mut cells: BTreeMap<String, Vec<Weight>> = BTreeMap::new();
    let mut order: Vec<Result<Weight, (String, &[&str])>> = Vec::new();
    for weight in list {
        let Some(gates) = gate(&weight.part) else {
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
                joined.extend(
                    ["W", "U", "b"]
                        .iter()
                        .map(|kind| of_gates(kind, gates, &cell, reader))
                        .collect::<Result<Vec<_>, _>>()?,
                );
            }
        }
    }
    Ok(joined)
}

/// The weights of one kind of a cell, for each of its gates, as one.
fn of_gates(kind: &str, gates: &[&str], cell: &[Weight], reader: &mut Reader<'_>) -> Result<Weight, Problem> {
    let part = |gate: &&str| cell.iter().find(|weight| weight.part == format!("{kind}_{gate}"));
    let parts: Option<Vec<&Weight>> = gates.iter().map(part).collect();
    let missing = || Problem::whole("model_weights", format!("a cell has no `{kind}` for each of its gates"));
    side_by_side(kind, &parts.ok_or_else(missing)?, reader)
}

/// The weights as one, side by side along their last axis.
fn side_by_side(kind: &str, parts: &[&Weight], reader: &mut Reader<'_>) -> Result<Weight, Problem> {
    let read = parts.iter().map(|part| reader.read(&part.variable)).collect::<Result<Vec<Literal>, _>>()?;
    let Some((first, weight)) = read.first().zip(parts.first()) else {
        return Err(Problem::whole("model_weights", "a cell without gates"));
    };
    if read.iter().any(|part| part.dims != first.dims || part.elem != first.elem) {
        let note = format!("the gates of `{}` have `{kind}` of different shapes", weight.prefix);
        return Err(Problem::whole("model_weights", note));
    }
    let (rows, width) = match first.dims.split_last() {
        Some((_, rows)) => {
            let rows = rows.iter().product::<u64>().max(1) as usize;
            (rows, first.bytes.len() / rows)
        }
        None => (1, first.bytes.len()),
    };
    let bytes: Vec<u8> = (0..rows)
        .flat_map(|row| read.iter().flat_map(move |p| &p.bytes[row * width..(row + 1) * width]))
        .copied()
        .collect();
    let mut dims = first.dims.to_vec();
    dims.last_mut().into_iter().for_each(|last| *last *= read.len() as u64);
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

/// The literal with all of its elements, where it has one for all.
fn whole(of: &Literal) -> Literal {
    let elements = of.dims.iter().product::<u64>() as usize;
    let bytes = if of.as_splat().is_some() { of.bytes.repeat(elements) } else { of.bytes.to_vec() };
    Literal { elem: of.elem, dims: of.dims.clone(), bytes: bytes.into() }
}

/// Reads weights into memory.
struct Reader<'f> {
    file: &'f File,
    /// How many bytes may still be read.
    inline: u64,
}

impl Reader<'_> {
    fn read(&mut self, variable: &Variable) -> Result<Literal, Problem> {
        let (offset, len) = match &variable.bytes {
            Bytes::Read(literal) => return Ok(whole(literal)),
            Bytes::At { offset, len, .. } => (*offset, *len),
        };
        self.inline = self.inline.checked_sub(len).ok_or_else(|| {
            let note = format!("the weights of its cells are more than {MAX_INLINE} bytes in all");
            Problem::whole("model_weights", note)
        })?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        let dims = variable.ty.fixed_dims().unwrap_or_default();
        Ok(Literal { elem: variable.ty.elem, dims, bytes: bytes.into() })
    }
}
