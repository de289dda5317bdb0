//! Tests of output that cannot be written: exit code 1, and nothing left behind.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Folder, tiny};

#[test]
fn folders_that_cannot_be_created() {
    let folder = Folder::with_tiny().with("file", "I am a file");
    let refuses = |target: &str| folder.refuses(&["tiny.keras", "--pass", "split=sum", "-o", target], &[target]);
    refuses("file");
    refuses("file/out");
    refuses("/proc/netc/out");
    let missing = "cannot write `nowhere/x.keras`: the folder `nowhere` does not exist";
    folder.refuses(&["tiny.keras", "-o", "nowhere/x.keras"], &[missing]);
    folder.refuses(&["tiny.keras", "-o", "file/x.nir"], &["cannot write `file/x.nir`: `file` is a file"]);
    folder.refuses(&["run", "tiny.keras", "-o", "file/y.npz"], &["file/y.npz"]);
}

#[test]
fn folders_where_files_should_go() {
    let folder = Folder::with_tiny();
    fs::create_dir_all(folder.path("out/manifest.json")).unwrap();
    fs::create_dir(folder.path("x.keras")).unwrap();
    folder.refuses(&["tiny.keras", "-o", "x.keras"], &["x.keras", "folder"]);
    folder.refuses(&["tiny.keras", "--pass", "split=sum", "-o", "out"], &["out/manifest.json", "folder"]);
}

#[test]
fn the_input_is_never_overwritten() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.nir"]).done();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    symlink("tiny.keras", folder.path("link.keras")).unwrap();
    let never = ["never overwrites an input"];
    folder.refuses(&["tiny.keras", "-o", "tiny.keras"], &never);
    folder.refuses(&["tiny.keras", "-o", "./out/../tiny.keras"], &never);
    folder.refuses(&["tiny.keras", "-o", "link.keras"], &never);
    folder.refuses(&["link.keras", "-o", "tiny.keras"], &never);
    folder.refuses(&["tiny.nir", "-o", "tiny.nir"], &never);
    folder.refuses(&["tiny.nir", "-o", "tiny.keras"], &never);
    folder.refuses(&["out/manifest.json", "-o", "out"], &never);
}

/// A limit on file sizes simulates the full disk.
#[test]
fn full_disks() {
    let folder = Folder::new();
    let full = |args: &str| {
        let ran = folder.shell(&format!("trap '' XFSZ; ulimit -f 8; exec $NETC {args}"));
        ran.failed(1, &["File too large"]);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
    };
    full("zoo:siamese -o x.keras");
    full("zoo:siamese --pass split=tower_conv2@0+tower_conv2@1 -o out");
    full("zoo:siamese --pass split=tower_conv2@0+tower_conv2@1 -o several/new/folders");
    full("zoo:mobilenet_v2 -o x.nir");
}

#[test]
fn existing_outputs_are_replaced_completely_or_not_at_all() {
    let folder = Folder::with_tiny();
    folder.netc(&["zoo:tiny", "-o", "x.keras"]).done();
    let first = folder.read("x.keras");
    folder.netc(&["zoo:siamese", "-o", "x.keras"]).done();
    assert_ne!(folder.read("x.keras"), first);
    folder.shell("trap '' XFSZ; ulimit -f 8; exec $NETC zoo:siamese -o tiny.keras").failed(1, &["tiny.keras"]);
    assert_eq!(folder.read("tiny.keras"), tiny());
    assert_eq!(folder.names(), ["tiny.keras", "x.keras"]);
}
