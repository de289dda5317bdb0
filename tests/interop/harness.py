"""Helpers of the tests: running netc, models with useful weights, running stages in Keras."""

import io
import json
import math
import os
import subprocess
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

NETC = os.environ.get("NETC", Path(__file__).parents[2] / "target/release/netc")
LEGACY = Path(__file__).parents[1] / "legacy"
SCALE = Path(__file__).parents[2] / "layers/scale.nir"


def netc(*args, code=0, cwd=None):
    """Runs netc, which must exit with `code`; returns the finished process."""
    command = [str(NETC), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == code, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def netc_run(model, inputs, folder, *options):
    """The outputs that netc computes. `inputs` maps the names of the model's inputs to arrays."""
    args = []
    for i, (name, array) in enumerate(inputs.items()):
        np.save(folder / f"in{i}.npy", array)
        args += ["--input", f"{name}={folder / f'in{i}.npy'}"]
    netc("run", model, *args, *options, "-o", folder / "out.npz")
    with np.load(folder / "out.npz") as out:
        return [out[key] for key in out.files]


def split(model, cuts, folder, *options):
    """Splits the model file into the folder; returns the manifest."""
    netc(model, "--pass", f"split={cuts}", "-o", folder, *options)
    return json.loads((folder / "manifest.json").read_text())


# Models.


def randomise(model, seed=0):
    """Assigns random weights: kernels as Glorot, other weights away from their initial values."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if np.issubdtype(np.dtype(weight.dtype if weight.dtype != "bfloat16" else "float32"), np.floating):
            weight.assign(_numbers(rng, weight.path.rsplit("/", 1)[-1], tuple(weight.shape)).astype("float32"))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def _numbers(rng, name, shape):
    if "variance" in name:
        return rng.uniform(0.5, 1.5, shape)
    if name in ("gamma", "scale"):
        return rng.uniform(0.8, 1.2, shape)
    if len(shape) < 2 or "bias" in name:
        return rng.normal(0, 0.1, shape)
    fans = math.prod(shape[:-2]) * (shape[-2] + shape[-1])
    limit = math.sqrt(6 / fans)
    return rng.random(shape, dtype="float32") * np.float32(2 * limit) - np.float32(limit)


def build_application(name):
    """A model of keras.applications with random weights, whose output is logits."""
    return randomise(getattr(keras.applications, name)(weights=None, classifier_activation=None))


def save(model, path):
    """Saves the model; returns the path."""
    model.save(path)
    return path


@keras.saving.register_keras_serializable("interop")
class Affine(keras.layers.Layer):
    """A registered custom layer, with weights."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), name="beta")

    def call(self, x):
        return x * self.gamma + self.beta

    def compute_output_shape(self, shape):
        return shape


class Scale(keras.layers.Layer):
    """The layer `Scale` of ResNet-152 as ported from Caffe; not registered."""

    def __init__(self, axis=-1, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.axis, self.momentum = axis, momentum

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[self.axis],), name="gamma", initializer="ones")
        self.beta = self.add_weight(shape=(shape[self.axis],), name="beta", initializer="zeros")

    def call(self, x):
        along = [1] * len(x.shape)
        along[self.axis] = -1
        return x * keras.ops.reshape(self.gamma, along) + keras.ops.reshape(self.beta, along)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "momentum": self.momentum}


# The name of the unregistered class, and the name that `register_keras_serializable()` gives it.
CUSTOM = {"Scale": Scale, "Custom>Scale": Scale}


def load(path):
    """Loads a model file with the custom layers of the tests."""
    return keras.models.load_model(path, custom_objects=CUSTOM, compile=False, safe_mode=False)


def inputs_of(model, seed=0, batch=2, extent=9):
    """Random inputs by name. `extent` replaces unknown extents."""
    rng = np.random.default_rng(seed)
    return {name: _input(rng, t, batch, extent) for name, t in zip(input_names(model), model.inputs)}


def input_names(model):
    """The names of the input layers, in the order of the model's inputs."""
    return [t._keras_history.operation.name for t in model.inputs]


def _input(rng, tensor, batch, extent):
    shape = [batch if tensor.shape[0] is None else tensor.shape[0]] if tensor.shape else []
    shape += [extent if d is None else d for d in tensor.shape[1:]]
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.5
    if "int" in tensor.dtype:
        return rng.integers(0, 5, shape).astype(tensor.dtype)
    return rng.normal(size=shape).astype(tensor.dtype)


def run(model, inputs):
    """The outputs that Keras computes, in the order of the model; `inputs` in the order of `model.inputs`."""
    structure = model._inputs_struct if hasattr(model, "_inputs_struct") else model.inputs[0]
    y = model(keras.tree.pack_sequence_as(structure, list(inputs)), training=False)
    return [np.asarray(t) for t in keras.tree.flatten(y)]


def run_chain(folder, inputs):
    """Runs the stages of a manifest in Keras, in order; returns the outputs of the whole."""
    manifest = json.loads((folder / "manifest.json").read_text())
    made = []

    def value(port):
        source = port["source"]
        return inputs[source["model_input"]] if "model_input" in source else made[source["stage"]][source["output"]]

    for stage in manifest["stages"]:
        model = load(folder / stage["file"])
        assert not getattr(model, "compiled", False)
        assert input_names(model) == [p["name"] for p in stage["inputs"]]
        made.append(run(model, [value(p) for p in stage["inputs"]]))
        assert len(made[-1]) == len(stage["outputs"])
        for array, port in zip(made[-1], stage["outputs"]):
            if port["shape"] is not None:
                assert port["dtype"] == array.dtype.name and agree(port["shape"], array.shape), (port, array.shape)
    return [value(p) for p in manifest["outputs"]]


def agree(recorded, shape):
    """Whether `shape` matches a recorded shape, whose open extents are None."""
    return len(recorded) == len(shape) and all(d in (None, n) for d, n in zip(recorded, shape))


# Comparing.


def error(found, expected):
    """The largest difference relative to the largest expected value; infinite for NaN."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    if found.size == 0:
        return 0.0
    worst = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
    return float(worst) if np.isfinite(worst) and np.isfinite(expected).all() else math.inf


def assert_close(found, expected, tolerance=1e-5):
    """Compares lists of arrays; returns the largest error."""
    assert [f.shape for f in found] == [e.shape for e in expected]
    assert [f.dtype.name for f in found] == [e.dtype.name for e in expected]
    errors = [error(f, e) for f, e in zip(found, expected)]
    assert max(errors) <= tolerance, errors
    return max(errors)


def config_of(path):
    """The configuration in a model file."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def weights_of(path):
    """The datasets of a model file by path, without those of an optimizer."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            found[name] = item[()]

    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(visit)
    return found


def layers_of(config):
    """The entries of layers in a configuration by name, without input layers."""
    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    return {layer.get("name", layer["config"]["name"]): layer for layer in layers}


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same_weights(found, expected):
    """Asserts that two results of `weights_of` are equal byte for byte."""
    assert found.keys() == expected.keys()
    assert [k for k in found if not same_bytes(found[k], expected[k])] == []


def assert_round_trip(path, folder):
    """Asserts that netc writes the file back with the same configuration and weights; returns the new path."""
    again = folder / f"again_{path.name}"
    netc(path, "-o", again)
    expected = config_of(path)
    expected.pop("compile_config", None)
    assert config_of(again) == expected
    assert_same_weights(weights_of(again), weights_of(path))
    return again
