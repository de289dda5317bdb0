//! Too little memory: what does not fit is an error that names it.

use crate::support::Folder;

/// Runs the program in two gigabytes.
#[track_caller]
fn check(program: &str, parts: &[&str]) {
    let folder = Folder::new().with("x.nir", format!("netc 1\n{program}"));
    folder.shell("ulimit -v 2000000; \"$NETC\" run x.nir").failed(1, parts);
}

#[test]
fn results() {
    check(
        "func @main(%x: f32[65536,1], %y: f32[1,65536]) -> (%z) {
  %a = matmul(%x, %y) : f32[65536,65536]
  %z = reduce_sum(%a) {axes = [0, 1], keep = false} : f32[]
}",
        &["cannot compute `matmul`", "the result f32[65536,65536] does not fit into memory"],
    );
    check(
        "func @main(%x: f32[1]) -> (%y) {
  %y = broadcast(%x) : f32[4294967296]
}",
        &["the result f32[4294967296] does not fit into memory"],
    );
}

#[test]
fn inputs() {
    check("func @main(%x: f32[4294967296]) -> (%x) {\n}", &["`x`", "f32[4294967296] does not fit into memory"]);
}

#[test]
fn weights() {
    for data in ["0.5", "rand(1, 0.0, 1.0)", "bytes(file0, 0, 17179869184)"] {
        check(
            &format!(
                "file file0 = \"x.nir\"
weight w0 \"w\" : f32[4294967296] = {data}
func @main() -> (%w) {{
  %w = weight w0() : f32[4294967296]
}}"
            ),
            &["weight `w` has the type f32[4294967296], which has no size in bytes that fits into memory"],
        );
    }
}
