//! What residual networks have in common.

use netc_keras::build::Init;

/// The initializer for the last factor of a residual branch. It is small because the sum grows with each block, and
/// untrained weights do not counteract that.
pub(crate) fn residual_factor() -> Init {
    Init::uniform(0.05, 0.2)
}
