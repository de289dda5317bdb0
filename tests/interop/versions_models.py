"""Models for the tests across versions of Keras: `versions_models.py save|check FOLDER`, under either version.

`save` saves a few models with their outputs; `check` loads the files that netc wrote from them and compares. No model
shares a layer at several depths, because the first Keras 3 cannot load its own files of such models.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np
from keras import layers


def chain():
    middle = layers.Dense(5, activation="relu", name="middle")
    return keras.Sequential([keras.Input((4,), name="x"), middle, layers.Dense(3)])


def images():
    x = keras.Input((8, 8, 3), name="x")
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    z = layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, padding="same")(layers.ReLU(6.0, name="relu")(y)))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Concatenate()([z, y]))))


def shared():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    first, second = layers.Dense(4, name="first"), layers.Dense(4, name="second")
    y, z = second(first(a)), second(first(b))
    return keras.Model([b, a], [layers.Dense(2, name="end")(y + z), y * 2.0])


def dictionaries():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    y = layers.Dense(4)(layers.Add(name="sum")([layers.Dense(4)(a), b]))
    return keras.Model({"b": b, "a": a}, {"q": layers.Dense(2)(y), "p": y})


def nested():
    x, y = keras.Input((4,), name="x"), keras.Input((4,))
    inner = keras.Model(y, layers.Dense(4)(layers.Dense(3)(y)), name="inner")
    return keras.Model(x, layers.Dense(2)(inner(layers.Dense(4, name="between")(x))))


# The layer to cut each model at.
CUTS = {chain: "middle", images: "relu", shared: "second@0", dictionaries: "sum", nested: "between"}


def save(folder):
    rng = np.random.default_rng(0)
    for make in CUTS:
        model = make()
        for w in model.weights:
            w.assign(rng.uniform(0.5, 1.5, w.shape) if "variance" in w.name else rng.normal(0, 0.5, w.shape))
        model.save(folder / f"{make.__name__}.keras")
        shapes = {name: (2, *t.shape[1:]) for name, t in zip(input_names(model), model.inputs)}
        inputs = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
        outputs = flatten(model(inputs if make is dictionaries else one_or_all(list(inputs.values()))))
        np.savez(folder / f"{make.__name__}.npz", **inputs, **{f"out{i}": np.asarray(y) for i, y in enumerate(outputs)})


def check(folder):
    """Loads the files of netc in this Keras: each model written back, and each chain of stages."""
    for make in CUTS:
        with np.load(folder / f"{make.__name__}.npz") as data:
            data = dict(data)
        expected = [y for name, y in data.items() if name.startswith("out")]
        model = keras.models.load_model(folder / f"{make.__name__}.again.keras")
        inputs = {name: data[name] for name in input_names(model)}
        found = model(inputs if make is dictionaries else one_or_all(list(inputs.values())))
        compare(flatten(found), expected, f"{make.__name__} written back")
        compare(chain_of_stages(folder / make.__name__, data), expected, f"stages of {make.__name__}")


def chain_of_stages(folder, inputs):
    manifest, made = json.loads((folder / "manifest.json").read_text()), []

    def value(port):
        source = port["source"]
        return inputs[source["model_input"]] if "model_input" in source else made[source["stage"]][source["output"]]

    for stage in manifest["stages"]:
        model = keras.models.load_model(folder / stage["file"])
        values = {p["name"]: value(p) for p in stage["inputs"]}
        given = values if is_dict(model) else one_or_all(list(values.values()))
        made.append([np.asarray(t) for t in flatten(model(given))])
    return [value(p) for p in manifest["outputs"]]


def is_dict(model):
    """Whether the model takes a dict of inputs."""
    return isinstance(getattr(model, "_inputs_struct", None), dict)


def input_names(model):
    return [t._keras_history[0].name for t in model.inputs]


def one_or_all(values):
    return values[0] if len(values) == 1 else values


def flatten(structure):
    if isinstance(structure, dict):
        structure = [structure[key] for key in sorted(structure)]
    return [t for part in structure for t in flatten(part)] if isinstance(structure, (list, tuple)) else [structure]


def compare(found, expected, what):
    assert len(found) == len(expected), what
    for f, e in zip(found, expected):
        assert np.abs(np.asarray(f) - e).max() <= 1e-5 * np.abs(e).max(), what


if __name__ == "__main__":
    {"save": save, "check": check}[sys.argv[1]](Path(sys.argv[2]))
