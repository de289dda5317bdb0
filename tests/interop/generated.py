"""Compares the results of Keras and netc for a folder of generated models.

`python generated.py FOLDER` reads the files of the example `keras_models` of netc-keras-testgen: `<seed>.keras`, the
inputs `<seed>.in.npz`, netc's outputs `<seed>.out.npz`, and for most seeds the same model as `<seed>.h5`. Prints a
line for each output that differs by more than 1e-4 of its largest element, a line for each `.h5` file with different
weights, and the number of models. It is a separate process because XLA must be told to compile fast before anything
runs.
"""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

import conftest  # noqa: F401  Sets up Keras: the backend, and NaN as initial weights.
import jax
import keras
import numpy as np

TOLERANCE = 1e-4

# Smaller outputs are rounding errors of numbers near 1 that cancel.
SMALLEST = 1e-3


class Custom(keras.layers.Layer):
    """A custom layer whose configuration has an entry without effect."""

    def __init__(self, ünïcode, **config):
        super().__init__(**config)

    def compute_output_shape(self, shape):
        return shape


class Scale(Custom):
    """A factor and an offset for each channel."""

    def __init__(self, axis, **config):
        super().__init__(**config)
        assert axis == [-1]

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), name="beta")

    def call(self, x):
        return x * self.gamma + self.beta


class Adapter(Custom):
    """The identity plus a small network of inner layers."""

    def __init__(self, inner, **config):
        super().__init__(**config)
        self.inner = inner

    def build(self, shape):
        self.down = keras.layers.Dense(self.inner, activation="tanh")
        self.up = keras.layers.Dense(shape[-1], use_bias=False)
        self.down.build(shape)
        self.up.build((*shape[:-1], self.inner))

    def call(self, x):
        return x + self.up(self.down(x))


CUSTOM = {"Custom>Scale": Scale, "Custom>Adapter": Adapter}


def load(path):
    return keras.models.load_model(path, custom_objects=CUSTOM, compile=False)


def arrays(path):
    with np.load(path) as file:
        return [file[key] for key in file.files]


def run(model, inputs):
    """The outputs in the order of the model. Compiled as a whole, which is faster than op by op."""
    structure = model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs[0]
    call = jax.jit(lambda x: model(x, training=False))
    y = call(keras.tree.pack_sequence_as(structure, inputs))
    return [np.asarray(t) for t in keras.tree.flatten(y)]


def error(found, expected):
    """The largest difference relative to the largest element; infinite if types, shapes or NaNs differ."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return np.inf
    found, expected = found.astype("float64"), expected.astype("float64")
    if found.size == 0:
        return 0.0
    worst = np.abs(found - expected).max() / max(np.abs(expected).max(), SMALLEST)
    return worst if np.isfinite(worst) and np.isfinite(expected).all() else np.inf


def same_weights(one, other):
    one, other = one.get_weights(), other.get_weights()
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


def differences(folder, seed):
    """The differences of one model, a line for each output."""
    model = load(folder / f"{seed}.keras")
    legacy = folder / f"{seed}.h5"
    if legacy.exists() and not same_weights(load(legacy), model):
        return [f"{seed}: {legacy.name} has other weights"]
    expected = run(model, arrays(folder / f"{seed}.in.npz"))
    found = arrays(folder / f"{seed}.out.npz")
    if len(found) != len(expected):
        return [f"{seed}: {len(found)} outputs, expected {len(expected)}"]
    errors = [error(f, e) for f, e in zip(found, expected)]
    return [f"{seed}: output {i} differs by {e:.2e}" for i, e in enumerate(errors) if not e <= TOLERANCE]


def main(folder):
    seeds = sorted(int(path.stem) for path in folder.glob("*.keras"))
    for seed in seeds:
        try:
            for line in differences(folder, seed):
                print(line)
        except Exception as error:  # Keras rejects the model; go on with the next.
            print(f"{seed}: {type(error).__name__}: {str(error)[-400:]}")
    print(f"{len(seeds)} models")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
