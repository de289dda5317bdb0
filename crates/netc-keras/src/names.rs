//! Names as Keras makes them: classes of the dialect, groups of the weights file.

use std::collections::HashMap;
use std::path::{Component, Path};

use netc_ir::{Attr, Attrs, ElemType, Name};

use crate::legacy::{self, Era};

/// The dialect's name for the class of a layer entry of `config.json`.
///
/// Classes of Keras itself are `keras.X`, operations made by calls of `keras.ops` and `keras.activations` are
/// `keras.ops.X`, operations of TensorFlow in models of Keras 2 are `tf.x`, and everything else, registered or not, is
/// `custom.X`, so that a user's class never passes for one of Keras's.
pub(crate) fn dialect_class(entry: &Attrs, era: Era) -> Name {
    if let Some(operation) = legacy::tensorflow::class_of(entry).filter(|_| era == Era::Before3) {
        return operation;
    }
    if legacy::is_legacy(entry) {
        return legacy::dialect_class(entry, era);
    }
    let text = |key| entry.get(key).and_then(Attr::as_str).unwrap_or_default();
    let (module, class) = (text("module"), text("class_name"));
    let operations = ["keras.src.ops.", "keras.ops", "keras.src.activations."];
    if operations.iter().any(|prefix| module.starts_with(prefix)) {
        format!("keras.ops.{class}").into()
    } else if is_keras(module) {
        format!("keras.{class}").into()
    } else {
        format!("custom.{class}").into()
    }
}

/// Whether a class of this module is Keras's own. `tf_keras` is the last release of Keras 2.
pub(crate) fn is_keras(module: &str) -> bool {
    module == "keras" || module.starts_with("keras.") || module.starts_with("tf_keras.")
}

/// Whether entries of the class `dialect_class` are layers, not operations, and so are counted in `model.layers`.
pub fn is_layer_class(dialect_class: &str) -> bool {
    !dialect_class.starts_with("keras.ops.")
}

/// Whether `name` names a file in a folder, and nothing outside of it.
pub(crate) fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('/')
}

/// Gives each layer of a model its group in the weights file: the snake case of its class, numbered in model order.
#[derive(Default)]
pub(crate) struct GroupNames {
    /// The snake case of each class.
    snake: HashMap<String, String>,
    /// The last number given to each group.
    last: HashMap<String, u32>,
}

impl GroupNames {
    /// The group of the next layer of the class that a configuration calls `class`.
    pub(crate) fn next(&mut self, class: &str) -> String {
        // The one layer that Keras exports under another name than that of its Python class.
        let class = if class == "GroupQueryAttention" { "GroupedQueryAttention" } else { class };
        if !self.snake.contains_key(class) {
            self.snake.insert(class.into(), snake_case(class));
        }
        let snake = &self.snake[class];
        match self.last.get_mut(snake) {
            Some(n) => {
                *n += 1;
                format!("{snake}_{n}")
            }
            None => {
                self.last.insert(snake.clone(), 0);
                snake.clone()
            }
        }
    }
}

/// `Conv2D` as `conv2d`, `MultiHeadAttention` as `multi_head_attention`: what Keras's `to_snake_case` gives.
pub(crate) fn snake_case(class: &str) -> String {
    let word: Vec<char> = class.chars().filter(|c| is_of_name(*c)).collect();
    // An underscore before each capital that begins a word of lower-case letters ...
    let mut split = Vec::new();
    let mut i = 0;
    while i < word.len() {
        let begins_word = |at: usize| {
            word.get(at).is_some_and(char::is_ascii_uppercase) && word.get(at + 1).is_some_and(char::is_ascii_lowercase)
        };
        split.push(word[i]);
        i += 1;
        if begins_word(i) {
            split.push('_');
            split.push(word[i]);
            i += 1;
            while word.get(i).is_some_and(char::is_ascii_lowercase) {
                split.push(word[i]);
                i += 1;
            }
        }
    }
    // ... and between a lower-case letter and a capital.
    let mut out = String::new();
    for (i, c) in split.iter().enumerate() {
        if i > 0 && split[i - 1].is_ascii_lowercase() && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Whether a snake case keeps the character.
pub(crate) fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The element type that Keras calls `name`.
pub(crate) fn elem_type(name: &str) -> Option<ElemType> {
    Some(match name {
        "bool" => ElemType::Bool,
        "uint8" => ElemType::U8,
        "uint16" => ElemType::U16,
        "uint32" => ElemType::U32,
        "uint64" => ElemType::U64,
        "int8" => ElemType::I8,
        "int16" => ElemType::I16,
        "int32" => ElemType::I32,
        "int64" => ElemType::I64,
        "float16" => ElemType::F16,
        "bfloat16" => ElemType::BF16,
        "float32" => ElemType::F32,
        "float64" => ElemType::F64,
        "string" => ElemType::Str,
        _ => return None,
    })
}

/// What Keras calls an element type.
pub fn dtype_name(elem: ElemType) -> &'static str {
    match elem {
        ElemType::Bool => "bool",
        ElemType::U8 => "uint8",
        ElemType::U16 => "uint16",
        ElemType::U32 => "uint32",
        ElemType::U64 => "uint64",
        ElemType::I8 => "int8",
        ElemType::I16 => "int16",
        ElemType::I32 => "int32",
        ElemType::I64 => "int64",
        ElemType::F16 => "float16",
        ElemType::BF16 => "bfloat16",
        ElemType::F32 | ElemType::Any => "float32",
        ElemType::F64 => "float64",
        ElemType::Str => "string",
        ElemType::Narrow(narrow) => narrow.name(),
    }
}

/// Sorts `vars/2` before `vars/10`.
pub(crate) fn numeric_order(path: &str) -> Vec<(u64, String)> {
    path.split('/').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_is_that_of_keras() {
        // Pairs printed by keras.src.utils.naming.to_snake_case.
        for (class, snake) in [
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("MultiHeadAttention", "multi_head_attention"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("RMSNormalization", "rms_normalization"),
            ("InputLayer", "input_layer"),
            ("GRU", "gru"),
            ("MyHTTPLayer", "my_http_layer"),
            ("ZeroPadding2D", "zero_padding2d"),
            ("my_layer", "my_layer"),
            ("AB", "ab"),
            ("aBc", "a_bc"),
        ] {
            assert_eq!(snake_case(class), snake);
        }
    }

    #[test]
    fn activation_functions_are_operations() {
        let class = |module: &str, class: &str| {
            let class = dialect_class(&Attrs::new().with("module", module).with("class_name", class), Era::Keras3);
            (class.to_string(), is_layer_class(&class))
        };
        assert_eq!(class("keras.layers", "ReLU"), ("keras.ReLU".into(), true));
        assert_eq!(class("keras.src.activations.activations", "ReLU"), ("keras.ops.ReLU".into(), false));
        assert_eq!(class("keras.src.ops.numpy", "Add"), ("keras.ops.Add".into(), false));
        assert_eq!(class("my_package", "Add"), ("custom.Add".into(), true));
    }

    #[test]
    fn groups_are_numbered_by_class() {
        let mut groups = GroupNames::default();
        assert_eq!(["Dense", "Conv2D", "Dense"].map(|c| groups.next(c)), ["dense", "conv2d", "dense_1"]);
    }
}
