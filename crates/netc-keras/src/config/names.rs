//! Names as Keras makes them: weight groups and element types.

use std::collections::HashMap;

use netc_ir::ElemType;

/// Assigns each layer its group in the weights file: its class in snake case, numbered in model order.
#[derive(Default)]
pub(crate) struct GroupNames {
    /// Each class in snake case.
    snake: HashMap<String, String>,
    /// The last number given to each group.
    last: HashMap<String, u32>,
}

impl GroupNames {
    /// The group of the next layer whose `class_name` is `class`.
    pub(crate) fn next(&mut self, class: &str) -> String {
        // Groups are named after the Python class, which Keras exports under another name for this layer only.
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

/// Converts `MultiHeadAttention` to `multi_head_attention`, `Conv2D` to `conv2d`, as Keras's `to_snake_case` does.
pub(crate) fn snake_case(class: &str) -> String {
    let word: Vec<char> = class.chars().filter(|c| is_of_name(*c)).collect();
    // Put an underscore before each capital that is followed by lower-case letters ...
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

/// Whether [`snake_case`] keeps the character.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_matches_keras() {
        // The expected values are the output of keras.src.utils.naming.to_snake_case.
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
    fn groups_are_numbered_by_class() {
        let mut groups = GroupNames::default();
        assert_eq!(["Dense", "Conv2D", "Dense"].map(|c| groups.next(c)), ["dense", "conv2d", "dense_1"]);
    }
}
