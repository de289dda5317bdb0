"""Masks: layers that read or pass them compute what Keras computes, and no cut severs one.

A case is an expression over `e` and `f`, which are embeddings with masks, `x`, a sequence without a mask, and `m` and
`n`, the masks of `e` and `f` as tensors.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from harness import assert_close, input_names, netc, netc_run, randomise, run, run_chain, save, split

IDS = {
    "i": np.array([[3, 1, 4, 1, 5, 2], [2, 7, 1, 0, 0, 0], [0, 0, 6, 0, 2, 3]], "int32"),
    "j": np.array([[0, 1, 0, 2, 3, 0], [2, 7, 1, 8, 0, 2], [5, 0, 0, 1, 2, 3]], "int32"),
}
STEPS = np.random.default_rng(5).uniform(-1, 1, (3, 6, 4)).astype("float32")

READERS = """
    LSTM(3)(e)
    LSTM(3, return_sequences=True)(e)
    LSTM(3, return_sequences=True, return_state=True)(e)
    LSTM(3, go_backwards=True, return_sequences=True)(e)
    LSTM(3, zero_output_for_mask=True, return_sequences=True)(e)
    LSTM(3, unroll=True, return_sequences=True, return_state=True)(e)
    LSTM(3, unroll=True, zero_output_for_mask=True, return_sequences=True)(e)
    LSTM(4, return_sequences=True)(e, initial_state=[x[:, 0], x[:, 1]])
    LSTM(4, return_sequences=True)(x, initial_state=[x[:, 0], x[:, 1]], mask=m)
    LSTM(4, unroll=True, return_sequences=True)(x, initial_state=[x[:, 0], x[:, 1]], mask=m)
    GRU(3)(e)
    GRU(3, reset_after=False, go_backwards=True)(e)
    GRU(3, return_sequences=True)(x, mask=m)
    SimpleRNN(3, return_sequences=True)(e)
    SimpleRNN(3, unroll=True, go_backwards=True)(e)
    RNN(LSTMCell(3))(e)
    RNN([LSTMCell(3), GRUCell(2)], return_sequences=True, return_state=True)(e)
    RNN([GRUCell(3), LSTMCell(2)], unroll=True, return_sequences=True)(e)
    Bidirectional(LSTM(3))(e)
    Bidirectional(LSTM(3, return_sequences=True))(e)
    Bidirectional(GRU(3, return_sequences=True), merge_mode='sum')(x, mask=m)
    Bidirectional(SimpleRNN(3, return_sequences=True), merge_mode=None)(e)
    LSTM(3)(Bidirectional(GRU(3, return_sequences=True))(e))
    LSTM(3)(LSTM(3, return_sequences=True)(e))
    LSTM(3)(Masking(0.0)(x * ops.cast(m, 'float32')[..., None]))
    LSTM(3)(Masking(0.0)(Dense(3)(e)))
    TimeDistributed(LSTM(3))(Masking(0.0)(ops.stack([x * ops.cast(m, 'float32')[..., None], e], axis=1)))
    GlobalAveragePooling1D()(TimeDistributed(Dense(3))(e))
    GlobalAveragePooling1D()(e)
    GlobalAveragePooling1D(keepdims=True)(e)
    GlobalAveragePooling1D(data_format='channels_first')(ops.transpose(x, (0, 2, 1)), mask=m)
    GlobalAveragePooling1D()(x, mask=ops.cast(m, 'float32'))
    GlobalMaxPooling1D()(e)
    Softmax(axis=1)(x, mask=m[..., None])
    Softmax(axis=[1, 2])(x, mask=m[..., None])
    Softmax()(x[..., 0], mask=ops.cast(m, 'float32'))
    Attention()([e, f])
    Attention()([e, x])
    Attention(use_scale=True)([x, e, f])
    Attention()([e, e], use_causal_mask=True)
    Attention(score_mode='concat')([e, f], return_attention_scores=True)
    Attention()([x, x], mask=[m, n])
    Attention()([x, x], mask=[None, n])
    AdditiveAttention()([e, f])
    AdditiveAttention()([f, x, e])
    MultiHeadAttention(2, 3)(e, f)
    MultiHeadAttention(2, 3)(e, x)
    MultiHeadAttention(2, 3)(x, x, e)
    MultiHeadAttention(2, 3)(e, e, use_causal_mask=True)
    MultiHeadAttention(2, 3, dropout=0.2)(e, f)
    MultiHeadAttention(2, 3, dropout=0.2)(x, e, use_causal_mask=True)
    MultiHeadAttention(2, 3)(e, f, return_attention_scores=True)
    MultiHeadAttention(2, 3)(x, x, return_attention_scores=True, use_causal_mask=True)
    MultiHeadAttention(2, 3)(x, x, attention_mask=m[:, None, :])
    MultiHeadAttention(2, 3)(e, x, attention_mask=ops.cast(n, 'float32')[:, None, :], use_causal_mask=True)
    MultiHeadAttention(2, 3)(x, x, value_mask=n)
    MultiHeadAttention(2, 3)(x, x, query_mask=m, value_mask=n)
    MultiHeadAttention(2, 3)(e, x, x, key_mask=n)
    GroupQueryAttention(3, 4, 2)(e, f)
    GroupQueryAttention(3, 4, 2)(x, e, use_causal_mask=True)
    GroupQueryAttention(3, 4, 2)(x, x, query_mask=m, value_mask=n)
    GroupQueryAttention(3, 4, 2, dropout=0.1)(e, f, return_attention_scores=True)
    Multiply()([e, f])
    Multiply()([e, x])
    Maximum()([e, f])
    Maximum()([e, x])
    Maximum()([x, e, f])
    Minimum()([e, f, x])
    Minimum()([f, x, e])
"""

# Layers between `e` and a layer that reads the attached mask, whether or not calls record masks.
CARRIERS = """
    e
    f
    x
    Dense(4)(e)
    Activation('relu')(e)
    Activation('linear')(e)
    ReLU()(e)
    LeakyReLU()(e)
    ELU()(e)
    PReLU()(e)
    Dropout(0.3)(e)
    SpatialDropout1D(0.3)(e)
    GaussianNoise(0.3)(e)
    GaussianDropout(0.3)(e)
    AlphaDropout(0.3)(e)
    ActivityRegularization(l2=0.1)(e)
    Identity()(e)
    LayerNormalization()(e)
    BatchNormalization()(e)
    BatchNormalization()(x, mask=m)
    GroupNormalization(2)(e)
    UnitNormalization()(e)
    RMSNormalization()(e)
    Rescaling(0.5)(e)
    Normalization(mean=0.3, variance=1.7)(e)
    EinsumDense('abc,cd->abd', output_shape=(None, 4))(e)
    SpectralNormalization(Dense(4))(e)
    SpectralNormalization(Conv1D(4, 1))(e)
    Conv1D(4, 1)(e)
    Reshape((6, 4))(Dense(4)(e))
    Reshape((6, 4))(Reshape((24,))(e))
    Permute((1, 2))(e)
    UpSampling1D(1)(e)
    Cropping1D(0)(e)
    ops.copy(e)
    ops.cast(e, 'float32')
    ops.stop_gradient(e)
    TimeDistributed(Dense(4))(e)
    LSTM(4, return_sequences=True)(e)
    LSTM(4, return_sequences=True)(e, initial_state=[x[:, 0], x[:, 1]])
    LSTM(4, return_sequences=True)(x, mask=m)
    Bidirectional(GRU(2, return_sequences=True))(e)
    Add()([e, f])
    Add()([e, x])
    Subtract()([e, f])
    Average()([e, f])
    Multiply()([e, f])
    Multiply()([e, x])
    Maximum()([e, f])
    Minimum()([e, f])
    Concatenate()([e, f])[..., :4]
    Dense(4)(Concatenate()([e, f]))
    Dense(4)(Concatenate()([x, e]))
    Concatenate(axis=1)([e, x])
    Concatenate(axis=1)([f, e])
    Attention()([e, f])
    Attention()([x, f])
    Attention()([x, x], mask=[n, m])
    MultiHeadAttention(2, 3)(e, f)
    MultiHeadAttention(2, 3)(x, f)
    MultiHeadAttention(2, 3)(x, x, query_mask=m)
    GroupQueryAttention(3, 4, 2)(e, f)
    Masking(0.0)(x * ops.cast(m, 'float32')[..., None])
    Masking(0.0)(Dense(4, use_bias=False)(e))
    e * 2.0
    Add()([e, MultiHeadAttention(2, 3)(e, e)])
    Add()([e, MultiHeadAttention(2, 3)(LayerNormalization()(e), f)])
    Add()([e, MultiHeadAttention(2, 3)(Dropout(0.1)(e), f)])
    Add()([f, MultiHeadAttention(2, 3)(x, f)])
    Multiply()([Dense(4)(e), MultiHeadAttention(2, 3)(e, e)])
"""
lines = lambda text: [line.strip() for line in text.splitlines() if line.strip()]


def sources():
    """The inputs, and the values of the names in expressions."""
    i, j = (keras.Input((6,), dtype="int32", name=name) for name in "ij")
    x = keras.Input((6, 4), name="x")
    e, f = (layers.Embedding(9, 4, mask_zero=True, name=name)(ids) for name, ids in [("e", i), ("f", j)])
    return [i, j, x], {"e": e, "f": f, "x": x, "m": i != 0, "n": j != 0}


def values(model):
    return {name: IDS.get(name, STEPS) for name in input_names(model)}


def check(inputs, outputs, folder):
    """Checks that netc computes what Keras computes."""
    model = randomise(keras.Model(inputs, outputs))
    save(model, folder / "m.keras")
    found = netc_run(folder / "m.keras", values(model), folder)
    assert_close(found, run(model, values(model).values()), 1e-5)
    return model


def evaluate(expression, named):
    return eval(expression, {**vars(layers), "ops": ops}, named)


@pytest.mark.parametrize("expression", lines(READERS))
def test_reader(expression, tmp_path):
    inputs, named = sources()
    check(inputs, evaluate(expression, named), tmp_path)


@pytest.mark.parametrize("expression", lines(CARRIERS))
def test_carrier(expression, tmp_path):
    """Keras records no masks for calls on several tensors: netc must find them attached to the tensors."""
    inputs, named = sources()
    y = evaluate(expression, named)
    check(inputs, layers.Attention()([y, y]), tmp_path)


@pytest.mark.parametrize("expression", ["LSTM(3)", "GlobalAveragePooling1D()", "TimeDistributed(Dense(3))"])
def test_sequential(expression, tmp_path):
    stack = [layers.Embedding(9, 4, mask_zero=True), layers.Dense(4), layers.GRU(4, return_sequences=True)]
    model = keras.Sequential([keras.Input((6,), dtype="int32", name="i"), *stack, evaluate(expression, {})])
    save(randomise(model), tmp_path / "m.keras")
    found = netc_run(tmp_path / "m.keras", {"i": IDS["i"]}, tmp_path)
    assert_close(found, run(model, [IDS["i"]]), 1e-5)


def test_rows_with_all_steps_masked(tmp_path):
    inputs, named = sources()
    outputs = [evaluate(line, named) for line in ("LSTM(3)(e)", "MultiHeadAttention(2, 3)(e, f)", "Attention()([f, e])")]
    model = randomise(keras.Model(inputs, outputs))
    save(model, tmp_path / "m.keras")
    given = {"i": IDS["i"] * 0, "j": IDS["j"], "x": STEPS}
    given = {name: given[name] for name in input_names(model)}
    assert_close(netc_run(tmp_path / "m.keras", given, tmp_path), run(model, given.values()), 1e-5)


def test_nested_model(tmp_path):
    """The result of a nested model carries a mask like that of a layer."""
    inputs, named = sources()
    ids = keras.Input((6,), dtype="int32")
    inner = keras.Model(ids, layers.Embedding(9, 4, mask_zero=True)(ids))
    check(inputs, layers.Attention()([inner(inputs[0]), inner(inputs[1])]), tmp_path)


def test_explicit_mask_of_a_nested_model_is_rejected(tmp_path):
    inputs, named = sources()
    x = keras.Input((6, 4))
    inner = keras.Model(x, layers.GRU(4)(x), name="inner")
    other = keras.ops.not_equal(inputs[1], 3)
    save(keras.Model(inputs, inner(named["e"], mask=other)), tmp_path / "m.keras")
    assert "inner: its call passes a mask" in netc("inspect", tmp_path / "m.keras", code=1).stderr


def test_recorded_masks_cross_cuts(tmp_path):
    """Keras records the mask of a layer with one input; the mask crosses next to the tensor."""
    inputs, named = sources()
    y = layers.LSTM(3, name="lstm")(layers.Dense(4, name="dense")(named["e"]))
    model = randomise(keras.Model(inputs, layers.Dense(2, name="head")(y)))
    path, given = save(model, tmp_path / "m.keras"), values(model)
    for i, cut in enumerate(["dense", "dense+not_equal", "lstm"]):
        split(path, cut, tmp_path / str(i), "--verify")
        assert_close(run_chain(tmp_path / str(i), given), run(model, given.values()), 1e-5)


def test_mask_that_is_recorded_and_attached_crosses(tmp_path):
    """The mask of a recurrent layer is attached to its result, and the next call records it again."""
    inputs, named = sources()
    y = layers.LSTM(3, return_sequences=True, name="one")(layers.Dense(4)(named["e"]))
    y = layers.GRU(4, return_sequences=True, name="two")(y)
    y = layers.GlobalAveragePooling1D(name="pool")(y)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="head")(y)))
    path, given = save(model, tmp_path / "m.keras"), values(model)
    for cut in ["one", "two", "pool"]:
        split(path, cut, tmp_path / cut, "--verify")
        assert_close(run_chain(tmp_path / cut, given), run(model, given.values()), 1e-5)


def test_cut_that_severs_a_mask_is_rejected(tmp_path):
    inputs, named = sources()
    stem = layers.Dense(4, name="stem")
    y = layers.Attention(name="mix")([stem(named["e"]), named["f"]])
    y = layers.GlobalMaxPooling1D(name="pool")(y)
    model = randomise(keras.Model(inputs, layers.Dense(2, name="head")(y)))
    path, given = save(model, tmp_path / "m.keras"), values(model)
    error = netc(path, "--pass", "split=stem", "-o", tmp_path / "out", code=1).stderr
    assert "the cut `stem` severs a mask: `mix` reads the mask that `e` attaches to its result" in error
    assert "the nearest valid one-tensor cut is after `mix`" in error
    assert not (tmp_path / "out").exists()
    split(path, "mix", tmp_path / "out", "--verify")
    assert_close(run_chain(tmp_path / "out", given), run(model, given.values()), 1e-5)


def test_sequential_models_are_cut_after_their_masks(tmp_path):
    stack = [layers.Embedding(9, 4, mask_zero=True, name="e"), layers.LSTM(4, name="lstm"), layers.Dense(2, name="head")]
    model = randomise(keras.Sequential([keras.Input((6,), dtype="int32", name="i"), *stack]))
    path = save(model, tmp_path / "m.keras")
    assert "after `lstm`" in netc(path, "--pass", "split=e", "-o", tmp_path / "out", code=1).stderr
    split(path, "lstm", tmp_path / "out", "--verify")
    assert_close(run_chain(tmp_path / "out", {"i": IDS["i"]}), run(model, [IDS["i"]]), 1e-5)
