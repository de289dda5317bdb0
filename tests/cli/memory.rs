//! Tests of the limits of memory and steps: errors name the op, the need and the limit.

use crate::support::Folder;

/// Runs the program with 2 GB of address space and checks that it fails.
#[track_caller]
fn check(program: &str, parts: &[&str]) {
    let folder = Folder::new().with("x.nir", format!("netc 1\n{program}"));
    folder.shell("ulimit -v 2000000; \"$NETC\" run x.nir").failed(1, parts);
}

#[test]
fn results_beyond_the_memory_limit() {
    check(
        "func @main(%x: f32[65536,1], %y: f32[1,65536]) -> (%z) {
  %a = matmul(%x, %y) : f32[65536,65536] loc(\"outer\")
  %z = reduce_sum(%a) {axes = [0, 1], keep = false} : f32[]
}",
        &[
            "cannot run `@main`: `%",
            "` needs ",
            " GB of memory, more than the 1.",
            " GB available; allow more with `--max-memory`",
        ],
    );
    check(
        "func @main(%x: f32[1]) -> (%y) {
  %y = broadcast(%x) : f32[4294967296]
}",
        &["holding inputs and outputs needs 34.4 GB of memory"],
    );
}

#[test]
fn inputs_beyond_the_memory_limit() {
    check("func @main(%x: f32[4294967296]) -> (%x) {\n}", &["holding inputs and outputs needs 51.5 GB of memory"]);
    check("func @main(%x: f32[200000000]) -> (%x) {\n}", &["needs 2.4 GB of memory"]);
}

#[test]
fn weights_beyond_the_memory_limit() {
    for data in ["0.5", "rand(1, 0.0, 1.0)", "bytes(file0, 0, 17179869184)"] {
        check(
            &format!(
                "file file0 = \"x.nir\"
weight w0 \"w\" : f32[4294967296] = {data}
func @main() -> (%w) {{
  %w = weight w0() : f32[4294967296]
}}"
            ),
            &["cannot run `@main`: loading its weights needs 17.2 GB of memory"],
        );
    }
}

#[test]
fn a_failed_allocation_is_an_error() {
    let text = "func @main(%x: f32[65536,1], %y: f32[1,65536]) -> (%z) {
  %a = matmul(%x, %y) : f32[65536,65536]
  %z = reduce_sum(%a) {axes = [0, 1], keep = false} : f32[]
}";
    let weight = "weight w0 \"w\" : f32[1000000000] = rand(1, 0.0, 1.0)
func @main() -> (%w) {
  %w = weight w0() : f32[1000000000]
}";
    let input = "func @main(%x: f32[1000000000]) -> (%x) {\n}";
    for (text, parts) in [
        (text, ["cannot compute `%a = matmul`", "the result f32[65536,65536] does not fit into memory"]),
        (weight, ["`w`", "f32[1000000000] does not fit into memory"]),
        (input, ["`x`", "f32[1000000000] does not fit into memory"]),
    ] {
        let folder = Folder::new().with("x.nir", format!("netc 1\n{text}"));
        folder.shell("ulimit -v 2000000; \"$NETC\" run x.nir --max-memory 1TB").failed(1, &parts);
    }
}

/// A program of twenty functions, each of which calls the next one twice.
fn doubling() -> String {
    let call = |i: usize| if i < 19 { format!("call @f{}", i + 1) } else { "neg".into() };
    let func = |i: usize| {
        let op = call(i);
        format!("func @f{i}(%x: f32[4]) -> (%y) {{\n %a = {op}(%x) : f32[4]\n %y = {op}(%a) : f32[4]\n}}\n")
    };
    let main = "netc 1\nfunc @main(%x: f32[4]) -> (%y) {\n %y = call @f0(%x) : f32[4]\n}\n";
    main.to_string() + &(0..20).map(func).collect::<String>()
}

#[test]
fn inlined_calls_beyond_the_step_limit() {
    let folder = Folder::new().with("x.nir", doubling());
    let error = "cannot run `@main`: the function with its calls inlined needs 2,097,151 steps, more than the 100,656 \
                 allowed; allow more with `--max-steps`";
    for command in ["run x.nir", "diff x.nir x.nir", "x.nir --pass dce --verify"] {
        folder.shell(&format!("\"$NETC\" {command}")).failed(1, &[error]);
    }
    folder.shell("\"$NETC\" x.nir --pass dce --verify-each values").failed(1, &["needs 2,097,151 steps"]);
}

#[test]
fn windows_beyond_the_step_limit() {
    let folder = Folder::new().with(
        "x.nir",
        "netc 1
func @main(%x: f32[1,64,64,64,4]) -> (%y) {
  %y = max_pool(%x) {size = [65536, 65536, 65536], strides = [1, 1, 1], padding = \"same\"} : f32[1,64,64,64,4]
}
",
    );
    folder
        .shell("\"$NETC\" run x.nir")
        .failed(1, &["`%y = max_pool` needs 175,922 steps, more than the 100,016 allowed"]);
}
