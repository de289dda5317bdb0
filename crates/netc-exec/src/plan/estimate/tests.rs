//! Tests of the estimate: peak memory, shared weights and steps.

use std::error::Error;
use std::sync::Arc;

use netc_data::Store;
use netc_ir::{MAIN, parse, verify};

use crate::error::Result;
use crate::host::Host;
use crate::inputs::random_types;
use crate::plan::Plan;
use crate::tensor::Tensor;

/// Plans a program on a host.
fn plan(host: &Arc<Host>, text: &str) -> Result<Plan> {
    let module = parse(&format!("netc 1\n{text}")).unwrap_or_else(|e| panic!("{e}"));
    verify(&module).unwrap_or_else(|e| panic!("{e}"));
    Plan::on(host, &module, module.func_named(MAIN).unwrap(), &Store::open(&module).unwrap())
}

/// Checks whether a program can run on random inputs within `memory` bytes; returns the error if not.
fn runs(text: &str, memory: u64) -> Result<(), String> {
    let module = parse(&format!("netc 1\n{text}")).unwrap();
    let types = random_types(module.main().unwrap(), 1).unwrap();
    let checked = plan(&Arc::new(Host::new(memory, None)), text).and_then(|plan| plan.check(&types));
    checked.map_err(|error| format!("{error}: {}", error.source().map_or_else(String::new, |s| s.to_string())))
}

/// Checks that a program needs exactly `bytes` bytes, plus 1 KiB per step of the plan.
#[track_caller]
fn check(text: &str, steps: u64, bytes: u64) {
    assert_eq!(runs(text, bytes + steps * 1024), Ok(()));
    assert!(runs(text, bytes + steps * 1024 - 1).is_err());
}

#[test]
fn tensors_count_while_they_are_live() {
    // The input counts twice, as the caller's tensor and in its buffer. At the peak that is the input and two values.
    let chain = "func @main(%x: f32[1000]) -> (%d) {
      %a = neg(%x) : f32[1000] %b = neg(%a) : f32[1000] %c = neg(%b) : f32[1000] %d = neg(%c) : f32[1000] }";
    check(chain, 4, 12_000);
    let shared = "func @main(%x: f32[1000]) -> (%d) {
      %a = reshape(%x) : f32[10,100] %b = reshape(%a) : f32[1000] %c = reshape(%b) : f32[100,10] %d = neg(%c) : f32[100,10] }";
    check(shared, 4, 12_000);
    let doubling = "func @main(%x: f32[1000]) -> (%b) {
      %a = concat(%x, %x) {axis = 0} : f32[2000] %b = concat(%a, %a) {axis = 0} : f32[4000] }";
    // At the end the output counts twice, because it is returned as a copy.
    check(doubling, 2, 4_000 + 16_000 * 2);
}

#[test]
fn memory_errors_name_the_op_the_need_and_the_limit() {
    let text = "func @main(%x: f32[N]) -> (%s) {
      %y = broadcast(%x) : f32[1000000000,N] loc(\"blow\") %s = reduce_sum(%y) {axes = [0], keep = false} : f32[N] }";
    let error = runs(text, 8_000_000_000).unwrap_err();
    assert_eq!(error, "cannot run `@main`: `%s = reduce_sum` needs 8.0 GB of memory, more than the 8.0 GB available");
    let error = runs(text, 1_000_000_000).unwrap_err();
    assert_eq!(error, "cannot run `@main`: `%s = reduce_sum` needs 8.0 GB of memory, more than the 1.0 GB available");
}

#[test]
fn too_large_weights_are_rejected_before_they_are_read() {
    let text = "weight w0 \"a\" : f32[1000000000000] = rand(1, 0.0, 1.0)
      func @main() -> (%y) { %y = weight w0() : f32[1000000000000] }";
    let error = runs(text, 1_000_000_000).unwrap_err();
    assert_eq!(
        error,
        "cannot run `@main`: loading its weights needs 4000.0 GB of memory, more than the 1.0 GB available"
    );
}

#[test]
fn plans_on_one_host_share_weights_and_release_them() {
    let text = |name: &str, seed: u32| {
        format!(
            "weight w0 \"{name}\" : f32[1000] = rand({seed}, 0.0, 1.0)
             weight w1 \"same\" : f32[10,100] = 2.0
             func @main() -> (%a, %b) {{ %a = weight w0() : f32[1000] %b = weight w1() : f32[10,100] }}"
        )
    };
    let host = Arc::new(Host::new(u64::MAX, None));
    let used = |plans: usize| host.beyond("", 0).needed - 2048 * plans as u64;
    let first = plan(&host, &text("a", 1)).unwrap();
    assert_eq!(used(1), 8_000);
    let second = plan(&host, &text("a", 1)).unwrap();
    assert_eq!(used(2), 8_000, "both weights have the same source");
    let other = plan(&host, &text("a", 2)).unwrap();
    assert_eq!(used(3), 12_000, "one weight differs");
    assert_eq!(first.run(&[]).unwrap(), second.run(&[]).unwrap());
    assert_ne!(first.run(&[]).unwrap()[0], other.run(&[]).unwrap()[0]);
    drop((first, second));
    assert_eq!(used(1), 8_000);
    drop(other);
    assert_eq!(used(0), 0);
}

#[test]
fn equal_bytes_share_one_weight_under_any_name_and_shape() {
    let text = |name: &str, dims: &str| {
        format!(
            "weight w0 \"{name}\" : f32[{dims}] = [1.0, 2.0, 3.0, 4.0] func @main() -> (%a) {{ %a = weight w0() : f32[{dims}] }}"
        )
    };
    let host = Arc::new(Host::new(u64::MAX, None));
    let plans = [plan(&host, &text("a", "4")).unwrap(), plan(&host, &text("b", "2,2")).unwrap()];
    assert_eq!(host.beyond("", 0).needed, 16 + 2048);
    assert_eq!(plans[1].run(&[]).unwrap()[0].dims(), [2, 2]);
}

#[test]
fn work_counts_as_steps() {
    let text = "func @main(%x: f32[100000,100000], %y: f32[100000,100000]) -> (%s) {
      %z = matmul(%x, %y) : f32[100000,100000] loc(\"product\")
      %s = reduce_sum(%z) {axes = [0, 1], keep = false} : f32[] }";
    let error = runs(text, u64::MAX).unwrap_err();
    assert_eq!(
        error,
        "cannot run `@main`: `%z = matmul` at `product` needs 10,000,102 steps, more than the 100,032 allowed"
    );
}

/// Runs a program with the scalar input `n` within the given limits.
fn counts_to(text: &str, n: i64, memory: u64, max_steps: Option<u64>) -> Result<(), String> {
    let plan = plan(&Arc::new(Host::new(memory, max_steps)), text).map_err(|error| error.to_string())?;
    let run = plan.run(&[Tensor::from_i64(&[], &[n]).unwrap()]);
    run.map(drop).map_err(|error| format!("{error}: {}", error.source().map_or_else(String::new, |s| s.to_string())))
}

#[test]
fn the_estimate_resumes_once_an_extent_is_computed() {
    // The step takes 1 KiB, the input and its buffer 8 bytes each. Each number takes 8 bytes in its buffer and 8 in the
    // copy that is returned, when the input's buffer is dead.
    let text = "func @main(%n: i64[]) -> (%i) { %i = iota(%n) : i64[K] }";
    let needed = 1024 + 16 + 2 * 8 * 1000 - 8;
    assert_eq!(counts_to(text, 1000, needed, None), Ok(()));
    let error = counts_to(text, 1000, needed - 1, None).unwrap_err();
    assert_eq!(
        error,
        "cannot run `@main`: holding inputs and outputs needs 17032 bytes of memory, more than the 17031 bytes available"
    );
    // The second `iota` reuses the memory of the first. A maximum needs as much temporary memory as its operand.
    let two = "func @main(%n: i64[]) -> (%s) {
      %i = iota(%n) : i64[K] %a = reduce_max(%i) {axes = [0]} : i64[]
      %j = iota(%a) : i64[J] %s = reduce_max(%j) {axes = [0]} : i64[] }";
    let room = 4 * 1024 + 16 * 10_000;
    assert_eq!(counts_to(two, 10_000, room + 100, None), Ok(()));
    assert!(counts_to(two, 10_000, room, None).is_err());
}

#[test]
fn steps_are_counted_over_the_whole_run() {
    let text = "func @main(%n: i64[]) -> (%z) {
      %i = iota(%n) : i64[K] %c = cast(%i) : f32[K] %a = reshape(%c) : f32[K,1] %b = reshape(%c) : f32[1,K]
      %y = matmul(%a, %b) : f32[K,K] %z = matmul(%y, %y) : f32[K,K] loc(\"square\") }";
    assert_eq!(counts_to(text, 3, u64::MAX, Some(6)), Ok(()));
    let error = counts_to(text, 1000, u64::MAX, Some(15)).unwrap_err();
    assert_eq!(error, "cannot run `@main`: the run needs 16 steps, more than the 15 allowed");
}
