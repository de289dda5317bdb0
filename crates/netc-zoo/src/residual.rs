//! What residual networks have in common.

use netc_keras::build::Init;

/// For the last factor of a residual branch: the sum grows with each block, and without training nothing else
/// keeps it from growing.
pub(crate) fn residual_factor() -> Init {
    Init::uniform(0.05, 0.2)
}
