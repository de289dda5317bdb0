//! SIGINT and SIGTERM. During a pipeline the first Ctrl-C stops after the running pass and keeps the result; otherwise
//! either signal ends the command, which removes its unfinished files.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netc_model::output;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{CliError, Result};

/// The exit code of a command that was killed by signal `n` is this plus `n`, as in shells.
const EXIT_CODE: i32 = 128;

/// Whether Ctrl-C was pressed.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the work in progress stops at a good state after Ctrl-C.
static DEFERRED: AtomicBool = AtomicBool::new(false);

/// Installs the handler. See [`defer_interrupt`].
pub(crate) fn install() -> Result<()> {
    let cannot = |e| CliError::because("cannot handle signals", e);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(move || signals.forever().for_each(on_signal)).map_err(cannot)?;
    Ok(())
}

#[allow(clippy::exit, reason = "the user ends the command, and its unfinished files are removed")]
fn on_signal(signal: i32) {
    let is_deferred = signal == SIGINT && DEFERRED.load(Ordering::Relaxed);
    if !is_deferred || INTERRUPTED.swap(true, Ordering::Relaxed) {
        output::abandon();
        process::exit(EXIT_CODE + signal);
    }
    let _ = writeln!(io::stderr(), "\nfinishing the current step; press Ctrl-C again to stop now");
}

/// Runs `work` so that the first Ctrl-C only sets [`INTERRUPTED`], which `work` checks from time to time.
pub(crate) fn defer_interrupt<T>(work: impl FnOnce() -> T) -> T {
    DEFERRED.store(true, Ordering::Relaxed);
    let done = work();
    DEFERRED.store(false, Ordering::Relaxed);
    done
}
