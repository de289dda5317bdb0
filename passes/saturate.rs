//! Equality saturation.

use netc_rules::Rule;

/// Rules
pub fn rules() -> Vec<Rule> {
    [include_str!("saturate/arithmetic.rules"), include_str!("saturate/shape.rules"), include_str!("saturate/product.rules")]
        .into_iter().flat_map(|t| netc_rules::parse(t).unwrap()).collect()
}
