"""Models of Keras 3 written as HDF5 for Keras 2: tf.keras 2.15 loads them and computes the same."""

import subprocess

import keras
import numpy as np
import pytest
from keras import layers as L

import environments
from harness import inputs_of, netc, randomise, run, save

# Loads files in tf.keras, runs them one after the other, and compares with the outputs of Keras 3.
JUDGE = """
import sys, keras, numpy as np
assert keras.__version__.startswith("2.15")
data = np.load(sys.argv[1] + ".npz")
x = [data[k] for k in sorted(data.files) if k.startswith("in")]
expected = [data[k] for k in sorted(data.files) if k.startswith("out")]
for path in sys.argv[2:]:
    model = keras.models.load_model(path, compile=False)
    found = model(x[0] if len(x) == 1 else x)
    x = found if isinstance(found, (list, tuple)) else [found]
assert len(x) == len(expected)
for a, b in zip(x, expected):
    assert np.allclose(a, b, rtol=1e-5, atol=1e-6), np.abs(a - b).max()
"""


def image_net():
    x = keras.Input((6, 6, 2))
    y = L.BatchNormalization()(L.SeparableConv2D(4, 3, padding="same")(x))
    y = L.LeakyReLU(0.2)(y) + L.Conv2D(4, 1)(x) * 0.5
    y = L.Resizing(4, 4)(L.DepthwiseConv2D(3, padding="same")(y))
    return keras.Model(x, L.Dense(3, activation="silu")(L.GlobalAveragePooling2D()(y)))


def recurrent():
    x, start = keras.Input((5, 3)), keras.Input((4,))
    y = L.Bidirectional(L.GRU(2, return_sequences=True))(x)
    y = L.LSTM(4, return_sequences=True)(y, initial_state=[start, start])
    return keras.Model([x, start], L.TimeDistributed(L.LayerNormalization())(y))


def attention():
    x = keras.Input((5, 4))
    y = L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    return keras.Model(x, L.Dense(2)(keras.ops.relu(1 - L.Add()([x, y]))))


def nested():
    a = keras.Input((4,))
    inner = keras.Model(a, L.Dense(4, activation="tanh")(L.Dense(3)(a)), name="inner")
    chain = keras.Sequential([keras.Input((4,)), L.Dense(5), L.ReLU(), L.Dense(4)], name="chain")
    x = keras.Input((4,))
    return keras.Model(x, [inner(chain(inner(x))), chain(x)])


def judge(model, folder, *paths):
    inputs = list(inputs_of(model).values())
    arrays = {f"in{i}": a for i, a in enumerate(inputs)} | {f"out{i}": a for i, a in enumerate(run(model, inputs))}
    np.savez(folder / "m.npz", **arrays)
    command = [environments.tf_keras(), "-c", JUDGE, folder / "m", *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make", [image_net, recurrent, attention, nested])
def test_file_loads_in_keras_2_and_computes_the_same(make, tmp_path):
    model = randomise(make())
    netc(save(model, tmp_path / "m.keras"), "--format", "h5-keras2", "-o", tmp_path / "m.h5")
    judge(model, tmp_path, tmp_path / "m.h5")
    # netc reads back what it wrote.
    netc("diff", tmp_path / "m.keras", tmp_path / "m.h5", "--tolerance", "1e-6")


def test_stages_load_in_keras_2_and_compose(tmp_path):
    model = randomise(attention())
    cut = model.layers[1].name
    netc(save(model, tmp_path / "m.keras"), "--pass", f"split={cut}+add", "--format", "h5-keras2", "-o", tmp_path / "s")
    judge(model, tmp_path, tmp_path / "s/m.stage0.h5", tmp_path / "s/m.stage1.h5")


def test_average_of_integers_is_rejected(tmp_path):
    x = keras.Input((4, 3), dtype="int32")
    path = save(keras.Model(x, L.GlobalAveragePooling1D(name="own")(x)), tmp_path / "m.keras")
    error = netc(path, "--format", "h5-keras2", "-o", tmp_path / "m.h5", code=1).stderr
    assert "layer `own`: Keras 3 converts its integer inputs to floats" in error, error


X = keras.Input((4,), name="x")
REFUSED = {
    "layer": (L.RMSNormalization(name="own"), "layer `own`: Keras 2 has no layer `RMSNormalization`"),
    "operation": (lambda x: keras.ops.roll(x, 1), "layer `roll`: netc does not write the operation `Roll` for Keras 2"),
    "integers": (lambda x: L.Softmax(name="own")(keras.ops.cast(x, "int32")), "for Keras 2"),
    "name": (L.Dense(2, name="my own"), "layer `my own`: Keras 2 does not allow its name"),
    "option": (L.LayerNormalization(rms_scaling=True, name="own"), "`LayerNormalization` of Keras 2.15.0 has no `rms_scaling`"),
    "function": (L.Dense(2, activation="hard_sigmoid", name="own"), "layer `own`: its `hard_sigmoid`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_features_missing_from_keras_2_are_named(case, tmp_path):
    layer, part = REFUSED[case]
    path = save(randomise(keras.Model(X, layer(X))), tmp_path / "m.keras")
    error = netc(path, "--format", "h5-keras2", "-o", tmp_path / "m.h5", code=1).stderr
    assert part in error, error
