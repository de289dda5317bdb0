//! Random well-typed modules and the oracles that judge transforms of them.
