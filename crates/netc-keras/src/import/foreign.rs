//! Recognizes JSON files that are not models by their keys, for error messages.

use netc_ir::Attr;

/// Describes a JSON file that is not a model, and what to give instead.
pub(crate) fn json(json: &Attr) -> String {
    let Some(map) = json.as_map() else {
        let groups = json.as_list().unwrap_or_default();
        if groups.first().is_some_and(|group| group.get("paths").is_some() && group.get("weights").is_some()) {
            return "it is a list of weights of TensorFlow.js without a model; give its model.json".into();
        }
        return "it is JSON, but not an object, so not a model".into();
    };
    let has = |key: &str| map.get(key).is_some();
    let known = [
        (
            has("weightsManifest"),
            "a list of weights of TensorFlow.js without a model; give a model.json with its topology",
        ),
        (has("tokenizer_class"), "the configuration of a tokenizer; give the model"),
        (has("model") && (has("added_tokens") || has("pre_tokenizer")), "a tokenizer; give the model"),
        (
            has("architectures") || has("model_type"),
            "a configuration of Hugging Face Transformers, which has no graph; build the model in Keras and save it as \
             .keras",
        ),
        (has("keras_version") && has("date_saved"), "the metadata of a .keras file; give that file"),
        (has("floatx") && has("epsilon"), "the Keras settings file; give a model"),
        (has("nbformat"), "a Jupyter notebook; save its model in Keras as .keras"),
        (
            has("name") && ["dependencies", "devDependencies", "scripts"].into_iter().any(has),
            "a package.json; give a model",
        ),
        (has("start_url") || has("manifest_version"), "the manifest of a web page; give a model"),
    ];
    if let Some((_, what)) = known.iter().find(|(is, _)| *is) {
        return format!("it is {what}");
    }
    let keys: Vec<String> = map.iter().take(4).map(|(key, _)| format!("`{}`", shown(key))).collect();
    let more = if map.len() > keys.len() { ", ..." } else { "" };
    let keys = if keys.is_empty() { "none".into() } else { keys.join(", ") + more };
    format!(
        "it is JSON, but not a model: its keys are {keys}; a Keras model has `class_name` and `config`, \
         a TensorFlow.js model `modelTopology`, and a netc manifest `stages`"
    )
}

/// The first 40 characters of a text, for a message.
fn shown(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognized_by_its_keys() {
        for (text, part) in [
            (r#"{"version": "1.0", "added_tokens": [], "model": {}}"#, "a tokenizer"),
            (r#"{"name": "x", "scripts": {}}"#, "a package.json"),
            (r#"[{"paths": ["a.bin"], "weights": []}]"#, "a list of weights of TensorFlow.js"),
            (r#"{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}"#, "its keys are `a`, `b`, `c`, `d`, ...;"),
            ("{}", "its keys are none"),
            ("[1]", "not an object"),
        ] {
            let found = json(&crate::config::json::parsed(text));
            assert!(found.contains(part), "{found}");
        }
    }
}
