//! A progress line on standard error, if that is a terminal, for work that takes longer than half a second.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);

/// A line that is rewritten in place and removed at the end.
pub(crate) struct Progress {
    what: String,
    started: Instant,
    shown: Option<Instant>,
    visible: bool,
}

impl Progress {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), started: Instant::now(), shown: None, visible: io::stderr().is_terminal() }
    }

    /// Reports `done` of `total` steps.
    pub(crate) fn update(&mut self, done: usize, total: usize) {
        let due = self.shown.map_or(self.started + PATIENCE, |s| s + INTERVAL);
        if self.visible && total > 0 && Instant::now() >= due {
            self.shown = Some(Instant::now());
            let _ = write!(io::stderr(), "\r\x1b[K{}: {}%", self.what, done * 100 / total);
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Runs `work` with a callback for its progress: the name of the task, the steps done, and their total.
pub(crate) fn with_progress<T>(work: impl FnOnce(&mut (dyn FnMut(&str, usize, usize) + Send)) -> T) -> T {
    let mut progress: Option<Progress> = None;
    work(&mut |what, done, total| {
        if progress.as_ref().is_none_or(|progress| progress.what != what) {
            // Drop the previous line before a new one starts.
            progress = None;
        }
        progress.get_or_insert_with(|| Progress::new(what)).update(done, total);
    })
}
