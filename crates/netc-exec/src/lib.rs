//! Runs core ops: a function is planned once and run many times.
//!
//! [`Plan`] flattens a function into steps, prepares its constants and says when each buffer dies; running it takes
//! and gives [`Tensor`]s. What ops compute is in `kernels`, behind one function.
//! [`Consts`] computes constants for passes, and [`MeasuredCosts`] says what ops cost. [`compare`](compare()) says how
//! far two tensors are apart, [`own_rounding`] how much of that rounding explains, [`inputs`] makes and fits inputs,
//! [`npy`] and [`npz`] read and write NumPy's files. The crate knows no model format.
//!
//! ```
//! let text = "netc 1
//! func @main(%x: f32[N,2]) -> (%y) {
//!   %y = relu(%x) : f32[N,2]
//! }";
//! let module = netc_ir::parse(text)?;
//! let store = netc_data::Store::open(&module)?;
//! let main = module.func_named("main").ok_or("no @main")?;
//! let plan = netc_exec::Plan::new(&module, main, &store)?;
//! let x = netc_exec::Tensor::from_f32(&[1, 2], &[-1.0, 2.0])?;
//! assert_eq!(plan.run(&[x])?, [netc_exec::Tensor::from_f32(&[1, 2], &[0.0, 2.0])?]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compare;
mod consts;
mod costs;
mod error;
mod host;
pub mod inputs;
mod kernels;
pub mod npy;
pub mod npz;
mod plan;
mod precision;
mod tensor;
mod value;

pub use compare::{Difference, Mismatch, compare};
pub use consts::{Consts, ConstsOn};
pub use costs::MeasuredCosts;
pub use error::{ExecError, KernelError, Limit, Result, TensorError};
pub use host::Host;
pub use plan::Plan;
pub use precision::own_rounding;
pub use tensor::Tensor;
