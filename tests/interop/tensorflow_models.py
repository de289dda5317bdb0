"""Models of tf.keras whose calls have more than tensors: operations of TensorFlow, states, functions, losses.

Usage: python tensorflow_models.py save|check FOLDER, in an environment with requirements-tf215.txt. `save` writes each
model, with inputs and the outputs that tf.keras computes. `check` compares each model with its copy `NAME.copy.h5` and
with the stages in the folder `NAME`.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import h5py
import numpy as np
import tensorflow as tf
from tensorflow import keras

L = keras.layers
M = tf.math

# Operations that `keras.ops` has too, on a matrix `x` of 4 columns and an image `y`.
TWINS = [
    lambda x, y: x + 1.5, lambda x, y: 1.5 + x, lambda x, y: x - 1.5, lambda x, y: 1 - x, lambda x, y: x * 2, lambda x, y: 2.5 * x,
    lambda x, y: x / 3, lambda x, y: 3.0 / (x * x + 1.0), lambda x, y: x**2, lambda x, y: abs(x) ** 1.5, lambda x, y: 2.0**x,
    lambda x, y: -x, lambda x, y: x + np.array([1.0, 2.0, 3.0, 4.0]), lambda x, y: tf.constant([1.0, 2.0, 3.0, 4.0]) * x,
    lambda x, y: tf.maximum(x, 0.1), lambda x, y: tf.minimum(x, x * 2.0), lambda x, y: M.divide_no_nan(x, x - x),
    lambda x, y: x > 0, lambda x, y: x >= 0.1, lambda x, y: x < 0, lambda x, y: x <= x, lambda x, y: M.equal(x, x), lambda x, y: M.not_equal(x, 0.0),
    lambda x, y: (x > 0) & (x < 1), lambda x, y: (x < 0) | (x > 1), lambda x, y: ~(x > 0),
    lambda x, y: tf.where(x > 0, x, 0.0), lambda x, y: tf.where(x > 0, 1.0, x), lambda x, y: tf.where(x > 0, [1.0, 2.0, 3.0, 4.0], x),
    lambda x, y: tf.nn.bias_add(y, [1.0, -2.0, 0.5]),
    lambda x, y: abs(x), lambda x, y: M.sign(x), lambda x, y: M.square(x), lambda x, y: M.reciprocal(x), lambda x, y: M.exp(x), lambda x, y: M.expm1(x),
    lambda x, y: M.log(abs(x)), lambda x, y: M.log1p(abs(x)), lambda x, y: M.sqrt(abs(x)), lambda x, y: M.rsqrt(abs(x)), lambda x, y: M.erf(x),
    lambda x, y: M.sin(x), lambda x, y: M.cos(x), lambda x, y: M.tan(x), lambda x, y: M.tanh(x), lambda x, y: M.floor(x * 3.0), lambda x, y: M.ceil(x),
    lambda x, y: M.round(x * 3.0), lambda x, y: M.rint(x * 3.0), lambda x, y: M.is_nan(x), lambda x, y: M.is_finite(x / (x - x)), lambda x, y: M.is_inf(x),
    lambda x, y: tf.clip_by_value(x, -0.2, 0.4), lambda x, y: tf.cast(x * 3.0, tf.int32), lambda x, y: tf.cast(x, "float16") * 2.0,
    lambda x, y: tf.cast(tf.cast(x * 5.0, "int32") * 2 + 1, "float32"), lambda x, y: tf.cast(x > 0, "float32"), lambda x, y: tf.identity(x) * 1.5,
    lambda x, y: tf.stop_gradient(x * 1.5), lambda x, y: tf.zeros_like(x), lambda x, y: tf.ones_like(x, dtype="int32"),
    lambda x, y: tf.nn.relu(x), lambda x, y: tf.nn.relu6(x * 9.0), lambda x, y: tf.nn.leaky_relu(x), lambda x, y: tf.nn.leaky_relu(x, 0.1), lambda x, y: tf.nn.elu(x),
    lambda x, y: tf.nn.selu(x), lambda x, y: tf.nn.gelu(x), lambda x, y: tf.nn.gelu(x, True), lambda x, y: tf.nn.silu(x), lambda x, y: tf.nn.softplus(x),
    lambda x, y: tf.nn.softsign(x), lambda x, y: tf.nn.sigmoid(x), lambda x, y: M.log_sigmoid(x), lambda x, y: tf.nn.softmax(x), lambda x, y: tf.nn.softmax(y, axis=1),
    lambda x, y: tf.nn.log_softmax(x), lambda x, y: M.l2_normalize(x, axis=1), lambda x, y: keras.activations.relu(x, max_value=6.0), lambda x, y: keras.backend.sum(x, axis=1),
    lambda x, y: tf.reduce_sum(x, 1), lambda x, y: tf.reduce_sum(x, axis=0), lambda x, y: tf.reduce_sum(y, [1, 2], True), lambda x, y: tf.reduce_prod(x, 1),
    lambda x, y: tf.reduce_mean(y, [1, 2]), lambda x, y: tf.reduce_mean(x), lambda x, y: M.reduce_std(x, 1), lambda x, y: M.reduce_variance(y, -1), lambda x, y: tf.reduce_max(x, -1, keepdims=True),
    lambda x, y: tf.reduce_min(x, 1), lambda x, y: tf.reduce_any(x > 0, 1), lambda x, y: tf.reduce_all(x > 0, axis=1), lambda x, y: tf.reduce_logsumexp(y, [1, 3]),
    lambda x, y: tf.argmax(x, -1), lambda x, y: tf.argmin(x, axis=1, output_type=tf.int32), lambda x, y: tf.cumsum(y, 1),
    lambda x, y: tf.matmul(y, [[1.0, 2.0], [0.5, 1.0], [2.0, 0.1]]), lambda x, y: tf.matmul(y, y, transpose_b=True), lambda x, y: tf.matmul(y, y, transpose_a=True),
    lambda x, y: tf.reshape(x, (-1, 2, 2)), lambda x, y: tf.reshape(y, [-1, 18]), lambda x, y: tf.transpose(x), lambda x, y: tf.transpose(y, [0, 3, 1, 2]), lambda x, y: tf.expand_dims(x, 1),
    lambda x, y: tf.squeeze(tf.expand_dims(x, 1), 1), lambda x, y: tf.broadcast_to(tf.reduce_sum(x), [2, 3]), lambda x, y: tf.tile(x, [1, 2]), lambda x, y: tf.repeat(x, 2, axis=1),
    lambda x, y: tf.reverse(x, [1]), lambda x, y: tf.reverse(y, [1, 2]), lambda x, y: tf.roll(x, 1, 1), lambda x, y: tf.pad(x, [[0, 0], [1, 2]]), lambda x, y: tf.pad(x, [[0, 0], [1, 2]], constant_values=3.0),
    lambda x, y: tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"), lambda x, y: tf.nn.depth_to_space(tf.reshape(x, (-1, 1, 1, 4)), 2), lambda x, y: tf.nn.space_to_depth(tf.reshape(x, (-1, 2, 2, 1)), 2),
    lambda x, y: tf.concat([x, x * 2.0], -1), lambda x, y: tf.concat([y, y], axis=3), lambda x, y: tf.concat([x, np.ones((2, 4), "float32")], 0), lambda x, y: tf.stack([x, x], 1), lambda x, y: tf.stack([x[0], [1.0, 2.0, 3.0, 4.0]]),
    lambda x, y: tf.split(x, 2, axis=1)[1], lambda x, y: tf.split(x, [1, 3], -1)[1], lambda x, y: tf.unstack(x, axis=1)[2],
    lambda x, y: x[:, 0], lambda x, y: x[:, :2], lambda x, y: x[0], lambda x, y: x[:, ::-1], lambda x, y: x[tf.newaxis], lambda x, y: y[:, 1:, :-1, ::2], lambda x, y: x[:-1],
    lambda x, y: tf.gather(x, [0, 3, 1], axis=1), lambda x, y: tf.one_hot(tf.cast(abs(x), tf.int32), 3),
]  # fmt: skip

# Operations that Keras 3 has, but netc cannot run.
REMAINDERS = [lambda x, y: x % 0.7, lambda x, y: x % -0.4, lambda x, y: tf.cast(x * 9.0, "int32") % 4]

# Operations that Keras 3 does not have, or that a file of Keras 2 records badly. They are only copied and cut.
OTHERS = [
    lambda x, y: x[..., tf.newaxis], lambda x, y: tf.reshape(x, [tf.shape(x)[0], 2, 2]), lambda x, y: x[:, : tf.shape(x)[1] - 1],
    lambda x, y: tf.nn.local_response_normalization(y), lambda x, y: tf.add_n([x, x]), lambda x, y: tf.nn.avg_pool2d(y, 2, 1, "SAME"), lambda x, y: tf.norm(x, axis=1),
    lambda x, y: x // 0.3, lambda x, y: M.squared_difference(x, 1.0), lambda x, y: tf.image.resize(y, (5, 5)), lambda x, y: M.digamma(x + 3.0),
]  # fmt: skip


def of_operations(operations):
    def make():
        x, y = keras.Input((4,), name="x"), keras.Input((3, 2, 3), name="y")
        a, b = L.Dense(4, name="cut")(x), L.Conv2D(3, 1, name="conv")(y)
        return keras.Model([x, y], [operation(a, b) for operation in operations])

    return make


def states():
    x, h, c = keras.Input((5, 3), name="x"), keras.Input((4,), name="h"), keras.Input((4,), name="c")
    s, g, d = L.LSTM(4, return_sequences=True, return_state=True, name="enc")(x)
    image = keras.Input((3, 4, 4, 2), name="image")
    _, ih, ic = L.ConvLSTM2D(2, 3, padding="same", return_state=True, name="conv")(image)
    outputs = [
        L.LSTM(4, name="lstm")(s, initial_state=[g, d]),
        L.GRU(4, name="gru")(x, initial_state=h),
        L.GRU(4, reset_after=False, return_sequences=True, name="old_gru")(x, initial_state=[c]),
        L.SimpleRNN(4, name="simple")(x, initial_state=[h]),
        L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(s, initial_state=[g, d, h, c]),
        L.Bidirectional(L.GRU(4), merge_mode="sum", name="sum")(x, initial_state=[h, c]),
        L.ConvLSTM2D(2, 3, padding="same", name="conv2")(image, initial_state=[ih, ic]),
    ]
    return keras.Model([x, h, c, image], outputs)


def shared():
    """A layer called in several ways, a model called with a dictionary, and an operation in a nested model."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    inner = keras.Model({"a": a, "b": b}, L.Dense(3, name="inner_dense")(tf.nn.relu(a) * 2.0 + b), name="inner")
    x = keras.Input((4,), name="x")
    dense = L.Dense(4, name="cut")
    y = dense(dense(x))
    return keras.Model(x, [inner({"a": y, "b": x}), L.Add(name="sum")([x, y])])


def losses():
    x = keras.Input((4,), name="x")
    y = L.Dense(4, name="cut")(x)
    model = keras.Model(x, L.Dense(2, name="out")(y))
    model.add_loss(tf.reduce_mean(tf.square(L.Dense(3, name="aside")(y))))
    model.add_metric(tf.reduce_sum(y), name="total", aggregation="mean")
    return model


def functions():
    x = keras.Input((4,), name="x")
    y = L.Lambda(lambda t: t * 2.0 + 1.0, name="plain")(L.Dense(4, name="cut")(x))
    y = L.Lambda(lambda t, s=3.0, k=1.0: t * s - k, arguments={"k": 2.0}, output_shape=(4,), name="defaults")(y)
    factor = 0.5
    y = L.Lambda(lambda t: t * factor, output_shape=lambda shape: shape, name="closure")(y)
    return keras.Model(x, L.Dense(2, name="out")(y))


MODELS = {
    "twins": of_operations(TWINS), "remainders": of_operations(REMAINDERS), "others": of_operations(OTHERS), "states": states, "shared": shared, "losses": losses,
    "functions": functions,
}  # fmt: skip


def inputs_of(model):
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, (2, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]


def run(model, inputs):
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    return [np.array(y) for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def layers_of(path):
    """The layers and their calls, including those of nested models."""

    def walk(config):
        for layer in config["layers"]:
            yield layer["config"]["name"], layer.get("inbound_nodes")
            if "layers" in layer["config"]:
                yield from walk(layer["config"])

    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])["config"]
    return sorted(walk(config), key=lambda layer: layer[0])


def save(folder):
    for name, make in MODELS.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = make()
        model.save(folder / f"{name}.h5", include_optimizer=False)
        if name != "others":  # `.keras` files cannot record `...` and tensors in slices.
            model.save(folder / f"{name}.keras")
        inputs = inputs_of(model)
        named = {f"in{i}": x for i, x in enumerate(inputs)} | {f"out{i:03}": y for i, y in enumerate(run(model, inputs))}
        np.savez(folder / f"{name}.npz", **named)


def assert_close(found, expected, what):
    assert len(found) == len(expected), what
    for i, (a, b) in enumerate(zip(found, expected)):
        np.testing.assert_allclose(a.astype("float64"), b.astype("float64"), rtol=1e-4, atol=1e-5, err_msg=f"{what}, output {i}")


def check(folder):
    for name in MODELS:
        with np.load(folder / f"{name}.npz") as arrays:
            inputs, outputs = ([arrays[k] for k in sorted(arrays.files) if k.startswith(kind)] for kind in ("in", "out"))
        copy = folder / f"{name}.copy.h5"
        assert layers_of(copy) == layers_of(folder / f"{name}.h5"), name
        model = keras.models.load_model(copy, compile=False)
        assert_close(run(model, inputs), outputs, name)
        assert len(model.losses) == (name == "losses"), name
        manifest = folder / name / "manifest.json"
        if manifest.exists():
            check_stages(json.loads(manifest.read_text()), folder / name, inputs, outputs, name)


def check_stages(manifest, folder, inputs, outputs, name):
    given, made = dict(zip([i["name"] for i in manifest["inputs"]], inputs)), []

    def value(port):
        source = port["source"]
        return given[source["model_input"]] if "model_input" in source else made[source["stage"]][source["output"]]

    for stage in manifest["stages"]:
        model = keras.models.load_model(folder / stage["file"], compile=False)
        made.append(run(model, [value(port) for port in stage["inputs"]]))
    assert_close([value(port) for port in manifest["outputs"]], outputs, f"stages of {name}")


if __name__ == "__main__":
    {"save": save, "check": check}[sys.argv[1]](Path(sys.argv[2]))
