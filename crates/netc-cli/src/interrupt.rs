//! Ctrl-C: between passes it ends the pipeline and keeps what is done, elsewhere it ends the command.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;

/// What shells give for a command that was ended by Ctrl-C.
const EXIT_CODE: i32 = 130;

/// Whether Ctrl-C was pressed.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether what is done can be kept.
static PATIENT: AtomicBool = AtomicBool::new(false);

/// Lets Ctrl-C end the command, or what [`patiently`] runs.
pub(crate) fn install() -> Result<(), CliError> {
    ctrlc::set_handler(on_interrupt).map_err(|e| CliError::because("cannot handle Ctrl-C", e))
}

#[allow(clippy::exit, reason = "the user asks for the end, and files on their way are not in their places yet")]
fn on_interrupt() {
    if !PATIENT.load(Ordering::Relaxed) || INTERRUPTED.swap(true, Ordering::Relaxed) {
        process::exit(EXIT_CODE);
    }
    let _ = writeln!(io::stderr(), "\nstopping at the next good state; Ctrl-C again stops at once");
}

/// Runs `work`, which looks at [`INTERRUPTED`] now and then: the first Ctrl-C only sets it.
pub(crate) fn patiently<T>(work: impl FnOnce() -> T) -> T {
    PATIENT.store(true, Ordering::Relaxed);
    let done = work();
    PATIENT.store(false, Ordering::Relaxed);
    done
}
