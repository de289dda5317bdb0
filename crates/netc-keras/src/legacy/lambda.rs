//! Converts `Lambda` layers from Keras 2 to Keras 3. netc carries their bytecode as text and never runs it.

use netc_ir::{Attr, Attrs};

/// Keys under which Keras 2 writes the kind and module of a function.
const ABOUT: &[&str] = &["function_type", "module", "output_shape_type", "output_shape_module"];

/// The keys under which a `Lambda` may have functions.
const FUNCTIONS: &[&str] = &["function", "output_shape"];

/// The configuration of a `Lambda` as Keras 3 writes it.
pub(crate) fn upgrade(config: &Attrs) -> Attrs {
    let is_bytecode = |key: &str| config.get(&format!("{key}_type")).and_then(Attr::as_str) == Some("lambda");
    let kept =
        config.iter().filter(|(key, value)| !(ABOUT.contains(&&**key) || &**key == "output_shape" && value.is_null()));
    let now = |(key, value): &(_, Attr)| {
        let key: &netc_ir::Name = key;
        let value = if FUNCTIONS.contains(&&**key) && is_bytecode(key) { bytecode(value) } else { value.clone() };
        (key.clone(), value)
    };
    kept.map(now).collect()
}

/// Converts `[code, defaults, closure]` to a Keras 3 object.
fn bytecode(function: &Attr) -> Attr {
    let Some([code, defaults, closure]) = function.as_list() else { return function.clone() };
    // Python needs the defaults as a tuple. Keras 3 makes one only if they are in a list together with the code.
    let code = if defaults.is_null() { code.clone() } else { function.clone() };
    let config = Attrs::new().with("code", code).with("defaults", Attr::Null).with("closure", closure.clone());
    Attrs::new().with("class_name", "__lambda__").with("config", config).into()
}

/// Whether the Keras 3 configuration contains bytecode.
pub(crate) fn has_bytecode(config: &Attrs) -> bool {
    FUNCTIONS.iter().filter_map(|key| config.get(key)).any(is_bytecode)
}

fn is_bytecode(function: &Attr) -> bool {
    function.get("class_name").and_then(Attr::as_str) == Some("__lambda__")
}

/// The reason why Keras 3 cannot load the converted configuration, if there is one.
pub(crate) fn refused(config: &Attrs) -> Option<String> {
    if config.get("mask").is_some_and(|mask| !mask.is_null()) {
        return Some("Keras 3 cannot read the mask function of a `Lambda`".into());
    }
    if !config.get("function").is_some_and(|f| is_bytecode(f) || f.as_str().is_some()) {
        return Some("its function is neither Python bytecode nor the name of a function".into());
    }
    let arguments = config.get("arguments").and_then(Attr::as_map);
    let is_object = |value: &Attr| value.as_map().is_some();
    let object = arguments.and_then(|all| all.iter().find(|(_, value)| is_object(value)));
    object.map(|(key, _)| format!("its argument `{key}` is an object, which Keras 3 may misread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(defaults: Attr) -> Attr {
        Attr::List(vec!["4wE=".into(), defaults, Attr::Null])
    }

    fn declared(function: Attr, kind: &str) -> Attrs {
        Attrs::new()
            .with("name", "l")
            .with("function", function)
            .with("function_type", kind)
            .with("module", "__main__")
            .with("output_shape", Attr::Null)
            .with("output_shape_type", "raw")
            .with("output_shape_module", Attr::Null)
    }

    fn code(config: &Attrs) -> Option<&Attr> {
        config.get("function")?.get("config")?.get("code")
    }

    #[test]
    fn bytecode_becomes_an_object() {
        let upgraded = upgrade(&declared(function(Attr::Null), "lambda"));
        assert_eq!(upgraded.iter().map(|(key, _)| &**key).collect::<Vec<_>>(), ["name", "function"]);
        assert_eq!(code(&upgraded), Some(&"4wE=".into()));
        assert!(has_bytecode(&upgraded));
        assert_eq!(refused(&upgraded), None);
    }

    #[test]
    fn defaults_stay_in_a_list_with_the_code() {
        let with = function(Attr::List(vec![2.0.into()]));
        assert_eq!(code(&upgrade(&declared(with.clone(), "lambda"))), Some(&with));
    }

    #[test]
    fn named_functions_keep_their_names() {
        let upgraded = upgrade(&declared("sin".into(), "function"));
        assert_eq!(upgraded.get("function"), Some(&"sin".into()));
        assert!(!has_bytecode(&upgraded));
    }

    #[test]
    fn mask_functions_are_rejected() {
        let config = declared(function(Attr::Null), "lambda").with("mask", function(Attr::Null));
        assert!(refused(&upgrade(&config)).is_some_and(|note| note.contains("mask")));
    }
}
