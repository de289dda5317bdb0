//! Tests of interrupted runs: nothing is left behind, or the next run removes it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Folder, binary};

/// Splits a model that takes a moment to write.
const ARGS: [&str; 5] = ["zoo:squeezenet", "--pass", "split=fire3_concat,fire6_concat", "-o", "new/out"];

fn spawn(folder: &Folder, args: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(args).current_dir(folder.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Runs the command and sends the signal after `delay`, unless it has already ended.
fn end_after(folder: &Folder, args: &[&str], delay: Duration, signal: &str) -> ExitStatus {
    let mut child = spawn(folder, args);
    thread::sleep(delay);
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
    child.wait().unwrap()
}

/// Measures the time of the command.
fn time(args: &[&str]) -> Duration {
    let folder = Folder::new();
    let start = Instant::now();
    assert!(spawn(&folder, args).wait().unwrap().success());
    start.elapsed()
}

/// Sends the signal at 30 different times of a run and checks that nothing is half-written.
fn check(signal: &str, code: i32) {
    let whole = time(&ARGS);
    let mut ended = 0;
    for moment in 1..=30 {
        let folder = Folder::new();
        let status = end_after(&folder, &ARGS, whole * moment / 30, signal);
        match status.code() {
            Some(0) => {}
            Some(other) if other == code => ended += 1,
            // The signal came before the handler was installed, when nothing is written yet.
            None => assert_ne!(status.signal(), None),
            Some(other) => panic!("exit code {other}"),
        }
        let names = folder.names();
        if names.contains(&"new/out/manifest.json".into()) {
            assert_eq!(names.len(), 6, "the set is incomplete: {names:?}");
        } else {
            assert!(names.is_empty(), "moment {moment}: {names:?}");
        }
    }
    assert!(ended >= 10, "only {ended} of 30 runs were interrupted");
}

#[test]
fn sigint_leaves_nothing_behind() {
    check("-INT", 130);
}

#[test]
fn sigterm_leaves_nothing_behind() {
    check("-TERM", 143);
}

/// SIGKILL cannot be handled, so the next run cleans up.
#[test]
fn the_next_run_removes_the_remains_of_a_kill() {
    for (args, outputs) in [(&ARGS[..], 6), (&["zoo:squeezenet", "-o", "x.keras"], 1)] {
        let whole = time(args);
        let mut left = 0;
        let folder = Folder::new();
        for moment in 1..=15 {
            end_after(&folder, args, whole * moment / 15, "-KILL");
            left += usize::from(folder.names().iter().any(|name| name.contains(".netc-")));
        }
        assert!(left > 0, "no kill left any remains");
        let ran = folder.netc(args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(folder.names().len(), outputs, "{:?}", folder.names());
    }
}

/// A failed allocation aborts the process.
#[test]
fn the_next_run_removes_the_remains_of_an_abort() {
    let folder = Folder::new();
    let line = |limit: u32| format!("ulimit -v {limit}; exec $NETC {}", ARGS.join(" "));
    let leaves = |limit| {
        folder.shell_ended(&line(limit));
        folder.names().iter().any(|name| name.contains(".netc-"))
    };
    assert!((10_000..70_000).step_by(2_500).any(leaves), "no abort left any remains: {:?}", folder.names());
    let ran = folder.netc(&ARGS);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(folder.names().len(), 6, "{:?}", folder.names());
}

/// Repeatedly kills a split that replaces another split of the same model.
#[test]
fn killing_a_replacing_split_leaves_one_complete_set() {
    let folder = Folder::new();
    folder.netc(&["zoo:squeezenet", "-o", "whole.keras"]).done();
    let split = |cut| ["whole.keras", "--pass", cut, "-o", "out"];
    let cuts = ["split=fire3_concat", "split=fire6_concat"];
    folder.netc(&split(cuts[0])).done();
    let whole = time(&["zoo:squeezenet", "--pass", cuts[0], "-o", "out"]);
    for moment in 1..=20 {
        end_after(&folder, &split(cuts[moment as usize % 2]), whole * moment / 20, "-KILL");
        let ran = folder.netc(&["diff", "whole.keras", "out/manifest.json"]);
        assert!(ran.code == 0 && ran.out.contains("equal bit for bit"), "moment {moment}: {ran:?}");
    }
}
