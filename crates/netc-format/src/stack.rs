//! The maximum nesting of models, and threads with enough stack for it.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// The maximum nesting of models that are read and written. Deeper nesting could overflow a thread's stack.
pub const MAX_NESTING: usize = 256;

/// The maximum nesting of lists and objects that are read. Each nested model takes three levels.
pub const MAX_LEVELS: usize = 4 * MAX_NESTING;

/// Bytes of stack that recursion over nested models needs, up to [`MAX_NESTING`].
pub const STACK: usize = 16 << 20;

/// Calls `f` on a thread with a stack of [`STACK`] bytes.
///
/// # Errors
/// The system cannot start a thread.
pub fn on_large_stack<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    Ok(both(f, || ())?.0)
}

/// Calls both functions in parallel, `there` on a thread with a stack of [`STACK`] bytes.
///
/// On wasm, which has no threads, `there` runs first and then `here`.
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
                format!("not enough memory for a thread with a stack of {stack} MiB, or too many threads are running");
            io::Error::new(error.kind(), note)
        })?;
        let here = here();
        Ok((thread.join().unwrap_or_else(|panic| resume_unwind(panic)), here))
    })
}
