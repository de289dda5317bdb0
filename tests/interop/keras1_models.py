"""Writes HDF5 files like those of Keras 1.2, each with inputs and the outputs that Keras 2 computes.

Usage: python keras1_models.py FOLDER, in an environment with requirements-legacy.txt. The files are in tests/legacy.
Keras 1 no longer runs anywhere. Configurations, names and the order of weights follow `get_config` and `build` in
https://github.com/keras-team/keras/tree/1.2.2/keras. The outputs are those of Keras 2, whose own
`preprocess_weights_for_loading` converts the weights.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import tf_keras as keras
from tf_keras import layers as L
from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

NOTHING = {f"{part}_{what}": None for part in "Wb" for what in ["regularizer", "constraint"]} | {"activity_regularizer": None}
RANDOM = np.random.default_rng(1)


def weight(suffix, *shape):
    low = 0.2 if suffix == "running_std" else -0.6
    return suffix, RANDOM.uniform(low, 0.6, shape).astype("float32")


class Layer:
    """A layer: its declaration and weights in Keras 1, and the layer of Keras 2."""

    def __init__(self, now, old_class, config, *weights, prefix=None):
        self.now, self.weights = now, weights
        self.prefix = prefix or now.name
        self.object = {"class_name": old_class, "config": {"name": now.name, "trainable": True, **config}}

    def set_weights(self):
        if self.weights:
            arrays = [array.copy() for _, array in self.weights]
            self.now.set_weights(preprocess_weights_for_loading(self.now, arrays, "1", "tensorflow"))

    def named(self):
        return [(f"{self.prefix}_{suffix}", array) for suffix, array in self.weights]


def dense(name, given, units, activation="linear", old_class="Dense"):
    config = {"output_dim": units, "init": "glorot_uniform", "activation": activation, "bias": True, "input_dim": given}
    weights = weight("W", given, units), weight("b", units)
    return Layer(L.Dense(units, activation=activation, name=name), old_class, NOTHING | config, *weights)


def conv2d(name, given, filters, size, activation="linear", same=False, rate=1):
    border = "same" if same else "valid"
    now = L.Conv2D(filters, size, padding=border, activation=activation, dilation_rate=rate, name=name)
    config = NOTHING | {
        "nb_filter": filters, "nb_row": size, "nb_col": size, "init": "glorot_uniform", "activation": activation,
        "border_mode": border, "subsample": [1, 1], "dim_ordering": "tf", "bias": True,
        "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.01},
        "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0},
    }
    if rate != 1:
        config["atrous_rate"] = [rate, rate]
    weights = weight("W", size, size, given, filters), weight("b", filters)
    return Layer(now, "AtrousConvolution2D" if rate != 1 else "Convolution2D", config, *weights)


def deconv(name, given, filters, size, output_shape):
    now = L.Conv2DTranspose(filters, size, name=name)
    config = NOTHING | {
        "nb_filter": filters, "nb_row": size, "nb_col": size, "init": "glorot_uniform", "activation": "linear",
        "border_mode": "valid", "subsample": [1, 1], "dim_ordering": "tf", "bias": True, "output_shape": output_shape,
    }
    return Layer(now, "Deconvolution2D", config, weight("W", size, size, given, filters), weight("b", filters))


def batch_norm(name, channels):
    config = {"epsilon": 0.001, "mode": 0, "axis": -1, "gamma_regularizer": None, "beta_regularizer": None, "momentum": 0.99}
    weights = [weight(suffix, channels) for suffix in ["gamma", "beta", "running_mean", "running_std"]]
    return Layer(L.BatchNormalization(epsilon=0.001, name=name), "BatchNormalization", config, *weights)


def cell(given, units, gates):
    parts = [("W", (given, units)), ("U", (units, units)), ("b", (units,))]
    return [weight(f"{part}_{gate}", *shape) for gate in gates for part, shape in parts]


def recurrent_config(units, sequences):
    regularizers = {f"{part}_regularizer": None for part in "WUb"}
    return regularizers | {
        "output_dim": units, "init": "glorot_uniform", "inner_init": "orthogonal", "activation": "tanh",
        "inner_activation": "hard_sigmoid", "dropout_W": 0.1, "dropout_U": 0.0, "return_sequences": sequences,
        "go_backwards": False, "stateful": False, "unroll": False, "consume_less": "cpu",
    }


def lstm(name, given, units, sequences=False):
    now = L.LSTM(units, recurrent_activation="hard_sigmoid", return_sequences=sequences, name=name)
    config = recurrent_config(units, sequences) | {"forget_bias_init": "one"}
    return Layer(now, "LSTM", config, *cell(given, units, "icfo"))


def gru(name, given, units, sequences=False):
    now = L.GRU(units, recurrent_activation="hard_sigmoid", reset_after=False, return_sequences=sequences, name=name)
    return Layer(now, "GRU", recurrent_config(units, sequences), *cell(given, units, "zrh"))


def bidirectional(name, inner, twin):
    config = {"layer": inner.object, "merge_mode": "concat"}
    layer = Layer(L.Bidirectional(inner.now, name=name), "Bidirectional", config, *inner.weights, *twin.weights)
    inside = inner.now.name
    names = [f"forward_{inside}_{s}" for s, _ in inner.weights] + [f"backward_{inside}_{s}" for s, _ in twin.weights]
    layer.named = lambda: list(zip(names, [array for _, array in layer.weights]))
    return layer


def each(name, inner):
    wrapped = Layer(L.TimeDistributed(inner.now, name=name), "TimeDistributed", {"layer": inner.object}, *inner.weights)
    wrapped.prefix = inner.now.name
    return wrapped


def plain(now, old_class, **config):
    return Layer(now, old_class, config)


def merge(now, mode, **config):
    config = {"mode": mode, "mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "output_shape": None} | config
    layer = plain(now, "Merge", **config, output_shape_type="raw", output_mask=None, output_mask_type="raw", arguments={})
    layer.object["config"].pop("trainable")
    return layer


def input_layer(name, shape, dtype="float32"):
    config = {"batch_input_shape": [None, *shape], "input_dtype": dtype, "sparse": False, "name": name}
    return {"class_name": "InputLayer", "config": config, "name": name, "inbound_nodes": []}


class Graph:
    """A functional model, built for both versions."""

    def __init__(self, name):
        self.name, self.objects, self.layers, self.uses = name, [], [], {}

    def input(self, name, shape, dtype="float32"):
        self.objects.append(input_layer(name, shape, dtype))
        return keras.Input(shape, dtype=dtype, name=name), (name, 0)

    def __call__(self, layer, *given):
        name = layer.now.name
        if name not in self.uses:
            # The call that made a model counts.
            self.uses[name] = 1 if isinstance(layer, Graph) else 0
            self.objects.append(layer.object | {"name": name, "inbound_nodes": []})
            self.layers.append(layer)
        nodes = next(o for o in self.objects if o["name"] == name)["inbound_nodes"]
        nodes.append([[of, node, 0] for _, (of, node) in given])
        self.uses[name] += 1
        tensors = [x for x, _ in given]
        return layer.now(tensors if len(tensors) > 1 else tensors[0]), (name, self.uses[name] - 1)

    def end(self, inputs, outputs):
        self.now = keras.Model([x for x, _ in inputs], [y for y, _ in outputs], name=self.name)
        ends = {"input_layers": inputs, "output_layers": outputs}
        config = {"name": self.name, "layers": self.objects} | {
            key: [[of, node, 0] for _, (of, node) in tensors] for key, tensors in ends.items()
        }
        self.object = {"class_name": "Model", "config": config}
        return self

    def set_weights(self):
        for layer in self.layers:
            layer.set_weights()

    def named(self):
        """The named weights, trainable ones first."""
        all_named = [pair for layer in self.layers for pair in layer.named()]
        return sorted(all_named, key=lambda pair: "running" in pair[0])

    def lists(self):
        return [(layer.now.name, layer.named()) for layer in self.layers]


class Chain:
    """A Sequential model. Its configuration is the list of its layers."""

    def __init__(self, name, shape, layers, dtype="float32"):
        self.layers = layers
        self.now = keras.Sequential([keras.Input(shape, dtype=dtype), *(layer.now for layer in layers)], name=name)
        self.object = {"class_name": "Sequential", "config": [layer.object for layer in layers]}
        first = layers[0].object["config"]
        if isinstance(first, dict):
            first |= {"batch_input_shape": [None, *shape], "input_dtype": dtype}

    def set_weights(self):
        for layer in self.layers:
            layer.set_weights()

    def lists(self):
        """The layers and their weights. A nested Sequential model is written as its layers."""
        inner = [layer.lists() if isinstance(layer, Chain) else [(layer.now.name, layer.named())] for layer in self.layers]
        return [pair for pairs in inner for pair in pairs]


def image():
    """Convolutions, merged branches, and a model applied twice."""
    tower = Graph("tower")
    x = given = tower.input("patch", (6, 6, 3))
    x = tower(conv2d("tower_conv", 3, 4, 3, same=True), x)
    x = tower(batch_norm("tower_bn", 4), x)
    tower.end([given], [tower(plain(L.Activation("relu", name="tower_relu"), "Activation", activation="relu"), x)])
    g = Graph("keras1_image")
    left, right = g.input("left", (6, 6, 3)), g.input("right", (6, 6, 3))
    a, b = g(tower, left), g(tower, right)
    x = g(merge(L.Add(name="sum"), "sum"), a, b)
    y = g(conv2d("atrous", 4, 4, 2, "relu", same=True, rate=2), x)
    x = g(merge(L.Concatenate(name="both"), "concat", concat_axis=-1), x, y)
    pads = {"top_pad": 1, "bottom_pad": 0, "left_pad": 2, "right_pad": 1}
    x = g(plain(L.ZeroPadding2D(((1, 0), (2, 1)), name="pad"), "ZeroPadding2D", padding=pads, dim_ordering="tf"), x)
    pool = {"pool_size": [2, 2], "border_mode": "valid", "strides": [2, 2], "dim_ordering": "tf"}
    x = g(plain(L.MaxPooling2D(2, name="pool"), "MaxPooling2D", **pool), x)
    x = g(deconv("up", 8, 3, 2, [None, 4, 5, 3]), x)
    x = g(plain(L.Dropout(0.5, name="drop"), "Dropout", p=0.5), x)
    x = g(plain(L.GlobalAveragePooling2D(name="gap"), "GlobalAveragePooling2D", dim_ordering="tf"), x)
    return g.end([left, right], [g(dense("out", 3, 2, "softmax"), x), b])


def text():
    """Recurrent layers and wrappers, in a Sequential model."""
    embedding = Layer(
        L.Embedding(9, 4, name="embedding"), "Embedding",
        {"input_dim": 9, "output_dim": 4, "init": "uniform", "input_length": 7, "mask_zero": False, "dropout": 0.2,
         "activity_regularizer": None, "W_regularizer": None, "W_constraint": None},
        weight("W", 9, 4),
    )
    conv = Layer(
        L.Conv1D(5, 2, activation="relu", name="conv"), "Convolution1D",
        NOTHING | {"nb_filter": 5, "filter_length": 2, "init": "glorot_uniform", "activation": "relu", "border_mode": "valid",
                   "subsample_length": 1, "bias": True, "input_dim": 4, "input_length": 7},
        weight("W", 2, 1, 4, 5), weight("b", 5),
    )
    pool = plain(L.MaxPooling1D(2, strides=1, name="pool"), "MaxPooling1D", pool_length=2, stride=1, border_mode="valid")
    layers = [
        embedding, conv, pool,
        bidirectional("both", lstm("lstm_1", 5, 3, True), lstm("lstm_twin", 5, 3, True)),
        each("each", dense("inner", 6, 4, "tanh")),
        dense("steps", 4, 4, "relu", "TimeDistributedDense"),
        lstm("lstm_2", 4, 3, True),
        gru("gru_1", 3, 4),
        dense("out", 4, 2),
    ]
    return Chain("keras1_text", (7,), layers, "int32")


def nested():
    """A Sequential model in a Sequential model."""
    inner = Chain("inner", (4,), [dense("wide", 4, 5, "relu"), batch_norm("bn", 5)])
    return Chain("keras1_nested", (4,), [dense("first", 4, 4), inner, dense("last", 5, 2, "hard_sigmoid")])


def save(folder, model):
    name = model.now.name
    model.set_weights()
    with h5py.File(folder / f"{name}.h5", "w", libver="earliest") as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["model_config"] = json.dumps(model.object).encode()
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = b"1.2.2"
        lists = model.lists()
        group.attrs["layer_names"] = [layer.encode() for layer, _ in lists]
        for layer, named in lists:
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = np.array([f"{w}:0".encode() for w, _ in named], dtype="S64")
            for weight_name, array in named:
                inner.create_dataset(f"{weight_name}:0", data=array)
    random = np.random.default_rng(0)
    given = []
    for tensor in model.now.inputs:
        shape = (2, *tensor.shape[1:])
        is_int = tensor.dtype == "int32"
        given.append(random.integers(0, 9, shape).astype("int32") if is_int else random.normal(size=shape).astype("float32"))
    outputs = model.now(given if len(given) > 1 else given[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    names = {"in%d" % i: x for i, x in enumerate(given)} | {"out%d" % i: y.numpy() for i, y in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **names)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(exist_ok=True)
    for model in [image(), text(), nested()]:
        save(Path(sys.argv[1]), model)
