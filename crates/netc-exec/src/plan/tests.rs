//! Tests of plans: symbols, inputs, calls, weights, liveness, repeatability.

use super::*;
use crate::inputs::random_inputs;
use netc_ir::{ElemType, parse, verify};

fn plan_of(text: &str, name: &str) -> Result<Plan, ExecError> {
    let module = parse(&format!("netc 1\n{text}")).unwrap_or_else(|e| panic!("{e}"));
    verify(&module).unwrap_or_else(|e| panic!("{e}"));
    let store = Store::open(&module).unwrap();
    Plan::new(&module, module.func_named(name).unwrap(), &store)
}

fn f32s(dims: &[u64], values: &[f32]) -> Tensor {
    Tensor::from_f32(dims, values).unwrap()
}

#[track_caller]
fn check(text: &str, inputs: &[Tensor], expect: &[Tensor]) -> Plan {
    let plan = plan_of(text, "main").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan.run(inputs).unwrap_or_else(|e| panic!("{e}")), expect);
    plan
}

#[track_caller]
fn check_error(text: &str, inputs: &[Tensor], expect: &str) {
    let error = plan_of(text, "main").and_then(|plan| plan.run(inputs)).unwrap_err();
    let first: &dyn std::error::Error = &error;
    let chain: Vec<String> = std::iter::successors(Some(first), |e| e.source()).map(ToString::to_string).collect();
    assert_eq!(chain.join(": "), expect);
}

const FLATTEN: &str = "func @main(%x: f32[N,2,2]) -> (%y) { %y = reshape(%x) : f32[N,4] }";

#[test]
fn inputs_bind_symbols() {
    check(FLATTEN, &[f32s(&[1, 2, 2], &[1., 2., 3., 4.])], &[f32s(&[1, 4], &[1., 2., 3., 4.])]);
    check(FLATTEN, &[f32s(&[0, 2, 2], &[])], &[f32s(&[0, 4], &[])]);
    let broadcast = "func @main(%x: f32[N], %y: f32[2*N+1]) -> (%z) { %z = broadcast(%x) : f32[2*N, N] }";
    let y = f32s(&[3], &[0.; 3]);
    check(broadcast, &[f32s(&[1], &[5.]), y], &[f32s(&[2, 1], &[5., 5.])]);
}

#[test]
fn reshape_infers_one_unbound_extent() {
    let text = "func @main(%x: f32[floor(H, 2),6]) -> (%y) { %y = reshape(%x) : f32[3,2*floor(H, 2)] }";
    check(text, &[f32s(&[1, 6], &[0.; 6])], &[f32s(&[3, 2], &[0.; 6])]);
}

#[test]
fn inputs_are_checked() {
    check_error(FLATTEN, &[], "0 inputs were given, expected 1: x");
    check_error(FLATTEN, &[f32s(&[4], &[0.; 4])], "input `x` is f32[4], expected f32[N,2,2]");
    check_error(FLATTEN, &[f32s(&[1, 2, 1], &[0.; 2])], "input `x` is f32[1,2,1], expected f32[N,2,2]");
    let ints = Tensor::new(ElemType::I32, &[0, 2, 2], vec![]).unwrap();
    check_error(FLATTEN, &[ints], "input `x` is i32[0,2,2], expected f32[N,2,2]");
    let two = "func @main(%a: f32[N], %b: f32[N]) -> (%c) { %c = add(%a, %b) : f32[N] }";
    check_error(
        two,
        &[f32s(&[1], &[0.]), f32s(&[2], &[0.; 2])],
        "the inputs disagree on the extent N: it is 1 in `a` and 2 in `b`",
    );
    let expression = "func @main(%a: f32[N+1], %b: f32[N]) -> (%a) {}";
    check_error(expression, &[f32s(&[3], &[0.; 3]), f32s(&[1], &[0.])], "input `a` is f32[3], expected f32[N+1]");
    let text = "func @main(%a: str[N]) -> (%a) {}";
    check_error(text, &[Tensor::new(ElemType::U8, &[1], vec![0]).unwrap()], "input `a` is u8[1], expected str[N]");
}

#[test]
fn shape_errors_name_the_op_and_its_location() {
    let text = "func @main(%a: f32[N,K], %b: f32[M,2]) -> (%c) { %c = matmul(%a, %b) : f32[N,2] loc(\"head\") }";
    check_error(
        text,
        &[f32s(&[1, 3], &[0.; 3]), f32s(&[2, 2], &[0.; 4])],
        "cannot compute `%c = matmul` at head: `matmul` breaks constraint C3: inner extents 3 and 2 differ",
    );
    let unbound = "func @main(%x: f32[1]) -> (%y) { %y = broadcast(%x) : f32[M] loc(\"up\") }";
    check_error(
        unbound,
        &[f32s(&[1], &[0.])],
        "cannot compute `%y = broadcast` at up: the extent M has no value: no input or operand binds its symbols, or it is negative",
    );
}

#[test]
fn symbolic_extents_do_not_broadcast() {
    let text = "func @main(%a: f32[N,2], %b: f32[3,2]) -> (%c) { %c = add(%a, %b) : f32[3,2] loc(\"sum\") }";
    let (a, b) = (f32s(&[1, 2], &[0.; 2]), f32s(&[3, 2], &[0.; 6]));
    let error = "`add` breaks constraint C2: extents 1, of a symbol, and 3 differ (1 axes from the last)";
    check_error(text, &[a, b.clone()], &format!("cannot compute `%c = add` at sum: {error}"));
    check(text, &[b.clone(), b.clone()], &[b]);
    let product = "func @main(%a: f32[N,1], %b: f32[1,2]) -> (%c) { %c = matmul(%a, %b) : f32[N,2] }";
    check(product, &[f32s(&[1, 1], &[2.]), f32s(&[1, 2], &[3., 4.])], &[f32s(&[1, 2], &[6., 8.])]);
}

#[test]
fn negative_extents_are_errors() {
    let text = "func @main(%a: f32[N-3,N]) -> (%b) { %b = reshape(%a) : f32[N-3,N] }";
    check_error(text, &[f32s(&[0, 2], &[])], "input `a` is f32[0,2], expected f32[N-3,N]");
    check(text, &[f32s(&[0, 3], &[])], &[f32s(&[0, 3], &[])]);
}

const TWICE: &str = "
func @main(%x: f32[N,2]) -> (%b, %x) {
  %a = call @scale(%x) : f32[N,2]
  %t = transpose(%a) {perm = [1, 0]} : f32[2,N]
  %b = call @scale(%t) : f32[2,N]
}
func @scale(%v: f32[A,B]) -> (%y) {
  %two = constant() {value = 2.0} : f32[]
  %all = broadcast(%two) : f32[A,B]
  %y = mul(%v, %all) : f32[A,B]
}";

#[test]
fn inlined_calls_have_their_own_symbols() {
    let x = f32s(&[1, 2], &[1., 2.]);
    let plan = check(TWICE, std::slice::from_ref(&x), &[f32s(&[2, 1], &[4., 8.]), x.clone()]);
    // Two entries, two broadcasts, two products, one transpose.
    assert_eq!((plan.num_steps(), plan.scopes), (7, 3));
}

#[test]
fn a_call_with_wrong_operand_types_names_its_callee() {
    let text = "func @main(%x: f32[N]) -> (%y) { %y = call @pair(%x) : f32[2] loc(\"inner\") }
    func @pair(%v: f32[2]) -> (%w) { %w = neg(%v) : f32[2] }";
    let error = "the call of `@pair` at inner has operands of the wrong type: input `v` is f32[3], expected f32[2]";
    check_error(text, &[f32s(&[3], &[0.; 3])], error);
}

#[test]
fn deep_chains_run_and_exponential_fans_are_rejected() {
    let chain = |n: usize, body: &dyn Fn(usize) -> String| {
        let mut text = "func @main(%x: f32[1]) -> (%y) { %y = call @f0(%x) : f32[1] }\n".to_owned();
        (0..n).for_each(|i| text += &format!("func @f{i}(%x: f32[1]) -> (%y) {{ {} }}\n", body(i + 1)));
        text + &format!("func @f{n}(%x: f32[1]) -> (%y) {{ %y = neg(%x) : f32[1] }}")
    };
    let deep = chain(2000, &|next| format!("%y = call @f{next}(%x) : f32[1]"));
    check(&deep, &[f32s(&[1], &[1.])], &[f32s(&[1], &[-1.])]);
    let wide = chain(40, &|next| format!("%z = call @f{next}(%x) : f32[1] %y = call @f{next}(%z) : f32[1]"));
    let error = "cannot run `@main`: the function with its calls inlined needs 3,298,534,883,327 steps, more than the \
                 101,312 allowed";
    check_error(&wide, &[], error);
}

#[test]
fn too_many_axes_are_rejected() {
    check_error(
        "func @main(%x: f32[*]) -> (%y) { %y = neg(%x) : f32[*] }",
        &[f32s(&[1; 65], &[1.])],
        "cannot compute `%x = input`: the result has 65 axes, at most 64 are supported",
    );
}

#[test]
fn unsupported_layers_are_errors_unless_dead() {
    let text = |out: &str| {
        format!(
            "func @main(%x: f32[1]) -> ({out}) {{ %y = custom.Swirl(%x) : f32[1] loc(\"swirl_1\") %z = neg(%x) : f32[1] }}"
        )
    };
    let error = "cannot run `custom.Swirl` at swirl_1: netc has no lowering for this layer";
    check_error(&text("%y"), &[], error);
    check(&text("%z"), &[f32s(&[1], &[1.])], &[f32s(&[1], &[-1.])]);
}

#[test]
fn dead_steps_and_inputs_are_dropped() {
    let text = "func @main(%x: f32[1], %unused: u64[1]) -> (%y) {
      %dead = exp(%x) : f32[1]
      %dead2 = call @f(%dead) : f32[1]
      %y = neg(%x) : f32[1]
    }
    func @f(%x: f32[1]) -> (%y) { %y = neg(%x) : f32[1] }";
    let unused = Tensor::new(ElemType::U64, &[1], vec![0; 8]).unwrap();
    let plan = check(text, &[f32s(&[1], &[1.]), unused], &[f32s(&[1], &[-1.])]);
    assert_eq!((plan.num_steps(), plan.buffers), (1, 2));
}

#[test]
fn an_operand_that_only_binds_a_symbol_is_kept() {
    let text = "func @main(%x: f32[N]) -> (%y) {
      %e = concat(%x, %x) {axis = 0} : f32[2*N]
      %one = constant() {value = 1.0} : f32[1]
      %y = call @fill(%e, %one) : f32[2*N]
    }
    func @fill(%like: f32[K], %v: f32[1]) -> (%y) { %y = broadcast(%v) : f32[K] }";
    check(text, &[f32s(&[1], &[9.])], &[f32s(&[2], &[1., 1.])]);
}

#[test]
fn buffers_die_at_their_last_use() {
    let text = "func @main(%x: f32[1]) -> (%a, %d) {
      %a = neg(%x) : f32[1]
      %b = add(%a, %x) : f32[1]
      %c = mul(%b, %b) : f32[1]
      %d = add(%c, %a) : f32[1]
    }";
    let plan = check(text, &[f32s(&[1], &[3.])], &[f32s(&[1], &[-3.]), f32s(&[1], &[-3.])]);
    let dies: Vec<&[usize]> = plan.steps.iter().map(|s| &s.dies[..]).collect();
    assert_eq!(dies, [&[][..], &[0], &[2], &[3]], "buffer 0 is x; buffer 1 is the output a and never dies");
}

#[test]
fn a_weight_is_loaded_once() {
    let text = "weight w0 \"k\" : f32[2] = [1.0, 2.0]
    func @main(%x: f32[2]) -> (%y) {
      %k = weight w0() : f32[2]
      %a = add(%x, %k) : f32[2]
      %k2 = weight w0() : f32[2]
      %b = add(%a, %k2) : f32[2]
      %y = call @f(%b) : f32[2]
    }
    func @f(%x: f32[2]) -> (%y) { %k = weight w0() : f32[2] %y = add(%x, %k) : f32[2] }";
    let plan = check(text, &[f32s(&[2], &[0., 0.])], &[f32s(&[2], &[3., 6.])]);
    assert_eq!(plan.constants.len(), 1);
}

#[test]
fn values_of_unknown_type_take_the_type_of_the_input() {
    let text = "func @main(%x: any[*]) -> (%y) { %y = add(%x, %x) : any[*] }";
    check(text, &[f32s(&[1], &[2.])], &[f32s(&[1], &[4.])]);
    check(text, &[Tensor::from_i64(&[], &[2]).unwrap()], &[Tensor::from_i64(&[], &[4]).unwrap()]);
}

#[test]
fn progress_counts_steps() {
    let plan = plan_of(TWICE, "main").unwrap();
    let mut seen = Vec::new();
    plan.run_with(&[f32s(&[1, 2], &[1., 2.])], &mut |done, all| seen.push((done, all))).unwrap();
    assert_eq!(seen, (1..=7).map(|i| (i, 7)).collect::<Vec<_>>());
}

const NET: &str = "
weight w0 \"a\" : f32[3,3,3,8] = rand(1, -0.5, 0.5)
weight w1 \"b\" : f32[8,5] = rand(2, -0.5, 0.5)
func @main(%x: f32[N,9,9,3]) -> (%y) {
  %h = call @one(%x) : f32[N,5,5,8]
  %y = call @two(%h) : f32[N,5]
}
func @one(%x: f32[N,9,9,3]) -> (%h) {
  %k = weight w0() : f32[3,3,3,8]
  %c = conv(%x, %k) {strides = [2, 2], padding = \"same\"} : f32[N,5,5,8]
  %h = sigmoid(%c) : f32[N,5,5,8]
}
func @two(%h: f32[N,5,5,8]) -> (%y) {
  %m = reduce_mean(%h) {axes = [1, 2]} : f32[N,8]
  %k = weight w1() : f32[8,5]
  %y = matmul(%m, %k) : f32[N,5]
}";

#[test]
fn runs_repeat_and_stages_compose_bit_for_bit() {
    let module = parse(&format!("netc 1\n{NET}")).unwrap();
    let inputs = random_inputs(module.main().unwrap(), 3, 4).unwrap();
    let whole = plan_of(NET, "main").unwrap();
    let expect = whole.run(&inputs).unwrap();
    assert_eq!(whole.run(&inputs).unwrap(), expect);
    let between = plan_of(NET, "one").unwrap().run(&inputs).unwrap();
    assert_eq!(plan_of(NET, "two").unwrap().run(&between).unwrap(), expect);
    let threads: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..3).map(|_| scope.spawn(|| whole.run(&inputs).unwrap())).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert!(threads.iter().all(|outputs| *outputs == expect));
}

#[test]
fn one_byte_narrow_elements_can_be_moved_but_not_packed_ones() {
    let transposed = "weight w0 \"w\" : f8e5m2[2,2] = [1.0, 2.0, 3.0, 4.0]
        func @main(%x: f8e5m2[2,2]) -> (%y, %z) {
          %w = weight w0() : f8e5m2[2,2]
          %y = transpose(%w) {perm = [1, 0]} : f8e5m2[2,2]
          %z = reverse(%x) {axes = [1]} : f8e5m2[2,2]
        }";
    let f8 = ElemType::Narrow(netc_ir::Narrow::F8E5M2);
    let tensor = |bytes: [u8; 4]| Tensor::new(f8, &[2, 2], bytes.to_vec()).unwrap();
    let (one, two, three, four) = (0x3c, 0x40, 0x42, 0x44);
    check(transposed, &[tensor([1, 2, 3, 4])], &[tensor([one, three, two, four]), tensor([2, 1, 4, 3])]);

    let cast = "weight w0 \"w\" : i4[3] = [1, 2, 3]
        func @main() -> (%y) {
          %w = weight w0() : i4[3]
          %y = cast(%w) : f32[3]
        }";
    check_error(cast, &[], "cannot load the weight `w`: there is no kernel for elements of type i4");
    let stored = "func @main() -> (%y) {
          %y = constant() {value = -1} : u2[3]
        }";
    check_error(stored, &[], "cannot compute `%y = constant`: there is no kernel for elements of type u2");
    let packed = "func @main(%x: f32[1]) -> (%y) { %y = cast(%x) : i4[1] }";
    let no_kernel = "cannot compute `%y = cast`: there is no kernel for elements of type i4";
    check_error(packed, &[f32s(&[1], &[0.])], no_kernel);
}

#[test]
fn one_byte_floats_are_converted() {
    let there_and_back = "func @main(%x: f32[N]) -> (%z) {
          %y = cast(%x) : f8e4m3fn[N]
          %z = cast(%y) : f32[N]
        }";
    check(
        there_and_back,
        &[f32s(&[5], &[1.0625, -3.1, 1e9, -0.0, f32::INFINITY])],
        &[f32s(&[5], &[1.0, -3.0, 448.0, -0.0, 448.0])],
    );
    let integers = "func @main(%x: i32[2]) -> (%z) {
          %y = cast(%x) : f8e5m2[2]
          %z = cast(%y) : i32[2]
        }";
    let ints = |values: [i32; 2]| Tensor::new(ElemType::I32, &[2], values.map(i32::to_le_bytes).concat()).unwrap();
    check(integers, &[ints([-7, 9])], &[ints([-7, 8])]);
}

fn i64s(dims: &[u64], values: &[i64]) -> Tensor {
    Tensor::from_i64(dims, values).unwrap()
}

const TABLE: &str = "func @main(%x: f32[N], %n: i64[], %m: i64[]) -> (%y, %z) {
  %i = iota(%n) : i64[K]
  %j = iota(%m) : i64[J]
  %t = broadcast(%x, %i, %j) : f32[K,J,N]
  %y = reshape(%t, %i) : f32[K,J*N]
  %d = dim(%y) {axis = 1} : i64[]
  %l = iota(%d) : i64[L]
  %z = add(%l, %n) : i64[L] loc(\"z\")
}";

#[test]
fn operands_carry_computed_extents() {
    let inputs = |n: i64, m: i64| [f32s(&[1], &[0.5]), i64s(&[], &[n]), i64s(&[], &[m])];
    let plan = check(TABLE, &inputs(2, 3), &[f32s(&[2, 3], &[0.5; 6]), i64s(&[3], &[2, 3, 4])]);
    for (n, m) in [(0, 1), (1, 0), (3, 2)] {
        let outputs = plan.run(&inputs(n, m)).unwrap();
        assert_eq!((outputs[0].dims(), outputs[1].dims()), (&[n as u64, m as u64][..], &[m as u64][..]));
    }
    check_error(TABLE, &inputs(2, -3), "cannot compute `%j = iota`: the operand is -3, expected a count of 0 or more");
    let known = "func @main(%n: i64[]) -> (%i) { %i = iota(%n) : i64[3] loc(\"i\") }";
    check_error(
        known,
        &[i64s(&[], &[2])],
        "cannot compute `%i = iota` at i: the operand is 2, but the result type has 3 elements",
    );
}

#[test]
fn computed_symbols_of_a_callee_are_local_to_each_call() {
    // The caller binds K, and each call computes another K.
    let text = "func @main(%x: f32[K], %n: i64[], %m: i64[]) -> (%y, %z) {
      %a = call @f(%n) : i64[A] %b = call @f(%m) : i64[B]
      %y = broadcast(%x, %a) : f32[A,K]
      %z = broadcast(%x, %b) : f32[B,K] }
    func @f(%n: i64[]) -> (%j) {
      %zero = constant() {value = 0} : i64[]
      %i = iota(%n) : i64[K]
      %j = broadcast(%zero, %i) : i64[K] }";
    let inputs = [f32s(&[2], &[1., 2.]), i64s(&[], &[1]), i64s(&[], &[2])];
    check(text, &inputs, &[f32s(&[1, 2], &[1., 2.]), f32s(&[2, 2], &[1., 2., 1., 2.])]);
}
