//! Threads whose stacks suffice for models in models.

use std::io;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// Bytes of stack for code that follows models into the models in them, as deep as any that is read.
pub const STACK: usize = 16 << 20;

/// Calls `f` on a thread with a stack of [`STACK`] bytes.
///
/// # Errors
/// The system has no thread.
pub fn on_large_stack<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = Builder::new().stack_size(STACK).spawn_scoped(scope, f)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
