//! How deep models nest, and threads with enough stack for it.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

/// Models in models that are read and written. More would overflow the stack of a thread somewhere.
pub const MAX_NESTING: usize = 256;

/// Levels of lists and objects that are read: a model in a model has three.
pub const MAX_LEVELS: usize = 4 * MAX_NESTING;

/// Bytes of stack for code that follows models into the models in them, as deep as any that is read.
pub const STACK: usize = 16 << 20;

/// Calls `f` on a thread with a stack of [`STACK`] bytes.
///
/// # Errors
/// The system has no thread.
pub fn on_large_stack<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = spawn(scope, f)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Starts a thread with a stack of [`STACK`] bytes.
///
/// # Errors
/// The system has no thread.
pub fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    f: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().stack_size(STACK).spawn_scoped(scope, f).map_err(|error| {
        let stack = STACK >> 20;
        let note =
            format!("there is too little memory for a thread with a stack of {stack} MB, or too many threads run");
        io::Error::new(error.kind(), note)
    })
}
