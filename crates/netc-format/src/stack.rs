//! How deep models nest, and threads with enough stack for it.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// Models in models that are read and written. More would overflow the stack of a thread somewhere.
pub const MAX_NESTING: usize = 256;

/// Levels of lists and objects that are read: a model in a model has three.
pub const MAX_LEVELS: usize = 4 * MAX_NESTING;

/// Bytes of stack for code that follows models into the models in them, as deep as any that is read.
pub const STACK: usize = 16 << 20;

/// Calls `f` on a thread with a stack of [`STACK`] bytes.
///
/// # Errors
/// The system cannot start a thread.
pub fn on_large_stack<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    Ok(both(f, || ())?.0)
}

/// Calls both functions at the same time, `there` on a thread with a stack of [`STACK`] bytes. A web page has no threads, so
/// there one runs after the other.
///
/// ```
/// let (there, here) = netc_format::stack::both(|| 6 * 7, || "here")?;
/// assert_eq!((there, here), (42, "here"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system cannot start a thread.
pub fn both<T: Send, H>(there: impl FnOnce() -> T + Send, here: impl FnOnce() -> H) -> io::Result<(T, H)> {
    if cfg!(target_family = "wasm") {
        return Ok((there(), here()));
    }
    thread::scope(|scope| {
        let thread = Builder::new().stack_size(STACK).spawn_scoped(scope, there).map_err(|error| {
            let stack = STACK >> 20;
            let note =
                format!("there is too little memory for a thread with a stack of {stack} MB, or too many threads run");
            io::Error::new(error.kind(), note)
        })?;
        let here = here();
        Ok((thread.join().unwrap_or_else(|panic| resume_unwind(panic)), here))
    })
}
