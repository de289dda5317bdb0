"""Saves models as HDF5 files with Keras 2, each with inputs and the outputs that Keras 2 computes.

Usage: python legacy_models.py FOLDER, in an environment with requirements-legacy.txt. The files are in tests/legacy.
`tf_keras` is the last release of Keras 2. Files of older releases are made by editing its files, after
https://github.com/keras-team/keras/blob/2.0.0/keras/models.py.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import tf_keras as keras
from tf_keras import layers as L
from tf_keras.src.saving.legacy import hdf5_format


def nested():
    """A functional model applied twice, a nested Sequential model, attention, and keyword arguments."""
    inner_in = keras.Input((6, 6, 3), name="inner_in")
    x = L.Conv2D(4, 3, name="conv")(inner_in)
    x = L.BatchNormalization(name="bn")(x)
    inner = keras.Model(inner_in, L.LeakyReLU(0.2, name="leaky")(x), name="inner")
    chain = keras.Sequential([L.Dense(5, activation="relu", name="wide"), L.Dropout(0.3, name="drop")], name="chain")
    left, right = keras.Input((6, 6, 3), name="left"), keras.Input((6, 6, 3), name="right")
    x = L.Concatenate(name="both")([inner(left), inner(right)])
    x = chain(L.Reshape((16, 8), name="tokens")(x))
    x = L.MultiHeadAttention(2, 4, name="attention")(x, value=x)
    x = L.GlobalAveragePooling1D(name="pool")(L.LayerNormalization(name="ln")(x))
    return keras.Model([left, right], [inner(right), L.Dense(2, name="out")(x)], name="nested")


def chain():
    """All kinds of convolutions, in a Sequential model without an input layer."""
    return keras.Sequential(
        [
            L.ZeroPadding2D(1, input_shape=(8, 8, 2), name="pad"),
            L.SeparableConv2D(4, 3, name="separable"),
            L.BatchNormalization(name="bn"),
            L.ReLU(6.0, name="relu6"),
            L.DepthwiseConv2D(3, padding="same", name="depthwise"),
            L.MaxPooling2D(2, name="pool"),
            L.UpSampling2D(2, name="up"),
            L.PReLU(shared_axes=[1, 2], name="prelu"),
            L.SpatialDropout2D(0.2, name="drop"),
            L.GlobalMaxPooling2D(name="gap"),
            L.Dense(3, activation="softmax", name="out"),
        ],
        name="chain",
    )


def functions():
    """Functions that Keras 3 computes or calls differently."""
    x = image = keras.Input((5,), name="x")
    x = L.Dense(4, activation="hard_sigmoid", name="gate")(x)
    x = L.Dense(4, name="dense")(x)
    x = L.ThresholdedReLU(0.1, name="threshold")(x)
    return keras.Model(image, x, name="functions")


def recurrent():
    """Recurrent layers and wrappers."""
    x = tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = L.Embedding(9, 6, name="embedding")(x)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    x = L.TimeDistributed(L.Dense(4), name="each")(x)
    x = L.GRU(3, name="gru")(x)
    return keras.Model(tokens, L.Dense(2, name="out")(x), name="recurrent")


def open_steps():
    """Sequences of any length."""
    x = tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = L.Embedding(9, 4, name="embedding")(x)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    x = L.TimeDistributed(L.Dense(4, activation="relu"), name="each")(x)
    x, state = L.GRU(3, return_state=True, name="gru")(x)
    return keras.Model(tokens, [L.Dense(2, name="out")(x), state], name="open_steps")


def slashes():
    """Names with slashes, as in `DenseNet`. Without the slashes, two of them would be equal."""
    x = image = keras.Input((6, 6, 3), name="image")
    x = y = L.Conv2D(4, 3, padding="same", name="conv1/conv")(x)
    x = L.BatchNormalization(name="conv1/bn")(x)
    x = L.Conv2D(4, 1, name="conv1_conv")(L.ReLU(name="conv1/relu")(x))
    inner_in = keras.Input((6, 6, 4), name="inner_in")
    inner = keras.Model(inner_in, L.Conv2D(2, 3, name="conv1/conv")(inner_in), name="inner")
    return keras.Model(image, inner(L.Add(name="conv1/sum")([x, y])), name="slashes")


def inputs_of(model):
    random = np.random.default_rng(0)
    for tensor in model.inputs:
        shape = (2, *(extent or 5 for extent in tensor.shape[1:]))
        floats = random.normal(size=shape).astype("float32")
        yield random.integers(0, 9, shape).astype("int32") if tensor.dtype == "int32" else floats


def save(folder, name, model):
    keras.utils.set_random_seed(0)
    for weight in model.weights:
        # Variances must stay positive.
        weight.assign(np.random.uniform(0.1, 0.6, weight.shape) * (1 if "moving" in weight.name else [-1, 1][len(weight.shape) % 2]))
    model.save(folder / f"{name}.h5", include_optimizer=False)
    given = list(inputs_of(model))
    outputs = model(given if len(given) > 1 else given[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    names = {"in%d" % i: x for i, x in enumerate(given)} | {"out%d" % i: y.numpy() for i, y in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **names)


def trained(folder):
    """A compiled model after two training steps, saved with the state of its optimizer."""
    model = keras.Sequential([L.Dense(3, "relu", input_shape=(4,), name="wide"), L.Dense(2, name="out")], name="trained")
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    random = np.random.default_rng(0)
    model.fit(random.normal(size=(8, 4)), random.normal(size=(8, 2)), batch_size=4, verbose=0)
    model.save(folder / "trained.h5")


def archive(folder):
    """A `.keras` file of Keras 2 with a nested functional model. Both models are compiled."""
    x = image = keras.Input((4,), name="x")
    inner_in = keras.Input((3,), name="inner_in")
    inner = keras.Model(inner_in, L.LeakyReLU(0.3, name="leaky")(L.Dense(2, name="dense")(inner_in)), name="inner")
    inner.compile("sgd", "mse")
    model = keras.Model(image, inner(L.Dense(3, "relu", name="wide")(x)), name="archive")
    keras.utils.set_random_seed(0)
    for weight in model.weights:
        weight.assign(np.random.uniform(-0.6, 0.6, weight.shape))
    model.compile("adam", keras.losses.MeanSquaredError())
    given = next(inputs_of(model))
    model.fit(given, np.ones((2, 2)), verbose=0)
    model.save(folder / "archive.keras")
    np.savez(folder / "archive.npz", in0=given, out0=model(given).numpy())


def older(folder, name, source, change):
    """The file `source` with a changed configuration, without the entries that older versions did not write."""
    (folder / f"{name}.h5").write_bytes((folder / f"{source}.h5").read_bytes())
    (folder / f"{name}.npz").write_bytes((folder / f"{source}.npz").read_bytes())
    with h5py.File(folder / f"{name}.h5", "r+") as file:
        config = change(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(config).encode("utf8")
        file.attrs["keras_version"] = b"2.0.8"
        del file["model_weights"].attrs["keras_version"]


def bare_list(config):
    """Until 2.2.3 the configuration of a Sequential model was the list of its layers, and the first layer had the input
    shape."""
    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    for layer in layers:
        layer.pop("build_config", None)
        if layer["class_name"] == "BatchNormalization":
            layer["config"]["axis"] = [3]
    return {"class_name": "Sequential", "config": layers}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    for model in [nested(), chain(), functions(), recurrent(), open_steps(), slashes()]:
        save(folder, model.name, model)
    older(folder, "bare_list", "chain", bare_list)
    trained(folder)
    archive(folder)
    # A list of names that is too long for one attribute is spread over several.
    hdf5_format.HDF5_OBJECT_HEADER_LIMIT = 100
    save(folder, "spread_names", nested())


if __name__ == "__main__":
    main()
