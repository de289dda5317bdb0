//! SIGINT and SIGTERM. Ctrl-C between passes ends the pipeline and keeps what is done; elsewhere either ends the command,
//! which removes its unfinished files.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netc_model::output;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// What shells add to the number of the signal that ended a command.
const EXIT_CODE: i32 = 128;

/// Whether Ctrl-C was pressed.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether what is done can be kept.
static PATIENT: AtomicBool = AtomicBool::new(false);

/// Lets signals end the command, or what [`patiently`] runs.
pub(crate) fn install() -> Result<()> {
    let cannot = |e| CliError::because("cannot handle signals", e);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(move || signals.forever().for_each(on_signal)).map_err(cannot)?;
    Ok(())
}

#[allow(clippy::exit, reason = "the user asks for the end, and unfinished files are removed")]
fn on_signal(signal: i32) {
    let is_patient = signal == SIGINT && PATIENT.load(Ordering::Relaxed);
    if !is_patient || INTERRUPTED.swap(true, Ordering::Relaxed) {
        output::abandon();
        process::exit(EXIT_CODE + signal);
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
