"""Models of tf.keras with layers inside layers: `composite_models.py save|check|older FOLDER`.

`save` writes each model as `.keras` and `.h5`, with inputs and the outputs that this Keras computes. `check` loads the
`.h5` files that netc wrote from them and compares the outputs. `older` made `groups_2_13.keras` and `groups_2_14.keras`
in tests/legacy, with Keras 2.13.1 and 2.14.0, whose archives name groups differently.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

L = keras.layers


def attention():
    x = keras.Input((5, 4), name="x")
    y = L.Dense(4, name="first")(x)
    y = L.MultiHeadAttention(2, 3, name="attention")(y, y)
    y = L.TimeDistributed(L.Dense(3, use_bias=False), name="each")(y)
    return keras.Model(x, L.MultiHeadAttention(1, 2, use_bias=False, name="second")(y, y), name="attention")


def spectral():
    x = keras.Input((5, 4), name="x")
    y = L.SpectralNormalization(L.Dense(3), name="normal")(L.Dense(4, name="first")(x))
    y = L.SpectralNormalization(L.Conv1D(2, 2, use_bias=False), trainable=False, name="frozen")(y)
    return keras.Model(x, L.Dense(2, name="last")(y), name="spectral")


def cells():
    x = keras.Input((5, 4), name="x")
    y = L.Dense(4, name="first")(x)
    y = L.RNN([L.LSTMCell(3), L.LSTMCell(2, use_bias=False), L.GRUCell(2)], return_sequences=True, name="stacked")(y)
    y = L.RNN(L.StackedRNNCells([L.GRUCell(3), L.SimpleRNNCell(2)]), return_sequences=True, name="pair")(y)
    y = L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=L.GRU(3, return_sequences=True, go_backwards=True), name="unlike")(y)
    return keras.Model(x, L.RNN(L.LSTMCell(2), name="single")(y), name="cells")


def wrapped():
    x = keras.Input((5, 4), name="x")
    y = L.Bidirectional(L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True), name="both")(L.Dense(4, name="first")(x))
    chain = keras.Sequential([L.Dense(4), L.BatchNormalization(), L.Dropout(0.5), L.Dense(3)])
    return keras.Model(x, L.TimeDistributed(chain, name="chain")(y), name="wrapped")


def graph():
    """A wrapped model with layers that are called twice, several branches, and a nested model."""
    step, within = keras.Input((4,), name="step"), keras.Input((3,), name="within")
    deep = keras.Model(within, L.Dense(3, name="deep_dense")(within), name="deep")
    shared = L.Dense(3, activation="tanh", name="shared")
    y = L.Concatenate(name="both")([deep(shared(step)), shared(L.ReLU(name="relu")(step))])
    y = L.Multiply(name="product")([y, L.Dense(6, name="gate")(step)])
    model = keras.Model(step, L.BatchNormalization(name="bn")(y), name="model")
    x = keras.Input((5, 4), name="x")
    y = L.TimeDistributed(model, name="each")(L.Dense(4, name="first")(x))
    return keras.Model(x, L.LSTM(2, name="last")(y), name="graph")


def inner():
    x, y = keras.Input((5, 4), name="x"), keras.Input((5, 4), name="y")
    z = L.SpectralNormalization(L.Dense(4), name="normal")(L.BatchNormalization(name="bn")(y))
    z = L.TimeDistributed(keras.Sequential([L.BatchNormalization(), L.Dense(3)]), name="chain")(z)
    model = keras.Model(y, L.RNN([L.GRUCell(3), L.GRUCell(2)], name="stacked")(z), name="inner")
    return keras.Model(x, L.Dense(2, name="last")(model(L.Dense(4, name="first")(x))), name="outer")


def groups():
    """A model with every kind of weight group."""
    x, y = keras.Input((5, 4), name="x"), keras.Input((5, 4), name="y")
    z = L.Dense(4, name="b")(L.ReLU()(L.Dense(4, name="a")(x)))
    z = L.MultiHeadAttention(2, 3, name="attention")(z, z)
    z = keras.Model(y, L.Dense(4, name="d")(L.Dense(3, name="c")(y)), name="inner")(z)
    z = keras.Sequential([L.Dense(4), L.BatchNormalization(), L.Dense(4)], name="chain")(z)
    z = L.SpectralNormalization(L.Dense(3), name="normal")(z)
    z = L.Bidirectional(L.GRU(2, return_sequences=True), name="both")(z)
    return keras.Model(x, L.RNN([L.LSTMCell(2), L.LSTMCell(2)], name="stacked")(z), name="groups")


MODELS = [attention, spectral, cells, wrapped, graph, inner]

# Keras 2 cannot load `SpectralNormalization` from its own `.h5` files.
UNREADABLE = ["spectral", "inner"]


def older(folder):
    name = "groups_" + "_".join(keras.__version__.split(".")[:2])
    model, x = given(groups, np.random.default_rng(0))
    model.save(folder / f"{name}.keras")
    np.savez(folder / f"{name}.npz", in0=x, out0=np.asarray(model(x)))


def given(make, rng):
    """The model with random weights, and an input for it."""
    model = make()
    for w in model.weights:
        w.assign(rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.5, w.shape))
    return model, rng.normal(size=(2, 5, 4)).astype("float32")


def save(folder):
    rng = np.random.default_rng(0)
    for make in MODELS:
        model, x = given(make, rng)
        model.save(folder / f"{make.__name__}.keras")
        model.save(folder / f"{make.__name__}.h5", include_optimizer=False)
        np.savez(folder / f"{make.__name__}.npz", in0=x, out0=np.asarray(model(x)))


def check(folder):
    for make in MODELS:
        if make.__name__ in UNREADABLE:
            continue
        with np.load(folder / f"{make.__name__}.npz") as data:
            x, expected = data["in0"], data["out0"]
        whole = keras.models.load_model(folder / f"{make.__name__}.again.h5", compile=False)
        stages = [keras.models.load_model(folder / f"{make.__name__}.stages/{make.__name__}.stage{i}.h5", compile=False) for i in (0, 1)]
        for found in (whole(x), stages[1](stages[0](x))):
            assert np.abs(np.asarray(found) - expected).max() <= 1e-5 * np.abs(expected).max(), make.__name__


if __name__ == "__main__":
    {"save": save, "check": check, "older": older}[sys.argv[1]](Path(sys.argv[2]))
