//! Converts the declarations, calls and weights of older Keras to Keras 3 and back.
//!
//! An HDF5 file records neither the package of a class nor the names of its weights in a `.keras` file. A module keeps
//! the declaration as read. The lowering and the `.keras` writer ask [`upgrade()`] for the Keras 3 declaration.

mod calls;
mod downgrade;
mod gates;
mod graphs;
mod groups;
pub(crate) mod keras1;
mod keras2;
mod lambda;
pub(crate) mod losses;
pub(crate) mod old_call;
mod parts;
pub(crate) mod tensorflow;
mod upgrade;
mod weight_order;

pub(crate) use downgrade::{Reader, downgrade, with_named_functions};
pub(crate) use gates::{GateChange, gate_changes, with_new_gates};
pub(crate) use groups::{has_old_groups, places_in_old_groups, with_new_groups};
pub(crate) use keras2::{as_keras_2, check_floats, holds_object};
pub(crate) use lambda::has_bytecode;
pub(crate) use losses::losses;
pub(crate) use old_call::read_call;
pub(crate) use parts::{grouped, is_model, trains};
pub(crate) use upgrade::{
    Upgraded, not_in_keras_3, upgrade, upgrade_call, upgrade_object, upgraded_class, without_slashes,
};
pub(crate) use weight_order::{
    LISTED, ListedWeight, Places, exact_places, layers_of_model, layers_with_weights, least, makes_weights, places,
    weight_list,
};
