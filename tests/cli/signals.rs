//! Runs that are ended from outside: nothing is left behind, or the next run removes it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Folder, binary};

/// A model that takes a moment to write.
const ARGS: [&str; 5] = ["zoo:squeezenet", "--pass", "split=fire3_concat,fire6_concat", "-o", "new/out"];

fn spawn(folder: &Folder, args: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.args(args).current_dir(folder.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Sends the signal after `delay`, if the command has not ended by then.
fn end_after(folder: &Folder, args: &[&str], delay: Duration, signal: &str) -> ExitStatus {
    let mut child = spawn(folder, args);
    thread::sleep(delay);
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
    child.wait().unwrap()
}

/// How long the command takes.
fn time(args: &[&str]) -> Duration {
    let folder = Folder::new();
    let start = Instant::now();
    assert!(spawn(&folder, args).wait().unwrap().success());
    start.elapsed()
}

/// The signal at 30 moments of a run.
fn check(signal: &str, code: i32) {
    let whole = time(&ARGS);
    let mut ended = 0;
    for moment in 1..=30 {
        let folder = Folder::new();
        let status = end_after(&folder, &ARGS, whole * moment / 30, signal);
        match status.code() {
            Some(0) => {}
            Some(other) if other == code => ended += 1,
            // Before the handler is there, nothing is made.
            None => assert_ne!(status.signal(), None),
            Some(other) => panic!("exit code {other}"),
        }
        let names = folder.names();
        if names.contains(&"new/out/manifest.json".into()) {
            assert_eq!(names.len(), 6, "all of it: {names:?}");
        } else {
            assert!(names.is_empty(), "moment {moment}: {names:?}");
        }
    }
    assert!(ended >= 10, "{ended} runs of 30 were ended");
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    check("-INT", 130);
}

#[test]
fn a_request_to_end_leaves_nothing_behind() {
    check("-TERM", 143);
}

/// A kill cannot be handled: the next run into the folder removes what it left, be it a set or a file.
#[test]
fn what_a_kill_leaves_the_next_run_removes() {
    for (args, outputs) in [(&ARGS[..], 6), (&["zoo:squeezenet", "-o", "x.keras"], 1)] {
        let whole = time(args);
        let mut left = 0;
        let folder = Folder::new();
        for moment in 1..=15 {
            end_after(&folder, args, whole * moment / 15, "-KILL");
            left += usize::from(folder.names().iter().any(|name| name.contains(".netc-")));
        }
        assert!(left > 0, "no kill left anything");
        let ran = folder.netc(args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(folder.names().len(), outputs, "{:?}", folder.names());
    }
}

/// An allocation that fails ends the process as a kill does.
#[test]
fn what_an_abort_leaves_the_next_run_removes() {
    let folder = Folder::new();
    let line = |limit: u32| format!("ulimit -v {limit}; exec $NETC {}", ARGS.join(" "));
    let leaves = |limit| {
        folder.shell_ended(&line(limit));
        folder.names().iter().any(|name| name.contains(".netc-"))
    };
    assert!((10_000..70_000).step_by(2_500).any(leaves), "no abort left anything: {:?}", folder.names());
    let ran = folder.netc(&ARGS);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(folder.names().len(), 6, "{:?}", folder.names());
}

/// Two splits of one model, one over the other, killed again and again: what is there is the one or the other.
#[test]
fn a_killed_split_over_a_split_leaves_one_of_them() {
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
