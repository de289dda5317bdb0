//! Runs core ops: a function is planned once and run many times.
//!
//! [`Plan`] flattens a function into steps, prepares its constants and notes when each buffer dies; a run takes and
//! returns [`Tensor`]s. The kernels in `kernels` compute the ops.
//! [`Consts`] evaluates constants for passes and [`MeasuredCosts`] measures ops. [`compare`](compare()) measures the
//! difference of two tensors, and [`own_rounding`] how much of it rounding explains. [`inputs`] makes random inputs and
//! converts given ones; [`npy`] and [`npz`] read and write NumPy files. The crate knows no model format.
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
