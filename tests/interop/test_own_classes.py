"""Models and layers of custom classes, as in packages such as keras-hub."""

import os
import re

import keras
import numpy as np
from keras import layers

from harness import assert_close, load, netc, netc_run, randomise, run, split


@keras.saving.register_keras_serializable("own")
class Backbone(keras.Model):
    """A functional model whose file records its arguments instead of its graph."""

    def __init__(self, width=4, **kwargs):
        x = keras.Input((4,), name="x")
        y = layers.Dense(width, name="b2")(layers.Dense(width, name="b1", activation="relu")(x))
        super().__init__(x, y, **kwargs)
        self.width = width

    def get_config(self):
        return {"name": self.name, "width": self.width}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("own")
class Keeps(layers.Layer):
    """A layer with an empty asset."""

    def call(self, x):
        return x

    def save_assets(self, dir_path):
        open(os.path.join(dir_path, "vocab.txt"), "w").close()

    def load_assets(self, dir_path):
        self.size = os.path.getsize(os.path.join(dir_path, "vocab.txt"))


X = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")


def line_of(text, begin):
    """The line of Python in a message that begins with `begin`."""
    return re.search(rf"`({re.escape(begin)}.*?)`", text).group(1)


def test_error_explains_how_to_save_the_graph_of_a_backbone(tmp_path):
    m = randomise(Backbone(name="bb"))
    m.save(tmp_path / "bb.keras")
    error = netc("inspect", tmp_path / "bb.keras", code=1).stderr
    assert "the arguments of the class `Backbone`, not its graph; the model is functional" in error
    line = line_of(error, "keras.Model(").replace("x.keras", str(tmp_path / "x.keras"))
    exec(line, {"keras": keras, "m": m})
    assert_close(netc_run(tmp_path / "x.keras", {"x": X}, tmp_path), run(m, [X]))


def test_note_explains_how_to_open_a_nested_backbone(tmp_path):
    x = keras.Input((4,), name="image")
    m = randomise(keras.Model(x, layers.Dense(2, name="head")(Backbone(name="bb")(x))))
    m.save(tmp_path / "m.keras")
    note = netc("inspect", tmp_path / "m.keras").stderr
    assert "for the model `bb` the file records the arguments of the class `Backbone`, not its graph" in note
    assert "the model is functional" in note
    opened = eval(line_of(note, "keras.models.clone_model("), {"keras": keras, "m": m})
    opened.save(tmp_path / "opened.keras")
    assert_close(netc_run(tmp_path / "opened.keras", {"image": X}, tmp_path), run(m, [X]))
    split(tmp_path / "opened.keras", "bb/b1", tmp_path / "out")


def test_empty_assets_are_kept(tmp_path):
    x = keras.Input((4,), name="x")
    y = layers.Dense(2, name="d2")(Keeps(name="k")(layers.Dense(3, name="d1")(x)))
    m = randomise(keras.Model(x, y))
    m.save(tmp_path / "m.keras")
    netc(tmp_path / "m.keras", "-o", tmp_path / "again.keras")
    split(tmp_path / "m.keras", "d1", tmp_path / "out")
    for path in ["again.keras", "out/m.stage1.keras"]:
        model = load(tmp_path / path)
        assert [layer.size for layer in model.layers if isinstance(layer, Keeps)] == [0]
    assert_close(run(load(tmp_path / "again.keras"), [X]), run(m, [X]))
